//! Reads what stands in the parentheses of `#[on(...)]`, and the function.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{Ident, Item, ItemFn, LitStr, Path, Token};

use super::durable::{Durable, Options, meant};
use crate::errors::Errors;

/// What stands in the parentheses.
pub(crate) struct Arguments {
    pub(crate) patterns: Vec<LitStr>,
    pub(crate) krate: Path,
    pub(crate) durable: Option<Durable>,
}

pub(crate) fn arguments(tokens: TokenStream, errors: &mut Errors) -> Arguments {
    let mut arguments =
        Arguments { patterns: Vec::new(), krate: syn::parse_quote!(::typed_events), durable: None };
    let mut options = Options::default();
    let parsed = (|input: ParseStream<'_>| {
        while !input.is_empty() {
            argument(input, &mut arguments, &mut options, errors)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    })
    .parse2(tokens);
    if let Err(error) = parsed {
        errors.push(error);
    }
    arguments.durable = options.finish(errors);
    arguments
}

fn argument(
    input: ParseStream<'_>,
    arguments: &mut Arguments,
    options: &mut Options,
    errors: &mut Errors,
) -> syn::Result<()> {
    if input.peek(LitStr) {
        let pattern: LitStr = input.parse()?;
        if arguments.patterns.iter().any(|other| other.value() == pattern.value()) {
            errors.on(&pattern, format_args!("the pattern `{}` is there already", pattern.value()));
        }
        arguments.patterns.push(pattern);
        return Ok(());
    }
    if input.peek(Token![crate]) {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        arguments.krate = input.call(Path::parse_mod_style)?;
        return Ok(());
    }
    if !input.peek(Ident) {
        return Err(input.error("expected a pattern in quotes, such as `#[on(\"user.*\")]`"));
    }
    let option: Ident = input.parse()?;
    if input.peek(Token![=]) && options.parse(&option, input, errors)? {
        return Ok(());
    }
    let text = option.to_string();
    let message = match (input.peek(Token![.]), meant(&text)) {
        (false, Some(meant)) if meant == text => format!("`{text}` needs a value: `{text} = ...`"),
        (true, _) => "a pattern stands in quotes: `#[on(\"user.created\")]`".to_owned(),
        (false, Some(meant)) => format!("unknown option `{text}`: did you mean `{meant}`?"),
        (false, None) => format!(
            "unknown option `{text}`: there are patterns in quotes, `durable`, `retries`, `backoff`, `timeout`, `concurrency`, `ordered_by`, `nulls`, `from`, and `crate = path`"
        ),
    };
    errors.at(option.span(), message);
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

pub(crate) fn function(item: TokenStream, errors: &mut Errors) -> Option<ItemFn> {
    let item = syn::parse2::<Item>(item).map_err(|error| errors.push(error)).ok()?;
    match item {
        Item::Fn(function) => Some(function),
        other => {
            let first = quote::ToTokens::to_token_stream(&other).into_iter().next();
            let span = first.map_or_else(Span::call_site, |token| token.span());
            errors.at(span, "`#[on]` stands on a function");
            None
        }
    }
}
