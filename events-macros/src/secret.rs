//! Secrets: `#[event(secret)]` on a field, and `#[payload(secret)]` on a type.
//!
//! The attributes see what is secret and tell serde to ask whether to hide it; the hidden derives, which
//! see the fields that are there, write a `Debug` without it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Field, Fields, Ident, Path};

use crate::errors::Errors;
use crate::schema;

/// Tells serde to leave out the secret fields of an item; whether there are any.
pub(crate) fn hide_fields(input: &mut DeriveInput, helper: &str, krate: &Path, errors: &mut Errors) -> bool {
    let hides = quote!(#krate::__private::hides).to_string().replace(' ', "");
    let mut any = false;
    for field in crate::item::fields_mut(input) {
        if !schema::is_secret(&field.attrs, helper) {
            continue;
        }
        match unhideable(field) {
            Some(message) => {
                errors.on(&field.ty, message);
                // One mistake is enough.
                field.attrs.retain(|attribute| !attribute.path().is_ident(helper));
            }
            None => {
                any = true;
                field.attrs.push(syn::parse_quote!(#[serde(skip_serializing_if = #hides)]));
            }
        }
    }
    any
}

/// Refuses what would write the secret fields past serde's derive.
pub(crate) fn check_container(input: &DeriveInput, without: &[Ident], errors: &mut Errors) {
    for (option, why) in SHOWN_BY {
        let serde = input.attrs.iter().filter(|attribute| attribute.path().is_ident("serde"));
        if let Some(attribute) = serde.into_iter().find(|attribute| schema::has_option(attribute, option)) {
            errors.on(attribute, format_args!("a type with a secret field can't be `{option}`: {why}"));
        }
    }
    if let Some(left_out) = without.iter().find(|derive| *derive == "Serialize") {
        errors.at(
            left_out.span(),
            "a type with a secret field can't leave out `Serialize`: the one that is added leaves the field out of text",
        );
    }
}

/// Options of serde under which nothing can leave out a field, and why.
const SHOWN_BY: [(&str, &str); 3] = [
    ("into", "the type it becomes would show the field; mark the field there"),
    ("transparent", "nothing but the field is written; mark the type instead: `#[payload(secret)]`"),
    ("remote", "it stands for a type that would show the field"),
];

/// Why serde can't leave out a field.
fn unhideable(field: &Field) -> Option<&'static str> {
    const SKIPS: [&str; 4] = ["skip_serializing_if", "skip_serializing", "skip", "flatten"];
    let skips = |attribute: &Attribute| {
        attribute.path().is_ident("serde") && SKIPS.iter().any(|option| schema::has_option(attribute, option))
    };
    if field.ident.is_none() {
        return Some(
            "a secret field has a name; for one without, mark its type: `#[payload(secret)] struct Token(String);`",
        );
    }
    let skips = field.attrs.iter().any(skips);
    skips.then_some("a secret field is always written to the adapter, and by itself: take serde's `skip...` and `flatten` away")
}

/// Refuses a derive that would show the secrets; whether there is one.
pub(crate) fn check_derives(derived: &[Ident], errors: &mut Errors) -> bool {
    let debug = derived.iter().find(|derive| *derive == "Debug");
    if let Some(debug) = debug {
        let message =
            "a derived `Debug` would show what is secret: take it away, one that leaves it out is added";
        errors.on(debug, message);
    }
    debug.is_some()
}

/// `Debug` for a type with secret fields, which it leaves out.
pub(crate) fn derive_debug(input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    let name = ident.unraw().to_string();
    let body = match &input.data {
        Data::Struct(data) => {
            let (pattern, shown) = shown(&data.fields, &name);
            quote!(let Self #pattern = self; #shown)
        }
        Data::Enum(data) => enum_body(data),
        Data::Union(_) => quote!(f.write_str(#name)),
    };
    let mut generics = input.generics.clone();
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

fn enum_body(data: &DataEnum) -> TokenStream {
    let arms = data.variants.iter().map(|variant| {
        let (pattern, shown) = shown(&variant.fields, &variant.ident.unraw().to_string());
        let ident = &variant.ident;
        quote!(Self::#ident #pattern => { #shown })
    });
    quote!(match self { #(#arms)* })
}

/// A pattern that takes the fields that are shown, and what shows them.
fn shown(fields: &Fields, name: &str) -> (TokenStream, TokenStream) {
    let is_secret = |field: &&Field| {
        schema::is_secret(&field.attrs, "__typed_event") || schema::is_secret(&field.attrs, "schema")
    };
    let bindings: Vec<_> = (0..fields.len()).map(|index| format_ident!("field{index}")).collect();
    match fields {
        Fields::Named(named) => {
            let secrets = named.named.iter().any(|field| is_secret(&field));
            let shown = named.named.iter().zip(&bindings).filter(|(field, _)| !is_secret(field));
            let (pairs, calls): (Vec<_>, Vec<_>) = shown
                .map(|(field, binding)| {
                    let ident = &field.ident;
                    let text = ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
                    (quote!(#ident: #binding), quote!(.field(#text, #binding)))
                })
                .unzip();
            let finish = if secrets { quote!(finish_non_exhaustive) } else { quote!(finish) };
            (quote!({ #(#pairs,)* .. }), quote!(f.debug_struct(#name) #(#calls)* .#finish()))
        }
        Fields::Unnamed(_) => {
            (quote!((#(#bindings),*)), quote!(f.debug_tuple(#name) #(.field(#bindings))* .finish()))
        }
        Fields::Unit => (quote!(), quote!(f.write_str(#name))),
    }
}

/// What makes a type secret as a whole: it is text only as `[secret]`.
pub(crate) fn derive_type(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let krate = schema::crate_path(&input.attrs, "schema", &mut errors);
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
