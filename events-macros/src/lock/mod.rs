//! The lock, as the compiler sees it: the folder, and what is generated for an event under it.

mod known;
mod parse;

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Ident, LitStr, Token, parenthesized};

use crate::errors::call_at;
use crate::schema;
pub(crate) use known::Known;
use parse::File;
pub(crate) use parse::Version;

/// The file in it that lists the events.
const INDEX: &str = "index";

/// The folder, beside the manifest of the package or of a workspace above it.
pub(crate) const FOLDER: &str = "events.lock";

/// The value of `TYPED_EVENTS_LOCK` under which the lock is written.
const WRITE: &str = "write";

/// How to write the lock.
const COMMAND: &str = "`TYPED_EVENTS_LOCK=write cargo test` (a test calls `typed_events::lock!().verify()`)";

/// What `locked::event` says of an event.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// `Full` unless said.
    pub(crate) compatibility: Option<Ident>,
    /// Names of fields that are gone.
    pub(crate) reserved: Vec<LitStr>,
}

impl Options {
    /// Reads an option, if it is one of these.
    pub(crate) fn parse_option(&mut self, option: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
        if option == "compatibility" {
            input.parse::<Token![=]>()?;
            let mode: Ident = input.parse()?;
            let variant = match mode.to_string().as_str() {
                "full" => "Full",
                "backward" => "Backward",
                "forward" => "Forward",
                _ => return Err(syn::Error::new(mode.span(), "there are `full`, `backward` and `forward`")),
            };
            self.compatibility = Some(Ident::new(variant, mode.span()));
            return Ok(true);
        }
        if option == "reserved" {
            let names;
            parenthesized!(names in input);
            self.reserved.extend(Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?);
            return Ok(true);
        }
        Ok(false)
    }

    /// The options again, to be passed on to the derive.
    pub(crate) fn tokens(&self) -> TokenStream {
        let compatibility = self.compatibility.as_ref().map(|mode| {
            let mode = Ident::new(&mode.to_string().to_lowercase(), mode.span());
            quote!(, compatibility = #mode)
        });
        let reserved = &self.reserved;
        quote!(, locked #compatibility, reserved(#(#reserved),*))
    }
}

/// Whether the lock is being written, so that nothing is to be checked.
pub(crate) fn is_writing() -> bool {
    std::env::var("TYPED_EVENTS_LOCK").is_ok_and(|value| value == WRITE)
}

/// Where the folder is, or would be: the nearest one from the package upwards; else beside the
/// manifest of the workspace.
pub(crate) fn folder() -> PathBuf {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let found = package.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir());
    let is_workspace = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace"))
    };
    found.unwrap_or_else(|| package.ancestors().find(is_workspace).unwrap_or(&package).join(FOLDER))
}

/// The file of an event with its path; `None` where there is none.
///
/// # Errors
///
/// Says what is wrong with the file.
pub(crate) fn read(event: &str, private: &TokenStream) -> Result<Option<(PathBuf, File)>, String> {
    // What is no name has its own error; it must not lead out of the folder.
    if !event.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) || event.contains("..") {
        return Ok(None);
    }
    let path = folder().join(event);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{FOLDER}/{event} can't be read: {error}")),
    };
    let file = parse::file(&text, private).map_err(|error| {
        format!("{FOLDER}/{event} is not a file of the lock: {error}; restore it from version control")
    })?;
    match file.event == event {
        true => Ok(Some((path, file))),
        false => Err(format!("{FOLDER}/{event} is the file of another event, `{}`", file.event)),
    }
}

/// An event type under the lock.
pub(crate) struct Subject<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) helper: &'a str,
    pub(crate) private: &'a TokenStream,
    pub(crate) name: &'a LitStr,
    pub(crate) version: u32,
    pub(crate) options: &'a Options,
}

/// What is generated for an event under the lock.
#[derive(Default)]
pub(crate) struct Generated {
    /// The checks.
    pub(crate) checks: TokenStream,
    /// The constant `LOCKING` of `Event`.
    pub(crate) constant: TokenStream,
}

impl Subject<'_> {
    /// The checks of the current version, and the constant that remembers what is locked.
    pub(crate) fn current(&self) -> Generated {
        let private = self.private;
        let (file, mut checks) = self.file();
        let constant = file.as_ref().map(|(path, file)| {
            let version = file.versions.iter().find(|version| version.number == self.version);
            let version = match version {
                Some(Version { root, types, .. }) => quote!(::core::option::Option::Some({ #types #root })),
                None => quote!(::core::option::Option::None),
            };
            let (path, item, reserved) = (path.to_string_lossy(), &file.item, &file.reserved);
            quote! {
                #private::LockFile {
                    text: ::core::include_str!(#path),
                    item: #item,
                    reserved: &[#(#reserved),*],
                    version: #version,
                }
            }
        });
        if let Some((_, file)) = &file {
            let item = self.input.ident.unraw().to_string();
            let (name, locked) = (self.name, &file.item);
            let item = quote!(::core::concat!(::core::module_path!(), "::", #item));
            let claim = call_at(name, quote!(#private::locked_item), quote!(#name, #item, #locked));
            checks.extend(unless_writing(private, &claim));
            if let Some(newest) = file.versions.iter().map(|version| version.number).max()
                && newest > self.version
            {
                checks.extend(self.older_than(newest));
            } else if file.versions.iter().any(|version| version.number == self.version) {
                checks.extend(self.compared());
            } else {
                checks.extend(self.not_locked(&format!("has no version {}", self.version)));
            }
        }
        let constant = match constant {
            Some(file) => quote!(::core::option::Option::Some(#file)),
            None => quote!(::core::option::Option::None),
        };
        let reserved = &self.options.reserved;
        let compatibility = match &self.options.compatibility {
            Some(mode) => quote!(#mode),
            None => quote!(Full),
        };
        let constant = quote! {
            const LOCKING: ::core::option::Option<#private::Locking> =
                ::core::option::Option::Some(#private::Locking {
                    compatibility: #private::Compatibility::#compatibility,
                    reserved: &[#(#reserved),*],
                    file: #constant,
                });
        };
        Generated { checks, constant }
    }

    /// The check of a version that is only read any more.
    pub(crate) fn past(&self) -> TokenStream {
        let private = self.private;
        let (file, checks) = self.file();
        let version = file.and_then(|(path, file)| {
            let version = file.versions.into_iter().find(|version| version.number == self.version)?;
            Some((path, version))
        });
        let Some((path, Version { root, types, .. })) = version else { return checks };
        let (ident, name, number) = (&self.input.ident, self.name, self.version);
        let path = path.to_string_lossy();
        let compared = self.calls();
        let body = quote! {{
            const _: &[u8] = ::core::include_bytes!(#path);
            #types
            let __locked: &#private::Locked =
                &#private::Locked::past(#name, #number, <#ident as #private::Schema>::TYPE, #root);
            if !__locked.is_unchanged() { #compared }
        }};
        let check = unless_writing(private, &body);
        quote!(#checks #check)
    }

    /// The event's file, or why there is none.
    fn file(&self) -> (Option<(PathBuf, File)>, TokenStream) {
        if self.name.value() == INDEX {
            let problem =
                format!("the lock keeps the list of its events in `{FOLDER}/{INDEX}`: choose another name");
            return (None, syn::Error::new(self.name.span(), problem).to_compile_error());
        }
        match read(&self.name.value(), self.private) {
            Ok(Some(file)) => (Some(file), TokenStream::new()),
            Ok(None) => (None, self.not_locked("does not exist")),
            Err(problem) => (None, syn::Error::new(self.name.span(), problem).to_compile_error()),
        }
    }

    /// The error of an event whose version the lock does not have.
    fn not_locked(&self, what: &str) -> TokenStream {
        let private = self.private;
        if is_writing() {
            // Compiled again as soon as it is not.
            return unless_writing(private, &quote!(()));
        }
        let name = self.name.value();
        let message = format!("`{name}` is not locked: {FOLDER}/{name} {what}; write it with {COMMAND}");
        let error = syn::Error::new(self.name.span(), message).to_compile_error();
        let watch = unless_writing(private, &quote!(()));
        quote!(#error #watch)
    }

    /// The error of a current version that was followed by another one.
    fn older_than(&self, newest: u32) -> TokenStream {
        let (private, name) = (self.private, self.name.value());
        let message = format!(
            "`{name}` is locked up to version {newest} ({FOLDER}/{name}), and this is version {}: declare version {newest}, and mark this type `superseded`",
            self.version
        );
        let error = syn::Error::new(self.name.span(), message).to_compile_error();
        let watch = unless_writing(private, &quote!(()));
        quote!(#error #watch)
    }

    /// The check of each field, and of the rest, where the type has changed.
    fn compared(&self) -> TokenStream {
        let (private, ident, name, number) = (self.private, &self.input.ident, self.name, self.version);
        let calls = self.calls();
        let body = quote! {
            if let ::core::option::Option::Some(locking) = &<#ident as #private::Event>::LOCKING
                && let ::core::option::Option::Some(__locked) =
                    &#private::Locked::of(#name, #number, <#ident as #private::Schema>::TYPE, locking)
                && !__locked.is_unchanged()
            {
                #calls
            }
        };
        unless_writing(private, &body)
    }

    fn calls(&self) -> TokenStream {
        let private = self.private;
        let fields = schema::wire_names(self.input, self.helper);
        let calls = fields.iter().filter_map(|(field, names)| {
            let name = names.written.as_ref().or(names.read.as_ref())?;
            let (ident, colon, ty) = (&field.ident, &field.colon_token, &field.ty);
            let place = quote!(#ident #colon #ty);
            Some(call_at(&place, quote!(#private::locked_field), quote!(__locked, #name)))
        });
        let rest = call_at(&self.input.ident, quote!(#private::locked_rest), quote!(__locked));
        quote!(#(#calls;)* #rest;)
    }
}

/// A constant that is evaluated unless the lock is written.
fn unless_writing(private: &TokenStream, body: &impl ToTokens) -> TokenStream {
    quote! {
        const _: () = if !#private::is_writing(::core::option_env!("TYPED_EVENTS_LOCK")) { #body };
    }
}

/// An error where the environment asks for what there is not.
fn unknown_value() -> Option<TokenStream> {
    let value =
        std::env::var("TYPED_EVENTS_LOCK").ok().filter(|value| !["", WRITE].contains(&value.as_str()))?;
    let message = format!("TYPED_EVENTS_LOCK is `{value}`, which says nothing: `{WRITE}` writes the lock");
    Some(quote!(::core::compile_error!(#message);))
}

/// `lock!()`: the lock as a whole.
pub(crate) fn whole(krate: &syn::Path) -> TokenStream {
    let private = quote!(#krate::__private);
    let folder = folder();
    let index = folder.join(INDEX);
    let (shown, path) = (folder.to_string_lossy(), index.to_string_lossy());
    let text = match index.is_file() {
        true => quote!(::core::include_str!(#path)),
        false if is_writing() => quote!(""),
        false => {
            let message =
                format!("there is no lock: {FOLDER}/{INDEX} does not exist; write it with {COMMAND}");
            quote!({
                ::core::compile_error!(#message);
                ""
            })
        }
    };
    let unknown = unknown_value();
    quote!({ #unknown #private::Lock::new(#shown, #text, ::core::option_env!("TYPED_EVENTS_LOCK")) })
}
