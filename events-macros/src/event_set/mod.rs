//! Implements `#[derive(EventSet)]`, which makes an enum of events usable as the first argument of a handler.

mod expand;
mod validate;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::ast::Input;
use crate::attr::crate_path;
use crate::errors::Errors;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let krate = crate_path(&input.attrs, "event_set", &mut errors);
    let input = Input::new(input);
    let variants = validate::variants(&input, &mut errors);
    match errors.is_empty() {
        true => expand::set(&input, &krate, &variants),
        false => errors.into_tokens(),
    }
}
