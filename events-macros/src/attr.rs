//! Reads the attributes of a type, a variant or a field: serde's, ours, doc comments and `#[deprecated]`.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Path, Token, Type};

use crate::case::Case;
use crate::errors::Errors;
use crate::options;

/// The attribute that holds our options in the output of `#[event]`; the hidden derives read it.
pub(crate) const EVENT: &str = "__typed_event";

/// The attribute that holds our options on types other than events.
pub(crate) const SCHEMA: &str = "schema";

/// The option of `#[schema(...)]` that `#[payload]` adds to mark the type as a payload.
pub(crate) const PAYLOAD: &str = "__payload";

/// The option of `attr::EVENT` that tells the derive that the event is under the schema lock.
pub(crate) const LOCKED: &str = "__locked";

/// A pair of values: one for serialization (`written`) and one for deserialization (`read`).
#[derive(Clone, Default)]
pub(crate) struct Sides<T> {
    pub(crate) written: T,
    pub(crate) read: T,
}

/// The attributes of a type, a variant or a field. An option that is not allowed on one of them keeps its default
/// value.
#[derive(Default)]
pub(crate) struct Attributes {
    // Options of types and variants:
    pub(crate) rename_all: Option<Sides<Case>>,
    pub(crate) rename_all_fields: Sides<Case>,
    /// The path `deny_unknown_fields` with the span of the user's code.
    pub(crate) deny_unknown: Option<Path>,
    pub(crate) transparent: bool,
    pub(crate) tag: Option<String>,
    /// The tag of a struct (the name of the field, and the value that serde writes to it).
    pub(crate) struct_tag: Option<(String, String)>,
    pub(crate) content: Option<String>,
    /// The type of `into` (`written`), and the type of `from` or `try_from` (`read`).
    pub(crate) converts: Sides<Option<Type>>,
    /// The options `into`, `from` and `try_from` as texts.
    pub(crate) conversions: Vec<String>,
    /// Whether the type is declared with `#[payload]`.
    pub(crate) payload: bool,
    /// The type of another crate that this type describes (`#[serde(remote = "...")]`).
    pub(crate) remote: Option<String>,

    // Options of variants and fields:
    pub(crate) rename: Sides<Option<String>>,
    pub(crate) aliases: Vec<String>,
    pub(crate) skipped: Sides<bool>,
    /// The function of `skip_serializing_if`.
    pub(crate) skipped_if: Option<String>,
    /// Whether `skip_serializing_if` names our own function, which hides secrets in text but not from adapters.
    pub(crate) hides: bool,
    pub(crate) flatten: bool,
    /// Whether a function of the user writes or reads the value (`with`, `serialize_with`, `deserialize_with`).
    pub(crate) custom: Sides<bool>,
    /// The options that name these functions, as texts.
    pub(crate) code: Vec<String>,
    /// Whether serde reads every unknown name as this variant.
    pub(crate) other: bool,
    pub(crate) opaque: bool,
    /// The reason for a change to this field of a locked event.
    pub(crate) changed: Option<LitStr>,

    // Options of types, variants and fields:
    pub(crate) default: bool,
    /// The function that returns the default, if it is not `Default::default`.
    pub(crate) default_by: Option<String>,
    pub(crate) untagged: bool,
    /// Whether the value is left out of text output such as `Debug`.
    pub(crate) secret: bool,
    /// The text of the doc comment.
    pub(crate) doc: String,
    pub(crate) deprecated: bool,
}

impl Attributes {
    /// Reads all attributes. `helper` is the name of the attribute with our options. Syntax errors are ignored here,
    /// because the macro that owns the attribute reports them.
    pub(crate) fn read(attributes: &[Attribute], helper: &str) -> Self {
        let mut read = Self::default();
        for attribute in attributes {
            let path = attribute.path();
            if path.is_ident("serde") {
                each_option(attribute, |key, meta| read.serde_option(key, meta));
            } else if path.is_ident(helper) {
                each_option(attribute, |key, meta| read.our_option(key, meta));
            } else if path.is_ident("doc") {
                read.doc_line(&attribute.meta);
            } else {
                read.deprecated |= path.is_ident("deprecated");
            }
        }
        read.doc = read.doc.trim().to_owned();
        if read.skipped_if.as_ref().is_some_and(|path| path.ends_with("__private::hides")) {
            // The function hides the field in text only; adapters always receive it.
            read.skipped_if = None;
            read.hides = true;
        }
        read
    }

    fn serde_option(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        match key {
            "rename_all" => self.rename_all = Some(cases(meta)?),
            "rename_all_fields" => self.rename_all_fields = cases(meta)?,
            "deny_unknown_fields" => self.deny_unknown = Some(meta.path.clone()),
            "transparent" => self.transparent = true,
            "tag" => self.tag = Some(text(meta)?),
            "content" => self.content = Some(text(meta)?),
            "into" | "from" | "try_from" => {
                let ty = meta.value()?.parse::<LitStr>()?;
                self.conversions.push(format!("{key} {}", ty.value()));
                let (written, read) = (&mut self.converts.written, &mut self.converts.read);
                *if key == "into" { written } else { read } = Some(ty.parse()?);
            }
            "remote" => self.remote = Some(text(meta)?),
            "rename" => self.rename = names(meta)?,
            "alias" => self.aliases.extend(text(meta).ok()),
            "skip" => self.skipped = Sides { written: true, read: true },
            "skip_serializing" => self.skipped.written = true,
            "skip_deserializing" => self.skipped.read = true,
            "skip_serializing_if" => self.skipped_if = path(meta)?,
            "flatten" => self.flatten = true,
            "with" | "serialize_with" | "deserialize_with" => {
                self.custom.written |= key != "deserialize_with";
                self.custom.read |= key != "serialize_with";
                self.code.extend(path(meta)?.map(|path| format!("{key} {path}")));
            }
            "other" => self.other = true,
            "default" => (self.default, self.default_by) = (true, path(meta)?),
            "untagged" => self.untagged = true,
            _ => {}
        }
        Ok(())
    }

    fn our_option(&mut self, key: &str, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        match key {
            "opaque" => self.opaque = true,
            "secret" => self.secret = true,
            PAYLOAD => self.payload = true,
            "changed" => self.changed = Some(meta.value()?.parse()?),
            _ => {}
        }
        Ok(())
    }

    fn doc_line(&mut self, meta: &Meta) {
        if let Meta::NameValue(pair) = meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
        {
            let text = text.value();
            self.doc += text.strip_prefix(' ').unwrap_or(&text).trim_end();
            self.doc.push('\n');
        }
    }

    /// Returns whether serde reads the field with the `Deserialize` impl of its type.
    pub(crate) const fn is_read(&self) -> bool {
        !self.opaque && !self.custom.read && !self.skipped.read
    }

    /// Returns whether serde skips the field or variant when it writes and when it reads.
    pub(crate) const fn is_skipped(&self) -> bool {
        self.skipped.written && self.skipped.read
    }

    /// Returns whether serde converts this type to or from another type.
    pub(crate) const fn is_converted(&self) -> bool {
        self.converts.written.is_some() || self.converts.read.is_some()
    }
}

/// Returns the attributes with this name.
pub(crate) fn named<'a>(attributes: &'a [Attribute], name: &'a str) -> impl Iterator<Item = &'a Attribute> {
    attributes.iter().filter(move |attribute| attribute.path().is_ident(name))
}

/// Calls `read` with each option of an attribute, and stops at the first option that can't be parsed.
pub(crate) fn each_option(
    attribute: &Attribute,
    mut read: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    // The macro that owns the attribute reports syntax errors.
    let _ = attribute.parse_nested_meta(|meta| {
        if let Some(key) = meta.path.get_ident() {
            read(&key.to_string(), &meta)?;
        }
        options::skip_value(meta.input)
    });
}

/// Returns whether an attribute has an option with this name.
pub(crate) fn has_option(attribute: &Attribute, name: &str) -> bool {
    let mut found = false;
    each_option(attribute, |key, _| {
        found |= key == name;
        Ok(())
    });
    found
}

/// Parses `= "text"`.
fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

/// Parses `= "path"` and removes spaces. Returns `None` for an option without a value.
fn path(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    match meta.input.peek(Token![=]) {
        true => Ok(Some(text(meta)?.split_whitespace().collect())),
        false => Ok(None),
    }
}

/// Parses `= "name"` or `(serialize = "...", deserialize = "...")`.
fn names(meta: &ParseNestedMeta<'_>) -> syn::Result<Sides<Option<String>>> {
    if meta.input.peek(Token![=]) {
        let name = Some(text(meta)?);
        return Ok(Sides { written: name.clone(), read: name });
    }
    let mut names = Sides::default();
    meta.parse_nested_meta(|side| {
        let is_read = side.path.is_ident("deserialize");
        *if is_read { &mut names.read } else { &mut names.written } = Some(text(&side)?);
        Ok(())
    })?;
    Ok(names)
}

fn cases(meta: &ParseNestedMeta<'_>) -> syn::Result<Sides<Case>> {
    let names = names(meta)?;
    Ok(Sides { written: Case::named(names.written), read: Case::named(names.read) })
}

/// Returns the path of `#[schema(crate = path)]`, or of the same option in another helper attribute. The default is
/// `::typed_events`.
pub(crate) fn crate_path(attributes: &[Attribute], helper: &str, errors: &mut Errors) -> Path {
    let mut path = syn::parse_quote!(::typed_events);
    for attribute in named(attributes, helper) {
        let parsed = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("secret") || meta.path.is_ident(PAYLOAD) {
                return Ok(());
            }
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option: the only option is `crate = path`"));
            }
            path = options::parse_path(meta.input)?;
            Ok(())
        });
        if let Err(error) = parsed {
            errors.push(error);
        }
    }
    path
}
