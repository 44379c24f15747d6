//! Implements `#[payload]`, which adds to the types of an event's fields the derives that `#[event]` adds to events.

mod expand;
mod validate;

use proc_macro2::TokenStream;

use crate::errors::Errors;
use crate::item::{self, Arguments, Hidden, Kind, derived};
use crate::secret;

pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut arguments = Arguments::parse(arguments, Kind::Payload, None, &mut errors);
    let (input, secrets) = match item::prepare(&mut arguments, item, |_, _, _| {}, &mut errors) {
        Ok(prepared) => prepared,
        Err(refused) => return refused,
    };
    let hidden = match arguments.secret {
        Some(_) if validate::check_secret(&arguments, &input, &mut errors) => Hidden::Type,
        None if secrets && !secret::check_derives(&derived(&input.attrs), &mut errors) => Hidden::Fields,
        _ => Hidden::Nothing,
    };
    expand::item(&arguments, &input, hidden, errors)
}
