//! Parses the lock file of an event, and generates the constants that describe its schemas.

use std::cell::RefCell;
use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Ident, LitInt, LitStr, Token, braced, bracketed, parenthesized};

use crate::tokens::option;

/// The parsed lock file of an event.
pub(crate) struct File {
    pub(crate) event: String,
    /// The path of the type that declares the event.
    pub(crate) item: String,
    /// The mode of compatibility, as the name of a variant of `Compatibility`.
    pub(crate) compatibility: Ident,
    pub(crate) reserved: Vec<String>,
    pub(crate) versions: Vec<Version>,
}

/// A version in a lock file.
pub(crate) struct Version {
    pub(crate) number: u32,
    /// A reference to the `TypeSchema` of the version.
    pub(crate) root: TokenStream,
    /// The statics that `root` refers to.
    pub(crate) types: TokenStream,
    /// The reasons for the changes of this version, as `Change` values.
    pub(crate) changed: Vec<TokenStream>,
}

/// The newest format of lock files that this version of the crate can read.
const FORMAT: u32 = 1;

/// Returns the line and the description of a problem that is found before the text is parsed: a merge conflict, an
/// unknown format, or a version that occurs twice.
pub(crate) fn obstacle(text: &str) -> Option<(usize, String)> {
    for (line, number) in text.lines().zip(1..) {
        let markers = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
        if let Some(marker) = markers.into_iter().find(|marker| line.starts_with(marker)) {
            let problem = format!(
                "contains a conflict marker of a merge (`{marker}`): keep one side of the conflict, and write the lock again"
            );
            return Some((number, problem));
        }
    }
    let (line, format) = (1..).zip(text.lines()).find(|(_, line)| line.starts_with("format "))?;
    let format = format["format ".len()..].trim().parse::<u32>().ok()?;
    let problem = match format {
        0 => "has format 0, which does not exist: restore it from version control".to_owned(),
        1..=FORMAT => return version_twice(text),
        _ => format!(
            "has format {format}, but this version of typed-events reads only formats up to {FORMAT}: update typed-events"
        ),
    };
    Some((line, problem))
}

/// Finds a version that occurs twice. This happens if two branches each wrote the lock and were merged.
fn version_twice(text: &str) -> Option<(usize, String)> {
    let mut seen = HashSet::new();
    let sections = text.lines().zip(1..).filter_map(|(text, line)| {
        let number = text.strip_prefix("version ")?.split(' ').next()?;
        Some((number, line))
    });
    for (number, line) in sections {
        if !seen.insert(number) {
            let problem =
                format!("contains version {number} twice: keep one of the two, and write the lock again");
            return Some((line, problem));
        }
    }
    None
}

/// Parses a lock file. `private` is the path of the module that contains the types of the generated constants.
pub(crate) fn file(text: &str, private: &TokenStream) -> syn::Result<File> {
    (|input: ParseStream<'_>| Reader { private, named: RefCell::default() }.file(input)).parse_str(text)
}

struct Reader<'a> {
    private: &'a TokenStream,
    /// The named types that the current version refers to.
    named: RefCell<Vec<Ident>>,
}

impl Reader<'_> {
    fn file(&self, input: ParseStream<'_>) -> syn::Result<File> {
        word(input, "format")?;
        input.parse::<LitInt>()?;
        word(input, "event")?;
        let event: LitStr = input.parse()?;
        word(input, "type")?;
        let item: LitStr = input.parse()?;
        word(input, "compatibility")?;
        let compatibility = super::compatibility(&input.parse()?)?;
        let (event, item) = (event.value(), item.value());
        let mut file = File { event, item, compatibility, reserved: Vec::new(), versions: Vec::new() };
        if is_word(input, "reserved") {
            word(input, "reserved")?;
            let names = Punctuated::<LitStr, Token![,]>::parse_separated_nonempty(input)?;
            file.reserved = names.iter().map(LitStr::value).collect();
        }
        word(input, "history")?;
        input.parse::<LitStr>()?;
        while !input.is_empty() {
            file.versions.push(self.version(input)?);
        }
        Ok(file)
    }

    fn version(&self, input: ParseStream<'_>) -> syn::Result<Version> {
        word(input, "version")?;
        let number = input.parse::<LitInt>()?.base10_parse()?;
        input.parse::<Token![=]>()?;
        let root = self.shape(input)?;
        let changed = self.changes(input)?;
        let mut types = TokenStream::new();
        let private = self.private;
        let mut declared = HashSet::new();
        while is_word(input, "type") || input.peek(Token![#]) {
            let calls = calls(input, |flag| match flag.name.as_str() {
                "secret" => Ok(quote!(.secret())),
                "converts" => flag.text("converts"),
                _ => Err(flag.unknown()),
            })?;
            word(input, "type")?;
            let name: Ident = input.call(Ident::parse_any)?;
            input.parse::<Token![=]>()?;
            let shape = self.shape(input)?;
            let (ident, name) = (held(&name), name.to_string());
            types.extend(quote! {
                static #ident: #private::NamedSchema = #private::NamedSchema::new(#name, #shape) #calls;
            });
            declared.insert(name);
        }
        let named = self.named.take();
        match named.iter().find(|name| !declared.contains(&name.to_string())) {
            Some(name) => {
                Err(syn::Error::new(name.span(), format_args!("the type `{name}` is not declared")))
            }
            None => Ok(Version { number, root, types, changed }),
        }
    }

    /// Parses the reasons for the changes of a version: `changed "field" = "reason"`, or `changed = "reason"`.
    fn changes(&self, input: ParseStream<'_>) -> syn::Result<Vec<TokenStream>> {
        let private = self.private;
        let mut changes = Vec::new();
        while optional_word(input, "changed")? {
            let field = if input.peek(LitStr) { input.parse::<LitStr>()?.value() } else { String::new() };
            input.parse::<Token![=]>()?;
            let reason: LitStr = input.parse()?;
            changes.push(quote!(#private::Change { field: #field, reason: #reason }));
        }
        Ok(changes)
    }

    /// Parses a type and generates a reference to its `TypeSchema`.
    fn shape(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let private = self.private;
        if input.peek(syn::token::Paren) {
            return self.tuple(input);
        }
        let ident: Ident = input.call(Ident::parse_any)?;
        let name = ident.to_string();
        let shape = match name.as_str() {
            "any" => quote!(Any),
            "opaque" if input.peek(syn::token::Paren) => {
                let code = in_parentheses::<LitStr>(input)?;
                quote!(Opaque(#code))
            }
            "opaque" => quote!(Opaque("")),
            "null" => quote!(Null),
            "bool" => quote!(Bool),
            "f32" => quote!(Float32),
            "f64" => quote!(Float),
            "char" => quote!(Char),
            "String" => quote!(String),
            "format" => {
                let format = in_parentheses::<LitStr>(input)?;
                quote!(Format(#format))
            }
            "int" | "nonzero" => integer_within(&name, input)?,
            "Option" => {
                let inner = self.in_angles(input, 1)?;
                quote!(Option(#(#inner)*))
            }
            "Vec" | "Heap" | "Set" => {
                let inner = self.in_angles(input, 1)?;
                let keeps = keeps(&name);
                quote!(Sequence(#(#inner)*, #private::Keeps::#keeps))
            }
            "Map" => {
                let both = self.in_angles(input, 2)?;
                quote!(Map(#(#both),*))
            }
            "differs" => self.differs(input)?,
            "struct" => self.fields(input)?,
            "enum" => self.variants(input)?,
            number if is_integer(number) => quote!(Integer(#ident::MIN as i128, #ident::MAX as u128)),
            _ => {
                self.named.borrow_mut().push(ident.clone());
                let ident = held(&ident);
                return Ok(quote!(const { &#private::TypeSchema::Named(#private::NamedRef::new(&#ident)) }));
            }
        };
        let shape = quote!(&#private::TypeSchema::#shape);
        // Structs and enums contain calls, whose results are constants only inside a `const` block.
        match name.as_str() {
            "struct" | "enum" => Ok(quote!(const { #shape })),
            _ => Ok(shape),
        }
    }

    fn tuple(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let private = self.private;
        let items;
        parenthesized!(items in input);
        let shapes = all(&items, |input| self.shape(input))?;
        Ok(quote!(&#private::TypeSchema::Tuple(&[#(#shapes),*])))
    }

    fn differs(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let both;
        parenthesized!(both in input);
        let written = self.shape(&both)?;
        both.parse::<Token![,]>()?;
        let read = self.shape(&both)?;
        Ok(quote!(Differs { written: #written, read: #read }))
    }

    fn in_angles(&self, input: ParseStream<'_>, count: usize) -> syn::Result<Vec<TokenStream>> {
        input.parse::<Token![<]>()?;
        let mut shapes = vec![self.shape(input)?];
        while shapes.len() < count {
            input.parse::<Token![,]>()?;
            shapes.push(self.shape(input)?);
        }
        input.parse::<Token![>]>()?;
        Ok(shapes)
    }

    fn fields(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let private = self.private;
        let deny = optional_word(input, "deny_unknown")?;
        let content;
        braced!(content in input);
        let fields = all(&content, |input| self.field(input))?;
        Ok(quote!(Struct(#private::StructSchema { fields: &[#(#fields),*], deny_unknown: #deny })))
    }

    fn field(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let private = self.private;
        let calls = calls(input, |flag| match flag.name.as_str() {
            "sometimes" => Ok(quote!(.present(#private::Presence::Sometimes))),
            "unless_none" => Ok(quote!(.present(#private::Presence::UnlessNone))),
            "required" => Ok(quote!(.required(true))),
            "optional" => Ok(quote!(.required(false))),
            "flatten" => Ok(quote!(.flattened().required(false))),
            "secret" => Ok(quote!(.secret())),
            "gone" => Ok(quote!(.gone())),
            "default" => flag.text("defaults_to"),
            "skipped_if" => flag.text("skipped_if"),
            _ => flag.names(),
        })?;
        let name = name(input)?;
        input.parse::<Token![:]>()?;
        let shape = self.shape(input)?;
        Ok(quote!(#private::FieldSchema::new(#name, #shape) #calls))
    }

    fn variants(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let private = self.private;
        let tag = if optional_word(input, "untagged")? {
            quote!(Untagged)
        } else if optional_word(input, "tag")? {
            let names;
            parenthesized!(names in input);
            let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?;
            match names.len() {
                1 => quote!(Internal(#names)),
                _ => quote!(Adjacent(#names)),
            }
        } else {
            quote!(External)
        };
        let deny = optional_word(input, "deny_unknown")?;
        let content;
        braced!(content in input);
        let variants = all(&content, |input| self.variant(input))?;
        Ok(quote! {
            Enum(#private::EnumSchema {
                tag: #private::Tag::#tag,
                variants: &[#(#variants),*],
                deny_unknown: #deny,
            })
        })
    }

    fn variant(&self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let private = self.private;
        let calls = calls(input, |flag| match flag.name.as_str() {
            "other" => Ok(quote!(.other())),
            "untagged" => Ok(quote!(.untagged())),
            _ => flag.names(),
        })?;
        let name = name(input)?;
        let body = input.parse::<Option<Token![:]>>()?.map(|_| self.shape(input)).transpose()?;
        let body = option(body);
        Ok(quote!(#private::VariantSchema::new(#name, #body) #calls))
    }
}

/// Parses the flags before a field, variant or type, and generates a method call for each.
fn calls(
    input: ParseStream<'_>,
    call: impl Fn(&Flag) -> syn::Result<TokenStream>,
) -> syn::Result<TokenStream> {
    let mut calls = TokenStream::new();
    while let Some(flag) = flag(input)? {
        calls.extend(call(&flag)?);
    }
    Ok(calls)
}

/// Calls `read` until the input is empty, and skips the commas between the values.
fn all(
    input: ParseStream<'_>,
    read: impl Fn(ParseStream<'_>) -> syn::Result<TokenStream>,
) -> syn::Result<Vec<TokenStream>> {
    let mut all = Vec::new();
    while !input.is_empty() {
        all.push(read(input)?);
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(all)
}

/// A flag before a field, variant or type: `#[name("a", "b")]`.
struct Flag {
    ident: Ident,
    name: String,
    names: Punctuated<LitStr, Token![,]>,
}

impl Flag {
    /// Generates the call for a flag that sets the names for writing or reading.
    fn names(&self) -> syn::Result<TokenStream> {
        let mut names = self.names.iter();
        match (self.name.as_str(), names.next()) {
            ("unwritten", None) => Ok(quote!(.written_as(::core::option::Option::None))),
            ("unread", None) => Ok(quote!(.read_as(::core::option::Option::None, &[]))),
            ("reads", Some(first)) => {
                Ok(quote!(.read_as(::core::option::Option::Some(#first), &[#(#names),*])))
            }
            _ => Err(self.unknown()),
        }
    }

    /// Generates the call for a flag with exactly one text.
    fn text(&self, call: &str) -> syn::Result<TokenStream> {
        let mut texts = self.names.iter();
        let (Some(text), None) = (texts.next(), texts.next()) else { return Err(self.unknown()) };
        let call = Ident::new(call, self.ident.span());
        Ok(quote!(.#call(#text)))
    }

    fn unknown(&self) -> syn::Error {
        syn::Error::new(self.ident.span(), format_args!("unknown flag `{}`", self.name))
    }
}

fn flag(input: ParseStream<'_>) -> syn::Result<Option<Flag>> {
    if input.parse::<Option<Token![#]>>()?.is_none() {
        return Ok(None);
    }
    let content;
    bracketed!(content in input);
    let ident: Ident = content.parse()?;
    let mut names = Punctuated::new();
    if content.peek(syn::token::Paren) {
        let list;
        parenthesized!(list in content);
        names = Punctuated::parse_terminated(&list)?;
    }
    Ok(Some(Flag { name: ident.to_string(), ident, names }))
}

/// Parses the name of a field or variant.
fn name(input: ParseStream<'_>) -> syn::Result<String> {
    match input.peek(LitStr) {
        true => input.parse::<LitStr>().map(|name| name.value()),
        false => input.call(Ident::parse_any).map(|name| name.to_string()),
    }
}

fn in_parentheses<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    let content;
    parenthesized!(content in input);
    content.parse()
}

/// Returns the variant of `Keeps` for a collection with this name.
fn keeps(name: &str) -> TokenStream {
    match name {
        "Vec" => quote!(Order),
        "Heap" => quote!(Repeats),
        _ => quote!(Distinct),
    }
}

/// Parses the bounds of `int(1, 255)` or `nonzero(-128, 127)`.
fn integer_within(name: &str, input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let bounds;
    parenthesized!(bounds in input);
    let from: syn::Expr = bounds.parse()?;
    bounds.parse::<Token![,]>()?;
    let to: LitInt = bounds.parse()?;
    Ok(match name == "int" {
        true => quote!(Integer(#from, #to)),
        false => quote!(NonZero(#from, #to)),
    })
}

/// Returns the name of the static for a named type of the lock file.
fn held(name: &Ident) -> Ident {
    format_ident!("__TYPED_EVENTS_LOCKED_{}", name)
}

fn is_integer(name: &str) -> bool {
    let bits = name.strip_prefix(['u', 'i']).unwrap_or_default();
    ["8", "16", "32", "64", "128"].contains(&bits)
}

fn is_word(input: ParseStream<'_>, word: &str) -> bool {
    input.fork().call(Ident::parse_any).is_ok_and(|ident| ident == word)
}

fn word(input: ParseStream<'_>, word: &str) -> syn::Result<()> {
    match optional_word(input, word)? {
        true => Ok(()),
        false => Err(input.error(format_args!("expected `{word}`"))),
    }
}

fn optional_word(input: ParseStream<'_>, word: &str) -> syn::Result<bool> {
    let there = is_word(input, word);
    if there {
        input.call(Ident::parse_any)?;
    }
    Ok(there)
}
