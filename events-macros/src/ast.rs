//! The type that a derive is applied to, parsed once: its fields and variants with their attributes and serialized
//! names.

use std::ops::Deref;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{DeriveInput, Generics, Ident, Type};

use crate::attr::{self, Attributes};
use crate::case::Case;

/// A parsed struct, enum or union.
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

/// A variant of an enum. Its attributes include those of the enum that apply to the fields of its variants
/// (`rename_all_fields`, `deny_unknown_fields`).
pub(crate) struct Variant<'a> {
    pub(crate) syntax: &'a syn::Variant,
    pub(crate) ident: &'a Ident,
    /// The identifier without `r#`.
    pub(crate) name: String,
    pub(crate) attr: Attributes,
    pub(crate) serialized_names: Names,
    pub(crate) fields: Fields<'a>,
}

pub(crate) struct Field<'a> {
    pub(crate) syntax: &'a syn::Field,
    pub(crate) ident: Option<&'a Ident>,
    pub(crate) ty: &'a Type,
    pub(crate) attr: Attributes,
    pub(crate) serialized_names: Names,
}

/// The names of a field or variant in serialized data. A name is `None` if serde skips that side.
pub(crate) struct Names {
    pub(crate) written: Option<String>,
    pub(crate) read: Option<String>,
    /// Further names that are accepted when the field or variant is read.
    pub(crate) aliases: Vec<String>,
}

impl<'a> Input<'a> {
    /// Parses a type. Our options are in the attribute `attr::EVENT` in the output of `#[event]`, and in
    /// `attr::SCHEMA` on every other type.
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

    /// Returns the fields of a struct, or those of all variants of an enum.
    pub(crate) fn fields(&self) -> Vec<&Field<'a>> {
        match &self.data {
            Data::Struct(fields) => fields.iter().collect(),
            Data::Enum(variants) => variants.iter().flat_map(|variant| variant.fields.iter()).collect(),
            Data::Union => Vec::new(),
        }
    }

    /// Returns the fields that are also fields of the serialized object. These are the fields of a struct with named
    /// fields that is not `transparent`, `remote` or converted to another type.
    pub(crate) fn serialized_fields(&self) -> &[Field<'a>] {
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
        let serialized_names = Names::new(&attr, of, |case| case.of_variant(&name));
        attr.rename_all.get_or_insert_with(|| of.rename_all_fields.clone());
        attr.deny_unknown.clone_from(&of.deny_unknown);
        let fields = Fields::new(&syntax.fields, &attr, helper);
        Self { syntax, ident, name, attr, serialized_names, fields }
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

    /// Returns the field of a newtype (exactly one unnamed field).
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
        let serialized_names = Names::new(&attr, of, |case| case.of_field(&name));
        Self { syntax, ident, ty: &syntax.ty, attr, serialized_names }
    }

    /// Returns the tokens `name: Type`, without attributes and visibility. Compiler errors underline them.
    pub(crate) fn location(&self) -> TokenStream {
        let syn::Field { ident, colon_token, ty, .. } = self.syntax;
        quote!(#ident #colon_token #ty)
    }

    /// Returns the name or index that refers to the field in expressions and patterns.
    pub(crate) fn member(&self, index: usize) -> TokenStream {
        let index = syn::Index::from(index);
        self.ident.map_or_else(|| quote!(#index), |ident| quote!(#ident))
    }
}

impl Names {
    /// Builds the names of a field or variant from its attributes `attr` and from the attributes `of` of the type or
    /// variant that contains it.
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

    /// Returns the name for writing, else the name for reading. Returns `None` if serde skips both sides.
    pub(crate) fn first(&self) -> Option<&String> {
        self.written.as_ref().or(self.read.as_ref())
    }

    /// Returns all names, sorted and without duplicates.
    pub(crate) fn all(&self) -> Vec<&str> {
        let own = [&self.written, &self.read].into_iter().flatten();
        let aliases = self.aliases.iter().filter(|_| self.read.is_some());
        let mut all: Vec<&str> = own.chain(aliases).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
