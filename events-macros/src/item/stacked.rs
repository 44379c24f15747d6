//! Reports attributes in wrong positions or combinations. Without these checks, the compiler reports the generated
//! code, with several errors for one mistake.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, DeriveInput, Field, Meta, Path, Token};

use super::Arguments;
use crate::errors::{Errors, text_of};
use crate::source;

/// Returns whether a path names one of our attributes: the name alone, or a path that contains `typed_events`.
pub(crate) fn is_ours(path: &Path, name: &str) -> bool {
    let segments = &path.segments;
    let named = segments.last().is_some_and(|last| last.ident == name);
    named && (segments.len() == 1 || segments.iter().any(|segment| segment.ident == "typed_events"))
}

/// Reports `#[event]` and `#[payload]` on the same type, and either of them twice. Exactly one attribute then
/// processes the type: returns `None` if it is this one, else the tokens for this attribute to return.
pub(crate) fn repeated(attribute: &str, input: &mut DeriveInput, errors: &mut Errors) -> Option<TokenStream> {
    let is_event = |other: &Attribute| is_ours(other.path(), "event");
    let is_other = |other: &Attribute| is_event(other) || is_ours(other.path(), "payload");
    let other = input.attrs.iter().find(|other| is_other(other))?.clone();
    if attribute == "payload" && is_event(&other) {
        errors.at(above(input), WITH_EVENT);
        let errors = std::mem::take(errors).into_tokens();
        return Some(quote!(#input #errors));
    }
    errors.on(
        &other,
        match (attribute, is_event(&other)) {
            ("event", true) => {
                "a type can be only one event, and this one has two `#[event]`: remove one, and declare another type for the other event"
            }
            ("event", false) => WITH_EVENT,
            _ => "a type can have only one `#[payload]`: remove this one",
        },
    );
    input.attrs.retain(|attribute| !is_other(attribute));
    None
}

/// The span of the attribute, resolved as if the user had written the tokens.
fn above(input: &DeriveInput) -> Span {
    Span::call_site().resolved_at(input.ident.span())
}

const WITH_EVENT: &str = "an event needs no `#[payload]` to be a field of other events: remove `#[payload]`";

/// Reports derives above the attribute that the attribute would add again. Returns their names.
pub(crate) fn derives_above(
    attribute: &str,
    arguments: &Arguments,
    input: &DeriveInput,
    errors: &mut Errors,
) -> Vec<String> {
    let span = above(input);
    let mut above = source::derives_above(Span::call_site());
    above.retain(|name| arguments.adds(name));
    if !above.is_empty() {
        let list = above.join("`, `");
        errors.at(
            span,
            format_args!(
                "`#[{attribute}]` must come first: move it above all derives (`{list}`); it adds those that are missing"
            ),
        );
    }
    above
}

/// Reports our options in a `cfg_attr` on a field, which the macro can't read because the compiler has not resolved it
/// yet. Moves the options out of the `cfg_attr`, so that the remaining checks see them. (The compiler resolves a
/// `cfg_attr` on the type itself before it calls the macro.)
pub(crate) fn conditional(field: &mut Field, errors: &mut Errors) {
    let mut options = Vec::new();
    for conditional in field.attrs.iter_mut().filter(|conditional| conditional.path().is_ident("cfg_attr")) {
        let Some((condition, mut metas)) = parts(conditional) else { continue };
        let all = metas.len();
        metas.retain(|meta| match is_ours(meta.path(), "event") {
            true => {
                let written = text_of(meta);
                errors.on(
                    meta,
                    format_args!(
                        "`{written}` can't be in `cfg_attr`: write `#[{written}]`; for a condition, declare the field twice, each with its own `#[cfg(...)]`"
                    ),
                );
                options.push(syn::parse_quote!(#[#meta]));
                false
            }
            false => true,
        });
        if metas.len() < all {
            *conditional = syn::parse_quote!(#[cfg_attr(#condition, #(#metas),*)]);
        }
    }
    field.attrs.extend(options);
}

/// Returns the condition of a `cfg_attr` and the attributes that it adds.
fn parts(attribute: &Attribute) -> Option<(TokenStream, Vec<Meta>)> {
    let Meta::List(list) = &attribute.meta else { return None };
    let parts = |input: ParseStream<'_>| {
        let mut condition = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            input.parse::<TokenTree>()?.to_tokens(&mut condition);
        }
        input.parse::<Token![,]>()?;
        let metas = Punctuated::<Meta, Token![,]>::parse_terminated(input)?;
        Ok((condition, metas.into_iter().collect()))
    };
    // The compiler reports syntax errors.
    parts.parse2(list.tokens.clone()).ok()
}
