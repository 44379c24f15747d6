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
    check_qualifiers(signature, errors);
    check_not_generic(signature, errors);
    check_output(signature, errors);
    let mut inputs = signature.inputs.iter();
    let event = event_argument(inputs.next(), signature, errors);
    let mut states: Vec<_> = inputs.filter_map(|input| state_argument(input, errors)).collect();
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
pub(crate) fn associated_function_error(function: &ItemFn) -> Option<syn::Error> {
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

fn check_qualifiers(signature: &Signature, errors: &mut Errors) {
    if let Safety::Unsafe(token) = &signature.safety {
        errors.on(token, "a handler can't be `unsafe`, because the bus can't uphold its safety conditions: remove `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        let written = text_of(abi);
        errors.on(abi, format_args!("a handler can't be `{written}`: remove `{written}`"));
    }
    if let Some(variadic) = &signature.variadic {
        errors.on(variadic, "a handler must have a fixed number of arguments: remove `...`");
    }
}

fn check_not_generic(signature: &Signature, errors: &mut Errors) {
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
        let message = "a handler can't be generic, because the bus can't choose a";
        errors.on(
            param,
            format_args!("{message} {kind} for `{name}`: write a concrete {kind} instead of `{name}`"),
        );
    }
    for input in &signature.inputs {
        if let FnArg::Typed(input) = input
            && let Some(ty) = impl_trait(&input.ty)
        {
            let written = text_of(ty);
            errors.on(
                ty,
                format_args!("`{written}` makes the handler generic, and the bus can't choose a type for it: write a concrete type, or, for state, a trait object, `&dyn Trait`"),
            );
        }
    }
}

fn check_output(signature: &Signature, errors: &mut Errors) {
    match &signature.output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => {
            let written = text_of(ty);
            errors.on(
                ty,
                format_args!("a handler can't return `{written}`: instead of a future, write an `async fn` whose return type is the output of the future"),
            );
        }
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => {
            errors.on(ty, "a handler can't return `!`, because `emit` waits until it returns: remove `-> !`, and let the function return");
        }
        _ => {}
    }
}

fn impl_trait(ty: &Type) -> Option<&Type> {
    match without_parentheses(ty) {
        ty @ Type::ImplTrait(_) => Some(ty),
        Type::Reference(reference) => impl_trait(&reference.elem),
        _ => None,
    }
}

fn event_argument<'a>(
    input: Option<&'a FnArg>,
    signature: &Signature,
    errors: &mut Errors,
) -> Option<&'a Type> {
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
            if let Type::Reference(reference) = without_parentheses(&input.ty)
                && let Some(token) = &reference.mutability
            {
                let event = text_of(without_parentheses(&reference.elem));
                errors.on(
                    token,
                    format_args!("`&mut {event}` can't be the event of a handler, because all handlers of an event share it: write `&{event}`, or `{event}` for a clone that the handler may change"),
                );
            }
            Some(&input.ty)
        }
    }
}

fn state_argument(input: &FnArg, errors: &mut Errors) -> Option<State> {
    let FnArg::Typed(input) = input else { return None };
    let (name, ty) = (argument_name(input), without_parentheses(&input.ty));
    if let Some(inner) = argument_of("Option", ty) {
        let (written, inner) = (text_of(ty), text_of(without_reference(inner)));
        errors.on(
            ty,
            format_args!("`{written}` can't be state, because `build()` fails if state is missing: write `{name}: &{inner}`; if there may be no `{inner}`, put the `Option` into a struct of your own, and take a reference to that struct"),
        );
        return None;
    }
    match ty {
        Type::Reference(reference) => {
            if let Some(token) = &reference.mutability {
                let state = text_of(without_parentheses(&reference.elem));
                errors.on(
                    token,
                    format_args!("`&mut {state}` can't be state, because handlers that run at the same time share it: write `{name}: &{state}`, and put the values that change into a `Mutex` or an atomic"),
                );
            }
            Some(State { name, ty: without_parentheses(&reference.elem).clone() })
        }
        Type::ImplTrait(_) => None,
        ty => {
            let written = text_of(argument_of("Arc", ty).unwrap_or(ty));
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
fn without_parentheses(ty: &Type) -> &Type {
    match ty {
        Type::Paren(paren) => without_parentheses(&paren.elem),
        Type::Group(group) => without_parentheses(&group.elem),
        ty => ty,
    }
}

/// Returns the `T` of a `Wrapper<T>`, and `None` for every other type.
fn argument_of<'a>(wrapper: &str, ty: &'a Type) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    match path.path.segments.last()? {
        PathSegment { ident, arguments: PathArguments::AngleBracketed(list) } if ident == wrapper => {
            match list.args.first()? {
                GenericArgument::Type(inner) => Some(inner),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the `T` of a `&T`, and every other type unchanged.
fn without_reference(ty: &Type) -> &Type {
    match without_parentheses(ty) {
        Type::Reference(reference) => without_parentheses(&reference.elem),
        ty => ty,
    }
}

fn argument_name(input: &PatType) -> String {
    match &*input.pat {
        Pat::Ident(pat) => pat.ident.to_string(),
        pat => text_of(pat),
    }
}
