//! Looks up the event of a view, by its type or by its name.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{LitStr, Type};

use crate::errors::text_of;
use crate::lock;

/// The event of a view, as the user wrote it.
pub(crate) enum Of {
    /// The type of the event.
    Type(Box<Type>),
    /// The name of the event; its lock file contains the schema.
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

/// The properties of the event that the view uses.
pub(super) struct Event {
    /// The event's type, or its name if the type is unknown, for messages.
    pub(super) shown: String,
    pub(super) name: TokenStream,
    pub(super) version: TokenStream,
    /// The function that returns the event's declaration, as an `Option`. It is `None` for an event known only by
    /// name.
    pub(super) decl: TokenStream,
    /// The schema of the written JSON, or the error if it is unknown.
    pub(super) written: Result<TokenStream, TokenStream>,
    /// The items that `written` refers to.
    pub(super) types: TokenStream,
}

/// The newest locked version of an event.
pub(crate) struct Newest {
    /// The path of the lock file.
    pub(crate) path: String,
    /// The event's type.
    pub(crate) item: String,
    pub(crate) version: u32,
    /// The schema.
    pub(crate) root: TokenStream,
    /// The items that `root` refers to.
    pub(crate) types: TokenStream,
}

impl Event {
    pub(super) fn new(of: &Of, private: &TokenStream) -> Self {
        match of {
            Of::Type(event) => Self::of_type(event, private),
            Of::Name(name) => Self::of_lock(name, private),
        }
    }

    fn of_type(event: &Type, private: &TokenStream) -> Self {
        let viewed = quote!(<#event as #private::Viewed>);
        Self {
            shown: text_of(event),
            name: quote!(#viewed::NAME),
            version: quote!(#viewed::VERSION),
            decl: quote!(::core::option::Option::Some(#viewed::DECL)),
            written: Ok(quote!(#viewed::SCHEMA)),
            types: TokenStream::new(),
        }
    }

    /// Reads the newest version from the event's lock file.
    fn of_lock(name: &LitStr, private: &TokenStream) -> Self {
        let newest = lock::newest_version(&name.value(), private);
        let mut event = Self {
            shown: name.value(),
            name: quote!(#name),
            version: quote!(1),
            decl: quote!(::core::option::Option::None),
            written: Err(TokenStream::new()),
            types: TokenStream::new(),
        };
        match newest {
            Ok(Newest { path, item, version, root, types }) => {
                event.shown = item;
                event.version = quote!(#version);
                event.written = Ok(root);
                event.types = quote!(const _: &[u8] = ::core::include_bytes!(#path); #types);
            }
            Err(problem) => event.written = Err(syn::Error::new(name.span(), problem).to_compile_error()),
        }
        event
    }
}
