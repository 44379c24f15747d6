//! `#[event("...")]`: re-emits the item with derives; the hidden derive does the rest.
//!
//! An attribute sees fields that `#[cfg]` removes, a derive does not: so what depends on the fields
//! is left to the derive.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::ParseStream;
use syn::{DeriveInput, GenericParam, Generics, Ident, LitInt, LitStr, Path};

use crate::ast::Input;
use crate::attr::EVENT;
use crate::errors::{Errors, call_at, text_of};
use crate::item::{self, Arguments, Hidden, Version, derived, derives, fields_mut};
use crate::lock;
use crate::naming;
use crate::schema;
use crate::secret;
use crate::stacked;
use crate::tokens::allowing;
use crate::view;

pub(crate) fn attribute(
    arguments: TokenStream,
    item: TokenStream,
    lock: Option<lock::Options>,
) -> TokenStream {
    let mut errors = Errors::default();
    let mut arguments = Arguments::parse(arguments, true, lock, &mut errors);
    let mut input = match item::parse("event", item, &mut errors) {
        Ok(input) => input,
        Err(refused) => return refused,
    };
    stacked::repeated("event", &mut input, &mut errors);
    item::check_variants(&mut input, &mut errors);
    arguments.above = stacked::derives_above("event", &arguments, &input, &mut errors);
    if !input.generics.params.is_empty() {
        errors.on(&input.generics, generic(&input.generics, &arguments));
    }
    if arguments.complete {
        check_version(&mut arguments.version, &input, &mut errors);
    }
    let secrets = item::check_fields(&mut input, EVENT, &arguments, &mut errors);
    if secrets {
        secret::check_container(&input, &arguments.without, &mut errors);
    }
    let hidden = match secrets && !secret::check_derives(&derived(&input.attrs), &mut errors) {
        true => Hidden::Fields,
        false => Hidden::Nothing,
    };
    if input.generics.params.is_empty() {
        return match &arguments.view_of {
            Some(event) => view::expand(&arguments, event.as_ref(), &input, hidden, errors),
            None => expand(&arguments, &input, hidden, errors),
        };
    }
    // Generated code would have errors of its own: only the name is still checked.
    fields_mut(&mut input)
        .into_iter()
        .for_each(|field| field.attrs.retain(|attribute| !attribute.path().is_ident(EVENT)));
    let krate = &arguments.krate;
    let check = arguments.name.map(|name| check_name(&name, &quote!(#krate::__private)));
    let errors = errors.into_tokens();
    quote!(#input #check #errors)
}

/// The item with its derives, also where there are errors: so that nothing else has any for it.
fn expand(arguments: &Arguments, input: &DeriveInput, hidden: Hidden, errors: Errors) -> TokenStream {
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
        #[__typed_event(name = #name, crate = #krate #version #previous #superseded #lock)]
        #input
        #errors
    }
}

/// Why an event, or a view, can't have these parameters.
fn generic(generics: &Generics, arguments: &Arguments) -> String {
    let what = if arguments.view_of.is_some() { "a view" } else { "an event" };
    let lifetimes: Vec<_> = generics.lifetimes().map(|param| param.lifetime.to_string()).collect();
    if lifetimes.len() < generics.params.len() {
        let named = generics.params.iter().find_map(|param| match param {
            GenericParam::Type(param) => Some(&param.ident),
            GenericParam::Const(param) => Some(&param.ident),
            GenericParam::Lifetime(_) => None,
        });
        let place = named.map(|name| format!("name the type in place of `{name}`, or ")).unwrap_or_default();
        return format!(
            "{what} can't be generic: it has one name and one schema; {place}declare {what} for each"
        );
    }
    let (list, first) = (lifetimes.join(", "), &lifetimes[0]);
    format!(
        "{what} owns its data, since it is read back from JSON: remove `<{list}>`, and take `String` instead of `&{first} str`, `T` instead of `&{first} T`"
    )
}

/// A version beyond the first can read the one before it.
fn check_version(version: &mut Version, input: &DeriveInput, errors: &mut Errors) {
    let (value, name) = (version.value(), &input.ident);
    match &version.previous {
        None if value > 1 => {
            let before = value - 1;
            let number = version.number.as_ref().map_or_else(Span::call_site, LitInt::span);
            errors.at(
                number,
                format_args!(
                    "version {value} must read records of version {before}: keep its type as `#[event(..., version = {before}, superseded)] struct {name}V{before}`, say `previous = {name}V{before}` here, and write `impl Upcast<{name}V{before}> for {name}`"
                ),
            );
        }
        Some(previous) if value == 1 => {
            errors.on(
                previous,
                "there is no version before the first: say `version = 2`, or take `previous` away",
            );
            version.previous = None;
        }
        _ => {}
    }
}

/// A constant that fails to evaluate where the name is none.
fn check_name(name: &LitStr, private: &TokenStream) -> TokenStream {
    let check = call_at(name, quote!(#private::event_name), quote!(#name));
    quote!(const _: () = #check;)
}

/// The hidden derive: the impl of `Event`, and the registration.
pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let Some(PassedOn { name, krate, version, lock }) = hidden_arguments(&input) else {
        return syn::Error::new(input.ident.span(), "use `#[event(\"...\")]`").to_compile_error();
    };
    // A version of the past is only read.
    let verified = match version.superseded {
        Some(_) => schema::Verified::Used,
        None => schema::Verified::Declared,
    };
    let ident = &input.ident;
    let private = quote!(#krate::__private);
    let item = Input::new(&input);
    let schema = schema::implement(&item, &private, verified);
    let check = check_name(&name, &private);
    let number = version.value();
    let (older, chain) = older(&name, &version, &private);
    let chain = chain.map(|chain| allowing(&input.attrs, chain));
    let locked = lock.as_ref().map(|options| lock::Subject {
        input: &item,
        private: &private,
        name: &name,
        version: number,
        previous: version.previous.as_ref(),
        options,
    });
    if version.superseded.is_some() {
        let lock::Generated { checks, constant } = locked.map(|locked| locked.past()).unwrap_or_default();
        return quote! {
            #schema
            #checks
            #check
            #chain
            #[automatically_derived]
            #[allow(deprecated, unused_qualifications, reason = "the user's own item")]
            impl #private::PastEvent for #ident {
                const NAME: &'static str = #name;
                const VERSION: u32 = #number;
                #constant
                #older
            }
        };
    }
    let lock::Generated { checks, constant } = locked.map(|locked| locked.current()).unwrap_or_default();
    quote! {
        #schema
        #check
        #checks
        #chain
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications, reason = "the user's own item")]
        impl #private::Event for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #number;
            #constant
            #older

            fn decl() -> &'static #private::EventDecl {
                static DECL: #private::EventDecl = #private::EventDecl::new::<#ident>();
                &DECL
            }
        }
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl<'a> #private::Argument<'a> for #ident {
            const TAKES: #private::Takes = #private::Takes::event::<#ident>();
            const WANTS: #private::Wants = #private::Wants::Event;

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

/// The method that reads older versions, and the check that the type before is the one before.
fn older(
    name: &LitStr,
    version: &Version,
    private: &TokenStream,
) -> (Option<TokenStream>, Option<TokenStream>) {
    let Some(previous) = &version.previous else { return (None, None) };
    let before = quote!(<#previous as #private::PastEvent>);
    let (number, written) = (version.value(), text_of(previous));
    let of = quote!((#written, #before::NAME, #before::VERSION));
    let check = call_at(previous, quote!(#private::previous), quote!(#name, #number, #of));
    let upcast = call_at(previous, quote!(<Self as #private::Upcast<#previous>>::upcast), quote!(old));
    let older = quote! {
        fn older(version: u32, json: &str) -> ::core::result::Result<Self, #private::DecodeError> {
            let old = #before::read(version, json)?;
            ::core::result::Result::Ok(#upcast)
        }

        fn had_secrets() -> bool {
            #before::has_secrets()
        }
    };
    (Some(older), Some(quote!(const _: () = #check;)))
}

/// What `#[event]` passed on to its derive.
struct PassedOn {
    name: LitStr,
    krate: Path,
    version: Version,
    /// Where the event is under the lock.
    lock: Option<lock::Options>,
}

fn hidden_arguments(input: &DeriveInput) -> Option<PassedOn> {
    let attribute = input.attrs.iter().find(|attribute| attribute.path().is_ident(EVENT))?;
    let (mut name, mut krate, mut version, mut lock) = (None, None, Version::default(), None);
    attribute
        .parse_nested_meta(|meta| {
            match meta.path.get_ident() {
                Some(option) if option == "name" => name = Some(meta.value()?.parse()?),
                Some(option) if version.parse_option(option, meta.input)? => {}
                Some(option) if option == "locked" => lock = Some(lock::Options::default()),
                Some(option) if parse_lock(&mut lock, option, meta.input)? => {}
                _ => krate = Some(meta.value()?.call(Path::parse_mod_style)?),
            }
            Ok(())
        })
        .ok()?;
    Some(PassedOn { name: name?, krate: krate?, version, lock })
}

fn parse_lock(lock: &mut Option<lock::Options>, option: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
    lock.as_mut().map_or(Ok(false), |lock| lock.parse_option(option, input))
}
