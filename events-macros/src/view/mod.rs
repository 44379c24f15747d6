//! Implements `#[event(view_of = ...)]`, which emits the type with derives. The hidden derive checks the view against
//! its event and makes it an argument type of handlers.

mod event;
mod expand;
mod validate;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::DeriveInput;

pub(crate) use event::{Newest, Of};

use crate::ast::Input;
use crate::attr::LOCKED;
use crate::errors::Errors;
use crate::item::{Arguments, Hidden, derives};

/// Generates the type with its derives, or without them if its event could not be parsed.
pub(crate) fn attribute(
    arguments: &Arguments,
    input: &DeriveInput,
    hidden: Hidden,
    errors: Errors,
) -> TokenStream {
    let derives = derives(arguments, input, "__View", hidden);
    let (krate, errors) = (&arguments.krate, errors.into_tokens());
    let Some(event) = &arguments.view_of else { return quote!(#input #errors) };
    let locked = arguments.lock.as_ref().map(|_| format_ident!("{LOCKED}"));
    quote! {
        #derives
        #[__typed_event(view_of = #event, crate = #krate, #locked)]
        #input
        #errors
    }
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    match Arguments::passed_on(input) {
        Some(Arguments { view_of: Some(of), krate, .. }) => {
            expand::impls(&of, &quote!(#krate::__private), &Input::new(input))
        }
        _ => syn::Error::new(input.ident.span(), "use `#[event(view_of = ...)]`").to_compile_error(),
    }
}
