//! Collects errors, so that the compiler reports all of them in one run.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// Adds an error at a span.
    pub(crate) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.0.push(syn::Error::new(span, message));
    }

    /// Adds an error that underlines all tokens of a node.
    pub(crate) fn on(&mut self, node: &impl ToTokens, message: impl std::fmt::Display) {
        self.0.push(syn::Error::new_spanned(node, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the `compile_error!` calls of all errors.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.iter().map(syn::Error::to_compile_error).collect()
    }
}

/// Returns the spans of the first and the last token of a node. An error with both spans underlines the whole node.
pub(crate) fn ends(node: &impl ToTokens) -> (Span, Span) {
    let mut tokens = node.to_token_stream().into_iter();
    let Some(first) = tokens.next() else {
        return (node.span(), node.span());
    };
    let last = tokens.last().as_ref().map_or_else(
        || first.span(),
        |token| match token {
            TokenTree::Group(group) => group.span_close(),
            token => token.span(),
        },
    );
    (first.span(), last)
}

/// Returns a call whose compiler errors underline a node. The parentheses around the path carry the first span of the
/// node, and the parentheses around the arguments carry the last one. The path itself has no span in the user's code,
/// so that editors do not show our function at this position.
pub(crate) fn call_at(node: &impl ToTokens, path: TokenStream, arguments: TokenStream) -> TokenStream {
    let (first, last) = ends(node);
    let mut path = Group::new(Delimiter::Parenthesis, path);
    path.set_span(first);
    let mut arguments = Group::new(Delimiter::Parenthesis, arguments);
    arguments.set_span(last);
    quote!(#path #arguments)
}

/// Returns a constant that evaluates a call at compile time. Its compiler errors underline a node.
pub(crate) fn check_at(node: &impl ToTokens, path: TokenStream, arguments: TokenStream) -> TokenStream {
    let call = call_at(node, path, arguments);
    quote!(const _: () = #call;)
}

/// Returns the text of a node, spaced approximately as the user wrote it.
pub(crate) fn text_of(node: &impl ToTokens) -> String {
    let mut text = String::new();
    write_tokens(node.to_token_stream(), &mut text);
    text
}

fn write_tokens(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        let word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
        if word && text.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            text.push(' ');
        }
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                if open == "[" && text.ends_with(char::is_alphanumeric) {
                    text.push(' ');
                }
                text.push_str(open);
                write_tokens(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                sign @ (',' | ';') => text.extend([sign, ' ']),
                sign @ ('+' | '=') => text.extend([' ', sign, ' ']),
                sign => text.push(sign),
            },
            token => text.push_str(&token.to_string()),
        }
    }
}
