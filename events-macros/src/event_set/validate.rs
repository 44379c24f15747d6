//! Checks that a type can be an event set.

use syn::Type;

use crate::ast::{Data, Input, Variant};
use crate::errors::Errors;

/// Returns each variant with the type that it holds, and reports every mistake.
pub(super) fn variants<'a>(input: &'a Input<'a>, errors: &mut Errors) -> Vec<(&'a Variant<'a>, &'a Type)> {
    let Data::Enum(variants) = &input.data else {
        errors.at(
            input.ident.span(),
            "an event set must be an enum: `enum UserEvent<'a> { Created(&'a UserCreated), ... }`",
        );
        return Vec::new();
    };
    if variants.is_empty() {
        errors.at(
            input.ident.span(),
            "an event set needs at least one variant that holds an event: `Created(&'a UserCreated)`",
        );
    }
    let generics = input.generics;
    if generics.type_params().next().is_some() || generics.const_params().next().is_some() {
        errors.on(
            generics,
            "an event set can't have type or const parameters: write the type of the event in each variant",
        );
    } else if generics.lifetimes().count() > 1 {
        errors.on(
            generics,
            "an event set can have only one lifetime, which all borrowed events share: remove the others",
        );
    }
    let mut held = Vec::new();
    for variant in variants {
        match variant.fields.newtype() {
            Some(field) => held.push((variant, field.ty)),
            None => errors.on(
                variant.syntax,
                format_args!(
                    "a variant of an event set must hold exactly one event, in parentheses: `{0}(&'a E)` or `{0}(Arc<E>)`",
                    variant.ident
                ),
            ),
        }
    }
    held
}
