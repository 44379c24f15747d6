//! The checks that a type reads back what it writes: names are compared here, the rest is left to
//! constants.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Field, Fields, GenericArgument, Ident, PathArguments, Type, Variant};

use super::attributes::{Container, Item, Sides};
use super::expand::{names_of, names_of_variant, variant_container};
use crate::errors::{Errors, call_at, text_of};
use crate::tokens::without_self;

/// The most parts of which the constant on the whole type knows that they have constants of their own.
const MAX_PARTS: usize = 128;

/// The mistakes in names, and constants that fail to evaluate where serde does not read what it writes.
pub(super) fn checks(
    input: &DeriveInput,
    container: &Container,
    helper: &str,
    private: &TokenStream,
) -> TokenStream {
    let mut errors = Errors::default();
    let checker = Checker { input, container, helper, private };
    let own_shape = container.converts.written.is_none() && container.converts.read.is_none();
    if own_shape && container.remote.is_none() {
        checker.names(&mut errors);
    }
    match (errors.is_empty(), input.generics.params.is_empty()) {
        // One error for one mistake: the constants would find it, too.
        (false, _) => errors.into_tokens(),
        (true, true) => checker.constants(own_shape),
        // Each instance is checked where it is used.
        (true, false) => TokenStream::new(),
    }
}

struct Checker<'a> {
    input: &'a DeriveInput,
    container: &'a Container,
    helper: &'a str,
    private: &'a TokenStream,
}

/// Something with names on the wire: a field or a variant.
struct Named<'a> {
    ident: &'a Ident,
    on_wire: Sides<Option<String>>,
    aliases: Vec<String>,
}

impl Named<'_> {
    /// All names, without those that are there twice.
    fn all(&self) -> Vec<&str> {
        let own = [&self.on_wire.written, &self.on_wire.read].into_iter().flatten();
        let aliases = self.aliases.iter().filter(|_| self.on_wire.read.is_some());
        let mut all: Vec<&str> = own.chain(aliases).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn is_alias(&self, name: &str) -> bool {
        [&self.on_wire.written, &self.on_wire.read].into_iter().flatten().all(|own| own != name)
    }
}

impl Checker<'_> {
    fn names(&self, errors: &mut Errors) {
        match &self.input.data {
            Data::Struct(data) => {
                let is_newtype = data.fields.len() == 1;
                self.fields(self.container, &data.fields, is_newtype, errors);
                self.struct_tag(&data.fields, errors);
            }
            Data::Enum(data) => {
                self.variants(&data.variants.iter().collect::<Vec<_>>(), errors);
                for variant in &data.variants {
                    let item = Item::read(&variant.attrs, self.helper);
                    if !item.skipped.written && !item.custom.written && !item.custom.read {
                        let container = variant_container(self.container, variant);
                        self.fields(&container, &variant.fields, variant.fields.len() == 1, errors);
                    }
                }
            }
            Data::Union(_) => {}
        }
    }

    fn fields(&self, container: &Container, fields: &Fields, is_newtype: bool, errors: &mut Errors) {
        match fields {
            Fields::Named(_) if container.transparent => {}
            Fields::Named(fields) => {
                let items = fields.named.iter().map(|field| (field, self.item(field)));
                let named = items.filter(|(_, item)| !item.flatten).filter_map(|(field, item)| {
                    let on_wire = names_of(field, container, &item);
                    Some(Named { ident: field.ident.as_ref()?, on_wire, aliases: item.aliases })
                });
                let named: Vec<Named<'_>> = named.collect();
                compare(&named, "fields", errors);
                named.iter().for_each(|field| check_sides(field, errors));
            }
            Fields::Unnamed(fields) => {
                let items: Vec<_> = fields.unnamed.iter().map(|field| (field, self.item(field))).collect();
                for (index, (field, item)) in items.iter().enumerate() {
                    let is_last = items[index + 1..].iter().all(|(_, item)| skips_both(item));
                    if let Some(problem) = moves_others(item, is_newtype, is_last) {
                        errors.on(&field.ty, problem);
                    }
                }
            }
            Fields::Unit => {}
        }
    }

    /// The tag of a struct is a field beside the others.
    fn struct_tag(&self, fields: &Fields, errors: &mut Errors) {
        let Some((tag, _)) = &self.container.struct_tag else { return };
        for field in fields {
            let item = self.item(field);
            let on_wire = names_of(field, self.container, &item);
            if let Some(ident) = &field.ident
                && !item.flatten
                && (Some(tag) == on_wire.written.as_ref()
                    || Some(tag) == on_wire.read.as_ref()
                    || item.aliases.contains(tag))
            {
                let shown = ident.unraw();
                errors.at(
                    ident.span(),
                    format_args!("`{shown}` and the tag are both named `{tag}` on the wire, so that no record can be read: rename one of them"),
                );
            }
        }
    }

    fn variants(&self, variants: &[&Variant], errors: &mut Errors) {
        if self.container.untagged {
            let items = variants.iter().map(|variant| (variant, Item::read(&variant.attrs, self.helper)));
            items.for_each(|(variant, item)| {
                check_skipped(&variant.ident, &item, errors);
            });
            return;
        }
        let mut named = Vec::new();
        for variant in variants {
            let item = Item::read(&variant.attrs, self.helper);
            if check_skipped(&variant.ident, &item, errors) || item.untagged {
                continue;
            }
            let on_wire = names_of_variant(variant, self.container, &item);
            let other = item.other;
            let variant = Named { ident: &variant.ident, on_wire, aliases: item.aliases };
            if !other {
                check_sides(&variant, errors);
            }
            named.push(variant);
        }
        compare(&named, "variants", errors);
    }

    fn item(&self, field: &Field) -> Item {
        Item::read(&field.attrs, self.helper)
    }
}

/// Finds names that two of them have.
fn compare(all: &[Named<'_>], what: &str, errors: &mut Errors) {
    let mut owners: HashMap<&str, &Named<'_>> = HashMap::new();
    for named in all {
        for name in named.all() {
            let Some(other) = owners.insert(name, named) else { continue };
            // The alias is the mistake, if it is one of both.
            let at = if !named.is_alias(name) && other.is_alias(name) { other } else { named };
            let (one, two) = (other.ident.unraw(), named.ident.unraw());
            errors.at(
                at.ident.span(),
                format_args!(
                    "the {what} `{one}` and `{two}` are both written or read as `{name}`, so that records can't be read back: rename one of them"
                ),
            );
            return;
        }
    }
}

/// A field or variant that is written under a name that it is not read under.
fn check_sides(named: &Named<'_>, errors: &mut Errors) {
    let (Some(written), Some(read)) = (&named.on_wire.written, &named.on_wire.read) else { return };
    if written == read || named.aliases.contains(written) {
        return;
    }
    errors.at(
        named.ident.span(),
        format_args!(
            "`{}` is written as `{written}`, but read as `{read}`, so that records can't be read back: add `#[serde(alias = \"{written}\")]`",
            named.ident.unraw()
        ),
    );
}

/// A variant that is written and never read.
fn check_skipped(ident: &Ident, item: &Item, errors: &mut Errors) -> bool {
    let is_wrong = item.skipped.read && !item.skipped.written;
    if is_wrong {
        errors.at(
            ident.span(),
            format_args!(
                "the variant `{ident}` is written, but never read, so that records of it can't be read back: leave `skip_deserializing` away, or write `skip`"
            ),
        );
    }
    is_wrong
}

pub(super) const fn skips_both(item: &Item) -> bool {
    item.skipped.written && item.skipped.read
}

/// Why an element of a tuple is not found where it was written.
pub(super) fn moves_others(item: &Item, is_newtype: bool, is_last: bool) -> Option<&'static str> {
    if item.skipped.written != item.skipped.read {
        let may_be_missing = item.skipped.written && item.default && is_last && !is_newtype;
        return (!may_be_missing).then_some(
            "this element is skipped on one side alone, so that the others are not read where they were written: write `#[serde(skip)]`, or give the fields names",
        );
    }
    let moves = item.skipped_if.is_some() && !is_newtype && !skips_both(item);
    (moves && !(is_last && item.default)).then_some(
        "an element of a tuple that may be left out moves those after it: leave `skip_serializing_if` away, or give the fields names",
    )
}

impl Checker<'_> {
    fn constants(&self, own_shape: bool) -> TokenStream {
        let mut parts = Parts { checks: Vec::new(), done: 0 };
        match &self.input.data {
            _ if !own_shape || self.container.remote.is_some() => {}
            Data::Struct(data) => self.struct_parts(&data.fields, &mut parts),
            Data::Enum(data) => {
                let kept = data.variants.iter().filter(|variant| {
                    let item = Item::read(&variant.attrs, self.helper);
                    !skips_both(&item)
                });
                kept.enumerate().for_each(|(index, variant)| self.variant_parts(index, variant, &mut parts));
            }
            Data::Union(_) => {}
        }
        let (private, name, ty) = (self.private, self.input.ident.unraw().to_string(), self.ty());
        let Parts { checks, done } = parts;
        let rest = call_at(&self.input.ident, quote!(#private::declared), quote!(#name, #ty, #done));
        let rest = constant(&rest);
        quote!(#(#checks)* #rest)
    }

    fn ty(&self) -> TokenStream {
        let (ident, private) = (&self.input.ident, self.private);
        quote!(<#ident as #private::Schema>::TYPE)
    }

    fn struct_parts(&self, fields: &Fields, parts: &mut Parts) {
        let private = self.private;
        match fields {
            Fields::Named(_) if self.container.transparent => {}
            Fields::Named(_) => {
                let first = usize::from(self.container.struct_tag.is_some());
                self.field_parts(first, fields, None, parts);
            }
            Fields::Unnamed(_) => {
                let kept = fields.iter().filter(|field| !skips_both(&self.item(field)));
                for (index, field) in kept.enumerate() {
                    let item = self.item(field);
                    let is_read = !item.opaque && !item.custom.read && !item.custom.written;
                    if !is_read || item.skipped.read || item.skipped.written || is_plain(&field.ty, true) {
                        continue;
                    }
                    let (name, shape) = (self.input.ident.unraw().to_string(), self.shape_of(field));
                    let none = quote!(::core::option::Option::None);
                    let arguments = quote!(#name, #shape, #none, #none);
                    parts.add(index, call_at(&field.ty, quote!(#private::part), arguments));
                }
            }
            Fields::Unit => {}
        }
    }

    /// The fields of a struct or of a variant; the first has this place in the schema.
    fn field_parts(&self, first: usize, fields: &Fields, variant: Option<usize>, parts: &mut Parts) {
        let private = self.private;
        let kept = fields.iter().filter(|field| !skips_both(&self.item(field)));
        for (index, field) in kept.enumerate() {
            let item = self.item(field);
            let is_special = item.flatten
                || item.skipped.written
                || item.skipped_if.is_some()
                || !item.opaque && !is_plain(&field.ty, true);
            if is_special {
                let check = self.part(&field.ty, variant, Some(first + index));
                let check = match item.flatten {
                    true => self.after(field, quote!(#private::flattened), check),
                    false => check,
                };
                match variant {
                    None => parts.add(first + index, check),
                    // The variant is checked as a whole, too.
                    Some(_) => parts.checks.push(constant(&check)),
                }
            }
        }
    }

    fn variant_parts(&self, index: usize, variant: &Variant, parts: &mut Parts) {
        let (container, private) = (self.container, self.private);
        let item = Item::read(&variant.attrs, self.helper);
        if item.skipped.written || item.custom.written || item.custom.read {
            return;
        }
        let untagged = container.untagged || item.untagged;
        let whole = untagged || container.tag.is_some();
        let before = parts.checks.len();
        if let (Fields::Named(_), false) = (&variant.fields, whole) {
            self.field_parts(0, &variant.fields, Some(index), parts);
            if parts.checks.len() > before {
                parts.done |= done(index);
            }
            return;
        }
        let place: &dyn ToTokens = match &variant.fields {
            Fields::Unit if !untagged => return,
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0].ty,
            _ => &variant.ident,
        };
        let is_plain = variant.fields.iter().all(|field| is_plain(&field.ty, true));
        if whole || !is_plain {
            let check = self.part(&place, Some(index), None);
            let check = match (&variant.fields, container.tag.is_some() && container.content.is_none()) {
                (Fields::Unnamed(fields), true) if fields.unnamed.len() == 1 && !untagged => {
                    self.after(&fields.unnamed[0], quote!(#private::beside_tag), check)
                }
                _ => check,
            };
            parts.add(index, check);
        }
    }

    /// A check after another one of a field's type, which says more where it fails.
    fn after(&self, field: &Field, first: TokenStream, check: TokenStream) -> TokenStream {
        let item = self.item(field);
        if item.opaque || item.custom.read || item.custom.written || item.skipped.read {
            return check;
        }
        let (text, shape) = (text_of(&field.ty), self.shape_of(field));
        let first = call_at(&field.ty, first, quote!(#text, #shape));
        quote!({ #first; #check })
    }

    fn shape_of(&self, field: &Field) -> TokenStream {
        let (ty, private) = (without_self(&field.ty, &self.input.ident), self.private);
        quote!(<#ty as #private::Schema>::TYPE)
    }

    fn part(&self, place: &impl ToTokens, variant: Option<usize>, field: Option<usize>) -> TokenStream {
        let (private, name, ty) = (self.private, self.input.ident.unraw().to_string(), self.ty());
        let option = |index: Option<usize>| match index {
            Some(index) => quote!(::core::option::Option::Some(#index)),
            None => quote!(::core::option::Option::None),
        };
        let (variant, field) = (option(variant), option(field));
        call_at(place, quote!(#private::part), quote!(#name, #ty, #variant, #field))
    }
}

/// Constants on parts of a type.
struct Parts {
    checks: Vec<TokenStream>,
    /// A bit for each part that has one, by its place in the schema.
    done: u128,
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

/// Whether a type looks like a scalar, an option or a list of scalars: there is no need for a constant of
/// its own, which would say where it is. The constant on the whole type does not rely on the looks.
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
