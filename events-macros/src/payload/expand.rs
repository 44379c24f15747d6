//! Generates the type with its derives.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::DeriveInput;

use crate::attr::PAYLOAD;
use crate::errors::Errors;
use crate::item::{Arguments, Hidden, derives};

pub(super) fn item(
    arguments: &Arguments,
    input: &DeriveInput,
    hidden: Hidden,
    errors: Errors,
) -> TokenStream {
    let derives = derives(arguments, input, "Schema", hidden);
    let secret = arguments.secret.as_ref().map(|secret| quote!(, #secret));
    let by_hand = arguments.leaves_out("Serialize") || arguments.leaves_out("Deserialize");
    let payload = (!by_hand).then(|| format_ident!("{PAYLOAD}"));
    // With `remote = "Self"`, serde generates functions of the type instead of trait impls. Our trait impls, which hide
    // the value, call these functions.
    let remote =
        (hidden == Hidden::Type && arguments.above.is_empty()).then(|| quote!(#[serde(remote = "Self")]));
    let (krate, errors) = (&arguments.krate, errors.into_tokens());
    quote! {
        #derives
        #remote
        #[schema(crate = #krate #secret, #payload)]
        #input
        #errors
    }
}
