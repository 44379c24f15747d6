//! Parses the options of durable handlers: `#[on(durable = "send-invoice", retries = 5)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Ident, LitInt, LitStr};

use crate::errors::Errors;
use crate::options::{self, Example};

/// The checked options of a durable handler.
pub(crate) struct DurableHandler {
    pub(crate) name: LitStr,
    pub(crate) ordered_by: Option<LitStr>,
    nulls: Option<Ident>,
    retries: Option<LitInt>,
    /// The wait before the first retry and the longest wait, in milliseconds.
    backoff: Option<(u64, u64)>,
    /// The timeout in milliseconds; the inner `None` means no limit.
    timeout: Option<Option<u64>>,
    concurrency: Option<LitInt>,
    from: Option<Ident>,
}

/// The options as parsed, before they are checked together.
#[derive(Default)]
pub(crate) struct Options {
    seen: Vec<Ident>,
    name: Option<LitStr>,
    retries: Option<LitInt>,
    backoff: Option<LitStr>,
    timeout: Option<LitStr>,
    concurrency: Option<LitInt>,
    ordered_by: Option<LitStr>,
    nulls: Option<LitStr>,
    from: Option<LitStr>,
}

/// The names of all options.
pub(crate) const NAMES: [&str; 8] =
    ["durable", "retries", "backoff", "timeout", "concurrency", "ordered_by", "nulls", "from"];

const NO_FEATURE: &str = "durable handlers need the feature `durable` of typed-events, which the features of its adapters, `sqlite` and `redis`, contain: `cargo add typed-events --features sqlite`";

impl Options {
    /// Parses the value of an option. Returns `false` if the option is not one of `NAMES`.
    pub(crate) fn parse(
        &mut self,
        option: &Ident,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<bool> {
        let text = option.to_string();
        if !NAMES.contains(&text.as_str()) {
            return Ok(false);
        }
        if self.seen.contains(option) {
            errors.on(option, format_args!("`{option}` is given twice: remove one"));
        }
        if option == "durable" && !cfg!(feature = "durable") {
            errors.on(option, NO_FEATURE);
        }
        self.seen.push(option.clone());
        match text.as_str() {
            "durable" => self.name = Some(options::parse_text(input, option, Example::text("send-invoice"))?),
            "retries" => self.retries = Some(options::parse_number(input, option, 5)?),
            "backoff" => self.backoff = Some(options::parse_text(input, option, Example::time("1s..5m"))?),
            "timeout" => self.timeout = Some(options::parse_text(input, option, Example::time("30s"))?),
            "concurrency" => self.concurrency = Some(options::parse_number(input, option, 8)?),
            "ordered_by" => {
                self.ordered_by = Some(options::parse_text(input, option, Example::text("user_id"))?)
            }
            "nulls" => self.nulls = Some(options::parse_text(input, option, Example::text("together"))?),
            _ => self.from = Some(options::parse_text(input, option, Example::text("start"))?),
        }
        Ok(true)
    }

    /// Checks the options together. Returns them if the handler is durable.
    pub(crate) fn finish(self, errors: &mut Errors) -> Option<DurableHandler> {
        let Some(name) = self.name else {
            if self.seen.iter().any(|option| option == "durable") {
                // The value was invalid, and its error is already reported.
                return None;
            }
            for option in &self.seen {
                let message = format!(
                    "`{option}` works only with `durable`: add `durable = \"a-name\"`, or remove `{option}`"
                );
                errors.on(option, message);
            }
            return None;
        };
        let retries = self.retries.filter(|count| in_range(count, 0..=1_000_000, errors));
        let concurrency = self.concurrency.filter(|count| in_range(count, 1..=1024, errors));
        let backoff = self.backoff.and_then(|text| backoff(&text, errors));
        let timeout = self.timeout.and_then(|text| match text.value().as_str() {
            "never" => Some(None),
            _ => duration(&text, &text.value(), errors).map(Some),
        });
        let from = self.from.and_then(|text| {
            let message = "`from` is `\"start\"` (the oldest stored event) or `\"now\"` (the next event)";
            choice(&text, [("start", "Start"), ("now", "Now")], message, errors)
        });
        let nulls = nulls(self.nulls, self.ordered_by.is_some(), errors);
        Some(DurableHandler {
            name,
            ordered_by: self.ordered_by,
            nulls,
            retries,
            backoff,
            timeout,
            concurrency,
            from,
        })
    }
}

/// Checks the option `nulls`, which says how events are ordered whose `ordered_by` field is `null`.
fn nulls(text: Option<LitStr>, is_ordered: bool, errors: &mut Errors) -> Option<Ident> {
    let text = text?;
    if !is_ordered {
        errors.on(
            &text,
            "`nulls` works only with `ordered_by`: add `ordered_by = \"a_field\"`, or remove `nulls`",
        );
    }
    let message = "`nulls` is `\"unordered\"` (events whose field is null don't wait for each other) or `\"together\"` (they are handled one after the other)";
    choice(&text, [("unordered", "Unordered"), ("together", "Together")], message, errors)
}

/// Returns the variant that a text names, or reports `message`.
fn choice(text: &LitStr, of: [(&str, &str); 2], message: &str, errors: &mut Errors) -> Option<Ident> {
    let chosen = of.into_iter().find(|(name, _)| *name == text.value());
    if chosen.is_none() {
        errors.on(text, message);
    }
    chosen.map(|(_, variant)| Ident::new(variant, text.span()))
}

fn in_range(number: &LitInt, range: std::ops::RangeInclusive<u32>, errors: &mut Errors) -> bool {
    let fits = number.base10_parse::<u32>().is_ok_and(|value| range.contains(&value));
    if !fits {
        errors.on(number, format_args!("expected a whole number from {} to {}", range.start(), range.end()));
    }
    fits
}

/// Parses `"1s"` or `"1s..5m"` into the first wait and the longest wait, in milliseconds. The default of the longest
/// wait is five minutes, or the first wait if that is longer.
fn backoff(literal: &LitStr, errors: &mut Errors) -> Option<(u64, u64)> {
    let text = literal.value();
    let (first, most) = match text.split_once("..") {
        Some((first, most)) => (duration(literal, first, errors)?, duration(literal, most, errors)?),
        None => {
            let first = duration(literal, &text, errors)?;
            (first, first.max(5 * 60 * 1000))
        }
    };
    if first > most {
        errors.on(literal, "the first wait is longer than the longest wait: write the shorter time first, as in `\"1s..5m\"`");
    }
    Some((first, most))
}

/// Parses a whole number with its unit into milliseconds.
fn duration(literal: &LitStr, text: &str, errors: &mut Errors) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60 * 1000),
        "h" => Some(60 * 60 * 1000),
        _ => None,
    };
    let parsed =
        text[..digits].parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let parsed = parsed.filter(|millis| *millis > 0);
    if parsed.is_none() {
        errors.on(literal, "expected a time such as `\"500ms\"`, `\"30s\"`, `\"5m\"` or `\"2h\"`");
    }
    parsed
}

impl DurableHandler {
    /// The settings, as a constant.
    pub(crate) fn expand(&self, private: &TokenStream) -> TokenStream {
        let millis = |millis: u64| quote!(::core::time::Duration::from_millis(#millis));
        let name = &self.name;
        let backoff = self.backoff.map(|(first, most)| (millis(first), millis(most)));
        let timeout = self.timeout.map(|timeout| match timeout {
            Some(timeout) => millis(timeout),
            None => quote!(::core::time::Duration::MAX),
        });
        let settings = [
            self.retries.as_ref().map(|retries| quote!(.retries(#retries))),
            backoff.map(|(first, most)| quote!(.backoff(#first, #most))),
            timeout.map(|timeout| quote!(.timeout(#timeout))),
            self.concurrency.as_ref().map(|concurrency| quote!(.concurrency(#concurrency))),
            self.ordered_by.as_ref().map(|field| quote!(.ordered_by(#field))),
            self.nulls.as_ref().map(|nulls| quote!(.nulls(#private::Nulls::#nulls))),
            self.from.as_ref().map(|from| quote!(.from(#private::StartAt::#from))),
        ];
        let settings = settings.into_iter().flatten();
        quote!(#private::DurableOptions::new(#name) #(#settings)*)
    }
}
