//! `#[payload]`: for the types that events are made of, what `#[event]` does for events.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::item::{self, Arguments, derives, fields_mut, rename_options};

pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let arguments = Arguments::parse(arguments, false, None, &mut errors);
    let mut input = match item::parse("payload", item, &mut errors) {
        Ok(input) => input,
        Err(refused) => return refused,
    };
    for field in fields_mut(&mut input) {
        rename_options(field, "schema", &mut errors);
    }
    let derives = derives(&arguments, &input, "Schema");
    let (krate, errors) = (&arguments.krate, errors.into_tokens());
    quote! {
        #derives
        #[schema(crate = #krate)]
        #input
        #errors
    }
}
