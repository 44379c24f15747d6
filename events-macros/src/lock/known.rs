//! The names of the locked events, which their files have, for the patterns of handlers.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{LitStr, Type};

use super::{COMMAND, FOLDER, folder, is_writing, unless_writing};
use crate::errors::{Errors, call_at, text_of};

/// The locked events that a handler's patterns may take.
pub(crate) struct Known {
    folder: PathBuf,
    names: Rc<[String]>,
}

/// The most files of events that a handler is compiled again for when they are gone.
const MAX_WATCHED: usize = 4;

/// What a folder held when it was changed last.
type Listing = (PathBuf, SystemTime, Rc<[String]>);

/// The names of the files in a folder, in order: listed once for all handlers of a crate.
fn list(folder: &Path) -> io::Result<Rc<[String]>> {
    thread_local! {
        static LISTED: RefCell<Option<Listing>> = const { RefCell::new(None) };
    }
    let changed = std::fs::metadata(folder)?.modified()?;
    let known = LISTED.with_borrow(|listed| match listed {
        Some((path, time, names)) if path == folder && *time == changed => Some(Rc::clone(names)),
        _ => None,
    });
    if let Some(names) = known {
        return Ok(names);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    let names: Rc<[String]> = names.into();
    LISTED.set(Some((folder.to_owned(), changed, Rc::clone(&names))));
    Ok(names)
}

impl Known {
    /// Lists the files, if there are patterns to be compared with it.
    pub(crate) fn read(patterns: &[LitStr], errors: &mut Errors) -> Option<Self> {
        let first = patterns.first()?;
        let folder = folder();
        match list(&folder) {
            Ok(names) => Some(Self { folder, names }),
            Err(_) if is_writing() => None,
            Err(error) => {
                let message = format!("there is no lock: {FOLDER}: {error}; write it with {COMMAND}");
                errors.on(first, message);
                None
            }
        }
    }

    /// Constants that fail to evaluate where a pattern takes no locked event, or an event set lacks one.
    pub(crate) fn checks(
        &self,
        handler: &str,
        argument: &Type,
        patterns: &[LitStr],
        private: &TokenStream,
    ) -> TokenStream {
        let each = patterns.iter().map(|pattern| {
            let (names, hint) = (self.candidates(&pattern.value()), self.hint(&pattern.value()));
            let hinted = if hint.is_empty() { Vec::new() } else { self.candidates(&hint) };
            let nearest = self.nearest(&pattern.value(), &names).unwrap_or_default();
            let arguments = quote!(#pattern, &[#(#names),*], #hint, &[#(#hinted),*], #nearest);
            let check = call_at(pattern, quote!(#private::locked_pattern), arguments);
            unless_writing(private, &check)
        });
        let mut names: Vec<_> =
            patterns.iter().flat_map(|pattern| self.candidates(&pattern.value())).collect();
        names.sort_unstable();
        names.dedup();
        let takes = quote!(<#argument as #private::Argument<'_>>::TAKES);
        let written = text_of(argument);
        let arguments = quote!(#handler, #written, #takes, &[#(#patterns),*], &[#(#names),*]);
        let set = unless_writing(private, &call_at(argument, quote!(#private::locked_set), arguments));
        let paths = names.iter().take(MAX_WATCHED).map(|name| self.folder.join(name));
        let paths = paths.map(|path| path.to_string_lossy().into_owned());
        quote! {
            #(#each)*
            #set
            #(const _: &[u8] = ::core::include_bytes!(#paths);)*
        }
    }

    /// The names that have all the words of a pattern: the matcher decides, among few.
    fn candidates(&self, pattern: &str) -> Vec<&str> {
        let has_all = |name: &&str| words(pattern).all(|word| name.split('.').any(|part| part == word));
        self.names.iter().map(String::as_str).filter(has_all).collect()
    }

    /// The name that was meant, perhaps, where a pattern matches none of those that have its words.
    fn nearest(&self, pattern: &str, candidates: &[&str]) -> Option<&str> {
        let all = || self.names.iter().map(String::as_str);
        match candidates {
            // Then it matches nothing.
            [] => nearest(all(), pattern),
            // Whether it matches, the compiler says: few are compared for the case that it does not.
            few if few.len() <= MAX_COMPARED && few != [pattern] => {
                let name = nearest(few.iter().copied(), pattern)?;
                all().find(|known| *known == name)
            }
            _ => None,
        }
    }

    /// The pattern with each unknown word replaced by the nearest known one.
    fn hint(&self, pattern: &str) -> String {
        let known: Vec<_> = self.names.iter().flat_map(|name| name.split('.')).collect();
        let meant = |word: &str| {
            if word == "*" || word == "+" || known.contains(&word) {
                return Some(word.to_owned());
            }
            let distance = |known: &&&str| events_names::distance(word, known);
            let nearest = known.iter().min_by_key(distance)?;
            (distance(&nearest) * 3 <= word.len()).then(|| (*nearest).to_owned())
        };
        let words: Option<Vec<_>> = pattern.split('.').map(meant).collect();
        words.map(|words| words.join(".")).filter(|hint| hint != pattern).unwrap_or_default()
    }
}

/// The most names that a pattern is compared with where it may match one of them.
const MAX_COMPARED: usize = 4;

/// The name that is nearest to another one, if it is near.
pub(super) fn nearest<'n>(names: impl Iterator<Item = &'n str>, to: &str) -> Option<&'n str> {
    let near = names.map(|name| (events_names::distance(name, to), name)).min();
    near.filter(|(distance, _)| distance * 3 <= to.len()).map(|(_, name)| name)
}

/// The name of the locked event that was meant, perhaps, by one that is not locked.
pub(crate) fn meant(name: &str) -> Option<String> {
    let names = list(&folder()).ok()?;
    nearest(names.iter().map(String::as_str), name).map(str::to_owned)
}

/// The segments of a pattern that are no wildcards.
fn words(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('.').filter(|word| !["*", "+"].contains(word))
}
