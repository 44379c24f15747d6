//! Implements `#[on("...")]`, which keeps the function and adds a stand-in type that is the handler.

mod durable;
mod expand;
mod parse;
mod validate;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::lock;

pub(crate) fn attribute(arguments: TokenStream, item: TokenStream, locked: bool) -> TokenStream {
    let mut errors = Errors::default();
    let Some(mut function) = parse::function(item.clone(), &mut errors) else {
        let errors = errors.into_tokens();
        return quote!(#item #errors);
    };
    if let Some(error) = validate::associated_function_error(&function) {
        // A type can't be declared inside an `impl` or `trait` block.
        let error = error.to_compile_error();
        return quote!(#function #error);
    }
    parse::check_once(&mut function, &mut errors);
    let arguments = parse::arguments(arguments, &mut errors);
    let locked_names = locked.then(|| lock::LockedNames::read(&arguments.patterns, &mut errors)).flatten();
    match validate::handler(&arguments, &function, &mut errors) {
        Some(handler) if errors.is_empty() => expand::handler(&handler, &function, locked_names.as_ref()),
        _ => expand::fallback(&arguments, &function, errors),
    }
}
