//! Checks that a function can be a handler. Each error has the span of its cause.

use proc_macro2::Span;
use quote::quote;
use syn::{
    FnArg, GenericArgument, GenericParam, ItemFn, LitStr, Pat, PatType, Path, PathArguments, PathSegment,
    Receiver, ReturnType, Safety, Signature, Type,
};

use super::durable::DurableHandler;
use super::parse::Arguments;
use crate::errors::{Errors, text_of};
use crate::source::block_around;
use crate::tokens::{contains_name, is_named, with_lifetimes};

/// A function that can be a handler, as far as its tokens show.
pub(crate) struct Handler<'a> {
    pub(crate) patterns: &'a [LitStr],
    pub(crate) krate: &'a Path,
    pub(crate) durable: Option<&'a DurableHandler>,
    pub(crate) event: Type,
    pub(crate) states: Vec<State>,
    /// The return type; `None` if only the compiler knows it (it contains `impl Trait`).
    pub(crate) output: Option<Type>,
}

/// A state argument: its name, for messages, and the type that it refers to.
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) ty: Type,
}

pub(crate) fn handler<'a>(
    arguments: &'a Arguments,
    function: &'a ItemFn,
    errors: &mut Errors,
) -> Option<Handler<'a>> {
    let signature = &function.sig;
    qualifiers(signature, errors);
    generics(signature, errors);
    output(signature, errors);
    let mut inputs = signature.inputs.iter();
    let event = first(inputs.next(), signature, errors);
    let mut states: Vec<_> = inputs.filter_map(|input| state(input, errors)).collect();
    let mut output = match &signature.output {
        ReturnType::Default => Some(syn::parse_quote!(())),
        ReturnType::Type(_, ty) => (!contains_name(ty, "impl")).then(|| (**ty).clone()),
    };
    // The lifetimes of the function have no meaning outside the function.
    let own: Vec<_> = signature.generics.lifetimes().map(|param| &param.lifetime.ident).collect();
    let elided = |ty: &Type| with_lifetimes(ty, &|name| own.contains(&name).then_some("_"));
    let event = elided(event?);
    states.iter_mut().for_each(|state| state.ty = elided(&state.ty));
    output.iter_mut().for_each(|output| *output = elided(output));
    let Arguments { patterns, krate, durable } = arguments;
    Some(Handler { patterns, krate, durable: durable.as_ref(), event, states, output })
}

/// Returns the error for a function of an `impl` or a `trait` that takes no `self`.
pub(crate) fn associated(function: &ItemFn) -> Option<syn::Error> {
    let Signature { inputs, output, ident, .. } = &function.sig;
    if function.sig.receiver().is_some() {
        return None;
    }
    let names_self = is_named(quote!(#inputs #output), "Self");
    let block = block_around(Span::call_site()).or(names_self.then_some("impl"))?;
    let article = if block == "impl" { "an" } else { "a" };
    let message = format!(
        "a function of {article} `{block}` can't be a handler: move it out of the `{block}`, and pass the values it needs as state: arguments `&T` after the event"
    );
    Some(syn::Error::new(ident.span(), message))
}

fn qualifiers(signature: &Signature, errors: &mut Errors) {
    if let Safety::Unsafe(token) = &signature.safety {
        errors.on(token, "a handler can't be `unsafe`, because the bus can't uphold its safety conditions: remove `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        errors.on(abi, "a handler can't have an ABI: remove `extern`");
    }
    if let Some(variadic) = &signature.variadic {
        errors.on(variadic, "a handler must have a fixed number of arguments: remove `...`");
    }
}

fn generics(signature: &Signature, errors: &mut Errors) {
    for input in &signature.inputs {
        let (FnArg::Typed(PatType { attrs, .. }) | FnArg::Receiver(Receiver { attrs, .. })) = input;
        for attribute in attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")) {
            errors.on(
                attribute,
                "an argument of a handler can't depend on `#[cfg]`: write two functions, each with its own `#[cfg(...)]`",
            );
        }
    }
    let generic =
        signature.generics.params.iter().filter(|param| !matches!(param, GenericParam::Lifetime(_)));
    for param in generic {
        let (name, kind) = match param {
            GenericParam::Type(param) => (&param.ident, "type"),
            GenericParam::Const(param) => (&param.ident, "value"),
            GenericParam::Lifetime(param) => (&param.lifetime.ident, "lifetime"),
        };
        let message = "a handler can't be generic, because the bus would not know which";
        errors.on(param, format_args!("{message} `{name}` to call: write a concrete {kind} instead"));
    }
    for input in &signature.inputs {
        if let FnArg::Typed(input) = input
            && let Some(token) = impl_trait(&input.ty)
        {
            errors.on(
                token,
                "a handler can't be generic, and `impl Trait` makes it generic: write a type, or take `&dyn Trait` as state",
            );
        }
    }
}

fn output(signature: &Signature, errors: &mut Errors) {
    match &signature.output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => {
            errors.on(
                ty,
                "a handler can't return `impl Trait`: instead of returning a future, write an `async fn` that returns the output of the future",
            );
        }
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => {
            errors.on(ty, "a handler can't return `!`: it must return, because `emit` waits for it");
        }
        _ => {}
    }
}

fn impl_trait(ty: &Type) -> Option<&Type> {
    match bare(ty) {
        ty @ Type::ImplTrait(_) => Some(ty),
        Type::Reference(reference) => impl_trait(&reference.elem),
        _ => None,
    }
}

fn first<'a>(input: Option<&'a FnArg>, signature: &Signature, errors: &mut Errors) -> Option<&'a Type> {
    match input {
        None => {
            let message = "a handler needs an event as its first argument: `&E`, where `E` has `#[event(\"...\")]`, or `&Record` for any event";
            errors.at(signature.paren_token.span.join(), message);
            None
        }
        Some(FnArg::Receiver(receiver)) => {
            let message = "a method can't be a handler: make it a free function, and pass the values it needs as state: arguments `&T` after the event";
            errors.on(receiver, message);
            None
        }
        Some(FnArg::Typed(input)) => {
            if let Type::Reference(reference) = bare(&input.ty)
                && let Some(token) = &reference.mutability
            {
                errors.on(token, "an event is shared between its handlers and can't be changed: take `&E`, or `E` for a clone");
            }
            Some(&input.ty)
        }
    }
}

fn state(input: &FnArg, errors: &mut Errors) -> Option<State> {
    let FnArg::Typed(input) = input else { return None };
    let name = argument_name(input);
    match bare(&input.ty) {
        Type::Reference(reference) => {
            if let Some(token) = &reference.mutability {
                let message = "state is shared between handlers: take `&T`, and put values that change into a `Mutex` or an atomic";
                errors.on(token, message);
            }
            Some(State { name, ty: bare(&reference.elem).clone() })
        }
        Type::ImplTrait(_) => None,
        Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option") => {
            let message = "state can't be an `Option`, because `build()` checks that all state is given: take `&T`; if a value may be missing, put the `Option` into a struct, and take that";
            errors.on(path, message);
            None
        }
        ty => {
            let written = text_of(inside_arc(ty));
            errors.on(
                ty,
                format_args!(
                    "state is passed by reference: write `{name}: &{written}`; only the event can be passed by value"
                ),
            );
            None
        }
    }
}

/// Returns the type without enclosing parentheses, as in `&(dyn A + B)`, and without the invisible groups that a macro
/// adds to a type it passes on.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Paren(paren) => bare(&paren.elem),
        Type::Group(group) => bare(&group.elem),
        ty => ty,
    }
}

/// Returns the `T` of an `Arc<T>`, and every other type unchanged.
fn inside_arc(ty: &Type) -> &Type {
    let Type::Path(path) = ty else { return ty };
    match path.path.segments.last() {
        Some(PathSegment { ident, arguments: PathArguments::AngleBracketed(list) }) if ident == "Arc" => {
            match list.args.first() {
                Some(GenericArgument::Type(inner)) => inner,
                _ => ty,
            }
        }
        _ => ty,
    }
}

fn argument_name(input: &PatType) -> String {
    match &*input.pat {
        Pat::Ident(pat) => pat.ident.to_string(),
        pat => text_of(pat),
    }
}
