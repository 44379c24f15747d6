//! Implements secrets: `#[event(secret)]` on a field, and `#[payload(secret)]` on a type.
//!
//! The attribute macros add a serde option that asks at run time whether to hide a secret. The hidden derives see only
//! the fields that `#[cfg]` keeps. They generate a `Debug` impl without the secrets.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{DeriveInput, Ident, Path};

use crate::ast::{Data, Field, Fields, Input, Variant};
use crate::attr::{self, Attributes};
use crate::errors::Errors;

/// Adds the serde option that leaves out the field in text if it is secret. Returns whether it is secret and has no
/// error.
pub(crate) fn hide(
    field: &mut syn::Field,
    attr: &Attributes,
    helper: &str,
    krate: &Path,
    errors: &mut Errors,
) -> bool {
    if !attr.secret {
        return false;
    }
    if let Some(message) = unhideable(field, attr) {
        errors.on(&field.ty, message);
        // Without our attribute, the derive reports no further error for this field.
        field.attrs.retain(|attribute| !attribute.path().is_ident(helper));
        return false;
    }
    let hides = quote!(#krate::__private::hides).to_string().replace(' ', "");
    field.attrs.push(syn::parse_quote!(#[serde(skip_serializing_if = #hides)]));
    true
}

/// Reports serde options, and `without(Serialize)`, that would expose the secret fields of a type.
pub(crate) fn check_container(input: &DeriveInput, without: &[Ident], errors: &mut Errors) {
    for (option, why) in SHOWN_BY {
        let mut serde = attr::named(&input.attrs, "serde");
        if let Some(attribute) = serde.find(|attribute| attr::has_option(attribute, option)) {
            errors.on(
                attribute,
                format_args!("a type with a secret field can't have serde's option `{option}`: {why}"),
            );
        }
    }
    if let Some(left_out) = without.iter().find(|derive| *derive == "Serialize") {
        errors.at(
            left_out.span(),
            "a type with a secret field can't leave out `Serialize`: only the `Serialize` that is added hides the field; remove it from `without(...)`",
        );
    }
}

/// Options of serde that do not allow a field to be left out, each with the reason.
const SHOWN_BY: [(&str, &str); 3] = [
    (
        "into",
        "serde writes the other type, which would show the field; mark the field as secret in that type",
    ),
    (
        "transparent",
        "serde writes only the field, so it can't be left out; make the whole type secret with `#[payload(secret)]`",
    ),
    (
        "remote",
        "serde writes the type that this one describes, which would show the field; wrap that type in one with `#[payload(secret)]`",
    ),
];

/// Returns the reason if serde can't leave out the field.
fn unhideable(field: &syn::Field, attr: &Attributes) -> Option<&'static str> {
    if field.ident.is_none() {
        return Some(
            "a secret field must have a name: give it one, or make its type secret, as in `#[payload(secret)] struct Token(String);`",
        );
    }
    let skips = attr.skipped.written || attr.skipped_if.is_some() || attr.flatten;
    skips.then_some("a secret field can't have serde's `skip...` or `flatten`, because adapters must get it as a separate field: remove these options")
}

/// Reports a derived `Debug`, which would show the secrets. Returns whether there is one.
pub(crate) fn check_derives(derived: &[Ident], errors: &mut Errors) -> bool {
    let debug = derived.iter().find(|derive| *derive == "Debug");
    if let Some(debug) = debug {
        let message =
            "a derived `Debug` would show the secret: remove it; a `Debug` that hides the secret is added";
        errors.on(debug, message);
    }
    debug.is_some()
}

/// Generates a `Debug` impl that leaves out the secret fields.
pub(crate) fn derive_debug(input: &DeriveInput) -> TokenStream {
    let Input { ident, name, generics, data, .. } = &Input::new(input);
    let body = match data {
        Data::Struct(fields) => {
            let (pattern, shown) = shown_fields(fields, name);
            quote!(let Self #pattern = self; #shown)
        }
        Data::Enum(variants) => {
            let arms = variants.iter().map(|Variant { ident, name, fields, .. }| {
                let (pattern, shown) = shown_fields(fields, name);
                quote!(Self::#ident #pattern => { #shown })
            });
            quote!(match self { #(#arms)* })
        }
        Data::Union => quote!(f.write_str(#name)),
    };
    let mut generics = (*generics).clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(::core::fmt::Debug));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl #impl_generics ::core::fmt::Debug for #ident #type_generics #where_clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                #body
            }
        }
    }
}

/// Returns a pattern that binds the fields to show, and the expression that shows them.
fn shown_fields(fields: &Fields<'_>, name: &str) -> (TokenStream, TokenStream) {
    let bindings: Vec<_> = (0..fields.len()).map(|index| format_ident!("field{index}")).collect();
    match fields {
        Fields::Named(named) => {
            let shown = named.iter().zip(&bindings).filter(|(field, _)| !field.attr.secret);
            let (pairs, calls): (Vec<_>, Vec<_>) = shown
                .map(|(Field { ident, .. }, binding)| {
                    let text = ident.map(|ident| ident.unraw().to_string()).unwrap_or_default();
                    (quote!(#ident: #binding), quote!(.field(#text, #binding)))
                })
                .unzip();
            let finish = match named.len() == pairs.len() {
                true => quote!(finish),
                false => quote!(finish_non_exhaustive),
            };
            (quote!({ #(#pairs,)* .. }), quote!(f.debug_struct(#name) #(#calls)* .#finish()))
        }
        Fields::Unnamed(_) => {
            (quote!((#(#bindings),*)), quote!(f.debug_tuple(#name) #(.field(#bindings))* .finish()))
        }
        Fields::Unit => (quote!(), quote!(f.write_str(#name))),
    }
}

/// Generates the impls of a type that is secret as a whole. Text output shows it as `[secret]`.
pub(crate) fn derive_type(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let krate = attr::crate_path(&input.attrs, attr::SCHEMA, &mut errors);
    let errors = errors.into_tokens();
    let (ident, private) = (&input.ident, quote!(#krate::__private));
    quote! {
        #errors
        #[automatically_derived]
        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(#private::HIDDEN)
            }
        }
        #[automatically_derived]
        impl #private::serde::Serialize for #ident {
            fn serialize<S: #private::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                match #private::is_hidden() {
                    true => serializer.serialize_str(#private::HIDDEN),
                    false => Self::serialize(self, serializer),
                }
            }
        }
        #[automatically_derived]
        impl<'de> #private::serde::Deserialize<'de> for #ident {
            fn deserialize<D: #private::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                Self::deserialize(deserializer)
            }
        }
    }
}
