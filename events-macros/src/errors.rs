//! Collects mistakes, so that all of them are reported at once.

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// Adds a mistake at a place.
    pub(crate) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.0.push(syn::Error::new(span, message));
    }

    /// Adds a mistake that underlines all of a node's tokens.
    pub(crate) fn on(&mut self, node: &impl quote::ToTokens, message: impl std::fmt::Display) {
        self.0.push(syn::Error::new_spanned(node, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The compiler errors.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.iter().map(syn::Error::to_compile_error).collect()
    }
}

/// The first and last span of a node's tokens: together they underline all of it.
pub(crate) fn ends(node: &impl quote::ToTokens) -> (Span, Span) {
    let mut tokens = node.to_token_stream().into_iter();
    let Some(first) = tokens.next() else {
        return (node.span(), node.span());
    };
    let last = tokens.last().as_ref().map_or_else(
        || first.span(),
        |token| match token {
            proc_macro2::TokenTree::Group(group) => group.span_close(),
            token => token.span(),
        },
    );
    (first.span(), last)
}

/// A call whose compiler errors underline a node: the path carries its first span, the parentheses
/// its last.
pub(crate) fn call_at(node: &impl quote::ToTokens, path: TokenStream, arguments: TokenStream) -> TokenStream {
    let (first, last) = ends(node);
    let path: TokenStream = path
        .into_iter()
        .map(|mut token| {
            token.set_span(first.resolved_at(Span::mixed_site()).located_at(first));
            token
        })
        .collect();
    let mut group = proc_macro2::Group::new(proc_macro2::Delimiter::Parenthesis, arguments);
    group.set_span(last);
    quote::quote!(#path #group)
}
