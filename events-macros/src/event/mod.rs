//! Implements `#[event("...")]`, which emits the type with derives.
//!
//! An attribute sees the fields that `#[cfg]` removes; a derive does not. For this reason a hidden derive generates
//! all code that depends on the fields.

mod expand;
mod naming;
mod validate;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::ast::Input;
use crate::attr::EVENT;
use crate::errors::Errors;
use crate::item::{self, Arguments, Hidden, Kind, derived, fields_mut};
use crate::{lock, secret, view};

pub(crate) fn attribute(
    arguments: TokenStream,
    item: TokenStream,
    lock: Option<lock::Options>,
) -> TokenStream {
    let mut errors = Errors::default();
    let mut arguments = Arguments::parse(arguments, Kind::Event, lock, &mut errors);
    let (mut input, secrets) = match item::prepare(&mut arguments, item, validate::item, &mut errors) {
        Ok(prepared) => prepared,
        Err(refused) => return refused,
    };
    let hidden = match secrets && !secret::check_derives(&derived(&input.attrs), &mut errors) {
        true => Hidden::Fields,
        false => Hidden::Nothing,
    };
    if input.generics.params.is_empty() {
        return match arguments.kind {
            Kind::View => view::attribute(&arguments, &input, hidden, errors),
            _ => expand::item(&arguments, &input, hidden, errors),
        };
    }
    // For a generic type, generated code would cause further errors. Only the name is still checked.
    fields_mut(&mut input)
        .into_iter()
        .for_each(|field| field.attrs.retain(|attribute| !attribute.path().is_ident(EVENT)));
    let krate = &arguments.krate;
    let check = arguments.name.map(|name| expand::check_name(&name, &quote!(#krate::__private)));
    let errors = errors.into_tokens();
    quote!(#input #check #errors)
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let arguments = Arguments::passed_on(input);
    match arguments.as_ref().and_then(|arguments| Some((arguments, arguments.name.as_ref()?))) {
        Some((arguments, name)) => expand::impls(arguments, name, &Input::new(input)),
        None => syn::Error::new(input.ident.span(), "use `#[event(\"...\")]`").to_compile_error(),
    }
}
