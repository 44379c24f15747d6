//! The attributes that decide a shape: serde's, as it reads, and our own.

use proc_macro2::TokenTree;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr, Path, Token};

use super::case::Case;
use super::named;
use crate::errors::Errors;

/// What serde's attributes on a struct, enum or variant say about reading.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) rename_all: Case,
    pub(crate) rename_all_fields: Case,
    pub(crate) deny_unknown: bool,
    pub(crate) default: bool,
    pub(crate) transparent: bool,
    /// The shape is not that of the fields: another type is read, or the enum is not tagged by name.
    pub(crate) other_shape: bool,
}

/// What serde's attributes on a field or variant say about reading.
#[derive(Default)]
pub(crate) struct Item {
    pub(crate) rename: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) skipped: bool,
    pub(crate) default: bool,
    pub(crate) flatten: bool,
    /// A function of the user reads it, or it takes any name.
    pub(crate) custom: bool,
    pub(crate) opaque: bool,
}

impl Container {
    pub(crate) fn read(attributes: &[Attribute]) -> Self {
        let mut container = Self::default();
        each_serde(attributes, |key, meta| {
            match key {
                "rename_all" => container.rename_all = Case::named(reading_name(meta)?),
                "rename_all_fields" => container.rename_all_fields = Case::named(reading_name(meta)?),
                "deny_unknown_fields" => container.deny_unknown = true,
                "default" => container.default = true,
                "transparent" => container.transparent = true,
                "tag" | "content" | "untagged" | "from" | "try_from" | "remote" => {
                    container.other_shape = true
                }
                _ => {}
            }
            Ok(())
        });
        container
    }
}

impl Item {
    pub(crate) fn read(attributes: &[Attribute], helper: &str) -> Self {
        let mut item = Self {
            opaque: named(attributes, helper).any(|ours| has_option(ours, "opaque")),
            ..Self::default()
        };
        each_serde(attributes, |key, meta| {
            match key {
                "rename" => item.rename = reading_name(meta)?,
                "alias" => item.aliases.extend(meta.value()?.parse::<LitStr>().map(|name| name.value()).ok()),
                "skip" | "skip_deserializing" => item.skipped = true,
                "default" => item.default = true,
                "flatten" => item.flatten = true,
                "with" | "deserialize_with" | "other" | "untagged" => item.custom = true,
                _ => {}
            }
            Ok(())
        });
        item
    }
}

/// Calls `read` for each option in `#[serde(...)]`. What it can't parse is serde_derive's to report.
fn each_serde(attributes: &[Attribute], mut read: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<()>) {
    for attribute in named(attributes, "serde") {
        let _ = attribute.parse_nested_meta(|meta| {
            if let Some(key) = meta.path.get_ident() {
                read(&key.to_string(), &meta)?;
            }
            skip_value(&meta)
        });
    }
}

/// `= "name"`, or the one of `(serialize = "...", deserialize = "name")` that counts for reading.
fn reading_name(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    if meta.input.peek(Token![=]) {
        return Ok(Some(meta.value()?.parse::<LitStr>()?.value()));
    }
    let mut name = None;
    meta.parse_nested_meta(|side| {
        let value = side.value()?.parse::<LitStr>()?.value();
        if side.path.is_ident("deserialize") {
            name = Some(value);
        }
        Ok(())
    })?;
    Ok(name)
}

/// Reads over the rest of an option.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    while !meta.input.is_empty() && !meta.input.peek(Token![,]) {
        meta.input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// Whether an attribute has an option of this name.
pub(crate) fn has_option(attribute: &Attribute, name: &str) -> bool {
    let mut found = false;
    // What can't be parsed is for the attribute's owner to report.
    let _ = attribute.parse_nested_meta(|meta| {
        found |= meta.path.is_ident(name);
        skip_value(&meta)
    });
    found
}

/// Checks `#[event(...)]` or `#[schema(...)]` on a field.
pub(crate) fn check_field_options(attribute: &Attribute) -> syn::Result<()> {
    attribute.parse_nested_meta(|meta| match meta.path.is_ident("opaque") {
        true => Ok(()),
        false => Err(meta.error("unknown option of a field: there is `opaque`")),
    })
}

/// The path of `#[schema(crate = path)]`, else `::typed_events`.
pub(crate) fn crate_path(attributes: &[Attribute], errors: &mut Errors) -> Path {
    let mut path = syn::parse_quote!(::typed_events);
    for attribute in named(attributes, "schema") {
        let parsed = attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option of a type: there is `crate = path`"));
            }
            path = meta.value()?.call(Path::parse_mod_style)?;
            Ok(())
        });
        if let Err(error) = parsed {
            errors.push(error);
        }
    }
    path
}
