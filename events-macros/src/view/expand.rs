//! Generates the impl of `View`, and the impls that let a handler take the view.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

use super::event::{Event, Of};
use super::validate;
use crate::ast::Input;
use crate::schema;
use crate::tokens::{allow_deprecated, with_allow_deprecated};

pub(super) fn impls(of: &Of, private: &TokenStream, input: &Input<'_>) -> TokenStream {
    let (ident, attributes) = (input.ident, &input.syntax.attrs);
    let schema = schema::implement(input, private, schema::Verified::Used);
    let event = Event::new(of, private);
    let checks = match &event.written {
        Ok(written) => with_allow_deprecated(attributes, validate::checks(input, &event, written, private)),
        Err(refused) => refused.clone(),
    };
    let (arguments, allowed) = (arguments(ident, private), allow_deprecated(attributes));
    let Event { name, version, decl, .. } = event;
    quote! {
        #schema
        #checks
        #[automatically_derived]
        #allowed
        impl #private::View for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
            const DECL: ::core::option::Option<fn() -> &'static #private::EventDecl> = #decl;
        }
        #arguments
    }
}

/// Generates the impls that let a handler take the view by reference or by value.
fn arguments(ident: &Ident, private: &TokenStream) -> TokenStream {
    let each = [(quote!(&'a #ident), quote!()), (quote!(#ident), quote!(.cloned()))];
    let borrowed = quote!(<&'a #ident as #private::Argument<'a>>);
    let each = each.into_iter().enumerate().map(|(index, (ty, cloned))| {
        let (receive, of_record) = match index {
            0 => (quote!(#private::receive_of_record(call)), quote!(record.view())),
            _ => (quote!(#borrowed::receive(call) #cloned), quote!(#borrowed::of_record(record) #cloned)),
        };
        quote! {
            #[automatically_derived]
            impl<'a> #private::Argument<'a> for #ty {
                const ACCEPTS: #private::AcceptedEvents = #private::AcceptedEvents::view::<#ident>();
                const REQUIRES: #private::RequiredParts = #private::RequiredParts::Record;

                #[inline]
                fn receive(call: &#private::Call<'a>) -> ::core::result::Result<Self, #private::HandlerError> {
                    #receive
                }

                #[inline]
                fn of_record(record: &'a #private::Record) -> ::core::result::Result<Self, #private::Error> {
                    #of_record
                }
            }
        }
    });
    each.collect()
}
