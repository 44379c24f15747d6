//! What `#[event]` and `#[payload]` share: their options, and the item they stand on.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Field, Fields, Ident, Item, LitInt, LitStr, Meta, Path, Token, Type};

use crate::errors::Errors;
use crate::lock;
use crate::schema;
use crate::view::Of;

/// The derives that are added, and whether they are serde's.
const DERIVES: [(&str, bool); 4] =
    [("Debug", false), ("Clone", false), ("Serialize", true), ("Deserialize", true)];

/// What stands in the parentheses of `#[event(...)]`.
pub(crate) struct Arguments {
    /// The event's name; `None` where it is missing, or there is none.
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Path,
    pub(crate) without: Vec<Ident>,
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
            input.parse::<Token![=]>()?;
            let number: LitInt = input.parse()?;
            if number.base10_parse::<u32>().is_ok_and(|number| number > 0) {
                self.number = Some(number);
                return Ok(true);
            }
            return Err(syn::Error::new(number.span(), "a version is a whole number from 1"));
        }
        if option == "previous" {
            input.parse::<Token![=]>()?;
            self.previous = Some(input.parse()?);
            return Ok(true);
        }
        if option == "superseded" {
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
            version: Version::default(),
            any_name: false,
            seen: Vec::new(),
            secret: None,
            view_of: None,
            lock,
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
                input.parse::<Option<Token![,]>>()?;
                return arguments.parse_options(input, errors);
            }
            if !input.peek(LitStr) {
                let message = "an event needs a name first: `#[event(\"user.created\")]`";
                return Err(if input.is_empty() {
                    syn::Error::new(Span::call_site(), message)
                } else {
                    input.error(message)
                });
            }
            arguments.name = Some(input.parse()?);
            input.parse::<Option<Token![,]>>()?;
            arguments.parse_options(input, errors)
        })
        .parse2(tokens);
        if let Err(error) = parsed {
            errors.push(error);
        }
        arguments
    }

    fn parse_options(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        while !input.is_empty() {
            self.parse_option(input, errors)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn parse_option(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            self.krate = input.call(Path::parse_mod_style)?;
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
                Some(_) => "an event has one name",
                None => "`#[payload]` takes no name: events have names, their parts have not",
            }));
        }
        let option: Ident = input.parse()?;
        if self.seen.iter().any(|seen| option == seen) {
            errors.at(option.span(), format_args!("`{option}` is there already"));
        }
        self.seen.push(option.to_string());
        if self.name.is_some() && option == "allow" {
            let lint;
            syn::parenthesized!(lint in input);
            let lint: Ident = lint.parse()?;
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
            let message =
                format!("`{option}` is of events under the lock: `use typed_events::locked::event`");
            return Err(syn::Error::new(option.span(), message));
        }
        if option == "secret" && self.name.is_none() && self.view_of.is_none() {
            self.secret = Some(option);
            return Ok(());
        }
        if option != "without" {
            let options = match self.name {
                Some(_) => {
                    "`version = 2`, `previous = Type`, `superseded`, `allow(naming)`, `without(Debug, ...)` and `crate = path`"
                }
                None if self.view_of.is_some() => "`without(Debug, ...)` and `crate = path`",
                None => "`secret`, `without(Debug, ...)` and `crate = path`",
            };
            errors.at(option.span(), format_args!("unknown option `{option}`: there are {options}"));
            while !input.is_empty() && !input.peek(Token![,]) {
                input.parse::<TokenTree>()?;
            }
            return Ok(());
        }
        let list;
        syn::parenthesized!(list in input);
        for derive in list.parse_terminated(Ident::parse, Token![,])? {
            if !DERIVES.iter().any(|(name, _)| derive == name) {
                let message = "what is added is Debug, Clone, Serialize and Deserialize";
                errors.at(derive.span(), format_args!("there is no `{derive}` to leave out: {message}"));
            }
            self.without.push(derive);
        }
        Ok(())
    }
}

fn is_view(input: ParseStream<'_>) -> bool {
    input.fork().parse::<Ident>().is_ok_and(|option| option == "view_of")
}

/// The event of `view_of = UserCreated`; only the lock knows one by its name.
fn view_of(input: ParseStream<'_>, locked: bool) -> syn::Result<Of> {
    input.parse::<Ident>()?;
    input.parse::<Token![=]>()?;
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
            errors.at(keyword(&other), format_args!("`#[{attribute}]` stands on a struct or an enum"));
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
        // A view is only read.
        .filter(|(name, _)| arguments.view_of.is_none() || *name != "Serialize")
        .filter(|(name, _)| hidden == Hidden::Nothing || *name != "Debug")
        .filter(|(name, _)| !present.iter().chain(&arguments.without).any(|ident| ident == name));
    let (mut paths, mut adds_serde) = (Vec::new(), false);
    for (name, is_serde) in absent {
        adds_serde |= is_serde;
        paths.push(match *name {
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
        .any(|attribute| attribute.path().is_ident("serde") && schema::has_option(attribute, "crate"));
    let serde = (adds_serde && !names_serde).then(|| {
        let path = quote!(#krate::__private::serde).to_string().replace(' ', "");
        quote!(#[serde(crate = #path)])
    });
    quote! {
        #[derive(#(#paths,)* #(#krate::__private::#ours),*)]
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

/// `#[event(opaque)]` on a field would be taken for the attribute macro: the derive knows it under
/// another name.
pub(crate) fn rename_options(field: &mut Field, helper: &str, locked: bool, errors: &mut Errors) {
    for attribute in &mut field.attrs {
        if !attribute.path().is_ident("event") {
            continue;
        }
        if let Err(error) = schema::check_field_options(attribute, locked) {
            errors.push(error);
        }
        let renamed = Path::from(Ident::new(helper, attribute.path().span()));
        match &mut attribute.meta {
            Meta::Path(path) => *path = renamed,
            Meta::List(list) => list.path = renamed,
            Meta::NameValue(value) => value.path = renamed,
        }
    }
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
