//! Lists the locked events by the names of their files, and compares them with the patterns of handlers.

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

/// The locked events that a handler's patterns are compared with.
pub(crate) struct LockedNames {
    folder: PathBuf,
    names: Rc<[String]>,
}

/// The maximum number of lock files that a handler depends on. The handler is compiled again if one of these files
/// changes or is deleted.
const MAX_WATCHED: usize = 4;

/// A folder, the time of its last change, and the names of its files.
type Listing = (PathBuf, SystemTime, Rc<[String]>);

/// Returns the sorted names of the files in a folder. The last listing is cached for all handlers of a crate, until
/// the folder changes.
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

impl LockedNames {
    /// Lists the locked events, if there are patterns. Reports a missing folder, except while the lock is being
    /// written.
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

    /// Generates constants that fail to evaluate if a pattern matches no locked event, or if an event set lacks a
    /// locked event that its patterns match.
    pub(crate) fn checks(
        &self,
        handler: &str,
        argument: &Type,
        patterns: &[LitStr],
        private: &TokenStream,
    ) -> TokenStream {
        let each = patterns.iter().map(|pattern| {
            let (names, hint) =
                (self.candidates(&pattern.value()), self.pattern_with_nearest_words(&pattern.value()));
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
        let takes = quote!(<#argument as #private::Argument<'_>>::ACCEPTS);
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

    /// Returns the locked names that contain all words of a pattern. The generated constants run the real matcher on
    /// these few names.
    fn candidates(&self, pattern: &str) -> Vec<&str> {
        let has_all_words = |name: &&str| words(pattern).all(|word| name.split('.').any(|part| part == word));
        self.names.iter().map(String::as_str).filter(has_all_words).collect()
    }

    /// Returns the name that the pattern is probably a misspelling of. The error shows it if the pattern matches no
    /// candidate.
    fn nearest(&self, pattern: &str, candidates: &[&str]) -> Option<&str> {
        let all = || self.names.iter().map(String::as_str);
        match candidates {
            // Without candidates the pattern matches nothing.
            [] => nearest(all(), pattern),
            // Only the generated constant knows whether the pattern matches. The nearest name is computed in advance,
            // but only for a small number of candidates.
            few if few.len() <= MAX_COMPARED && few != [pattern] => {
                let name = nearest(few.iter().copied(), pattern)?;
                all().find(|known| *known == name)
            }
            _ => None,
        }
    }

    /// Returns the pattern with each unknown word replaced by the nearest known word. Returns an empty text if a word
    /// has no near one or if nothing changes.
    fn pattern_with_nearest_words(&self, pattern: &str) -> String {
        let known: Vec<_> = self.names.iter().flat_map(|name| name.split('.')).collect();
        let known_or_nearest = |word: &str| {
            if word == "*" || word == "+" || known.contains(&word) {
                return Some(word.to_owned());
            }
            let distance = |known: &&&str| events_names::distance(word, known);
            let nearest = known.iter().min_by_key(distance)?;
            (distance(&nearest) * 3 <= word.len()).then(|| (*nearest).to_owned())
        };
        let words: Option<Vec<_>> = pattern.split('.').map(known_or_nearest).collect();
        words.map(|words| words.join(".")).filter(|hint| hint != pattern).unwrap_or_default()
    }
}

/// The maximum number of candidates for which the nearest one is computed.
const MAX_COMPARED: usize = 4;

/// Returns the name nearest to `to`, if the edit distance is at most a third of the length of `to`.
pub(super) fn nearest<'n>(names: impl Iterator<Item = &'n str>, to: &str) -> Option<&'n str> {
    let near = names.map(|name| (events_names::distance(name, to), name)).min();
    near.filter(|(distance, _)| distance * 3 <= to.len()).map(|(_, name)| name)
}

/// Returns the locked event that `name`, which is not locked, is probably a misspelling of.
pub(crate) fn similar_locked_name(name: &str) -> Option<String> {
    let names = list(&folder()).ok()?;
    nearest(names.iter().map(String::as_str), name).map(str::to_owned)
}

/// Returns the segments of a pattern, without wildcards.
fn words(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('.').filter(|word| !["*", "+"].contains(word))
}
