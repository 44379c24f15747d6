//! Generates the type with its derives and, in the hidden derive, the impl of `Event` and the registration.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{DeriveInput, Ident, LitStr, Type};

use super::naming;
use crate::ast::Input;
use crate::errors::{Errors, check_at, text_of};
use crate::item::{Arguments, Hidden, Version, derives};
use crate::lock;
use crate::schema::{self, Verified};
use crate::tokens::with_allow_deprecated;

/// Generates the type with its derives. It keeps the derives if there are errors, so that uses of the type cause no
/// further errors.
pub(super) fn item(
    arguments: &Arguments,
    input: &DeriveInput,
    hidden: Hidden,
    errors: Errors,
) -> TokenStream {
    let derives = derives(arguments, input, "__Event", hidden);
    let krate = &arguments.krate;
    let name = arguments.name.clone().unwrap_or_else(|| LitStr::new("unnamed", Span::call_site()));
    let Version { number, previous, superseded } = &arguments.version;
    let version = number.as_ref().map(|number| quote!(, version = #number));
    let previous = previous.as_ref().map(|previous| quote!(, previous = #previous));
    let superseded = superseded.as_ref().map(|superseded| quote!(, #superseded));
    let lock = arguments.lock.as_ref().map(lock::Options::tokens);
    let warning = arguments.name.as_ref().filter(|_| !arguments.any_name).and_then(naming::warning);
    let errors = errors.into_tokens();
    quote! {
        #warning
        #derives
        #[__typed_event(#name, crate = #krate #version #previous #superseded #lock)]
        #input
        #errors
    }
}

/// Generates a constant that fails to evaluate if the name is invalid.
pub(super) fn check_name(name: &LitStr, private: &TokenStream) -> TokenStream {
    check_at(name, quote!(#private::event_name), quote!(#name))
}

/// Generates the impls of an event, or those of a past version, which is only read.
pub(super) fn impls(arguments: &Arguments, name: &LitStr, input: &Input<'_>) -> TokenStream {
    let Arguments { krate, version, .. } = arguments;
    let (ident, private, number) = (input.ident, &quote!(#krate::__private), version.value());
    let is_past = version.superseded.is_some();
    let schema = schema::implement(input, private, if is_past { Verified::Used } else { Verified::Declared });
    let check = check_name(name, private);
    let previous = version.previous.as_ref();
    let chain = previous.map(|previous| chain(name, number, previous, private));
    let chain = with_allow_deprecated(&input.syntax.attrs, chain.unwrap_or_default());
    let older = previous.map(|previous| older(previous, private));
    let locked = arguments.lock.as_ref().map(|options| options.generate(input, private, name, version));
    let lock::LockedEventCode { checks, constant } = locked.unwrap_or_default();
    let declared = (!is_past).then(|| declared(ident, private));
    let (implemented, decl) = match is_past {
        true => (quote!(PastEvent), None),
        false => (
            quote!(Event),
            Some(quote! {
                fn decl() -> &'static #private::EventDecl {
                    static DECL: #private::EventDecl = #private::EventDecl::new::<#ident>();
                    &DECL
                }
            }),
        ),
    };
    quote! {
        #schema
        #check
        #checks
        #chain
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications, reason = "the user's own item")]
        impl #private::#implemented for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #number;
            #constant
            #older
            #decl
        }
        #declared
    }
}

/// Generates the registration of the event, and the impl that lets a handler take the event by value.
fn declared(ident: &Ident, private: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl<'a> #private::Argument<'a> for #ident {
            const ACCEPTS: #private::AcceptedEvents = #private::AcceptedEvents::event::<#ident>();
            const REQUIRES: #private::RequiredParts = #private::RequiredParts::Event;

            #[inline]
            fn receive(call: &#private::Call<'a>) -> ::core::result::Result<Self, #private::HandlerError> {
                #private::receive_owned(call)
            }

            #[inline]
            fn of_record(record: &'a #private::Record) -> ::core::result::Result<Self, #private::Error> {
                #private::owned(record)
            }
        }
        #[allow(deprecated, reason = "the user's own item")]
        const _: () = {
            #private::inventory::submit! {
                #private::LinkedEvent::of::<#ident>()
            }
        };
    }
}

/// Generates the check that the type in `previous` is the previous version of this event.
fn chain(name: &LitStr, number: u32, previous: &Type, private: &TokenStream) -> TokenStream {
    let (written, before) = (text_of(previous), quote!(<#previous as #private::PastEvent>));
    let of = quote!((#written, #before::NAME, #before::VERSION));
    check_at(previous, quote!(#private::previous), quote!(#name, #number, #of))
}

/// Generates the methods that read older versions.
fn older(previous: &Type, private: &TokenStream) -> TokenStream {
    let before = quote!(<#previous as #private::PastEvent>);
    quote! {
        fn decode_older(version: u32, json: &str) -> ::core::result::Result<Self, #private::DecodeError> {
            #before::read(version, json).map(#private::Newer::<Self>::upcast::<#previous>())
        }

        fn had_secrets() -> bool {
            #before::has_secrets()
        }
    }
}
