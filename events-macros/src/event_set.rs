//! `#[derive(EventSet)]`: an enum of events as the first argument of a handler.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Lifetime, Path, Type};

use crate::ast::{Data, Input, Variant};
use crate::attr::crate_path;
use crate::errors::{Errors, call_at};
use crate::tokens::allowed;

pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let krate = crate_path(&input.attrs, "event_set", &mut errors);
    let input = Input::new(&input);
    let variants = variants(&input, &mut errors);
    match errors.is_empty() {
        true => expand(&input, &krate, &variants),
        false => errors.into_tokens(),
    }
}

/// Each variant with what it holds.
fn variants<'a>(input: &'a Input<'a>, errors: &mut Errors) -> Vec<(&'a Variant<'a>, &'a Type)> {
    let Data::Enum(variants) = &input.data else {
        errors.at(
            input.ident.span(),
            "an event set is an enum: `enum UserEvent<'a> { Created(&'a UserCreated), ... }`",
        );
        return Vec::new();
    };
    if variants.is_empty() {
        errors
            .at(input.ident.span(), "an event set has a variant for each event: `Created(&'a UserCreated)`");
    }
    let generics = input.generics;
    if generics.type_params().next().is_some() || generics.const_params().next().is_some() {
        errors.on(generics, "an event set can't be generic: each variant names its event");
    } else if generics.lifetimes().count() > 1 {
        errors.on(generics, "an event set has at most one lifetime: that of the events it borrows");
    }
    let mut held = Vec::new();
    for variant in variants {
        match variant.fields.newtype() {
            Some(field) => held.push((variant, field.ty)),
            None => errors.on(
                variant.syntax,
                format_args!(
                    "a variant of an event set holds one event: `{0}(&'a E)` or `{0}(Arc<E>)`",
                    variant.ident
                ),
            ),
        }
    }
    held
}

fn expand(input: &Input<'_>, krate: &Path, variants: &[(&Variant<'_>, &Type)]) -> TokenStream {
    let private = quote!(#krate::__private);
    let ident = input.ident;
    let set = ident.to_string();
    let own = input.generics.lifetimes().next().map(|lifetime| lifetime.lifetime.clone());
    let lifetime = own.clone().unwrap_or_else(|| Lifetime::new("'record", ident.span()));
    let arguments = own.map(|own| quote!(<#own>));
    let takes = variants.iter().map(|(_, ty)| quote!(<#ty as #private::Variant<#lifetime>>::TAKES));
    let shares = variants.iter().map(|(_, ty)| quote!(<#ty as #private::Variant<#lifetime>>::SHARES));
    let chosen = variants.iter().map(|(variant, ty)| {
        let variant = variant.ident;
        quote! {
            if <#ty as #private::Variant<#lifetime>>::TAKES.takes(record.name()) {
                return <#ty as #private::Variant<#lifetime>>::of_record(record).map(Self::#variant);
            }
        }
    });
    let delivered = variants.iter().map(|(variant, ty)| {
        let name = variant.ident.to_string();
        let takes = quote!(<#ty as #private::Variant<#lifetime>>::TAKES);
        call_at(
            variant.syntax,
            quote!(#private::set_variant),
            quote!(#set, #name, #takes, H::HANDLER, H::PATTERNS),
        )
    });
    let reached = (variants.len() > 1).then(|| reached(input, variants, &private));
    let allowed = allowed(&input.syntax.attrs);
    quote! {
        #reached
        #[automatically_derived]
        #allowed
        impl<#lifetime> #private::Argument<#lifetime> for #ident #arguments {
            const TAKES: #private::Takes = #private::Takes::Set(&[#(#takes),*]);
            const WANTS: #private::Wants = #private::Wants::Record;
            const SHARES: bool = false #(|| #shares)*;

            fn receive(call: &#private::Call<#lifetime>) -> ::core::result::Result<Self, #private::HandlerError> {
                #private::receive_of_record(call)
            }

            fn of_record(record: &#lifetime #private::Record) -> ::core::result::Result<Self, #private::Error> {
                #(#chosen)*
                #private::no_variant(#set, record)
            }
        }
        #[automatically_derived]
        #allowed
        impl<#lifetime, H: #private::Patterns> #private::EventSet<H> for #ident #arguments {
            const DELIVERED: () = { #(#delivered;)* };
        }
    }
}

/// Constants that fail to evaluate where the variants before one take all that it takes. They ask the set, so that a
/// variant that holds no event is one error.
fn reached(input: &Input<'_>, variants: &[(&Variant<'_>, &Type)], private: &TokenStream) -> TokenStream {
    let (ident, set) = (input.ident, input.ident.to_string());
    // What an event takes does not depend on the set's lifetime.
    let own = input.generics.lifetimes().next().map(|_| quote!(<'static>));
    let names = variants.iter().map(|(variant, _)| variant.ident.to_string());
    let checks = variants.iter().enumerate().skip(1).map(|(index, (variant, _))| {
        let check = call_at(variant.ident, quote!(#private::set_reached), quote!(#set, NAMES, TAKES, #index));
        quote!(const _: () = #check;)
    });
    quote! {
        #[allow(deprecated, reason = "the user's own events")]
        const _: () = {
            const NAMES: &[&str] = &[#(#names),*];
            const TAKES: #private::Takes = <#ident #own as #private::Argument<'static>>::TAKES;
            #(#checks)*
        };
    }
}
