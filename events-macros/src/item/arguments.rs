//! Parses the arguments of `#[event(...)]` and `#[payload(...)]`.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{DeriveInput, Ident, LitChar, LitInt, LitStr, Path, Token, Type};

use super::derives::DERIVES;
use crate::attr::{self, EVENT, LOCKED};
use crate::errors::{Errors, text_of};
use crate::view::Of;
use crate::{lock, options};

/// The arguments of an event, a view or a payload.
pub(crate) struct Arguments {
    pub(crate) kind: Kind,
    /// The name of the event; `None` if it is missing, and for views and payloads.
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Path,
    pub(crate) without: Vec<Ident>,
    /// The derives above the attribute that the attribute also adds. They are an error, because the attribute must
    /// come first.
    pub(crate) above: Vec<String>,
    pub(crate) version: Version,
    /// Whether `allow(naming)` permits a name that sounds like a command.
    pub(crate) any_name: bool,
    /// The options parsed so far, to find duplicates.
    seen: Vec<Ident>,
    /// The option `secret`, if the whole payload is secret.
    pub(crate) secret: Option<Ident>,
    /// The event of a view; `None` if it can't be parsed, and for events and payloads.
    pub(crate) view_of: Option<Of>,
    /// The options of the schema lock, if the event or view is declared with `locked::event`.
    pub(crate) lock: Option<lock::Options>,
    /// Whether all arguments were parsed, without a syntax error that ended the parsing early.
    pub(crate) complete: bool,
}

/// The kind of type that an attribute declares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    View,
    Payload,
}

/// The version of an event that a type declares.
#[derive(Default)]
pub(crate) struct Version {
    pub(crate) number: Option<LitInt>,
    /// The type of the previous version.
    pub(crate) previous: Option<Type>,
    /// The option `superseded`, if a newer version replaces this one.
    pub(crate) superseded: Option<Ident>,
}

impl Version {
    /// Parses `version = 2`, `previous = Type` or `superseded`.
    fn parse_option(&mut self, option: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        if option == "version" {
            let number = options::parse_number(input, option, 2)?;
            if number.base10_parse::<u32>().is_ok_and(|number| number > 0) {
                self.number = Some(number);
                return Ok(());
            }
            return Err(syn::Error::new(
                number.span(),
                "`version` takes a whole number from 1 to 4294967295",
            ));
        }
        if option == "superseded" {
            options::check_no_value(input, option)?;
            self.superseded = Some(option.clone());
            return Ok(());
        }
        options::parse_equals(input, option, "UserCreatedV1")?;
        if input.peek(LitStr) {
            let shown = options::path_or_example(input, "UserCreatedV1");
            let message = format!("`previous` takes a type without quotes: `previous = {shown}`");
            return Err(input.error(message));
        }
        self.previous = Some(input.parse()?);
        Ok(())
    }

    pub(crate) fn value(&self) -> u32 {
        self.number.as_ref().and_then(|number| number.base10_parse().ok()).unwrap_or(1)
    }
}

impl Arguments {
    /// Parses the arguments of `#[event(...)]`, or those of `#[payload(...)]`, which have no name.
    pub(crate) fn parse(
        tokens: TokenStream,
        kind: Kind,
        lock: Option<lock::Options>,
        errors: &mut Errors,
    ) -> Self {
        let mut arguments = Self {
            kind,
            name: None,
            krate: syn::parse_quote!(::typed_events),
            without: Vec::new(),
            above: Vec::new(),
            version: Version::default(),
            any_name: false,
            seen: Vec::new(),
            secret: None,
            view_of: None,
            lock,
            complete: true,
        };
        let parsed = (|input: ParseStream<'_>| {
            if kind == Kind::Event {
                arguments.parse_name(input)?;
            }
            while !input.is_empty() {
                arguments.parse_option(input, errors)?;
                options::parse_comma(input)?;
            }
            Ok(())
        })
        .parse2(tokens);
        if let Err(error) = parsed {
            errors.push(error);
            arguments.complete = false;
        }
        arguments
    }

    /// Returns the arguments that `#[event(...)]` passed to its hidden derive. Returns `None` for syntax errors, which
    /// the attribute has reported.
    pub(crate) fn passed_on(input: &DeriveInput) -> Option<Self> {
        let attribute = attr::named(&input.attrs, EVENT).next()?;
        let tokens = &attribute.meta.require_list().ok()?.tokens;
        let lock = lock::Options::passed_on(tokens);
        let arguments = Self::parse(tokens.clone(), Kind::Event, lock, &mut Errors::default());
        arguments.complete.then_some(arguments)
    }

    /// Returns whether the attribute adds this derive to types that do not have it.
    pub(crate) fn adds(&self, derive: &str) -> bool {
        // A view is deserialized only.
        let only_read = self.kind == Kind::View && derive == "Serialize";
        !only_read && !self.leaves_out(derive) && DERIVES.contains(&derive)
    }

    /// Returns whether `without(...)` names a derive.
    pub(crate) fn leaves_out(&self, derive: &str) -> bool {
        self.without.iter().any(|left_out| left_out == derive)
    }

    /// Parses the name of an event, or `view_of = ...` of a view.
    fn parse_name(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.fork().parse::<Ident>().is_ok_and(|option| option == "view_of") {
            self.kind = Kind::View;
            self.view_of = Some(view_of(input, self.lock.is_some())?);
        } else if input.peek(LitStr) {
            self.name = Some(input.parse()?);
        } else if input.is_empty() {
            return Err(syn::Error::new(Span::call_site(), NEEDS_NAME));
        } else {
            return Err(input.error(misplaced_name(input).unwrap_or_else(|| NEEDS_NAME.to_owned())));
        }
        options::parse_comma(input)
    }

    fn parse_option(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        if input.peek(Token![crate]) {
            return self.parse_crate(input, errors);
        }
        if input.peek(LitStr) {
            return Err(input.error(match self.kind {
                Kind::Event => {
                    "an event has only one name: remove this one, or declare another type for another event"
                }
                Kind::View => "a view has no name: remove it",
                Kind::Payload => "`#[payload]` takes no name, because only events have names: remove it",
            }));
        }
        let option: Ident = input.parse()?;
        let text = option.to_string();
        if self.seen.contains(&option) {
            errors.at(option.span(), format_args!("`{option}` is given twice: remove one"));
        }
        self.seen.push(option.clone());
        match (self.kind, text.as_str()) {
            (_, "without") => self.parse_without(&option, input, errors),
            (_, LOCKED) if self.lock.is_some() => Ok(()),
            (Kind::Event, "allow") => {
                let lint: Ident = options::parse_list(input, &option, "naming")?.parse()?;
                if lint != "naming" {
                    errors.at(lint.span(), "unknown lint: `allow` takes only `naming`");
                }
                self.any_name = true;
                Ok(())
            }
            (Kind::Event, "version" | "previous" | "superseded") => self.version.parse_option(&option, input),
            (Kind::Event, "compatibility" | "reserved" | "changed") => match &mut self.lock {
                Some(lock) => lock.parse_option(&option, input),
                None => Err(syn::Error::new(option.span(), options::only_locked_message(&text))),
            },
            (Kind::Payload, "secret") => {
                options::check_no_value(input, &option)?;
                self.secret = Some(option);
                Ok(())
            }
            _ => {
                errors.at(option.span(), self.unknown(&text, input));
                options::skip_value(input)
            }
        }
    }

    fn parse_crate(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        input.parse::<Token![crate]>()?;
        self.krate = options::parse_path(input)?;
        if self.krate.segments.iter().any(|segment| segment.ident == "$crate") {
            errors.on(
                &self.krate,
                "serde can't use a path with `$crate`: write an absolute path, `crate = ::your_crate::...`",
            );
        }
        Ok(())
    }

    fn parse_without(
        &mut self,
        option: &Ident,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        let list = options::parse_list(input, option, "Debug")?;
        if list.peek(LitStr) {
            return Err(list.error("`without` takes names without quotes: `without(Debug)`"));
        }
        for derive in list.parse_terminated(Ident::parse, Token![,])? {
            if !DERIVES.iter().any(|added| derive == added) {
                let message = "only `Debug`, `Clone`, `Serialize` and `Deserialize` are added";
                errors.at(derive.span(), format_args!("`{derive}` can't be left out: {message}"));
            }
            self.without.push(derive);
        }
        Ok(())
    }

    /// Returns the error for an unknown option. `input` is what follows the option.
    fn unknown(&self, option: &str, input: ParseStream<'_>) -> String {
        let (options, list): (&[&str], _) = match self.kind {
            Kind::Event => (
                &["version", "previous", "superseded", "allow", "without", "crate"],
                "`version = 2`, `previous = Type`, `superseded`, `allow(naming)`, `without(Debug, ...)` and `crate = path`",
            ),
            Kind::View => (&["without", "crate"], "`without(Debug, ...)` and `crate = path`"),
            Kind::Payload => {
                (&["secret", "without", "crate"], "`secret`, `without(Debug, ...)` and `crate = path`")
            }
        };
        match (option, &self.name) {
            ("view_of", Some(name)) => {
                let (name, of) = (text_of(name), viewed(input));
                format!("a view has no name: remove `{name}`, and write `#[event(view_of = {of})]`")
            }
            ("version" | "previous" | "superseded", _) if self.kind == Kind::View => {
                format!("a view has no version: remove `{option}`")
            }
            ("secret", _) => "`secret` is an option of fields: write `#[event(secret)]` on each secret field, or `#[payload(secret)]` on the type of a field".to_owned(),
            ("opaque", _) => "`opaque` is an option of fields: write `#[event(opaque)]` on the field".to_owned(),
            _ => match options::nearest_option(option, options) {
                Some(meant) => format!("unknown option `{option}`: did you mean `{meant}`?"),
                None => format!("unknown option `{option}`: the options are {list}"),
            },
        }
    }
}

const NEEDS_NAME: &str = "an event needs a name as its first argument: `#[event(\"user.created\")]`";

/// Returns the error for a name without quotes or after `name =`.
fn misplaced_name(input: ParseStream<'_>) -> Option<String> {
    let fork = input.fork();
    if let Ok(character) = fork.parse::<LitChar>() {
        return Some(format!("write the name in quotes: `#[event(\"{}\")]`", character.value()));
    }
    let first = fork.parse::<Ident>().ok()?;
    if first == "name" && fork.parse::<Token![=]>().is_ok() {
        let name = fork.parse::<LitStr>().ok()?;
        return Some(format!("write the name without `name =`: `#[event({})]`", text_of(&name)));
    }
    let mut name = first.to_string();
    while fork.parse::<Token![.]>().is_ok() {
        name = format!("{name}.{}", fork.call(Ident::parse_any).ok()?);
    }
    name.contains('.').then(|| format!("write the name in quotes: `#[event(\"{name}\")]`"))
}

/// Returns the text of the event in `= UserCreated`, or an example if it can't be parsed.
fn viewed(input: ParseStream<'_>) -> String {
    let fork = input.fork();
    let of = fork.parse::<Token![=]>().and_then(|_| fork.parse::<Of>());
    of.map_or_else(|_| "UserCreated".to_owned(), |of| text_of(&of))
}

/// Parses the event of `view_of = UserCreated`. The name of an event in quotes is allowed only under the schema lock.
fn view_of(input: ParseStream<'_>, locked: bool) -> syn::Result<Of> {
    let option: Ident = input.parse()?;
    options::parse_equals(input, &option, "UserCreated")?;
    if input.peek(LitStr) && !locked {
        return Err(input.error(
            "write the type of the event without quotes: `view_of = UserCreated`; the name of a locked event needs `use typed_events::locked::event`",
        ));
    }
    input.parse()
}
