//! The schema lock at compile time: finds the folder, and generates the code of locked events.

mod locked_names;
mod parse;

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Token, Type};

use crate::ast::Input;
use crate::attr::LOCKED;
use crate::errors::{call_at, text_of};
use crate::tokens::{is_named, option};
use crate::view::Newest;
use crate::{item, options};
pub(crate) use locked_names::LockedNames;
use locked_names::similar_locked_name;
use parse::{File, Version};

/// The name of the folder, which is next to the `Cargo.toml` of the package or of a workspace above it.
const FOLDER: &str = "events.lock";

/// The value of the environment variable `TYPED_EVENTS_LOCK` with which the lock is written.
const WRITE: &str = "write";

/// How to write the lock, for messages.
const COMMAND: &str =
    "`TYPED_EVENTS_LOCK=write cargo test` (a test calls `typed_events::schema_lock!().verify()`)";

/// The options that `locked::event` adds to those of an event.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// The mode of compatibility; the default is `Full`.
    pub(crate) compatibility: Option<Ident>,
    /// The names of removed fields, which new fields must not use.
    pub(crate) reserved: Vec<LitStr>,
    /// The reason for a change that concerns no single field.
    pub(crate) changed: Option<LitStr>,
}

impl Options {
    /// Returns the options if the attribute has passed on that the event is locked. The others are parsed after it.
    pub(crate) fn passed_on(tokens: &TokenStream) -> Option<Self> {
        is_named(tokens.clone(), LOCKED).then(Self::default)
    }

    /// Parses `compatibility = mode`, `reserved("name")` or `changed = "reason"`.
    pub(crate) fn parse_option(&mut self, option: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        if option == "compatibility" {
            options::parse_equals(input, option, "backward")?;
            let mode: Ident =
                input.parse().map_err(|error| syn::Error::new(error.span(), COMPATIBILITIES))?;
            self.compatibility = Some(compatibility(&mode)?);
        } else if option == "changed" {
            options::parse_equals(input, option, "\"the reason\"")?;
            self.changed = Some(options::parse_reason(input)?);
        } else {
            let names = options::parse_list(input, option, "\"name\"")?;
            let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&names);
            let message = "`reserved` takes names of fields in quotes: `reserved(\"name\")`";
            self.reserved.extend(names.map_err(|error| syn::Error::new(error.span(), message))?);
        }
        Ok(())
    }

    /// Returns the options as tokens, which the attribute passes on to the derive.
    pub(crate) fn tokens(&self) -> TokenStream {
        let compatibility = self.compatibility.as_ref().map(|mode| {
            let mode = Ident::new(&mode.to_string().to_lowercase(), mode.span());
            quote!(, compatibility = #mode)
        });
        let reserved = &self.reserved;
        let changed = self.changed.as_ref().map(|reason| quote!(, changed = #reason));
        let locked = format_ident!("{LOCKED}");
        quote!(, #locked #compatibility, reserved(#(#reserved),*) #changed)
    }

    /// Generates the code of an event that is declared with these options.
    pub(crate) fn generate(
        &self,
        input: &Input<'_>,
        private: &TokenStream,
        name: &LitStr,
        version: &item::Version,
    ) -> LockedEventCode {
        let (number, previous) = (version.value(), version.previous.as_ref());
        let ty = LockedType { input, private, name, version: number, previous, options: self };
        if version.superseded.is_some() { ty.superseded_code() } else { ty.current_code() }
    }
}

/// The modes of compatibility, for messages.
const COMPATIBILITIES: &str = "`compatibility` is `full`, `backward` or `forward`";

/// Returns the variant of `Compatibility` with this name.
fn compatibility(mode: &Ident) -> syn::Result<Ident> {
    let variant = match mode.to_string().as_str() {
        "full" => "Full",
        "backward" => "Backward",
        "forward" => "Forward",
        _ => return Err(syn::Error::new(mode.span(), COMPATIBILITIES)),
    };
    Ok(Ident::new(variant, mode.span()))
}

/// Returns whether the lock is being written. Nothing is checked then.
pub(crate) fn is_writing() -> bool {
    std::env::var("TYPED_EVENTS_LOCK").is_ok_and(|value| value == WRITE)
}

/// Returns the path of the lock folder: the nearest existing one in the package's folder or a folder above it. If
/// there is none, returns the path at which it would be created: next to the `Cargo.toml` of the workspace, or of the
/// package if it is in no workspace.
pub(crate) fn folder() -> PathBuf {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let found = package.ancestors().map(|folder| folder.join(FOLDER)).find(|folder| folder.is_dir());
    let is_workspace = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace"))
    };
    found.unwrap_or_else(|| package.ancestors().find(is_workspace).unwrap_or(&package).join(FOLDER))
}

/// Reads the lock file of an event. Returns the path and the parsed file, or `None` if the file does not exist.
///
/// # Errors
///
/// Returns a message that says what is wrong with the file.
fn read(event: &str, private: &TokenStream) -> Result<Option<(PathBuf, File)>, String> {
    // Another check reports an invalid name. Such a name is not used as a path, because it could lead outside the
    // folder.
    if !event.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) || event.contains("..") {
        return Ok(None);
    }
    let path = folder().join(event);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{FOLDER}/{event} can't be read: {error}")),
    };
    if let Some((line, problem)) = parse::obstacle(&text) {
        return Err(format!("{FOLDER}/{event}:{line} {problem}"));
    }
    let file = parse::file(&text, private).map_err(|error| {
        format!("{FOLDER}/{event} is not a valid lock file: {error}; restore it from version control")
    })?;
    match file.event == event {
        true => Ok(Some((path, file))),
        false => Err(format!(
            "{FOLDER}/{event} is the lock file of another event, `{}`: restore it from version control",
            file.event
        )),
    }
}

/// Returns the newest locked version of an event, for a view by name.
///
/// # Errors
///
/// Returns a message that says why there is none.
pub(crate) fn newest_version(name: &str, private: &TokenStream) -> Result<Newest, String> {
    let missing = || {
        let similar = similar_locked_name(name).map(|name| format!("did you mean `{name}`? If not, "));
        let similar = similar.unwrap_or_default();
        format!(
            "`{name}` is not locked: {similar}{FOLDER}/{name} does not exist; a view by name is checked against this file: copy it from the lock of the program that emits the event"
        )
    };
    let (path, file) = read(name, private)?.ok_or_else(missing)?;
    let newest = file.versions.into_iter().max_by_key(|version| version.number);
    let Version { number, root, types, .. } = newest.ok_or_else(missing)?;
    let path = path.to_string_lossy().into_owned();
    Ok(Newest { path, item: file.item, version: number, root, types })
}

/// A type of a locked event: the current one or a superseded one, with the options of its declaration.
struct LockedType<'a> {
    input: &'a Input<'a>,
    private: &'a TokenStream,
    name: &'a LitStr,
    version: u32,
    /// The type of the previous version.
    previous: Option<&'a Type>,
    options: &'a Options,
}

/// The code that the lock adds to the expansion of `#[event]`. Empty for an event that is not locked.
#[derive(Default)]
pub(crate) struct LockedEventCode {
    /// Constants that fail to evaluate if the type does not agree with the lock, and errors.
    pub(crate) checks: TokenStream,
    /// The constant `LOCKING` of the traits `Event` and `PastEvent`.
    pub(crate) constant: TokenStream,
}

impl LockedType<'_> {
    /// Generates the checks of the current version, and the constant that contains the locked schema.
    fn current_code(&self) -> LockedEventCode {
        let private = self.private;
        let (file, mut checks) = self.file();
        let (reasons, errors) = self.reasons();
        checks.extend(errors);
        let constant = file.as_ref().map(|(path, file)| self.lock_file(path, file));
        if let Some((_, file)) = &file {
            checks.extend(self.checks_against(file, &reasons));
        }
        let constant = option(constant);
        let reserved = &self.options.reserved;
        let compatibility = match &self.options.compatibility {
            Some(mode) => quote!(#mode),
            None => quote!(Full),
        };
        let (changed, previous) = (changes(&reasons, private), self.previous());
        let constant = quote! {
            const LOCKING: ::core::option::Option<#private::Locking> =
                ::core::option::Option::Some(#private::Locking {
                    compatibility: #private::Compatibility::#compatibility,
                    reserved: &[#(#reserved),*],
                    changed: #changed,
                    file: #constant,
                    previous: #previous,
                });
        };
        LockedEventCode { checks, constant }
    }

    /// Generates the checks of an event against its lock file.
    fn checks_against(&self, file: &File, reasons: &[(String, LitStr)]) -> TokenStream {
        let private = self.private;
        let (item, name, locked) = (&self.input.name, self.name, &file.item);
        let item = quote!(::core::concat!(::core::module_path!(), "::", #item));
        let claim = call_at(name, quote!(#private::locked_item), quote!(#name, #item, #locked));
        let mut checks = unless_writing(private, &claim);
        if let Some(previous) = self.previous {
            let written = text_of(previous);
            let is_locked = quote!(<#previous as #private::PastEvent>::LOCKING.is_some());
            let check = call_at(previous, quote!(#private::locked_previous), quote!(#written, #is_locked));
            checks.extend(unless_writing(private, &check));
        }
        if let Some(newest) = file.versions.iter().map(|version| version.number).max()
            && newest > self.version
        {
            checks.extend(self.older_than_lock_error(newest));
        } else if file.versions.iter().any(|version| version.number == self.version) {
            let (ident, name, number) = (self.input.ident, self.name, self.version);
            let locked = quote! {
                if let ::core::option::Option::Some(locking) = &<#ident as #private::Event>::LOCKING
                    && let ::core::option::Option::Some(__locked) =
                        &#private::Locked::of(#name, #number, <#ident as #private::Schema>::TYPE, locking)
            };
            let promise = self.options.compatibility.as_ref().filter(|mode| *mode != "Full");
            let promise = promise
                .map(|mode| call_at(mode, quote!(#private::locked_promise), quote!(__locked)))
                .map(|call| quote!(#call;));
            checks.extend(self.comparison(&locked, promise, reasons));
        } else {
            checks.extend(self.not_locked_error(&format!("has no version {}", self.version)));
        }
        checks
    }

    /// Generates the `LockFile` of a lock file.
    fn lock_file(&self, path: &Path, file: &File) -> TokenStream {
        let private = self.private;
        let version = option(self.locked_version(file));
        let File { item, compatibility, reserved, .. } = file;
        let path = path.to_string_lossy();
        quote! {
            #private::LockFile {
                text: ::core::include_str!(#path),
                item: #item,
                compatibility: #private::Compatibility::#compatibility,
                reserved: &[#(#reserved),*],
                version: #version,
            }
        }
    }

    /// Generates the `LockedVersion` for the version of the type, if the lock file contains it.
    fn locked_version(&self, file: &File) -> Option<TokenStream> {
        let private = self.private;
        let version = file.versions.iter().find(|version| version.number == self.version)?;
        let Version { root, types, changed, .. } = version;
        Some(quote!(#private::LockedVersion { schema: { #types #root }, changed: &[#(#changed),*] }))
    }

    /// Generates the `LOCKING` constant of the previous version, as an `Option`.
    fn previous(&self) -> TokenStream {
        let private = self.private;
        let Some(previous) = self.previous else { return quote!(::core::option::Option::None) };
        quote!(<#previous as #private::PastEvent>::LOCKING.as_ref())
    }

    /// Generates the checks of a past version, which is only read, and the constant that contains its locked schema.
    fn superseded_code(&self) -> LockedEventCode {
        let private = self.private;
        let (file, mut checks) = self.file();
        let (reasons, errors) = self.reasons();
        checks.extend(errors);
        let (ident, name, number) = (self.input.ident, self.name, self.version);
        let version = file.as_ref().and_then(|(path, file)| {
            let path = path.to_string_lossy();
            let version = self.locked_version(file)?;
            Some(quote!({ const _: &[u8] = ::core::include_bytes!(#path); #version }))
        });
        match (&file, &version) {
            (Some(_), Some(_)) => {
                let locked = quote! {
                    if let ::core::option::Option::Some(locking) = &<#ident as #private::PastEvent>::LOCKING
                        && let ::core::option::Option::Some(__locked) = &#private::Locked::past(#name, locking)
                };
                checks.extend(self.comparison(&locked, None, &reasons));
            }
            (Some(_), None) => checks.extend(self.not_locked_error(&format!("has no version {number}"))),
            (None, _) => {}
        }
        let (version, changed, previous) = (option(version), changes(&reasons, private), self.previous());
        let constant = quote! {
            const LOCKING: ::core::option::Option<#private::PastLocking> =
                ::core::option::Option::Some(#private::PastLocking {
                    version: #number,
                    schema: <Self as #private::Schema>::TYPE,
                    changed: #changed,
                    locked: #version,
                    previous: #previous,
                });
        };
        LockedEventCode { checks, constant }
    }

    /// Returns the reasons for changes, each with the serialized name of its field. The reason that concerns no field
    /// has an empty name. Also returns the errors for reasons on fields that are not compared separately.
    fn reasons(&self) -> (Vec<(String, LitStr)>, TokenStream) {
        let mut reasons: Vec<_> =
            self.options.changed.iter().map(|reason| (String::new(), reason.clone())).collect();
        let mut errors = TokenStream::new();
        for field in self.input.fields() {
            // An empty reason is already reported.
            let Some(reason) = field.attr.changed.clone().filter(|reason| !reason.value().trim().is_empty())
            else {
                continue;
            };
            let mut compared = self.input.serialized_fields().iter();
            let compared = compared.find(|compared| std::ptr::eq(*compared, field));
            match compared.and_then(|field| field.serialized_names.first()) {
                Some(name) => reasons.push((name.clone(), reason)),
                None => {
                    let message = "changes of this field are not checked separately: write the reason after the event's name, `#[event(\"...\", changed = \"...\")]`";
                    errors.extend(syn::Error::new(reason.span(), message).to_compile_error());
                }
            }
        }
        (reasons, errors)
    }

    /// Reads the lock file of the event, or returns the error.
    fn file(&self) -> (Option<(PathBuf, File)>, TokenStream) {
        match read(&self.name.value(), self.private) {
            Ok(Some(file)) => (Some(file), TokenStream::new()),
            Ok(None) => (None, self.not_locked_error("does not exist")),
            Err(problem) => (None, syn::Error::new(self.name.span(), problem).to_compile_error()),
        }
    }

    /// Generates the error for an event whose version is not locked. While the lock is being written, this is not an
    /// error.
    fn not_locked_error(&self, what: &str) -> TokenStream {
        let private = self.private;
        if is_writing() {
            // Makes the compiler check the event again when `TYPED_EVENTS_LOCK` changes.
            return unless_writing(private, &quote!(()));
        }
        let name = self.name.value();
        self.error_at_name(&format!(
            "`{name}` is not locked: {FOLDER}/{name} {what}; write it with {COMMAND}"
        ))
    }

    /// Generates the error for a current version if the lock contains a newer one.
    fn older_than_lock_error(&self, newest: u32) -> TokenStream {
        let name = self.name.value();
        self.error_at_name(&format!(
            "`{name}` is locked up to version {newest} ({FOLDER}/{name}), and this is version {}: declare version {newest}, and mark this type `superseded`",
            self.version
        ))
    }

    /// Generates an error at the event's name. The code is compiled again when `TYPED_EVENTS_LOCK` changes.
    fn error_at_name(&self, message: &str) -> TokenStream {
        let error = syn::Error::new(self.name.span(), message).to_compile_error();
        let watch = unless_writing(self.private, &quote!(()));
        quote!(#error #watch)
    }

    /// Generates the checks of each field and of the rest of the type, which run if the type has changed. `locked` is
    /// the start of an `if let` that binds `__locked`.
    fn comparison(
        &self,
        locked: &TokenStream,
        promise: Option<TokenStream>,
        reasons: &[(String, LitStr)],
    ) -> TokenStream {
        let private = self.private;
        let fields = self.input.serialized_fields().iter().filter_map(|field| {
            let name = field.serialized_names.first()?;
            Some(call_at(&field.location(), quote!(#private::locked_field), quote!(__locked, #name)))
        });
        let rest = call_at(self.input.ident, quote!(#private::locked_rest), quote!(__locked));
        let reasons = reasons.iter().map(|(field, reason)| {
            call_at(reason, quote!(#private::locked_reason), quote!(__locked, #field))
        });
        unless_writing(
            private,
            &quote!({
                #locked {
                    if !__locked.is_unchanged() { #(#fields;)* #rest; }
                    #promise
                    #(#reasons;)*
                }
            }),
        )
    }
}

/// Generates a constant that evaluates `body` unless the lock is being written.
fn unless_writing(private: &TokenStream, body: &impl ToTokens) -> TokenStream {
    quote! {
        const _: () = if !#private::is_writing(::core::option_env!("TYPED_EVENTS_LOCK")) { #body };
    }
}

/// Returns an error if `TYPED_EVENTS_LOCK` has an unknown value.
fn unknown_value_error() -> Option<TokenStream> {
    let value =
        std::env::var("TYPED_EVENTS_LOCK").ok().filter(|value| !["", WRITE].contains(&value.as_str()))?;
    let message = format!(
        "TYPED_EVENTS_LOCK has the unknown value `{value}`: set it to `{WRITE}` to write the lock, or unset it"
    );
    Some(quote!(::core::compile_error!(#message);))
}

/// Generates a list of `Change` values.
fn changes(reasons: &[(String, LitStr)], private: &TokenStream) -> TokenStream {
    let each =
        reasons.iter().map(|(field, reason)| quote!(#private::Change { field: #field, reason: #reason }));
    quote!(&[#(#each),*])
}

/// Implements `schema_lock!()`, which returns the lock as a whole.
pub(crate) fn expand_schema_lock(krate: &syn::Path) -> TokenStream {
    let private = quote!(#krate::__private);
    let folder = folder();
    let shown = folder.to_string_lossy();
    let missing = (!folder.is_dir() && !is_writing()).then(|| {
        let message = format!("there is no lock: {FOLDER} does not exist; write it with {COMMAND}");
        quote!(::core::compile_error!(#message);)
    });
    let unknown = unknown_value_error();
    quote!({ #missing #unknown #private::SchemaLock::new(#shown, ::core::option_env!("TYPED_EVENTS_LOCK")) })
}
