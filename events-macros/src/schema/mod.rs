//! Implements `#[derive(Schema)]`, and generates the schema of events.

mod expand;
mod itself;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

pub(crate) use expand::{Verified, implement};

use crate::ast::Input;
use crate::attr::{self, SCHEMA};
use crate::errors::Errors;
use crate::item::{self, fields_mut};

pub(crate) fn derive(mut input: DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    for field in fields_mut(&mut input) {
        for option in field.attrs.iter_mut().filter(|attribute| attribute.path().is_ident(SCHEMA)) {
            // Other derives use `#[schema]` too. An unknown option is reported only if it resembles one of ours.
            if let Some(error) = item::misspelt(option) {
                errors.push(error);
                // With `opaque`, the remaining checks ignore the field's type and report no further error.
                *option = syn::parse_quote!(#[schema(opaque)]);
            }
        }
    }
    let krate = attr::crate_path(&input.attrs, SCHEMA, &mut errors);
    let input = Input::new(&input);
    let verified = if input.attr.payload { Verified::Declared } else { Verified::Used };
    let schema = implement(&input, &quote!(#krate::__private), verified);
    let errors = errors.into_tokens();
    quote!(#schema #errors)
}
