//! Parses the arguments of `#[on(...)]` and the function.

use proc_macro2::{Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Ident, Item, ItemFn, LitStr, Path, Token, TraitItemFn};

use super::durable::{DurableHandler, NAMES, Options};
use crate::errors::{Errors, text_of};
use crate::item::is_ours;
use crate::options;

/// The arguments of `#[on(...)]`.
pub(crate) struct Arguments {
    pub(crate) patterns: Vec<LitStr>,
    pub(crate) krate: Path,
    pub(crate) durable: Option<DurableHandler>,
}

pub(crate) fn arguments(tokens: TokenStream, errors: &mut Errors) -> Arguments {
    let mut arguments =
        Arguments { patterns: Vec::new(), krate: syn::parse_quote!(::typed_events), durable: None };
    let mut durable = Options::default();
    let parsed = (|input: ParseStream<'_>| {
        while !input.is_empty() {
            argument(input, &mut arguments, &mut durable, errors)?;
            options::parse_comma(input)?;
        }
        Ok(())
    })
    .parse2(tokens);
    if let Err(error) = parsed {
        errors.push(error);
    }
    arguments.durable = durable.finish(errors);
    arguments
}

fn argument(
    input: ParseStream<'_>,
    arguments: &mut Arguments,
    durable: &mut Options,
    errors: &mut Errors,
) -> syn::Result<()> {
    if input.peek(LitStr) {
        let pattern: LitStr = input.parse()?;
        if arguments.patterns.iter().any(|other| other.value() == pattern.value()) {
            errors.on(&pattern, format_args!("the pattern `{}` is given twice: remove one", pattern.value()));
        }
        arguments.patterns.push(pattern);
        return Ok(());
    }
    if input.peek(Token![crate]) {
        input.parse::<Token![crate]>()?;
        arguments.krate = options::parse_path(input)?;
        return Ok(());
    }
    if !input.peek(Ident) {
        return Err(input.error("expected a pattern in quotes, such as `#[on(\"user.*\")]`"));
    }
    let option: Ident = input.parse()?;
    if durable.parse(&option, input, errors)? {
        return Ok(());
    }
    let text = option.to_string();
    let message = match options::nearest_option(&text, &NAMES) {
        _ if input.peek(Token![.]) => "write the pattern in quotes: `#[on(\"user.created\")]`".to_owned(),
        _ if text.starts_with(char::is_uppercase) => {
            "the type of the function's first argument gives the event: write only `#[on]`".to_owned()
        }
        _ if text == "name" => {
            let fork = input.fork();
            let name = fork.parse::<Token![=]>().and_then(|_| fork.parse::<LitStr>());
            let name = name.map_or_else(|_| "\"send-invoice\"".to_owned(), |name| text_of(&name));
            format!("unknown option `name`: did you mean `durable = {name}`?")
        }
        Some(meant) => format!("unknown option `{text}`: did you mean `{meant}`?"),
        None => format!(
            "unknown option `{text}`: the options are `durable`, `retries`, `backoff`, `timeout`, `concurrency`, `ordered_by`, `nulls`, `from` and `crate = path`; patterns are in quotes"
        ),
    };
    errors.at(option.span(), message);
    options::skip_value(input)
}

pub(crate) fn function(item: TokenStream, errors: &mut Errors) -> Option<ItemFn> {
    let item = syn::parse2::<Item>(item).map_err(|error| errors.push(error)).ok()?;
    match item {
        Item::Fn(function) => Some(function),
        other => {
            let tokens = quote::ToTokens::to_token_stream(&other);
            match syn::parse2::<TraitItemFn>(tokens.clone()) {
                Ok(required) => errors.at(
                    required.sig.ident.span(),
                    "a function without a body can't be a handler: move it out of the `trait`, and give it a body",
                ),
                Err(_) => {
                    let span = tokens.into_iter().next().map_or_else(Span::call_site, |token| token.span());
                    errors.at(span, "`#[on]` works only on a function");
                }
            }
            None
        }
    }
}

/// Reports a second `#[on]` on a function and removes it. It would declare the handler again.
pub(crate) fn check_once(function: &mut ItemFn, errors: &mut Errors) {
    let is_other = |attribute: &Attribute| is_ours(attribute.path(), "on");
    for other in function.attrs.iter().filter(|attribute| is_other(attribute)) {
        let message = "a function can have only one `#[on]`: remove this one, and write all patterns in the other, as in `#[on(\"a.b\", \"c.d\")]`";
        errors.on(other, message);
    }
    function.attrs.retain(|attribute| !is_other(attribute));
}
