//! What `#[event]` and `#[payload]` share: their options, and the item they stand on.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, DeriveInput, Field, Fields, Ident, Item, LitChar, LitInt, LitStr, Meta, Path, Token, Type,
};

use crate::attr::{self, Attributes, has_option};
use crate::errors::{Errors, text_of};
use crate::lock;
use crate::options;
use crate::owned;
use crate::secret;
use crate::stacked::{self, is_ours};
use crate::view::Of;

/// A derive that is added.
struct Added {
    name: &'static str,
    is_serde: bool,
}

const DERIVES: [Added; 4] = [
    Added { name: "Debug", is_serde: false },
    Added { name: "Clone", is_serde: false },
    Added { name: "Serialize", is_serde: true },
    Added { name: "Deserialize", is_serde: true },
];

/// What stands in the parentheses of `#[event(...)]`.
pub(crate) struct Arguments {
    /// The event's name; `None` where it is missing, or there is none.
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Path,
    pub(crate) without: Vec<Ident>,
    /// The derives above the attribute, where none that is added may be.
    pub(crate) above: Vec<String>,
    pub(crate) version: Version,
    /// Whether the name may sound like a command.
    pub(crate) any_name: bool,
    /// What was said already.
    seen: Vec<String>,
    /// Where all of it is secret.
    pub(crate) secret: Option<Ident>,
    /// The event whose part it is; `Some(None)` where that can't be read.
    pub(crate) view_of: Option<Option<Of>>,
    /// What it says of the lock, where it is under it.
    pub(crate) lock: Option<lock::Options>,
    /// Whether all of it was read.
    pub(crate) complete: bool,
}

/// Which version of its event a type is.
#[derive(Default)]
pub(crate) struct Version {
    pub(crate) number: Option<LitInt>,
    /// The type of the version before.
    pub(crate) previous: Option<Type>,
    /// Where it says that a newer version has taken its place.
    pub(crate) superseded: Option<Ident>,
}

impl Version {
    /// Reads an option, if it is one of these.
    pub(crate) fn parse_option(&mut self, option: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
        if option == "version" {
            let number = options::number(input, option, 2)?;
            if number.base10_parse::<u32>().is_ok_and(|number| number > 0) {
                self.number = Some(number);
                return Ok(true);
            }
            return Err(syn::Error::new(number.span(), "a version is a whole number from 1"));
        }
        if option == "previous" {
            options::equals(input, option, "UserCreatedV1")?;
            if input.peek(LitStr) {
                let shown = options::unquoted(input, "UserCreatedV1");
                let message = format!("`previous` takes a type without quotes: `previous = {shown}`");
                return Err(input.error(message));
            }
            self.previous = Some(input.parse()?);
            return Ok(true);
        }
        if option == "superseded" {
            options::flag(input, option)?;
            self.superseded = Some(option.clone());
            return Ok(true);
        }
        Ok(false)
    }

    pub(crate) fn value(&self) -> u32 {
        self.number.as_ref().and_then(|number| number.base10_parse().ok()).unwrap_or(1)
    }
}

impl Arguments {
    /// Reads the parentheses of `#[event(...)]`, or of `#[payload(...)]`, which has no name.
    pub(crate) fn parse(
        tokens: TokenStream,
        named: bool,
        lock: Option<lock::Options>,
        errors: &mut Errors,
    ) -> Self {
        let mut arguments = Self {
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
            if !named {
                return arguments.parse_options(input, errors);
            }
            if is_view(input) {
                // Whatever comes of it, it is not an event.
                arguments.view_of = Some(None);
                let of = view_of(input, arguments.lock.is_some())?;
                arguments.view_of = Some(Some(of));
                options::separator(input)?;
                return arguments.parse_options(input, errors);
            }
            if !input.peek(LitStr) {
                return Err(if input.is_empty() {
                    syn::Error::new(Span::call_site(), NEEDS_NAME)
                } else {
                    input.error(misplaced_name(input).unwrap_or_else(|| NEEDS_NAME.to_owned()))
                });
            }
            arguments.name = Some(input.parse()?);
            options::separator(input)?;
            arguments.parse_options(input, errors)
        })
        .parse2(tokens);
        if let Err(error) = parsed {
            errors.push(error);
            arguments.complete = false;
        }
        arguments
    }

    /// Whether a derive of this name is added where the type has none.
    pub(crate) fn adds(&self, derive: &str) -> bool {
        // A view is only read.
        let only_read = self.view_of.is_some() && derive == "Serialize";
        let is_left_out = self.without.iter().any(|left_out| left_out == derive);
        !only_read && !is_left_out && DERIVES.iter().any(|added| added.name == derive)
    }

    fn parse_options(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        while !input.is_empty() {
            self.parse_option(input, errors)?;
            options::separator(input)?;
        }
        Ok(())
    }

    fn parse_option(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        if input.peek(Token![crate]) {
            self.krate = options::krate(input)?;
            if self.krate.segments.iter().any(|segment| segment.ident == "$crate") {
                errors.on(
                    &self.krate,
                    "serde can't follow `$crate`: write the path from the root, `crate = ::your_crate::...`",
                );
            }
            return Ok(());
        }
        if input.peek(LitStr) {
            return Err(input.error(match self.name {
                Some(_) => "an event has one name: take one away; another event is another type",
                None => "`#[payload]` takes no name: events have names, their parts have not",
            }));
        }
        let option: Ident = input.parse()?;
        if self.seen.iter().any(|seen| option == seen) {
            errors.at(option.span(), format_args!("`{option}` is there already"));
        }
        self.seen.push(option.to_string());
        if self.name.is_some() && option == "allow" {
            let lint: Ident = options::list(input, &option, "naming")?.parse()?;
            if lint != "naming" {
                errors.at(lint.span(), "there is no such lint here, only `naming`");
            }
            self.any_name = true;
            return Ok(());
        }
        if self.name.is_some() && self.version.parse_option(&option, input)? {
            return Ok(());
        }
        if let (Some(_), Some(lock)) = (&self.name, &mut self.lock)
            && lock.parse_option(&option, input)?
        {
            return Ok(());
        }
        if self.name.is_some() && ["compatibility", "reserved", "changed"].iter().any(|lock| option == lock) {
            return Err(syn::Error::new(option.span(), options::only_locked(&option.to_string())));
        }
        if option == "secret" && self.name.is_none() && self.view_of.is_none() {
            options::flag(input, &option)?;
            self.secret = Some(option);
            return Ok(());
        }
        if let (Some(name), true) = (&self.name, option == "view_of") {
            let (name, of) = (text_of(name), viewed(input));
            let message =
                format!("a view has no name of its own: take `{name}` away: `#[event(view_of = {of})]`");
            errors.at(option.span(), message);
            return options::skip(input);
        }
        if option != "without" {
            errors.at(option.span(), self.unknown(&option.to_string()));
            return options::skip(input);
        }
        let list = options::list(input, &option, "Debug")?;
        if list.peek(LitStr) {
            return Err(list.error("`without` takes names without quotes: `without(Debug)`"));
        }
        for derive in list.parse_terminated(Ident::parse, Token![,])? {
            if !DERIVES.iter().any(|added| derive == added.name) {
                let message = "what is added is Debug, Clone, Serialize and Deserialize";
                errors.at(derive.span(), format_args!("there is no `{derive}` to leave out: {message}"));
            }
            self.without.push(derive);
        }
        Ok(())
    }
}

impl Arguments {
    /// The error of an option that there is not.
    fn unknown(&self, option: &str) -> String {
        let (options, list): (&[&str], _) = match self.name {
            Some(_) => (
                &["version", "previous", "superseded", "allow", "without", "crate"],
                "`version = 2`, `previous = Type`, `superseded`, `allow(naming)`, `without(Debug, ...)` and `crate = path`",
            ),
            None if self.view_of.is_some() => {
                (&["without", "crate"], "`without(Debug, ...)` and `crate = path`")
            }
            None => (&["secret", "without", "crate"], "`secret`, `without(Debug, ...)` and `crate = path`"),
        };
        match option {
            "version" | "previous" | "superseded" if self.view_of.is_some() => {
                format!("a view has no version: take `{option}` away")
            }
            "secret" => "mark the fields: `#[event(secret)]`; a field's own type can be secret as a whole, with `#[payload(secret)]`".to_owned(),
            "opaque" => "`opaque` stands on a field: `#[event(opaque)]`".to_owned(),
            _ => match options::meant(option, options) {
                Some(meant) => format!("unknown option `{option}`: did you mean `{meant}`?"),
                None => format!("unknown option `{option}`: there are {list}"),
            },
        }
    }
}

const NEEDS_NAME: &str = "an event needs a name first: `#[event(\"user.created\")]`";

/// The error of a name that has no quotes, or stands behind `name =`.
fn misplaced_name(input: ParseStream<'_>) -> Option<String> {
    let fork = input.fork();
    if let Ok(character) = fork.parse::<LitChar>() {
        return Some(format!("a name stands in quotes: `#[event(\"{}\")]`", character.value()));
    }
    let first = fork.parse::<Ident>().ok()?;
    if first == "name" && fork.parse::<Token![=]>().is_ok() {
        let name = fork.parse::<LitStr>().ok()?;
        return Some(format!("the name stands alone: `#[event({})]`", text_of(&name)));
    }
    let mut name = first.to_string();
    while fork.parse::<Token![.]>().is_ok() {
        name = format!("{name}.{}", fork.call(Ident::parse_any).ok()?);
    }
    name.contains('.').then(|| format!("a name stands in quotes: `#[event(\"{name}\")]`"))
}

/// The event of `= UserCreated`, as it is written; an example where it can't be read.
fn viewed(input: ParseStream<'_>) -> String {
    let fork = input.fork();
    let of = fork.parse::<Token![=]>().and_then(|_| fork.parse::<Of>());
    of.map_or_else(|_| "UserCreated".to_owned(), |of| text_of(&of))
}

fn is_view(input: ParseStream<'_>) -> bool {
    input.fork().parse::<Ident>().is_ok_and(|option| option == "view_of")
}

/// The event of `view_of = UserCreated`; only the lock knows one by its name.
fn view_of(input: ParseStream<'_>, locked: bool) -> syn::Result<Of> {
    let option: Ident = input.parse()?;
    options::equals(input, &option, "UserCreated")?;
    if input.peek(LitStr) && !locked {
        return Err(input.error(
            "name the event's type: `view_of = UserCreated`; or, to check it against the lock, `use typed_events::locked::event`",
        ));
    }
    input.parse()
}

/// The struct or enum the attribute stands on; otherwise the item with what is wrong.
pub(crate) fn parse(
    attribute: &str,
    item: TokenStream,
    errors: &mut Errors,
) -> Result<DeriveInput, TokenStream> {
    let parsed = syn::parse2::<Item>(item.clone()).map_err(|error| {
        let error = error.to_compile_error();
        quote!(#item #error)
    })?;
    match parsed {
        Item::Struct(item) => Ok(DeriveInput::from(item)),
        Item::Enum(item) => Ok(DeriveInput::from(item)),
        other => {
            let instead = if matches!(other, Item::Union(_)) { ": take an enum" } else { "" };
            errors
                .at(keyword(&other), format_args!("`#[{attribute}]` stands on a struct or an enum{instead}"));
            let errors = std::mem::take(errors).into_tokens();
            Err(quote!(#other #errors))
        }
    }
}

/// What textual forms leave out of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    Nothing,
    Fields,
    Type,
}

/// The derives to add: those the type has not, and ours.
pub(crate) fn derives(arguments: &Arguments, input: &DeriveInput, ours: &str, hidden: Hidden) -> TokenStream {
    let mut ours = vec![format_ident!("{ours}")];
    // Beside derives above, where nothing may be, everything is shown: that is an error already.
    let hidden = if arguments.above.is_empty() { hidden } else { Hidden::Nothing };
    match hidden {
        Hidden::Nothing => {}
        Hidden::Fields if arguments.without.iter().any(|derive| derive == "Debug") => {}
        Hidden::Fields => ours.push(format_ident!("__Redact")),
        Hidden::Type => ours.push(format_ident!("__Secret")),
    }
    let krate = &arguments.krate;
    let present = derived(&input.attrs);
    let absent = DERIVES
        .iter()
        .filter(|added| arguments.adds(added.name))
        .filter(|added| hidden == Hidden::Nothing || added.name != "Debug")
        .filter(|added| !present.iter().any(|present| present == added.name))
        .filter(|added| !arguments.above.iter().any(|above| above == added.name));
    let (mut paths, mut adds_serde) = (Vec::new(), false);
    for added in absent {
        adds_serde |= added.is_serde;
        paths.push(match added.name {
            "Debug" => quote!(::core::fmt::Debug),
            "Clone" => quote!(::core::clone::Clone),
            name => {
                let name = format_ident!("{name}");
                quote!(#krate::__private::serde::#name)
            }
        });
    }
    let names_serde = input
        .attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("serde") && has_option(attribute, "crate"));
    let serde = (adds_serde && !names_serde).then(|| {
        let path = quote!(#krate::__private::serde).to_string().replace(' ', "");
        quote!(#[serde(crate = #path)])
    });
    quote! {
        #[derive(#(#krate::__private::#ours,)* #(#paths),*)]
        #serde
    }
}

/// What the type derives itself, by the last segment of each path.
pub(crate) fn derived(attributes: &[Attribute]) -> Vec<Ident> {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let paths =
        lists.filter_map(|list| list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).ok());
    paths.flatten().filter_map(|path| path.segments.last().map(|last| last.ident.clone())).collect()
}

pub(crate) fn fields_mut(input: &mut DeriveInput) -> Vec<&mut Field> {
    let all: Vec<&mut Fields> = match &mut input.data {
        syn::Data::Struct(data) => vec![&mut data.fields],
        syn::Data::Enum(data) => data.variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        syn::Data::Union(_) => Vec::new(),
    };
    all.into_iter().flat_map(Fields::iter_mut).collect()
}

/// Checks the attributes and the type of each field, and prepares them for the derives; returns whether one is secret.
pub(crate) fn check_fields(
    input: &mut DeriveInput,
    helper: &str,
    arguments: &Arguments,
    errors: &mut Errors,
) -> bool {
    let locked = arguments.lock.is_some() && arguments.view_of.is_none();
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

/// `#[event(opaque)]` on a field would be taken for the attribute macro: the derive knows it under
/// another name.
fn rename_options(field: &mut Field, helper: &str, locked: bool, errors: &mut Errors) {
    for attribute in &mut field.attrs {
        let renamed = Path::from(Ident::new(helper, attribute.path().span()));
        let checked = if is_ours(attribute.path(), "payload") {
            Err(under_event(attribute, "options of a field stand in `#[event]`, in payloads, too:"))
        } else if helper != "schema" && attribute.path().is_ident("schema") && is_option(attribute) {
            Err(under_event(attribute, "in an event,"))
        } else if is_ours(attribute.path(), "event") {
            attr::check_field_options(attribute, locked)
        } else {
            continue;
        };
        if let Err(error) = checked {
            errors.push(error);
            // Of a field with an error nothing else is said; under the lock, to be opaque would be a change.
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

/// The error of options of a field under the name of another attribute.
fn under_event(attribute: &Attribute, place: &str) -> syn::Error {
    let options = match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => text_of(&list.tokens),
        _ => "secret".to_owned(),
    };
    syn::Error::new_spanned(attribute.path(), format_args!("{place} write `#[event({options})]`"))
}

/// Whether an attribute of fields has an option of ours.
fn is_option(attribute: &Attribute) -> bool {
    ["opaque", "secret"].iter().any(|option| has_option(attribute, option))
}

/// Refuses options on variants, and takes them away.
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
            // One mistake is enough: the fields are not asked for a schema.
            variant.fields.iter_mut().for_each(|field| field.attrs.push(syn::parse_quote!(#[event(opaque)])));
        }
        variant.attrs.retain(|attribute| !refused(attribute));
    }
}

/// How an option of a variant is written on its first field. One that is secret has a name.
fn on_the_field(option: &Attribute, variant: &Ident, fields: &Fields) -> String {
    let Some(field) = fields.iter().next() else {
        return "a variant has no options of its own, and this one has no fields: take it away".to_owned();
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
    format!("a variant has no options of its own: write it on the field: `{shown}`")
}

/// The word that says what kind of item it is.
fn keyword(item: &Item) -> Span {
    match item {
        Item::Fn(item) => item.sig.fn_token.span(),
        Item::Union(item) => item.union_token.span(),
        Item::Trait(item) => item.trait_token.span(),
        Item::Impl(item) => item.impl_token.span(),
        Item::Mod(item) => item.mod_token.span(),
        Item::Type(item) => item.type_token.span(),
        other => {
            other.to_token_stream().into_iter().next().map_or_else(Span::call_site, |token| token.span())
        }
    }
}
