//! `#[event(view_of = ...)]`: re-emits the item with derives; the hidden derive checks it against its
//! event and makes it an argument of handlers.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{DeriveInput, Ident, LitStr, Path, Type};

use crate::ast::Input;
use crate::attr::EVENT;
use crate::errors::{Errors, call_at, text_of};
use crate::item::{Arguments, Hidden, derives};
use crate::lock;
use crate::schema;
use crate::tokens::{allowed, allowing};

/// The event a view is of.
pub(crate) enum Of {
    /// Its type.
    Type(Box<Type>),
    /// Its name, of which the lock knows the rest.
    Name(LitStr),
}

impl Parse for Of {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        match input.peek(LitStr) {
            true => input.parse().map(Self::Name),
            false => input.parse().map(|event| Self::Type(Box::new(event))),
        }
    }
}

impl ToTokens for Of {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Type(event) => event.to_tokens(tokens),
            Self::Name(name) => name.to_tokens(tokens),
        }
    }
}

/// The item with its derives; without them where it is not known what it is a view of.
pub(crate) fn expand(
    arguments: &Arguments,
    event: Option<&Of>,
    input: &DeriveInput,
    hidden: Hidden,
    errors: Errors,
) -> TokenStream {
    let derives = derives(arguments, input, "__View", hidden);
    let (krate, errors) = (&arguments.krate, errors.into_tokens());
    let Some(event) = event else { return quote!(#input #errors) };
    quote! {
        #derives
        #[__typed_event(view_of = #event, crate = #krate)]
        #input
        #errors
    }
}

/// The hidden derive: the impl of `View`, and its checks.
pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let Some((of, krate)) = hidden_arguments(&input) else {
        return syn::Error::new(input.ident.span(), "use `#[event(view_of = ...)]`").to_compile_error();
    };
    let private = quote!(#krate::__private);
    let item = Input::new(&input);
    let schema = schema::implement(&item, &private, schema::Verified::Used);
    let event = match &of {
        Of::Type(event) => Event::of_type(event, &private),
        Of::Name(name) => Event::of_lock(name, &private),
    };
    let checks = match &event.written {
        Ok(written) => allowing(&input.attrs, checks(&item, &event, written, &private)),
        Err(refused) => refused.clone(),
    };
    let arguments = arguments(&input.ident, &private);
    let allowed = allowed(&input.attrs);
    let (ident, Event { name, version, decl, .. }) = (&input.ident, event);
    quote! {
        #schema
        #checks
        #[automatically_derived]
        #allowed
        impl #private::View for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
            const OF: ::core::option::Option<fn() -> &'static #private::EventDecl> = #decl;
        }
        #arguments
    }
}

/// The view, borrowed and by value, as what a handler takes.
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
                const TAKES: #private::Takes = #private::Takes::view::<#ident>();
                const WANTS: #private::Wants = #private::Wants::Record;

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

/// What is known of the event.
struct Event {
    /// As the user names it, for messages.
    shown: String,
    name: TokenStream,
    version: TokenStream,
    /// A function that gives its declaration, if that is part of the program.
    decl: TokenStream,
    /// What it writes, or the error that says why that is not known.
    written: Result<TokenStream, TokenStream>,
    /// What that refers to.
    types: TokenStream,
}

impl Event {
    fn of_type(event: &Type, private: &TokenStream) -> Self {
        let event_trait = quote!(<#event as #private::Event>);
        Self {
            shown: text_of(event),
            name: quote!(#event_trait::NAME),
            version: quote!(#event_trait::VERSION),
            decl: quote!(::core::option::Option::Some(#event_trait::decl)),
            written: Ok(quote!(#event_trait::SCHEMA)),
            types: TokenStream::new(),
        }
    }

    /// The newest version in the event's file.
    fn of_lock(name: &LitStr, private: &TokenStream) -> Self {
        let newest = newest_version(&name.value(), private);
        let mut event = Self {
            shown: name.value(),
            name: quote!(#name),
            version: quote!(1),
            decl: quote!(::core::option::Option::None),
            written: Err(TokenStream::new()),
            types: TokenStream::new(),
        };
        match newest {
            Ok((path, item, lock::Version { number, root, types, .. })) => {
                event.shown = item;
                event.version = quote!(#number);
                event.written = Ok(root);
                event.types = quote!(const _: &[u8] = ::core::include_bytes!(#path); #types);
            }
            Err(problem) => event.written = Err(syn::Error::new(name.span(), problem).to_compile_error()),
        }
        event
    }
}

/// The newest version of an event that is locked, with the file's path and the event's type.
fn newest_version(name: &str, private: &TokenStream) -> Result<(String, String, lock::Version), String> {
    let missing = || {
        let folder = lock::FOLDER;
        let meant = lock::meant(name).map(|meant| format!("did you mean `{meant}`? If not, "));
        let meant = meant.unwrap_or_default();
        format!(
            "`{name}` is not locked: {meant}{folder}/{name} does not exist; a view by name is checked against the lock of the program that emits it: put a copy of its file there"
        )
    };
    let (path, file) = lock::read(name, private)?.ok_or_else(missing)?;
    let newest = file.versions.into_iter().max_by_key(|version| version.number);
    Ok((path.to_string_lossy().into_owned(), file.item, newest.ok_or_else(missing)?))
}

/// Constants that fail to evaluate where the event can't fill the view: one for each field, so that
/// each has its own place; one for a type without.
fn checks(input: &Input<'_>, event: &Event, written: &TokenStream, private: &TokenStream) -> TokenStream {
    let (view, ident) = (input.ident.to_string(), input.ident);
    let Event { shown, name, types, .. } = event;
    let check = |place: &dyn ToTokens, field: TokenStream| {
        let reader = quote!(<#ident as #private::Schema>::TYPE);
        call_at(&place, quote!(#private::view), quote!(#view, #shown, #name, #reader, #written, #field))
    };
    let checked = input.wire_fields().iter().filter_map(|field| {
        let name = field.on_wire.read.as_ref()?;
        Some(check(&field.place(), quote!(::core::option::Option::Some(#name))))
    });
    let mut checks: Vec<_> = checked.collect();
    if let Some(place) = input.attr.deny_unknown.as_ref().filter(|_| !checks.is_empty()) {
        let reader = quote!(<#ident as #private::Schema>::TYPE);
        let arguments = quote!(#view, #shown, #name, #reader, #written);
        checks.push(call_at(place, quote!(#private::view_rest), arguments));
    }
    if checks.is_empty() {
        checks.push(check(ident, quote!(::core::option::Option::None)));
    }
    match types.is_empty() {
        true => quote!(#(const _: () = #checks;)*),
        false => quote! {
            const _: () = {
                #types
                #(const _: () = #checks;)*
            };
        },
    }
}

/// What `#[event]` passed on to the derive.
fn hidden_arguments(input: &DeriveInput) -> Option<(Of, Path)> {
    let attribute = input.attrs.iter().find(|attribute| attribute.path().is_ident(EVENT))?;
    let (mut event, mut krate) = (None, None);
    attribute
        .parse_nested_meta(|meta| {
            match meta.path.is_ident("view_of") {
                true => event = Some(meta.value()?.parse()?),
                false => krate = Some(meta.value()?.call(Path::parse_mod_style)?),
            }
            Ok(())
        })
        .ok()?;
    Some((event?, krate?))
}
