//! The common parts of `#[event]` and `#[payload]`: their arguments, and the type that they are applied to.

mod arguments;
mod derives;
mod fields;
mod owned;
mod stacked;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{DeriveInput, Item};

pub(crate) use arguments::{Arguments, Kind, Version};
pub(crate) use derives::{Hidden, derived, derives};
pub(crate) use fields::{fields_mut, misspelt};
pub(crate) use stacked::is_ours;

use crate::attr::{EVENT, SCHEMA};
use crate::errors::Errors;
use crate::secret;

/// Parses and checks the type that an attribute is applied to, and prepares it for the derives. Returns the type, and
/// whether one of its fields is secret. Returns the tokens of the item with its errors if it can't be used. `validate`
/// runs before the fields are checked.
pub(crate) fn prepare(
    arguments: &mut Arguments,
    item: TokenStream,
    validate: impl FnOnce(&mut Arguments, &DeriveInput, &mut Errors),
    errors: &mut Errors,
) -> Result<(DeriveInput, bool), TokenStream> {
    let (attribute, helper) = match arguments.kind {
        Kind::Event | Kind::View => ("event", EVENT),
        Kind::Payload => ("payload", SCHEMA),
    };
    let mut input = parse(attribute, item, errors)?;
    if let Some(item) = stacked::repeated(attribute, &mut input, errors) {
        return Err(item);
    }
    fields::check_variants(&mut input, errors);
    arguments.above = stacked::derives_above(attribute, arguments, &input, errors);
    validate(arguments, &input, errors);
    let secrets = fields::check_fields(&mut input, helper, arguments, errors);
    if secrets {
        secret::check_container(&input, &arguments.without, errors);
    }
    Ok((input, secrets))
}

/// Parses a struct or an enum. For every other item, returns the tokens of the item with an error.
fn parse(attribute: &str, item: TokenStream, errors: &mut Errors) -> Result<DeriveInput, TokenStream> {
    let parsed = syn::parse2::<Item>(item.clone()).map_err(|error| {
        let error = error.to_compile_error();
        quote!(#item #error)
    })?;
    match parsed {
        Item::Struct(item) => Ok(DeriveInput::from(item)),
        Item::Enum(item) => Ok(DeriveInput::from(item)),
        other => {
            let instead =
                if matches!(other, Item::Union(_)) { "; write an enum instead of a union" } else { "" };
            errors.at(
                keyword(&other),
                format_args!("`#[{attribute}]` works only on a struct or an enum{instead}"),
            );
            let errors = std::mem::take(errors).into_tokens();
            Err(quote!(#other #errors))
        }
    }
}

/// Returns the span of the keyword that shows the kind of an item.
fn keyword(item: &Item) -> Span {
    match item {
        Item::Fn(item) => item.sig.fn_token.span(),
        Item::Union(item) => item.union_token.span(),
        Item::Trait(item) => item.trait_token.span(),
        Item::Impl(item) => item.impl_token.span(),
        Item::Mod(item) => item.mod_token.span(),
        Item::Type(item) => item.type_token.span(),
        other => {
            other.to_token_stream().into_iter().next().map_or_else(Span::call_site, |token| token.span())
        }
    }
}
