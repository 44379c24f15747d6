//! Generates the impls of an event set.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Lifetime, Path, Type};

use crate::ast::{Input, Variant};
use crate::errors::{call_at, check_at};
use crate::tokens::allow_deprecated;

/// Generates the impls of a set. Each variant is paired with the type that it holds.
pub(super) fn set(input: &Input<'_>, krate: &Path, variants: &[(&Variant<'_>, &Type)]) -> TokenStream {
    let (private, ident) = (quote!(#krate::__private), input.ident);
    let set = ident.to_string();
    let own = input.generics.lifetimes().next().map(|lifetime| lifetime.lifetime.clone());
    let lifetime = own.clone().unwrap_or_else(|| Lifetime::new("'record", ident.span()));
    let arguments = own.map(|own| quote!(<#own>));
    let held: Vec<_> = variants.iter().map(|(_, ty)| quote!(<#ty as #private::Variant<#lifetime>>)).collect();
    let names = variants.iter().map(|(variant, _)| variant.ident);
    let delivered = variants.iter().zip(&held).map(|((variant, _), held)| {
        let name = variant.ident.to_string();
        let arguments = quote!(#set, #name, #held::ACCEPTS, H::HANDLER, H::PATTERNS);
        call_at(variant.syntax, quote!(#private::set_variant), arguments)
    });
    let reached = (variants.len() > 1).then(|| reached(input, variants, &private));
    let allowed = allow_deprecated(&input.syntax.attrs);
    quote! {
        #reached
        #[automatically_derived]
        #allowed
        impl<#lifetime> #private::Argument<#lifetime> for #ident #arguments {
            const ACCEPTS: #private::AcceptedEvents = #private::AcceptedEvents::Set(&[#(#held::ACCEPTS),*]);
            const REQUIRES: #private::RequiredParts = #private::RequiredParts::Record;
            const TAKES_ARC: bool = false #(|| #held::TAKES_ARC)*;

            fn receive(call: &#private::Call<#lifetime>) -> ::core::result::Result<Self, #private::HandlerError> {
                #private::receive_of_record(call)
            }

            fn of_record(record: &#lifetime #private::Record) -> ::core::result::Result<Self, #private::Error> {
                #(if #held::ACCEPTS.contains(record.name()) {
                    return #held::of_record(record).map(Self::#names);
                })*
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

/// Generates a constant for each variant except the first. It fails to evaluate if the variants before this one take all
/// events that this one takes. It uses the `ACCEPTS` constant of the set, so a variant whose type is not an event causes
/// only one error.
fn reached(input: &Input<'_>, variants: &[(&Variant<'_>, &Type)], private: &TokenStream) -> TokenStream {
    let (ident, set) = (input.ident, input.ident.to_string());
    // The events that a variant takes do not depend on the set's lifetime.
    let own = input.generics.lifetimes().next().map(|_| quote!(<'static>));
    let names = variants.iter().map(|(variant, _)| variant.ident.to_string());
    let checks = variants.iter().enumerate().skip(1).map(|(index, (variant, _))| {
        check_at(variant.ident, quote!(#private::set_reached), quote!(#set, NAMES, ACCEPTS, #index))
    });
    quote! {
        #[allow(deprecated, reason = "the user's own events")]
        const _: () = {
            const NAMES: &[&str] = &[#(#names),*];
            const ACCEPTS: #private::AcceptedEvents = <#ident #own as #private::Argument<'static>>::ACCEPTS;
            #(#checks)*
        };
    }
}
