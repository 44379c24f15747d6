//! Reports field types that an event can't contain. One error replaces the errors of all derives.

use quote::{ToTokens, quote};
use syn::{Field, GenericArgument, PathArguments, PathSegment, Type, TypePath};

use super::Arguments;
use crate::attr::Attributes;
use crate::errors::{Errors, text_of};
use crate::source;

/// Reports references in the type of a field, and types of std that are bound to a thread or have interior mutability.
/// Returns whether the field has one.
///
/// The type of the field is replaced by the proposed type. A named field with a reference keeps its type, so that the
/// user's code can still construct values; serde skips it.
pub(crate) fn refused(
    field: &mut Field,
    attr: &Attributes,
    helper: &str,
    arguments: &Arguments,
    errors: &mut Errors,
) -> bool {
    let (mut found, mut ty) = (Vec::new(), field.ty.clone());
    if arguments.adds("Deserialize") && attr.is_read() {
        refuse(&mut ty, &mut found);
    }
    let Some(borrows) = found.iter().map(|problem| problem.borrows).reduce(|one, other| one | other) else {
        return false;
    };
    found.into_iter().for_each(|problem| errors.push(problem.error));
    // Other attributes could cause further errors for this field.
    field.attrs.retain(|attribute| !attribute.path().is_ident("serde") && !attribute.path().is_ident(helper));
    match borrows && field.ident.is_some() {
        true => {
            let krate = &arguments.krate;
            let unread = quote!(#krate::__private::unread).to_string().replace(' ', "");
            field.attrs.push(syn::parse_quote!(#[serde(skip, default = #unread)]));
        }
        false => field.ty = ty,
    }
    true
}

/// The error for a part of a type that an event can't contain.
struct Problem {
    error: syn::Error,
    borrows: bool,
}

impl Problem {
    fn new(node: &impl ToTokens, why: &str, proposed: &Type, borrows: bool) -> Self {
        let (written, proposed) = (text_of(node), text_of(proposed));
        let message = format!("{why}: write `{proposed}` instead of `{written}`");
        Self { error: syn::Error::new_spanned(node, message), borrows }
    }
}

/// Collects the errors for all parts of a type that an event can't contain, and replaces each part by the proposed
/// type.
fn refuse(ty: &mut Type, found: &mut Vec<Problem>) {
    match ty {
        Type::Reference(reference) if is_static(reference) => {
            let owned = owned(&reference.elem);
            found.push(Problem::new(
                reference,
                "an event must own its data, because it is read back from JSON",
                &owned,
                true,
            ));
            *ty = owned;
        }
        Type::Path(path) => {
            let proposed = path.path.segments.last().filter(|_| of_std(path)).and_then(proposed);
            if let Some((proposed, why)) = proposed {
                found.push(Problem::new(path, why, &proposed, false));
                *ty = proposed;
            } else if let Some(last) = path.path.segments.last_mut() {
                arguments_of(last).for_each(|ty| refuse(ty, found));
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|ty| refuse(ty, found)),
        Type::Array(array) => refuse(&mut array.elem, found),
        Type::Paren(paren) => refuse(&mut paren.elem, found),
        Type::Group(group) => refuse(&mut group.elem, found),
        _ => {}
    }
}

/// Returns whether a type belongs to std, according to its path or to the imports of the file.
fn of_std(path: &TypePath) -> bool {
    let segments = &path.path.segments;
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) if segments.len() == 1 => module(last)
            .is_some_and(|module| source::imports(first.ident.span(), module, &last.ident.to_string())),
        (Some(first), _) => ["std", "core", "alloc"].iter().any(|name| first.ident == name),
        _ => false,
    }
}

fn is_static(reference: &syn::TypeReference) -> bool {
    reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static")
}

/// Returns the owned type that replaces a reference to `to`.
fn owned(to: &Type) -> Type {
    let last = |path: &TypePath| path.path.segments.last().map(|last| last.ident.to_string());
    match to {
        Type::Slice(slice) => {
            let element = &slice.elem;
            syn::parse_quote!(Vec<#element>)
        }
        Type::Path(path) if last(path).is_some_and(|last| last == "str") => syn::parse_quote!(String),
        to => to.clone(),
    }
}

/// Returns the module of std that contains a type with this name, among the types that an event can't contain.
fn module(segment: &PathSegment) -> Option<&'static str> {
    match segment.ident.to_string().as_str() {
        "Rc" => Some("rc"),
        "Cell" | "RefCell" | "OnceCell" => Some("cell"),
        "Mutex" | "RwLock" | "OnceLock" => Some("sync"),
        _ => None,
    }
}

/// Returns the type that replaces a type of std, and the reason.
fn proposed(last: &PathSegment) -> Option<(Type, &'static str)> {
    let module = module(last)?;
    let PathArguments::AngleBracketed(list) = &last.arguments else { return None };
    let inner = list.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })?;
    Some(match module {
        "rc" => (owned(inner), "an event moves between threads, which an `Rc` can't"),
        _ => (owned(inner), "an event can't change after it is emitted"),
    })
}

fn arguments_of(segment: &mut PathSegment) -> impl Iterator<Item = &mut Type> {
    let arguments = match &mut segment.arguments {
        PathArguments::AngleBracketed(list) => Some(list.args.iter_mut()),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}
