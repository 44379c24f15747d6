//! Generates the code of a handler.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, Ident, ItemFn};

use super::parse::Arguments;
use super::validate::{Handler, State};
use crate::errors::{Errors, call_at, check_at, text_of};
use crate::lock::LockedNames;
use crate::tokens::with_allow_deprecated;

/// Generates the function and its stand-in: a type with the same name that implements `Handler`.
pub(crate) fn handler(
    handler: &Handler<'_>,
    function: &ItemFn,
    locked_names: Option<&LockedNames>,
) -> TokenStream {
    let krate = handler.krate;
    let private = quote!(#krate::__private);
    let (event, patterns) = (&handler.event, handler.patterns);
    let (ident, stand_in) = (stand_in_ident(function), stand_in(function));
    let checks = checks(handler, function, &private);
    let lock_checks = locked_names.map(|names| names.checks(&ident.to_string(), event, patterns, &private));
    let checks = with_allow_deprecated(&function.attrs, quote!(#checks #lock_checks));
    let location = location(function, &private);
    let bind = bind(handler, function, &private);
    let first = quote!(<#event as #private::Argument<'_>>);
    let patterns = match patterns.is_empty() {
        true => quote!(#private::own_name(#first::ACCEPTS.name())),
        false => quote!(#(#patterns),*),
    };
    let decl = match handler.durable {
        None => quote!(new(#location, &[#patterns], #first::ACCEPTS, #bind)),
        Some(durable) => {
            let settings = durable.expand(&private);
            quote!(durable(#location, &[#patterns], #first::ACCEPTS, #bind, #settings))
        }
    };
    let implemented = implement(&ident, &private, &decl);
    quote! {
        #function
        #stand_in
        #checks
        #implemented
        #private::inventory::submit! {
            #private::LinkedHandler(<#ident as #private::Handler>::decl)
        }
    }
}

/// Generates the function, its stand-in and the errors, so that other code that names the function or the stand-in has
/// no further errors.
pub(crate) fn fallback(arguments: &Arguments, function: &ItemFn, errors: Errors) -> TokenStream {
    let krate = &arguments.krate;
    let private = quote!(#krate::__private);
    let ident = stand_in_ident(function);
    let (location, errors) = (location(function, &private), errors.into_tokens());
    // A type can't be declared inside an `impl` block.
    let stand_in = function.sig.receiver().is_none().then(|| {
        let stand_in = stand_in(function);
        let decl =
            quote!(new(#location, &[], #private::AcceptedEvents::Any, |_| ::core::option::Option::None));
        let implemented = implement(&ident, &private, &decl);
        quote!(#stand_in #implemented)
    });
    quote! {
        #[allow(dead_code, unused_variables, reason = "its handler has an error")]
        #function
        #stand_in
        #errors
    }
}

/// Generates the impl of `Handler`. `decl` is the constructor call of its declaration.
fn implement(ident: &Ident, private: &TokenStream, decl: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl #private::Handler for #ident {
            fn decl() -> &'static #private::HandlerDecl {
                static DECL: #private::HandlerDecl = #private::HandlerDecl::#decl;
                &DECL
            }
        }
    }
}

fn stand_in(function: &ItemFn) -> TokenStream {
    let (vis, ident) = (&function.vis, stand_in_ident(function));
    let is_shared =
        |attribute: &&Attribute| ["cfg", "doc"].iter().any(|name| attribute.path().is_ident(name));
    let attributes = function.attrs.iter().filter(is_shared);
    quote! {
        #(#attributes)*
        #[cfg_attr(doc, doc(hidden))]
        #[allow(non_camel_case_types, dead_code, clippy::empty_enums, reason = "it stands for the function")]
        #vis enum #ident {}
    }
}

/// Returns the name of the stand-in, with the location of `#[on]`. At the location of the function's name, editors
/// then find only the function.
fn stand_in_ident(function: &ItemFn) -> Ident {
    let mut ident = function.sig.ident.clone();
    ident.set_span(ident.span().located_at(Span::call_site()));
    ident
}

fn location(function: &ItemFn, private: &TokenStream) -> TokenStream {
    let name = function.sig.ident.to_string();
    quote! {
        #private::SourceLocation::new(::core::concat!(::core::module_path!(), "::", #name), ::core::file!(), ::core::line!())
    }
}

/// Generates constants that fail to evaluate if a pattern is invalid or does not match the argument.
fn checks(handler: &Handler<'_>, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let (event, patterns) = (&handler.event, handler.patterns);
    let name = function.sig.ident.to_string();
    let written = text_of(event);
    let each = patterns.iter().map(|pattern| check_at(pattern, quote!(#private::pattern), quote!(#pattern)));
    let takes = quote!(<#event as #private::Argument<'_>>::ACCEPTS);
    let arguments = quote!(#name, #written, #takes.name(), &[#(#patterns),*]);
    let together = check_at(event, quote!(#private::handler), arguments);
    // For an event set, each variant is also checked, at its own span.
    let ident = stand_in_ident(function);
    let delivered = (!patterns.is_empty()).then(|| {
        quote! {
            #[automatically_derived]
            impl #private::Patterns for #ident {
                const HANDLER: &'static str = #name;
                const PATTERNS: &'static [&'static str] = &[#(#patterns),*];
            }
            const _: () = {
                #[allow(unused_imports, reason = "it may be a set")]
                use #private::NoSet as _;
                #private::Delivered::<#event, #ident>::ALL
            };
        }
    });
    let durable = handler.durable.map(|durable| {
        let check = check_at(&durable.name, quote!(#private::durable_name), durable.name.to_token_stream());
        let ordered = durable.ordered_by.as_ref().map(|field| {
            check_at(field, quote!(#private::ordered_by), quote!(#name, #written, #takes, #field))
        });
        quote!(#check #ordered)
    });
    quote! {
        #(#each)*
        #together
        #delivered
        #durable
    }
}

/// Generates a closure that binds the handler to its state. Its local names are hygienic, so that they can't collide
/// with names of the user.
fn bind(handler: &Handler<'_>, function: &ItemFn, private: &TokenStream) -> TokenStream {
    let local = |name: &str| Ident::new(&format!("__{name}"), Span::mixed_site());
    let (binder, states, call, delivery) =
        (local("binder"), local("states"), local("call"), local("delivery"));
    let names: Vec<_> = (0..handler.states.len()).map(|index| local(&format!("state{index}"))).collect();
    let binds = handler.states.iter().zip(&names).map(|(State { name, ty }, state)| {
        quote!(let #state = #private::Probe::<#ty>::__typed_events_bind::<#ty>(#binder, #name);)
    });
    let indices = (0..names.len()).map(syn::Index::from);
    let (ident, event) = (&function.sig.ident, &handler.event);
    let first = quote!(<#event as #private::Argument<'_>>);
    let arguments = quote!(#first::receive(#call)?, #(#states.#indices.get(#call)?),*);
    // The function's name, with the location of `#[on]` as for the stand-in.
    let name = stand_in_ident(function);
    let called = call_at(ident, quote!(#name), arguments);
    let report = match &handler.output {
        Some(output) => quote!(<#output as #private::HandlerReturn>::report),
        None => quote!(#private::HandlerReturn::report),
    };
    let finish = match function.sig.asyncness {
        None => quote!(#binder.finish_sync(move |#call| #report(#called))),
        Some(_) => {
            let called = call_at(ident, quote!(#private::require_send), called);
            quote! {
                let #states = ::std::sync::Arc::new(#states);
                #binder.finish_async(move |#delivery| {
                    let #states = ::core::clone::Clone::clone(&#states);
                    async move {
                        let #call = &#delivery.call();
                        #report(#called.await)
                    }
                })
            }
        }
    };
    quote! {
        |#binder: &mut #private::Binder<'_>| {
            #[allow(unused_imports, reason = "there may be no state")]
            use #private::BindState as _;
            #binder.first::<#event>();
            #(#binds)*
            #[allow(unused_variables, clippy::let_unit_value, reason = "there may be no state")]
            let #states = (#(#names?,)*);
            ::core::option::Option::Some({ #finish })
        }
    }
}
