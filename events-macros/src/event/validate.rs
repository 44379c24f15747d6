//! Checks the type and the version of an event, as far as its tokens show.

use proc_macro2::Span;
use syn::{DeriveInput, GenericParam, Generics, LitInt};

use crate::errors::Errors;
use crate::item::{Arguments, Kind, Version};

pub(super) fn item(arguments: &mut Arguments, input: &DeriveInput, errors: &mut Errors) {
    if !input.generics.params.is_empty() {
        errors.on(&input.generics, generic(&input.generics, arguments));
    }
    if arguments.complete {
        check_version(&mut arguments.version, input, errors);
    }
}

/// Returns the error for an event or a view with generic parameters.
fn generic(generics: &Generics, arguments: &Arguments) -> String {
    let what = if arguments.kind == Kind::View { "a view" } else { "an event" };
    let named = generics.params.iter().find_map(|param| match param {
        GenericParam::Type(param) => Some((&param.ident, "type")),
        GenericParam::Const(param) => Some((&param.ident, "value")),
        GenericParam::Lifetime(_) => None,
    });
    if let Some((name, kind)) = named {
        return format!(
            "{what} can't be generic, because it has one name and one schema: write a concrete {kind} instead of `{name}`, or declare {what} for each {kind}"
        );
    }
    let lifetimes: Vec<_> = generics.lifetimes().map(|param| param.lifetime.to_string()).collect();
    let (list, first) = (lifetimes.join(", "), &lifetimes[0]);
    format!(
        "{what} must own its data, because it is read back from JSON: remove `<{list}>`, and write `String` instead of `&{first} str`, `T` instead of `&{first} T`"
    )
}

/// Reports a version above 1 without `previous`, and `previous` on version 1.
fn check_version(version: &mut Version, input: &DeriveInput, errors: &mut Errors) {
    let (value, name) = (version.value(), &input.ident);
    match &version.previous {
        None if value > 1 => {
            let before = value - 1;
            let number = version.number.as_ref().map_or_else(Span::call_site, LitInt::span);
            errors.at(
                number,
                format_args!(
                    "version {value} must read records of version {before}: keep the type of version {before} as `#[event(..., version = {before}, superseded)] struct {name}V{before}`, write `previous = {name}V{before}` here, and write `impl Upcast<{name}V{before}> for {name}`"
                ),
            );
        }
        Some(previous) if value == 1 => {
            errors
                .on(previous, "version 1 has no previous version: write `version = 2`, or remove `previous`");
            version.previous = None;
        }
        _ => {}
    }
}
