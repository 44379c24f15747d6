//! `#[derive(Schema)]`, and the part of `#[event]` that describes a type's shape.

mod attributes;
mod case;
mod expand;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, DeriveInput};

pub(crate) use attributes::{check_field_options, crate_path, has_option, is_secret, reason};
pub(crate) use expand::{all_fields, implement, wire_names};

use crate::errors::Errors;

pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let krate = crate_path(&input.attrs, "schema", &mut errors);
    let schema = implement(&input, &krate, "schema");
    let errors = errors.into_tokens();
    quote!(#schema #errors)
}

/// The attributes of this name.
fn named<'a>(attributes: &'a [Attribute], name: &'a str) -> impl Iterator<Item = &'a Attribute> {
    attributes.iter().filter(move |attribute| attribute.path().is_ident(name))
}
