//! Finds and replaces names in a type, token by token. This compiles much faster than a visitor over syn's tree.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Type};

/// Returns whether a type contains this name, at any depth.
pub(crate) fn contains_name(ty: &Type, name: &str) -> bool {
    is_named(ty.to_token_stream(), name)
}

/// Returns whether tokens contain this name, at any depth.
pub(crate) fn is_named(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => is_named(group.stream(), name),
        _ => false,
    })
}

/// Generates `Some(tokens)` or `None`.
pub(crate) fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

/// Returns `#[allow(deprecated)]` for generated code that uses the types of an item, if the item itself allows or
/// expects deprecated types. (If it does not, the compiler warns once, at the item.)
pub(crate) fn allow_deprecated(attributes: &[Attribute]) -> Option<TokenStream> {
    let allows = |attribute: &&Attribute| {
        let is_level = ["allow", "expect"].iter().any(|level| attribute.path().is_ident(level));
        is_level && is_named(attribute.meta.to_token_stream(), "deprecated")
    };
    let reason = "the user's own item allows it";
    attributes.iter().find(allows).map(|_| quote!(#[allow(deprecated, reason = #reason)]))
}

/// Wraps items in a constant with the attribute of `allow_deprecated`, if there is one.
pub(crate) fn with_allow_deprecated(attributes: &[Attribute], items: TokenStream) -> TokenStream {
    match allow_deprecated(attributes) {
        Some(allowed) if !items.is_empty() => quote!(#allowed const _: () = { #items };),
        _ => items,
    }
}

/// Returns the type with each lifetime replaced by the result of `to`, which takes and returns the name of a lifetime
/// without its quote. A lifetime for which `to` returns `None` is kept.
pub(crate) fn with_lifetimes(ty: &Type, to: &dyn Fn(&Ident) -> Option<&'static str>) -> Type {
    replaced(ty, &|before, ident, _| match is_punct(before, '\'') {
        true => to(ident).map(|name| Ident::new(name, ident.span())),
        false => None,
    })
}

/// Returns the type with `Self` replaced by `name`. An associated type such as `Self::Item` stays unchanged.
pub(crate) fn without_self(ty: &Type, name: &Ident) -> Type {
    replaced(ty, &|_, ident, after| {
        (ident == "Self" && !is_punct(after, ':')).then(|| Ident::new(&name.to_string(), ident.span()))
    })
}

/// Returns the replacement of a name, given the token before it and the token after it; `None` keeps the name.
type Replace<'a> = dyn Fn(Option<&TokenTree>, &Ident, Option<&TokenTree>) -> Option<Ident> + 'a;

fn replaced(ty: &Type, replace: &Replace<'_>) -> Type {
    // Replacing one name by another always leaves a valid type.
    syn::parse2(replaced_in(ty.to_token_stream(), replace)).unwrap_or_else(|_| ty.clone())
}

fn replaced_in(tokens: TokenStream, replace: &Replace<'_>) -> TokenStream {
    let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for at in 0..tokens.len() {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let new = match &tokens[at] {
            TokenTree::Ident(ident) => replace(before, ident, tokens.get(at + 1)).map(TokenTree::Ident),
            TokenTree::Group(group) => {
                let mut new = Group::new(group.delimiter(), replaced_in(group.stream(), replace));
                new.set_span(group.span());
                Some(TokenTree::Group(new))
            }
            _ => None,
        };
        if let Some(new) = new {
            tokens[at] = new;
        }
    }
    tokens.into_iter().collect()
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

#[cfg(test)]
mod tests {
    use quote::format_ident;
    use syn::parse_quote;

    use super::*;

    fn text(ty: &Type) -> String {
        ty.to_token_stream().to_string()
    }

    #[test]
    fn lifetimes_are_replaced_at_any_depth() {
        let ty: Type = parse_quote!(&'a Pair<'b, Vec<&'a (dyn Show + 'a)>, [&'other a; 2]>);
        let elided = with_lifetimes(&ty, &|name| (name == "a").then_some("_"));
        let expected: Type = parse_quote!(&'_ Pair<'b, Vec<&'_ (dyn Show + '_)>, [&'other a; 2]>);
        assert_eq!(text(&elided), text(&expected));
        let everywhere = with_lifetimes(&ty, &|_| Some("static"));
        let expected: Type =
            parse_quote!(&'static Pair<'static, Vec<&'static (dyn Show + 'static)>, [&'static a; 2]>);
        assert_eq!(text(&everywhere), text(&expected));
    }

    #[test]
    fn self_is_replaced_where_it_is_a_type() {
        let ty: Type = parse_quote!(Map<Self, Option<Box<(Self, <Self as Trait>::Item, Self::Item)>>>);
        let expected: Type = parse_quote!(Map<Tree, Option<Box<(Tree, <Tree as Trait>::Item, Self::Item)>>>);
        assert_eq!(text(&without_self(&ty, &format_ident!("Tree"))), text(&expected));
    }

    #[test]
    fn names_are_found_at_any_depth() {
        let ty: Type = parse_quote!(Result<Vec<(u8, [impl Show; 2])>, Implement>);
        assert!(
            contains_name(&ty, "impl") && contains_name(&ty, "Implement") && !contains_name(&ty, "implement")
        );
    }
}
