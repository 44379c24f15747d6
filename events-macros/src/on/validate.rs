//! What a function must be to be a handler; every mistake at its own place.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, ItemFn, LitStr, Pat, PatType, Path, Safety, Signature, Type};

use super::parse::Arguments;
use crate::errors::Errors;

/// A function that may be a handler, as far as its tokens tell.
pub(crate) struct Handler<'a> {
    pub(crate) patterns: &'a [LitStr],
    pub(crate) krate: &'a Path,
    pub(crate) event: &'a Type,
    pub(crate) states: Vec<State<'a>>,
}

/// A further argument: its name, for messages, and what it refers to.
pub(crate) struct State<'a> {
    pub(crate) name: String,
    pub(crate) ty: &'a Type,
}

pub(crate) fn handler<'a>(
    arguments: &'a Arguments,
    function: &'a ItemFn,
    errors: &mut Errors,
) -> Option<Handler<'a>> {
    let signature = &function.sig;
    qualifiers(signature, errors);
    generics(signature, errors);
    let mut inputs = signature.inputs.iter();
    let event = first(inputs.next(), signature, errors);
    let states = inputs.filter_map(|input| state(input, errors)).collect();
    Some(Handler {
        patterns: &arguments.patterns,
        krate: &arguments.krate,
        event: event?,
        states,
    })
}

fn qualifiers(signature: &Signature, errors: &mut Errors) {
    if let Safety::Unsafe(token) = &signature.safety {
        errors.on(
            token,
            "a handler can't be `unsafe`: the bus calls it, and can't keep its conditions",
        );
    }
    if let Some(abi) = &signature.abi {
        errors.on(abi, "a handler is a plain Rust function: leave out the ABI");
    }
    if let Some(variadic) = &signature.variadic {
        errors.on(variadic, "a handler has a fixed number of arguments");
    }
}

fn generics(signature: &Signature, errors: &mut Errors) {
    let generic = signature
        .generics
        .params
        .iter()
        .filter(|param| !matches!(param, GenericParam::Lifetime(_)));
    for param in generic {
        let name = match param {
            GenericParam::Type(param) => &param.ident,
            GenericParam::Const(param) => &param.ident,
            GenericParam::Lifetime(param) => &param.lifetime.ident,
        };
        let message = "a handler can't be generic: the bus would not know which";
        errors.on(param, format_args!("{message} `{name}` to call; name the type"));
    }
    for input in &signature.inputs {
        if let FnArg::Typed(input) = input
            && let Some(token) = impl_trait(&input.ty)
        {
            errors.on(
                token,
                "`impl Trait` makes the handler generic: name the type, or take `&dyn Trait` as state",
            );
        }
    }
}

fn impl_trait(ty: &Type) -> Option<&Type> {
    match ty {
        Type::ImplTrait(_) => Some(ty),
        Type::Reference(reference) => impl_trait(&reference.elem),
        Type::Paren(paren) => impl_trait(&paren.elem),
        _ => None,
    }
}

fn first<'a>(input: Option<&'a FnArg>, signature: &Signature, errors: &mut Errors) -> Option<&'a Type> {
    match input {
        None => {
            let message = "a handler takes an event first: `&E` where `E` has `#[event(\"...\")]`, or `&Record` for any";
            errors.at(signature.paren_token.span.join(), message);
            None
        }
        Some(FnArg::Receiver(receiver)) => {
            let message = "a method can't be a handler: make it a free function, and take what it needs of `self` as state, `&T`, after the event";
            errors.on(receiver, message);
            None
        }
        Some(FnArg::Typed(input)) => {
            if let Type::Reference(reference) = &*input.ty
                && let Some(token) = &reference.mutability
            {
                errors.on(token, "an event is shared between its handlers and can't be changed: take `&E`, or `E` for a clone");
            }
            Some(&input.ty)
        }
    }
}

fn state<'a>(input: &'a FnArg, errors: &mut Errors) -> Option<State<'a>> {
    let FnArg::Typed(input) = input else { return None };
    let name = argument_name(input);
    match &*input.ty {
        Type::Reference(reference) => {
            if let Some(token) = &reference.mutability {
                let message = "state is shared between handlers: take `&T`, and put what changes behind a `Mutex` or an atomic";
                errors.on(token, message);
            }
            Some(State {
                name,
                ty: &reference.elem,
            })
        }
        Type::ImplTrait(_) => None,
        ty => {
            let written = text_of(ty);
            errors.on(
                ty,
                format_args!(
                    "state is passed by reference: write `{name}: &{written}`; only the event comes by value"
                ),
            );
            None
        }
    }
}

fn argument_name(input: &PatType) -> String {
    match &*input.pat {
        Pat::Ident(pat) => pat.ident.to_string(),
        pat => text_of(pat),
    }
}

/// The node as the user wrote it, where the compiler still knows; else its tokens.
pub(crate) fn text_of(node: &impl ToTokens) -> String {
    let span = node.span();
    span.source_text()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| node.to_token_stream().to_string())
}
