//! `#[payload]`: for the types that events are made of, what `#[event]` does for events.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::attr::{PAYLOAD, SCHEMA};
use crate::errors::Errors;
use crate::item::{self, Arguments, Hidden, derived, derives};
use crate::secret;
use crate::stacked;

pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut arguments = Arguments::parse(arguments, false, None, &mut errors);
    let mut input = match item::parse("payload", item, &mut errors) {
        Ok(input) => input,
        Err(refused) => return refused,
    };
    if let Some(item) = stacked::repeated("payload", &mut input, &mut errors) {
        return item;
    }
    item::check_variants(&mut input, &mut errors);
    arguments.above = stacked::derives_above("payload", &arguments, &input, &mut errors);
    let fields = item::check_fields(&mut input, SCHEMA, &arguments, &mut errors);
    if fields {
        secret::check_container(&input, &arguments.without, &mut errors);
    }
    let hidden = match arguments.secret {
        Some(_) if check_secret(&arguments, &input, &mut errors) => Hidden::Type,
        None if fields && !secret::check_derives(&derived(&input.attrs), &mut errors) => Hidden::Fields,
        _ => Hidden::Nothing,
    };
    let derives = derives(&arguments, &input, "Schema", hidden);
    let secret = arguments.secret.as_ref().map(|secret| quote!(, #secret));
    let by_hand = |derive: &&syn::Ident| **derive == "Serialize" || **derive == "Deserialize";
    let payload = arguments.without.iter().find(by_hand).is_none().then(|| {
        let payload = quote::format_ident!("{}", PAYLOAD);
        quote!(, #payload)
    });
    // The derived impls become functions of the type, which the real ones call.
    let remote =
        (hidden == Hidden::Type && arguments.above.is_empty()).then(|| quote!(#[serde(remote = "Self")]));
    let (krate, errors) = (&arguments.krate, errors.into_tokens());
    quote! {
        #derives
        #remote
        #[schema(crate = #krate #secret #payload)]
        #input
        #errors
    }
}

/// Whether a type can be secret: it has serde's impls and `Debug` of us, and no parameters.
fn check_secret(arguments: &Arguments, input: &DeriveInput, errors: &mut Errors) -> bool {
    if !input.generics.params.is_empty() {
        errors.on(&input.generics, "a secret type can't be generic");
        return false;
    }
    if let Some(left_out) = arguments.without.iter().find(|derive| *derive != "Clone") {
        let message =
            format!("a secret type can't leave out `{left_out}`: the one that is added hides the value");
        errors.at(left_out.span(), message);
        return false;
    }
    !secret::check_derives(&derived(&input.attrs), errors)
}
