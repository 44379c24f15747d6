//! Parsers for the values of options. Each error shows the correct form of the option.

use proc_macro2::{Group, TokenTree};
use syn::parse::{ParseBuffer, ParseStream};
use syn::{Ident, LitInt, LitStr, Path, Token, parenthesized};

use crate::errors::text_of;

/// Returns the known option that `option` is probably a misspelling of: the nearest one, at an edit distance of 1 or
/// 2.
pub(crate) fn nearest_option<'o>(option: &str, options: &[&'o str]) -> Option<&'o str> {
    let distance = |known: &&&str| events_names::distance(known, option);
    let nearest = options.iter().min_by_key(distance)?;
    (distance(&nearest) <= 2 && *nearest != option).then_some(*nearest)
}

/// Parses the comma between options.
pub(crate) fn parse_comma(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return input.parse::<Option<Token![,]>>().map(drop);
    }
    Err(input.error("expected a comma before this"))
}

/// Skips the tokens of a value up to the next comma.
pub(crate) fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// Parses the text of `option = "..."`. The error message shows `example`, or the value that the user wrote without
/// quotes.
pub(crate) fn parse_text(input: ParseStream<'_>, option: &Ident, example: Example) -> syn::Result<LitStr> {
    parse_equals(input, option, &format!("{:?}", example.value))?;
    if input.peek(LitStr) {
        return input.parse();
    }
    let fork = input.fork();
    let default = example.value.to_owned();
    let shown = match (fork.parse::<TokenTree>(), example.unit) {
        (Ok(TokenTree::Ident(name)), None) if is_end(&fork) => name.to_string(),
        (Ok(TokenTree::Literal(number)), Some(unit)) => {
            with_unit(&number.to_string(), unit).unwrap_or(default)
        }
        _ => default,
    };
    Err(input.error(format_args!("write the value of `{option}` in quotes: `{option} = {shown:?}`")))
}

/// An example value for an error message.
#[derive(Clone, Copy)]
pub(crate) struct Example {
    pub(crate) value: &'static str,
    /// The unit that the message adds to a number without one; `None` if the option is no duration.
    pub(crate) unit: Option<&'static str>,
}

impl Example {
    pub(crate) const fn text(value: &'static str) -> Self {
        Self { value, unit: None }
    }

    /// Creates the example of a duration; numbers without a unit get `s`.
    pub(crate) const fn time(value: &'static str) -> Self {
        Self { value, unit: Some("s") }
    }
}

/// Returns the number with its unit, and adds `unit` if there is none. Returns `None` for an unknown unit.
fn with_unit(number: &str, unit: &str) -> Option<String> {
    let written = number.trim_start_matches(|c: char| c.is_ascii_digit());
    match written {
        "" => Some(format!("{number}{unit}")),
        "ms" | "s" | "m" | "h" => Some(number.to_owned()),
        _ => None,
    }
}

fn is_end(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

/// Parses the number of `option = 3`.
pub(crate) fn parse_number(input: ParseStream<'_>, option: &Ident, example: u32) -> syn::Result<LitInt> {
    parse_equals(input, option, &example.to_string())?;
    if input.peek(LitInt) {
        return input.parse();
    }
    let is_number = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let quoted = input.fork().parse::<LitStr>().ok().map(|text| text.value()).filter(is_number);
    let shown = quoted.unwrap_or_else(|| example.to_string());
    Err(input.error(format_args!("`{option}` takes a whole number: `{option} = {shown}`")))
}

/// Parses `= path` after `crate`.
pub(crate) fn parse_path(input: ParseStream<'_>) -> syn::Result<Path> {
    let is_path = input.parse::<Token![=]>().is_ok() && !input.peek(LitStr);
    let path = is_path.then(|| input.call(Path::parse_mod_style).ok()).flatten();
    path.ok_or_else(|| {
        let shown = path_or_example(input, "::typed_events");
        input.error(format_args!("`crate` takes a path without quotes: `crate = {shown}`"))
    })
}

/// Returns the path in a quoted text, or `example` if the next token is not a quoted path.
pub(crate) fn path_or_example(input: ParseStream<'_>, example: &str) -> String {
    let text = input.fork().parse::<LitStr>();
    let path = text.and_then(|text| text.parse_with(Path::parse_mod_style).map(|_| text.value()));
    path.unwrap_or_else(|_| example.to_owned())
}

/// Returns the error for an option that is allowed only on locked events.
pub(crate) fn only_locked_message(option: &str) -> String {
    format!(
        "`{option}` is an option of locked events: declare the event with `typed_events::locked::event`, or remove `{option}`"
    )
}

/// Parses the equals sign between an option and its value.
pub(crate) fn parse_equals(input: ParseStream<'_>, option: &Ident, example: &str) -> syn::Result<()> {
    if input.peek(Token![=]) {
        return input.parse::<Token![=]>().map(drop);
    }
    if let Ok(group) = input.fork().parse::<Group>() {
        let value = text_of(&group.stream());
        let value = if value.is_empty() { example } else { &value };
        let message = format!("write the value of `{option}` after an equals sign: `{option} = {value}`");
        return Err(syn::Error::new(option.span(), message));
    }
    Err(syn::Error::new(option.span(), format_args!("`{option}` needs a value: `{option} = {example}`")))
}

/// Returns the contents of the parentheses in `option(...)`.
pub(crate) fn parse_list<'i>(
    input: ParseStream<'i>,
    option: &Ident,
    example: &str,
) -> syn::Result<ParseBuffer<'i>> {
    if !input.peek(syn::token::Paren) {
        let message = format!("write the values of `{option}` in parentheses: `{option}({example})`");
        return Err(syn::Error::new(option.span(), message));
    }
    let list;
    parenthesized!(list in input);
    Ok(list)
}

/// Returns an error if an option that takes no value has one.
pub(crate) fn check_no_value(input: ParseStream<'_>, option: &Ident) -> syn::Result<()> {
    match is_end(input) {
        true => Ok(()),
        false if input.peek(Token![=]) || input.peek(syn::token::Paren) => {
            Err(input.error(format_args!("`{option}` takes no value: write only `{}`", text_of(option))))
        }
        false => parse_comma(input),
    }
}

/// Parses the reason for a change and rejects an empty one.
pub(crate) fn parse_reason(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let message = "write the reason in quotes: `changed = \"...\"`";
    let reason: LitStr = input.parse().map_err(|error| syn::Error::new(error.span(), message))?;
    match reason.value().trim().is_empty() {
        true => Err(syn::Error::new(reason.span(), "the reason is empty: say why the change is safe")),
        false => Ok(reason),
    }
}
