//! `#[event("...")]`: re-emits the item with derives; the hidden derive does the rest.
//!
//! An attribute sees fields that `#[cfg]` removes, a derive does not: so what depends on the fields
//! is left to the derive.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{DeriveInput, LitStr, Path};

use crate::errors::{Errors, call_at};
use crate::item::{self, Arguments, derives, fields_mut, rename_options};
use crate::schema;

/// The attribute through which `#[event]` speaks to its hidden derive.
const HELPER: &str = "__typed_event";

pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let arguments = Arguments::parse(arguments, true, &mut errors);
    let mut input = match item::parse("event", item, &mut errors) {
        Ok(input) => input,
        Err(refused) => return refused,
    };
    if !input.generics.params.is_empty() {
        let message =
            "an event can't be generic: it has one name and one schema, known when the program is compiled";
        errors.on(&input.generics, message);
    }
    for field in fields_mut(&mut input) {
        rename_options(field, HELPER, &mut errors);
    }
    if input.generics.params.is_empty() {
        return expand(&arguments, &input, errors);
    }
    // Generated code would have errors of its own: only the name is still checked.
    fields_mut(&mut input)
        .into_iter()
        .for_each(|field| field.attrs.retain(|attribute| !attribute.path().is_ident(HELPER)));
    let krate = &arguments.krate;
    let check = arguments.name.map(|name| check_name(&name, &quote!(#krate::__private)));
    let errors = errors.into_tokens();
    quote!(#input #check #errors)
}

/// The item with its derives, also where there are errors: so that nothing else has any for it.
fn expand(arguments: &Arguments, input: &DeriveInput, errors: Errors) -> TokenStream {
    let derives = derives(arguments, input, "__Event");
    let krate = &arguments.krate;
    let name = arguments.name.clone().unwrap_or_else(|| LitStr::new("unnamed", Span::call_site()));
    let errors = errors.into_tokens();
    quote! {
        #derives
        #[__typed_event(name = #name, crate = #krate)]
        #input
        #errors
    }
}

/// A constant that fails to evaluate where the name is none.
fn check_name(name: &LitStr, private: &TokenStream) -> TokenStream {
    let check = call_at(name, quote!(#private::event_name), quote!(#name));
    quote!(const _: () = #check;)
}

/// The hidden derive: the impl of `Event`, and the registration.
pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let Some((name, krate)) = hidden_arguments(&input) else {
        return syn::Error::new(input.ident.span(), "use `#[event(\"...\")]`").to_compile_error();
    };
    let schema = schema::implement(&input, &krate, HELPER);
    let ident = &input.ident;
    let text = ident.to_string();
    let private = quote!(#krate::__private);
    let check = check_name(&name, &private);
    quote! {
        #schema
        #check
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl #private::Event for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = 1;

            fn decl() -> &'static #private::EventDecl {
                static DECL: #private::EventDecl = #private::EventDecl::new::<#ident>(
                    #private::Place::new(::core::concat!(::core::module_path!(), "::", #text), ::core::file!(), ::core::line!()),
                );
                &DECL
            }
        }
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl<'a> #private::Argument<'a> for #ident {
            const TAKES: #private::Takes = #private::Takes::event::<#ident>();
            const WANTS: #private::Wants = #private::Wants::Event;

            fn receive(call: #private::Call<'a>) -> ::core::result::Result<Self, #private::HandlerError> {
                #private::receive_owned(call)
            }

            fn of_record(record: &'a #private::Record) -> ::core::result::Result<Self, #private::Error> {
                #private::owned(record)
            }
        }
        #[allow(deprecated, reason = "the user's own item")]
        const _: () = {
            #private::inventory::submit! {
                #private::LinkedEvent(<#ident as #private::Event>::decl)
            }
        };
    }
}

/// What `#[event]` passed on to its derive.
fn hidden_arguments(input: &DeriveInput) -> Option<(LitStr, Path)> {
    let attribute = input.attrs.iter().find(|attribute| attribute.path().is_ident(HELPER))?;
    let (mut name, mut krate) = (None, None);
    attribute
        .parse_nested_meta(|meta| {
            match meta.path.is_ident("name") {
                true => name = Some(meta.value()?.parse()?),
                false => krate = Some(meta.value()?.call(Path::parse_mod_style)?),
            }
            Ok(())
        })
        .ok()?;
    Some((name?, krate?))
}
