//! `#[event("...")]`: re-emits the item with derives; the hidden derive does the rest.
//!
//! An attribute sees fields that `#[cfg]` removes, a derive does not: so what depends on the fields
//! is left to the derive.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Field, Fields, Ident, Item, LitStr, Meta, Path, Token};

use crate::errors::{Errors, call_at};
use crate::schema;

/// The attribute through which `#[event]` speaks to its hidden derive.
const HELPER: &str = "__typed_event";

/// The derives `#[event]` adds, and whether they are serde's.
const DERIVES: [(&str, bool); 4] =
    [("Debug", false), ("Clone", false), ("Serialize", true), ("Deserialize", true)];

/// What stands in the parentheses of `#[event(...)]`.
struct Arguments {
    /// `None` where it is missing.
    name: Option<LitStr>,
    krate: Path,
    without: Vec<Ident>,
}

impl Arguments {
    fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut arguments =
            Self { name: None, krate: syn::parse_quote!(::typed_events), without: Vec::new() };
        let parsed = (|input: ParseStream<'_>| {
            if !input.peek(LitStr) {
                let message = "an event needs a name first: `#[event(\"user.created\")]`";
                return Err(if input.is_empty() {
                    syn::Error::new(Span::call_site(), message)
                } else {
                    input.error(message)
                });
            }
            arguments.name = Some(input.parse()?);
            while !input.is_empty() {
                input.parse::<Token![,]>()?;
                if !input.is_empty() {
                    arguments.parse_option(input, errors)?;
                }
            }
            Ok(())
        })
        .parse2(tokens);
        if let Err(error) = parsed {
            errors.push(error);
        }
        arguments
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
            return Err(input.error("an event has one name"));
        }
        let option: Ident = input.parse()?;
        if option != "without" {
            errors.at(
                option.span(),
                format_args!("unknown option `{option}`: there are `crate = path` and `without(Debug, ...)`"),
            );
            while !input.is_empty() && !input.peek(Token![,]) {
                input.parse::<TokenTree>()?;
            }
            return Ok(());
        }
        let list;
        syn::parenthesized!(list in input);
        for derive in list.parse_terminated(Ident::parse, Token![,])? {
            if !DERIVES.iter().any(|(name, _)| derive == name) {
                let message = "`#[event]` adds Debug, Clone, Serialize and Deserialize";
                errors.at(derive.span(), format_args!("there is no `{derive}` to leave out: {message}"));
            }
            self.without.push(derive);
        }
        Ok(())
    }
}

pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#item #error);
        }
    };
    let arguments = Arguments::parse(arguments, &mut errors);
    let mut input = match parsed {
        Item::Struct(item) => DeriveInput::from(item),
        Item::Enum(item) => DeriveInput::from(item),
        other => {
            errors.at(keyword(&other), "`#[event]` stands on a struct or an enum");
            let errors = errors.into_tokens();
            return quote!(#other #errors);
        }
    };
    if !input.generics.params.is_empty() {
        let message =
            "an event can't be generic: it has one name and one schema, known when the program is compiled";
        errors.on(&input.generics, message);
    }
    for field in fields_mut(&mut input) {
        rename_options(field, &mut errors);
    }
    if input.generics.params.is_empty() {
        return expand(&arguments, &input, errors);
    }
    // Generated code would have errors of its own: only the name is still checked.
    fields_mut(&mut input)
        .into_iter()
        .for_each(|field| field.attrs.retain(|attribute| !attribute.path().is_ident(HELPER)));
    let krate = &arguments.krate;
    let check = arguments.name.map(|name| check_name(&name, &quote!(#krate::__private)));
    let errors = errors.into_tokens();
    quote!(#input #check #errors)
}

/// The item with its derives, also where there are errors: so that nothing else has any for it.
fn expand(arguments: &Arguments, input: &DeriveInput, errors: Errors) -> TokenStream {
    let derives = derives(arguments, input);
    let krate = &arguments.krate;
    let name = arguments.name.clone().unwrap_or_else(|| LitStr::new("unnamed", Span::call_site()));
    let errors = errors.into_tokens();
    quote! {
        #derives
        #[__typed_event(name = #name, crate = #krate)]
        #input
        #errors
    }
}

/// A constant that fails to evaluate where the name is none.
fn check_name(name: &LitStr, private: &TokenStream) -> TokenStream {
    let check = call_at(name, quote!(#private::event_name), quote!(#name));
    quote!(const _: () = #check;)
}

/// The derives to add: those the type has not, and the hidden one.
fn derives(arguments: &Arguments, input: &DeriveInput) -> TokenStream {
    let krate = &arguments.krate;
    let present = derived(&input.attrs);
    let absent = DERIVES
        .iter()
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
        #[derive(#(#paths,)* #krate::__private::__Event)]
        #serde
    }
}

/// What the type derives itself, by the last segment of each path.
fn derived(attributes: &[Attribute]) -> Vec<Ident> {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let paths =
        lists.filter_map(|list| list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).ok());
    paths.flatten().filter_map(|path| path.segments.last().map(|last| last.ident.clone())).collect()
}

fn fields_mut(input: &mut DeriveInput) -> Vec<&mut Field> {
    let all: Vec<&mut Fields> = match &mut input.data {
        syn::Data::Struct(data) => vec![&mut data.fields],
        syn::Data::Enum(data) => data.variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        syn::Data::Union(_) => Vec::new(),
    };
    all.into_iter().flat_map(Fields::iter_mut).collect()
}

/// `#[event(opaque)]` on a field would be taken for the attribute macro: the derive knows it under
/// another name.
fn rename_options(field: &mut Field, errors: &mut Errors) {
    for attribute in &mut field.attrs {
        if !attribute.path().is_ident("event") {
            continue;
        }
        if let Err(error) = schema::check_field_options(attribute) {
            errors.push(error);
        }
        let renamed = Path::from(Ident::new(HELPER, attribute.path().span()));
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

/// The hidden derive: the impl of `Event`, and the registration.
pub(crate) fn derive(input: DeriveInput) -> TokenStream {
    let Some((name, krate)) = hidden_arguments(&input) else {
        return syn::Error::new(input.ident.span(), "use `#[event(\"...\")]`").to_compile_error();
    };
    let schema = schema::implement(&input, &krate, HELPER);
    let ident = &input.ident;
    let text = ident.to_string();
    let private = quote!(#krate::__private);
    let check = check_name(&name, &private);
    quote! {
        #schema
        #check
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl #private::Event for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = 1;

            fn decl() -> &'static #private::EventDecl {
                static DECL: #private::EventDecl = #private::EventDecl::new::<#ident>(
                    #private::Place::new(::core::concat!(::core::module_path!(), "::", #text), ::core::file!(), ::core::line!()),
                );
                &DECL
            }
        }
        #[automatically_derived]
        #[allow(deprecated, reason = "the user's own item")]
        impl<'a> #private::Argument<'a> for #ident {
            const EVENT: ::core::option::Option<fn() -> &'static #private::EventDecl> =
                ::core::option::Option::Some(<#ident as #private::Event>::decl);
            const NAME: ::core::option::Option<&'static str> =
                ::core::option::Option::Some(<#ident as #private::Event>::NAME);
            const WANTS: #private::Wants = #private::Wants::Event;

            fn receive(call: #private::Call<'a>) -> ::core::result::Result<Self, #private::HandlerError> {
                #private::receive_owned(call)
            }
        }
        #[allow(deprecated, reason = "the user's own item")]
        const _: () = {
            #private::inventory::submit! {
                #private::LinkedEvent(<#ident as #private::Event>::decl)
            }
        };
    }
}

/// What `#[event]` passed on to its derive.
fn hidden_arguments(input: &DeriveInput) -> Option<(LitStr, Path)> {
    let attribute = input.attrs.iter().find(|attribute| attribute.path().is_ident(HELPER))?;
    let (mut name, mut krate) = (None, None);
    attribute
        .parse_nested_meta(|meta| {
            match meta.path.is_ident("name") {
                true => name = Some(meta.value()?.parse()?),
                false => krate = Some(meta.value()?.call(Path::parse_mod_style)?),
            }
            Ok(())
        })
        .ok()?;
    Some((name?, krate?))
}
