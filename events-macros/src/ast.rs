//! The item below a derive, parsed once: its fields and variants, each with its attributes and its names on the wire.

use std::ops::Deref;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{DeriveInput, Generics, Ident, Type};

use crate::attr::{self, Attributes};
use crate::case::Case;

/// A struct, an enum or a union.
pub(crate) struct Input<'a> {
    pub(crate) syntax: &'a DeriveInput,
    pub(crate) ident: &'a Ident,
    /// The identifier without `r#`.
    pub(crate) name: String,
    pub(crate) generics: &'a Generics,
    pub(crate) attr: Attributes,
    pub(crate) data: Data<'a>,
}

pub(crate) enum Data<'a> {
    Struct(Fields<'a>),
    Enum(Vec<Variant<'a>>),
    Union,
}

pub(crate) enum Fields<'a> {
    Named(Vec<Field<'a>>),
    Unnamed(Vec<Field<'a>>),
    Unit,
}

/// A variant of an enum. What the enum says of its fields is in the attributes of the variant, too.
pub(crate) struct Variant<'a> {
    pub(crate) syntax: &'a syn::Variant,
    pub(crate) ident: &'a Ident,
    /// The identifier without `r#`.
    pub(crate) name: String,
    pub(crate) attr: Attributes,
    pub(crate) on_wire: Names,
    pub(crate) fields: Fields<'a>,
}

pub(crate) struct Field<'a> {
    pub(crate) syntax: &'a syn::Field,
    pub(crate) ident: Option<&'a Ident>,
    pub(crate) ty: &'a Type,
    pub(crate) attr: Attributes,
    pub(crate) on_wire: Names,
}

/// The names of a field or variant on the wire: `None` for a side that serde skips.
pub(crate) struct Names {
    pub(crate) written: Option<String>,
    pub(crate) read: Option<String>,
    /// The other names it is read under.
    pub(crate) aliases: Vec<String>,
}

impl<'a> Input<'a> {
    /// Reads an item. The output of `#[event]` has our options in `attr::EVENT`; other types in `attr::SCHEMA`.
    pub(crate) fn new(syntax: &'a DeriveInput) -> Self {
        let DeriveInput { ident, generics, attrs, .. } = syntax;
        let is_event = attr::named(attrs, attr::EVENT).next().is_some();
        let helper = if is_event { attr::EVENT } else { attr::SCHEMA };
        let (name, mut attr) = (ident.unraw().to_string(), Attributes::read(attrs, helper));
        let data = match &syntax.data {
            syn::Data::Struct(data) => {
                if let Some(tag) = attr.tag.take() {
                    attr.struct_tag =
                        Some((tag, attr.rename.written.clone().unwrap_or_else(|| name.clone())));
                }
                Data::Struct(Fields::new(&data.fields, &attr, helper))
            }
            syn::Data::Enum(data) => {
                let variants = data.variants.iter().map(|variant| Variant::new(variant, &attr, helper));
                Data::Enum(variants.collect())
            }
            syn::Data::Union(_) => Data::Union,
        };
        Self { syntax, ident, name, generics, attr, data }
    }

    /// The fields of a struct, or of all variants.
    pub(crate) fn fields(&self) -> Vec<&Field<'a>> {
        match &self.data {
            Data::Struct(fields) => fields.iter().collect(),
            Data::Enum(variants) => variants.iter().flat_map(|variant| variant.fields.iter()).collect(),
            Data::Union => Vec::new(),
        }
    }

    /// The fields that are fields on the wire, too: those of a struct with names that is written as itself.
    pub(crate) fn wire_fields(&self) -> &[Field<'a>] {
        match &self.data {
            Data::Struct(Fields::Named(fields))
                if !self.attr.transparent && self.attr.remote.is_none() && !self.attr.is_converted() =>
            {
                fields
            }
            _ => &[],
        }
    }
}

impl<'a> Variant<'a> {
    fn new(syntax: &'a syn::Variant, of: &Attributes, helper: &str) -> Self {
        let (ident, name) = (&syntax.ident, syntax.ident.unraw().to_string());
        let mut attr = Attributes::read(&syntax.attrs, helper);
        let on_wire = Names::new(&attr, of, |case| case.of_variant(&name));
        attr.rename_all.get_or_insert_with(|| of.rename_all_fields.clone());
        attr.deny_unknown.clone_from(&of.deny_unknown);
        let fields = Fields::new(&syntax.fields, &attr, helper);
        Self { syntax, ident, name, attr, on_wire, fields }
    }
}

impl<'a> Fields<'a> {
    fn new(syntax: &'a syn::Fields, of: &Attributes, helper: &str) -> Self {
        let all = syntax.iter().map(|field| Field::new(field, of, helper));
        match syntax {
            syn::Fields::Named(_) => Self::Named(all.collect()),
            syn::Fields::Unnamed(_) => Self::Unnamed(all.collect()),
            syn::Fields::Unit => Self::Unit,
        }
    }

    /// The field of a newtype.
    pub(crate) fn newtype(&self) -> Option<&Field<'a>> {
        match self {
            Self::Unnamed(fields) if fields.len() == 1 => fields.first(),
            _ => None,
        }
    }
}

impl<'a> Deref for Fields<'a> {
    type Target = [Field<'a>];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Named(fields) | Self::Unnamed(fields) => fields,
            Self::Unit => &[],
        }
    }
}

impl<'a> Field<'a> {
    fn new(syntax: &'a syn::Field, of: &Attributes, helper: &str) -> Self {
        let (ident, attr) = (syntax.ident.as_ref(), Attributes::read(&syntax.attrs, helper));
        let name = ident.map(|ident| ident.unraw().to_string()).unwrap_or_default();
        let on_wire = Names::new(&attr, of, |case| case.of_field(&name));
        Self { syntax, ident, ty: &syntax.ty, attr, on_wire }
    }

    /// The field without its attributes and visibility, `name: Type`, as the location of an error.
    pub(crate) fn location(&self) -> TokenStream {
        let syn::Field { ident, colon_token, ty, .. } = self.syntax;
        quote!(#ident #colon_token #ty)
    }

    /// The name or the number by which expressions and patterns name the field.
    pub(crate) fn member(&self, index: usize) -> TokenStream {
        let index = syn::Index::from(index);
        self.ident.map_or_else(|| quote!(#index), |ident| quote!(#ident))
    }
}

impl Names {
    /// The names of a field or variant with attributes `attr`; `of` are the attributes of what it is in.
    fn new(attr: &Attributes, of: &Attributes, spelt: impl Fn(Case) -> String) -> Self {
        let cases = of.rename_all.clone().unwrap_or_default();
        let name = |skipped: bool, renamed: &Option<String>, case| {
            (!skipped).then(|| renamed.clone().unwrap_or_else(|| spelt(case)))
        };
        Self {
            written: name(attr.skipped.written, &attr.rename.written, cases.written),
            read: name(attr.skipped.read, &attr.rename.read, cases.read),
            aliases: attr.aliases.clone(),
        }
    }

    /// The name it is written under, else the one it is read under; `None` where serde skips it on both sides.
    pub(crate) fn first(&self) -> Option<&String> {
        self.written.as_ref().or(self.read.as_ref())
    }

    /// All names, each once.
    pub(crate) fn all(&self) -> Vec<&str> {
        let own = [&self.written, &self.read].into_iter().flatten();
        let aliases = self.aliases.iter().filter(|_| self.read.is_some());
        let mut all: Vec<&str> = own.chain(aliases).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
