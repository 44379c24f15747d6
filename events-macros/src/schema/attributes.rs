//! The attributes that decide a shape: serde's, as it reads, and our own.

use proc_macro2::TokenTree;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Expr, ExprLit, Field, Lit, LitStr, Meta, MetaNameValue, Path, Token, Type};

use super::case::Case;
use super::named;
use crate::errors::Errors;
use crate::options;

/// One thing for what serde writes, and one for what it reads.
#[derive(Clone, Default)]
pub(crate) struct Sides<T> {
    pub(crate) written: T,
    pub(crate) read: T,
}

/// What serde's attributes on a struct, enum or variant say.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) rename_all: Sides<Case>,
    pub(crate) rename_all_fields: Sides<Case>,
    pub(crate) deny_unknown: bool,
    pub(crate) default: bool,
    /// The function that gives the default, where it is not that of the type.
    pub(crate) default_by: Option<String>,
    pub(crate) transparent: bool,
    pub(crate) tag: Option<String>,
    /// The tag of a struct, and the name that is written there.
    pub(crate) struct_tag: Option<(String, String)>,
    pub(crate) content: Option<String>,
    pub(crate) untagged: bool,
    /// Another type is written, or read.
    pub(crate) converts: Sides<Option<Type>>,
    /// The same as serde's options say it.
    pub(crate) conversions: Vec<String>,
    /// The shape is that of this foreign type.
    pub(crate) remote: Option<String>,
}

/// What serde's attributes on a field or variant say, and our own.
#[derive(Default)]
pub(crate) struct Item {
    pub(crate) rename: Sides<Option<String>>,
    pub(crate) aliases: Vec<String>,
    pub(crate) skipped: Sides<bool>,
    /// The function that says whether it is left out.
    pub(crate) skipped_if: Option<String>,
    pub(crate) default: bool,
    /// The function that gives the default, where it is not that of the type.
    pub(crate) default_by: Option<String>,
    pub(crate) flatten: bool,
    /// A function of the user writes it, or reads it.
    pub(crate) custom: Sides<bool>,
    /// These functions, as serde's options name them.
    pub(crate) code: Vec<String>,
    /// A variant that is read for any other name.
    pub(crate) other: bool,
    pub(crate) untagged: bool,
    pub(crate) opaque: bool,
    /// Textual forms leave it out.
    pub(crate) secret: bool,
    /// serde asks whether to hide it.
    pub(crate) hides: bool,
}

impl Container {
    pub(crate) fn read(attributes: &[Attribute]) -> Self {
        let mut container = Self::default();
        each_serde(attributes, |key, meta| {
            match key {
                "rename_all" => container.rename_all = cases(meta)?,
                "rename_all_fields" => container.rename_all_fields = cases(meta)?,
                "deny_unknown_fields" => container.deny_unknown = true,
                "default" => (container.default, container.default_by) = (true, path(meta)?),
                "transparent" => container.transparent = true,
                "tag" => container.tag = Some(meta.value()?.parse::<LitStr>()?.value()),
                "content" => container.content = Some(meta.value()?.parse::<LitStr>()?.value()),
                "untagged" => container.untagged = true,
                "into" | "from" | "try_from" => {
                    let ty = meta.value()?.parse::<LitStr>()?;
                    container.conversions.push(format!("{key} {}", ty.value()));
                    let (written, read) = (&mut container.converts.written, &mut container.converts.read);
                    *if key == "into" { written } else { read } = Some(ty.parse()?);
                }
                "remote" => container.remote = Some(meta.value()?.parse::<LitStr>()?.value()),
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
            secret: is_secret(attributes, helper),
            ..Self::default()
        };
        each_serde(attributes, |key, meta| {
            match key {
                "rename" => item.rename = names(meta)?,
                "alias" => item.aliases.extend(meta.value()?.parse::<LitStr>().map(|name| name.value()).ok()),
                "skip" => item.skipped = Sides { written: true, read: true },
                "skip_serializing" => item.skipped.written = true,
                "skip_deserializing" => item.skipped.read = true,
                "skip_serializing_if" => {
                    item.skipped_if = path(meta)?;
                }
                "default" => (item.default, item.default_by) = (true, path(meta)?),
                "flatten" => item.flatten = true,
                "with" | "serialize_with" | "deserialize_with" => {
                    item.custom.written |= key != "deserialize_with";
                    item.custom.read |= key != "serialize_with";
                    item.code.extend(path(meta)?.map(|path| format!("{key} {path}")));
                }
                "other" => item.other = true,
                "untagged" => item.untagged = true,
                _ => {}
            }
            Ok(())
        });
        if item.skipped_if.as_ref().is_some_and(|path| path.ends_with("__private::hides")) {
            // Ours: on the wire it is always there.
            item.skipped_if = None;
            item.hides = true;
        }
        item
    }
}

/// Whether serde reads a field as its type says.
pub(crate) fn is_read(field: &Field, helper: &str) -> bool {
    let item = Item::read(&field.attrs, helper);
    !item.opaque && !item.custom.read && !item.skipped.read
}

/// Whether a field or type is marked as secret.
pub(crate) fn is_secret(attributes: &[Attribute], helper: &str) -> bool {
    named(attributes, helper).any(|ours| has_option(ours, "secret"))
}

/// The text of the doc comment, and whether the item is marked `#[deprecated]`.
pub(crate) fn documentation(attributes: &[Attribute]) -> (String, bool) {
    let mut lines = Vec::new();
    for attribute in named(attributes, "doc") {
        if let Meta::NameValue(MetaNameValue {
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }), ..
        }) = &attribute.meta
        {
            let text = text.value();
            lines.push(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned());
        }
    }
    (lines.join("\n").trim().to_owned(), named(attributes, "deprecated").next().is_some())
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

/// The path of `= "path"`, without spaces; `None` where there is no value.
fn path(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    if !meta.input.peek(Token![=]) {
        return Ok(None);
    }
    Ok(Some(meta.value()?.parse::<LitStr>()?.value().split_whitespace().collect()))
}

/// `= "name"`, or `(serialize = "...", deserialize = "...")`.
fn names(meta: &ParseNestedMeta<'_>) -> syn::Result<Sides<Option<String>>> {
    if meta.input.peek(Token![=]) {
        let name = Some(meta.value()?.parse::<LitStr>()?.value());
        return Ok(Sides { written: name.clone(), read: name });
    }
    let mut names = Sides::default();
    meta.parse_nested_meta(|side| {
        let value = Some(side.value()?.parse::<LitStr>()?.value());
        match side.path.is_ident("deserialize") {
            true => names.read = value,
            false => names.written = value,
        }
        Ok(())
    })?;
    Ok(names)
}

fn cases(meta: &ParseNestedMeta<'_>) -> syn::Result<Sides<Case>> {
    let names = names(meta)?;
    Ok(Sides { written: Case::named(names.written), read: Case::named(names.read) })
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

/// The option of this name in attributes of another one.
pub(crate) fn option_named(attributes: &[Attribute], attribute: &str, option: &str) -> Option<Path> {
    let mut found = None;
    for attribute in named(attributes, attribute) {
        // What can't be parsed is for the attribute's owner to report.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident(option) {
                found = Some(meta.path.clone());
            }
            skip_value(&meta)
        });
    }
    found
}

/// Whether serde's attributes on a variant say how its fields are spelt.
pub(crate) fn has_rename_all(attributes: &[Attribute]) -> bool {
    named(attributes, "serde").any(|attribute| has_option(attribute, "rename_all"))
}

/// The reason for a change of a field, of an event under the lock.
pub(crate) fn reason(attributes: &[Attribute], helper: &str) -> Option<LitStr> {
    let mut reason = None;
    for ours in named(attributes, helper) {
        // What can't be parsed was reported when it was checked.
        let _ = ours.parse_nested_meta(|meta| {
            if meta.path.is_ident("changed") {
                reason = Some(meta.value()?.parse()?);
            }
            skip_value(&meta)
        });
    }
    reason
}

/// Checks `#[event(...)]` or `#[schema(...)]` on a field; `locked` on one of an event under the lock.
pub(crate) fn check_field_options(attribute: &Attribute, locked: bool) -> syn::Result<()> {
    let name = crate::errors::text_of(attribute.path());
    let list = match &attribute.meta {
        Meta::List(list) => list,
        Meta::Path(_) => {
            let message = format!(
                "`#[{name}]` of a field needs an option: write `#[{name}(secret)]` or `#[{name}(opaque)]`, or take it away"
            );
            return Err(syn::Error::new_spanned(attribute, message));
        }
        Meta::NameValue(pair) => {
            let text = match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
                _ => String::new(),
            };
            let option = if OPTIONS.contains(&text.as_str()) { text.as_str() } else { OPTIONS[1] };
            return Err(syn::Error::new_spanned(attribute, format_args!("write `#[{name}({option})]`")));
        }
    };
    let options = |input: ParseStream<'_>| {
        while !input.is_empty() {
            field_option(input, &name, locked)?;
            options::separator(input)?;
        }
        Ok(())
    };
    options.parse2(list.tokens.clone())
}

/// The error of an option that is nearly one of a field.
pub(crate) fn misspelt(attribute: &Attribute) -> Option<syn::Error> {
    let mut error = None;
    // What can't be parsed is for the attribute's owner to report.
    let _ = attribute.parse_nested_meta(|meta| {
        if let Some(option) = meta.path.get_ident()
            && let Some(message) = nearly(&option.to_string(), "schema")
        {
            error = Some(syn::Error::new(option.span(), message));
        }
        skip_value(&meta)
    });
    error
}

fn nearly(option: &str, attribute: &str) -> Option<String> {
    let meant = options::meant(option, &OPTIONS)?;
    Some(format!("unknown option `{option}`: did you mean `#[{attribute}({meant})]`?"))
}

/// The options of a field, but for that of the lock.
const OPTIONS: [&str; 2] = ["opaque", "secret"];

/// What the error of an unknown option of a field says.
fn unknown(option: &str) -> String {
    const SERDE: [&str; 9] = [
        "alias",
        "default",
        "flatten",
        "rename",
        "skip",
        "skip_deserializing",
        "skip_serializing",
        "skip_serializing_if",
        "with",
    ];
    let list = "a field has `opaque` and `secret`";
    match SERDE.contains(&option) {
        true => format!("unknown option `{option}`: {list} (serde's is `#[serde({option})]`)"),
        false => format!("unknown option `{option}`: {list}"),
    }
}

fn field_option(input: ParseStream<'_>, name: &str, locked: bool) -> syn::Result<()> {
    if let Ok(text) = input.fork().parse::<LitStr>()
        && OPTIONS.contains(&text.value().as_str())
    {
        return Err(input.error(format_args!("without quotes: `#[{name}({})]`", text.value())));
    }
    if !input.peek(syn::Ident::peek_any) {
        return Err(input.error("expected an option of a field: `opaque` or `secret`"));
    }
    let option = input.call(syn::Ident::parse_any)?;
    let text = option.to_string();
    match text.as_str() {
        "opaque" | "secret" => options::flag(input, &option),
        "changed" if locked => {
            options::equals(input, &option, "\"the reason\"")?;
            crate::lock::reason(input).map(drop)
        }
        "changed" => Err(syn::Error::new(option.span(), options::only_locked("changed"))),
        _ => Err(syn::Error::new(option.span(), nearly(&text, name).unwrap_or_else(|| unknown(&text)))),
    }
}

/// The path of `#[schema(crate = path)]`, or of another helper attribute, else `::typed_events`.
pub(crate) fn crate_path(attributes: &[Attribute], helper: &str, errors: &mut Errors) -> Path {
    let mut path = syn::parse_quote!(::typed_events);
    for attribute in named(attributes, helper) {
        let parsed = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("secret") || meta.path.is_ident(super::PAYLOAD) {
                return Ok(());
            }
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option: there is `crate = path`"));
            }
            path = options::path(meta.input)?;
            Ok(())
        });
        if let Err(error) = parsed {
            errors.push(error);
        }
    }
    path
}
