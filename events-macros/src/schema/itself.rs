//! Checks that a type can read what it writes. The macro compares names; generated constants check the rest.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{GenericArgument, Ident, PathArguments, Type};

use crate::ast::{Data, Field, Fields, Input, Names, Variant};
use crate::attr::Attributes;
use crate::errors::{Errors, call_at, text_of};
use crate::tokens::{option, without_self};

/// Maximum number of parts (fields or variants) that the constant for the whole type can skip, because a separate
/// constant checks them. Both constants check the parts with higher indexes.
const MAX_PARTS: usize = 128;

/// Generates errors for conflicting names, and constants that fail to evaluate if serde can't read what it writes.
pub(super) fn checks(input: &Input<'_>, private: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    if !input.attr.is_converted() && input.attr.remote.is_none() {
        check_names(input, &mut errors);
    }
    match (errors.is_empty(), input.generics.params.is_empty()) {
        // The constants would report the same error again.
        (false, _) => errors.into_tokens(),
        (true, true) => Checker { input, private }.constants(),
        // A generic type is checked where an instance of it is used.
        (true, false) => TokenStream::new(),
    }
}

/// The identifier and the serialized names of a field or variant.
type Named<'a> = (&'a Ident, &'a Names);

fn check_names(input: &Input<'_>, errors: &mut Errors) {
    match &input.data {
        Data::Struct(fields) => {
            check_fields(&input.attr, fields, errors);
            check_struct_tag(&input.attr, fields, errors);
        }
        Data::Enum(variants) => {
            check_variants(input.attr.untagged, variants, errors);
            for Variant { attr, fields, .. } in variants {
                if !attr.skipped.written && !attr.custom.written && !attr.custom.read {
                    check_fields(attr, fields, errors);
                }
            }
        }
        Data::Union => {}
    }
}

fn check_fields(container: &Attributes, fields: &Fields<'_>, errors: &mut Errors) {
    match fields {
        Fields::Named(_) if container.transparent => {}
        Fields::Named(fields) => {
            let named = fields.iter().filter(|field| !field.attr.flatten);
            let named: Vec<_> =
                named.filter_map(|field| Some((field.ident?, &field.serialized_names))).collect();
            compare(&named, "fields", errors);
            named.into_iter().for_each(|field| check_sides(field, errors));
        }
        Fields::Unnamed(fields) => {
            for (index, field) in fields.iter().enumerate() {
                if let Some(problem) = moves_others(fields, index, fields.len() == 1) {
                    errors.on(field.ty, problem);
                }
            }
        }
        Fields::Unit => {}
    }
}

/// Reports fields with the name of the struct's tag, which serde writes as another field.
fn check_struct_tag(container: &Attributes, fields: &[Field<'_>], errors: &mut Errors) {
    let Some((tag, _)) = &container.struct_tag else { return };
    for Field { ident, attr, serialized_names, .. } in fields {
        if let Some(ident) = ident
            && !attr.flatten
            && serialized_names.all().contains(&tag.as_str())
        {
            let shown = ident.unraw();
            errors.at(
                ident.span(),
                format_args!("the field `{shown}` and the tag are both named `{tag}` in JSON, so records can't be read back: rename one of them"),
            );
        }
    }
}

fn check_variants(untagged: bool, variants: &[Variant<'_>], errors: &mut Errors) {
    let mut named = Vec::new();
    for variant in variants {
        if is_never_read(variant, errors) || untagged || variant.attr.untagged {
            continue;
        }
        let is_other = variant.attr.other;
        let variant = (variant.ident, &variant.serialized_names);
        if !is_other {
            check_sides(variant, errors);
        }
        named.push(variant);
    }
    compare(&named, "variants", errors);
}

/// Reports the first name that two fields or variants share.
fn compare(all: &[Named<'_>], what: &str, errors: &mut Errors) {
    let mut owners: HashMap<&str, &Named<'_>> = HashMap::new();
    for named in all {
        for name in named.1.all() {
            let Some(other) = owners.insert(name, named) else { continue };
            let is_own = |(_, names): &Named<'_>| {
                [&names.written, &names.read].into_iter().flatten().any(|own| own == name)
            };
            // If one of the two names is an alias, the error is at the alias.
            let (at, _) = if is_own(named) && !is_own(other) { other } else { named };
            let (one, two) = (other.0.unraw(), named.0.unraw());
            errors.at(
                at.span(),
                format_args!(
                    "the {what} `{one}` and `{two}` are both written or read as `{name}`, so records can't be read back: rename one of them"
                ),
            );
            return;
        }
    }
}

/// Reports a field or variant that serde writes under a name that it does not read.
fn check_sides((ident, names): Named<'_>, errors: &mut Errors) {
    let (Some(written), Some(read)) = (&names.written, &names.read) else { return };
    if written != read && !names.aliases.contains(written) {
        errors.at(
            ident.span(),
            format_args!(
                "`{}` is written as `{written}`, but read as `{read}`, so records can't be read back: add `#[serde(alias = \"{written}\")]`",
                ident.unraw()
            ),
        );
    }
}

/// Reports a variant that serde writes but never reads. Returns whether it is one.
fn is_never_read(Variant { ident, attr, .. }: &Variant<'_>, errors: &mut Errors) -> bool {
    let is_wrong = attr.skipped.read && !attr.skipped.written;
    if is_wrong {
        errors.at(
            ident.span(),
            format_args!(
                "the variant `{ident}` is written, but never read, so records of it can't be read back: remove `skip_deserializing`, or write `skip` instead"
            ),
        );
    }
    is_wrong
}

/// Returns the reason if serde reads this element of a tuple, or one after it, at a different index than it wrote it.
pub(super) fn moves_others(fields: &[Field<'_>], index: usize, is_newtype: bool) -> Option<&'static str> {
    let attr = &fields[index].attr;
    let is_last = fields[index + 1..].iter().all(|field| field.attr.is_skipped());
    if attr.skipped.written != attr.skipped.read {
        let may_be_missing = attr.skipped.written && attr.default && is_last && !is_newtype;
        return (!may_be_missing).then_some(
            "this element is skipped only when it is written, or only when it is read, so elements are read at other indexes than they were written: write `#[serde(skip)]`, or name the fields",
        );
    }
    let moves = attr.skipped_if.is_some() && !is_newtype && !attr.is_skipped();
    (moves && !(is_last && attr.default)).then_some(
        "a tuple with `skip_serializing_if` on this element can't be read back, because it may have fewer elements: remove `skip_serializing_if`, or name the fields",
    )
}

struct Checker<'a> {
    input: &'a Input<'a>,
    private: &'a TokenStream,
}

impl Checker<'_> {
    fn constants(&self) -> TokenStream {
        let mut parts = Parts { checks: Vec::new(), done: 0, of_variants: Vec::new() };
        match &self.input.data {
            _ if self.input.attr.is_converted() || self.input.attr.remote.is_some() => {}
            Data::Struct(fields) => self.struct_parts(fields, &mut parts),
            Data::Enum(variants) => {
                let kept = variants.iter().filter(|variant| !variant.attr.is_skipped());
                kept.enumerate().for_each(|(index, variant)| self.variant_parts(index, variant, &mut parts));
            }
            Data::Union => {}
        }
        let (private, Input { ident, name, .. }, ty) = (self.private, self.input, self.ty());
        let Parts { checks, done, of_variants } = parts;
        let of_variants = of_variants.iter().map(|(index, done)| quote!((#index, #done)));
        let arguments = quote!(#name, #ty, #done, &[#(#of_variants),*]);
        let rest = constant(&call_at(ident, quote!(#private::declared), arguments));
        quote!(#(#checks)* #rest)
    }

    fn ty(&self) -> TokenStream {
        let (ident, private) = (self.input.ident, self.private);
        quote!(<#ident as #private::Schema>::TYPE)
    }

    fn struct_parts(&self, fields: &Fields<'_>, parts: &mut Parts) {
        let (private, Input { name, attr: container, .. }) = (self.private, self.input);
        match fields {
            Fields::Named(_) if container.transparent => {}
            Fields::Named(_) => {
                let first = usize::from(container.struct_tag.is_some());
                self.field_parts(first, fields, None, parts);
            }
            Fields::Unnamed(_) => {
                let kept = fields.iter().filter(|field| !field.attr.is_skipped());
                for (index, field) in kept.enumerate() {
                    let attr = &field.attr;
                    let is_own = attr.is_read() && !attr.custom.written && !attr.skipped.written;
                    if is_own && !is_plain(field.ty, true) {
                        let (shape, none) = (self.shape_of(field), option(None::<usize>));
                        let arguments = quote!(#name, #shape, #none, #none);
                        parts.add(index, call_at(field.ty, quote!(#private::part), arguments));
                    }
                }
            }
            Fields::Unit => {}
        }
    }

    /// Adds the checks of the fields of a struct or variant. `first` is the schema index of the first field.
    fn field_parts(&self, first: usize, fields: &[Field<'_>], variant: Option<usize>, parts: &mut Parts) {
        let private = self.private;
        let kept = fields.iter().filter(|field| !field.attr.is_skipped());
        for (index, field) in kept.enumerate() {
            let Field { attr, ty, .. } = field;
            let is_special = attr.flatten
                || attr.skipped.written
                || attr.skipped_if.is_some()
                || !attr.opaque && !is_plain(ty, true);
            if is_special {
                let check = self.part(ty, variant, Some(first + index));
                let check = match attr.flatten {
                    true => self.after(field, quote!(#private::flattened), check),
                    false => check,
                };
                parts.add(first + index, check);
            }
        }
    }

    fn variant_parts(&self, index: usize, variant: &Variant<'_>, parts: &mut Parts) {
        let (container, private) = (&self.input.attr, self.private);
        let Variant { attr, fields, ident, .. } = variant;
        if attr.skipped.written || attr.custom.written || attr.custom.read {
            return;
        }
        let untagged = container.untagged || attr.untagged;
        let whole = untagged || container.tag.is_some();
        if let (Fields::Named(_), false) = (fields, whole) {
            let mut of_fields = Parts { checks: Vec::new(), done: 0, of_variants: Vec::new() };
            self.field_parts(0, fields, Some(index), &mut of_fields);
            if !of_fields.checks.is_empty() {
                parts.of_variants.push((index, of_fields.done));
                parts.checks.append(&mut of_fields.checks);
            }
            return;
        }
        let node: &dyn ToTokens = match (fields, fields.newtype()) {
            (Fields::Unit, _) if !untagged => return,
            (_, Some(field)) => &field.ty,
            _ => ident,
        };
        if whole || !fields.iter().all(|field| is_plain(field.ty, true)) {
            let check = self.part(&node, Some(index), None);
            let is_internal = container.tag.is_some() && container.content.is_none() && !untagged;
            let check = match fields.newtype().filter(|_| is_internal) {
                Some(field) => self.after(field, quote!(#private::beside_tag), check),
                None => check,
            };
            parts.add(index, check);
        }
    }

    /// Generates a check that runs after the check `first` of the field's type, whose error message is more precise.
    fn after(&self, field: &Field<'_>, first: TokenStream, check: TokenStream) -> TokenStream {
        if !field.attr.is_read() || field.attr.custom.written {
            return check;
        }
        let (text, shape) = (text_of(field.ty), self.shape_of(field));
        let first = call_at(field.ty, first, quote!(#text, #shape));
        quote!({ #first; #check })
    }

    fn shape_of(&self, field: &Field<'_>) -> TokenStream {
        let (ty, private) = (without_self(field.ty, self.input.ident), self.private);
        quote!(<#ty as #private::Schema>::TYPE)
    }

    fn part(&self, node: &impl ToTokens, variant: Option<usize>, field: Option<usize>) -> TokenStream {
        let (private, name, ty) = (self.private, &self.input.name, self.ty());
        let (variant, field) = (option(variant), option(field));
        call_at(node, quote!(#private::part), quote!(#name, #ty, #variant, #field))
    }
}

/// The constants that check the parts of a type.
struct Parts {
    checks: Vec<TokenStream>,
    /// A bit for each part with a constant; the bit number is the index of the part in the schema.
    done: u128,
    /// The variants with constants for some of their fields: the index of the variant, and a bit for each such field.
    of_variants: Vec<(usize, u128)>,
}

impl Parts {
    fn add(&mut self, index: usize, check: TokenStream) {
        self.done |= done(index);
        self.checks.push(constant(&check));
    }
}

fn constant(check: &TokenStream) -> TokenStream {
    quote! {
        #[allow(deprecated, reason = "the user's own item")]
        const _: () = #check;
    }
}

const fn done(index: usize) -> u128 {
    if index < MAX_PARTS { 1 << index } else { 0 }
}

/// Returns whether a type looks like a scalar, an option of a scalar or a list of scalars. These need no separate
/// constant to locate an error: the constant for the whole type checks the parts that have no constant.
fn is_plain(ty: &Type, nullable: bool) -> bool {
    const SCALARS: [&str; 17] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64",
        "bool", "char", "String",
    ];
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last() else { return false };
    match &last.arguments {
        PathArguments::None => SCALARS.iter().any(|name| last.ident == name),
        PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => {
            let Some(GenericArgument::Type(inner)) = arguments.args.first() else { return false };
            match nullable {
                true if last.ident == "Option" => is_plain(inner, false),
                _ => last.ident == "Vec" && is_plain(inner, true),
            }
        }
        _ => false,
    }
}
