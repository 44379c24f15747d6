//! Checks the options of fields and prepares the fields for the derives.

use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr, Meta, Path};

use super::stacked::{self, is_ours};
use super::{Arguments, Kind, owned};
use crate::attr::{Attributes, SCHEMA, each_option, has_option};
use crate::errors::{Errors, text_of};
use crate::{options, secret};

pub(crate) fn fields_mut(input: &mut DeriveInput) -> Vec<&mut Field> {
    let all: Vec<&mut Fields> = match &mut input.data {
        syn::Data::Struct(data) => vec![&mut data.fields],
        syn::Data::Enum(data) => data.variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        syn::Data::Union(_) => Vec::new(),
    };
    all.into_iter().flat_map(Fields::iter_mut).collect()
}

/// Checks the attributes and the type of each field, and prepares the field for the derives. Returns whether a field
/// is secret.
pub(crate) fn check_fields(
    input: &mut DeriveInput,
    helper: &str,
    arguments: &Arguments,
    errors: &mut Errors,
) -> bool {
    let locked = arguments.lock.is_some() && arguments.kind != Kind::View;
    let mut secrets = false;
    for field in fields_mut(input) {
        stacked::conditional(field, errors);
        rename_options(field, helper, locked, errors);
        let attr = Attributes::read(&field.attrs, helper);
        secrets |= !owned::refused(field, &attr, helper, arguments, errors)
            && secret::hide(field, &attr, helper, &arguments.krate, errors);
    }
    secrets
}

/// Renames `#[event(...)]` on a field to the helper attribute that the derive reads. The compiler would otherwise run
/// the attribute macro `event` on the field.
fn rename_options(field: &mut Field, helper: &str, locked: bool, errors: &mut Errors) {
    for attribute in &mut field.attrs {
        let renamed = Path::from(Ident::new(helper, attribute.path().span()));
        let checked = if is_ours(attribute.path(), "payload") {
            Err(under_event(attribute, "the options of a field belong in `#[event]`, even in a payload:"))
        } else if helper != SCHEMA && attribute.path().is_ident(SCHEMA) && is_option(attribute) {
            Err(under_event(attribute, "the options of a field of an event belong in `#[event]`:"))
        } else if is_ours(attribute.path(), "event") {
            check_options(attribute, locked)
        } else {
            continue;
        };
        if let Err(error) = checked {
            errors.push(error);
            // An opaque field causes no further errors. A locked field stays as it is, because the lock would report
            // `opaque` as a change.
            if !locked {
                attribute.meta = syn::parse_quote!(#renamed(opaque));
            }
        }
        match &mut attribute.meta {
            Meta::Path(path) => *path = renamed,
            Meta::List(list) => list.path = renamed,
            Meta::NameValue(value) => value.path = renamed,
        }
    }
}

/// Returns the error for options of a field that are in an attribute other than `#[event(...)]`.
fn under_event(attribute: &Attribute, scope: &str) -> syn::Error {
    let options = match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => text_of(&list.tokens),
        _ => "secret".to_owned(),
    };
    syn::Error::new_spanned(attribute.path(), format_args!("{scope} write `#[event({options})]`"))
}

/// Returns whether an attribute of a field contains one of our options.
fn is_option(attribute: &Attribute) -> bool {
    OPTIONS.iter().any(|option| has_option(attribute, option))
}

/// Reports options on variants, and removes them.
pub(crate) fn check_variants(input: &mut DeriveInput, errors: &mut Errors) {
    let syn::Data::Enum(data) = &mut input.data else { return };
    for variant in &mut data.variants {
        let refused = |attribute: &Attribute| {
            let is_ours = is_ours(attribute.path(), "event") || is_ours(attribute.path(), "payload");
            is_ours && is_option(attribute)
        };
        for option in variant.attrs.iter().filter(|attribute| refused(attribute)) {
            errors.on(option, on_the_field(option, &variant.ident, &variant.fields));
        }
        let is_opaque = |option: &Attribute| refused(option) && has_option(option, "opaque");
        if variant.attrs.iter().any(is_opaque) {
            // Without a schema for the fields, this error remains the only one.
            variant.fields.iter_mut().for_each(|field| field.attrs.push(syn::parse_quote!(#[event(opaque)])));
        }
        variant.attrs.retain(|attribute| !refused(attribute));
    }
}

/// Returns the error for an option on a variant; it shows the option on the variant's first field. A secret field
/// needs a name, so the message adds one.
fn on_the_field(option: &Attribute, variant: &Ident, fields: &Fields) -> String {
    let Some(field) = fields.iter().next() else {
        return "a variant has no options, and this one has no fields: remove the option".to_owned();
    };
    let options = match &option.meta {
        Meta::List(list) => text_of(&list.tokens),
        _ => "secret".to_owned(),
    };
    let (marked, ty) = (format!("#[event({options})]"), text_of(&field.ty));
    let shown = match &field.ident {
        None if !has_option(option, "secret") => format!("{variant}({marked} {ty})"),
        name => {
            let name = name.as_ref().map_or_else(|| "name".to_owned(), Ident::to_string);
            format!("{variant} {{ {marked} {name}: {ty} }}")
        }
    };
    format!("a variant has no options: write the option on the field: `{shown}`")
}

/// Checks `#[event(...)]` or `#[schema(...)]` on a field. `locked` is true for the fields of a locked event.
fn check_options(attribute: &Attribute, locked: bool) -> syn::Result<()> {
    let name = text_of(attribute.path());
    let list = match &attribute.meta {
        Meta::List(list) => list,
        Meta::Path(_) => {
            let message = format!(
                "`#[{name}]` of a field needs an option: write `#[{name}(secret)]` or `#[{name}(opaque)]`, or remove it"
            );
            return Err(syn::Error::new_spanned(attribute, message));
        }
        Meta::NameValue(pair) => {
            let text = match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
                _ => String::new(),
            };
            let option = if OPTIONS.contains(&text.as_str()) { text.as_str() } else { OPTIONS[1] };
            return Err(syn::Error::new_spanned(
                attribute,
                format_args!("write the option in parentheses: `#[{name}({option})]`"),
            ));
        }
    };
    let options = |input: ParseStream<'_>| {
        while !input.is_empty() {
            field_option(input, &name, locked)?;
            options::parse_comma(input)?;
        }
        Ok(())
    };
    options.parse2(list.tokens.clone())
}

/// Returns the error for an option that is probably a misspelling of an option of a field.
pub(crate) fn misspelt(attribute: &Attribute) -> Option<syn::Error> {
    let mut error = None;
    each_option(attribute, |key, meta| {
        if let Some(message) = nearly(key, SCHEMA) {
            error = Some(syn::Error::new_spanned(&meta.path, message));
        }
        Ok(())
    });
    error
}

fn nearly(option: &str, attribute: &str) -> Option<String> {
    let meant = options::nearest_option(option, &OPTIONS)?;
    Some(format!("unknown option `{option}`: did you mean `#[{attribute}({meant})]`?"))
}

/// The options of a field, without `changed`, which exists only under the schema lock.
const OPTIONS: [&str; 2] = ["opaque", "secret"];

/// Returns the error message for an unknown option of a field.
fn unknown(option: &str) -> String {
    let list = "the options of a field are `opaque` and `secret`";
    match option {
        "alias"
        | "default"
        | "flatten"
        | "rename"
        | "skip"
        | "skip_deserializing"
        | "skip_serializing"
        | "skip_serializing_if"
        | "with" => {
            format!("unknown option `{option}`: {list}; serde's option is `#[serde({option})]`")
        }
        _ => format!("unknown option `{option}`: {list}"),
    }
}

fn field_option(input: ParseStream<'_>, name: &str, locked: bool) -> syn::Result<()> {
    if let Ok(text) = input.fork().parse::<LitStr>()
        && OPTIONS.contains(&text.value().as_str())
    {
        return Err(
            input.error(format_args!("write the option without quotes: `#[{name}({})]`", text.value()))
        );
    }
    if !input.peek(Ident::peek_any) {
        return Err(input.error("expected an option of a field: `opaque` or `secret`"));
    }
    let option = input.call(Ident::parse_any)?;
    let text = option.to_string();
    match text.as_str() {
        "opaque" | "secret" => options::check_no_value(input, &option),
        "changed" if locked => {
            options::parse_equals(input, &option, "\"the reason\"")?;
            options::parse_reason(input).map(drop)
        }
        "changed" => Err(syn::Error::new(option.span(), options::only_locked_message("changed"))),
        _ => Err(syn::Error::new(option.span(), nearly(&text, name).unwrap_or_else(|| unknown(&text)))),
    }
}
