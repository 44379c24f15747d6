//! `#[derive(Schema)]`, and the part of `#[event]` that describes a type's shape.

mod attributes;
mod case;
mod expand;
mod itself;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, DeriveInput};

pub(crate) use attributes::{
    check_field_options, crate_path, has_option, is_read, is_secret, misspelt, option_named, reason,
};
pub(crate) use expand::{Verified, all_fields, implement, wire_names};

use crate::errors::Errors;
use crate::item::fields_mut;

/// The option of `#[schema(...)]` by which `#[payload]` says that the type is its own.
pub(crate) const PAYLOAD: &str = "__payload";

pub(crate) fn derive(mut input: DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    for field in fields_mut(&mut input) {
        for option in field.attrs.iter_mut().filter(|attribute| attribute.path().is_ident("schema")) {
            // Other derives have options of this name, too: only what is nearly one of ours is taken for one.
            if let Some(error) = misspelt(option) {
                errors.push(error);
                // Of a field with an error nothing else is said.
                *option = syn::parse_quote!(#[schema(opaque)]);
            }
        }
    }
    let krate = crate_path(&input.attrs, "schema", &mut errors);
    let is_payload = named(&input.attrs, "schema").any(|attribute| has_option(attribute, PAYLOAD));
    let verified = if is_payload { Verified::Declared } else { Verified::Used };
    let schema = implement(&input, &krate, "schema", verified);
    let errors = errors.into_tokens();
    quote!(#schema #errors)
}

/// The attributes of this name.
fn named<'a>(attributes: &'a [Attribute], name: &'a str) -> impl Iterator<Item = &'a Attribute> {
    attributes.iter().filter(move |attribute| attribute.path().is_ident(name))
}
