//! The names in the lock's index, for the patterns of handlers.

use std::path::PathBuf;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{LitStr, Type};

use super::{COMMAND, FOLDER, INDEX, folder, is_writing, unless_writing};
use crate::errors::{Errors, call_at, text_of};

/// The locked events that a handler's patterns may take.
pub(crate) struct Known {
    /// The index.
    path: PathBuf,
    names: Vec<String>,
}

impl Known {
    /// Reads the index, if there are patterns to be compared with it.
    pub(crate) fn read(patterns: &[LitStr], errors: &mut Errors) -> Option<Self> {
        let first = patterns.first()?;
        let path = folder().join(INDEX);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let names = text.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned()));
                Some(Self { path, names: names.collect() })
            }
            Err(_) if is_writing() => None,
            Err(error) => {
                let message = format!("there is no lock: {FOLDER}/{INDEX}: {error}; write it with {COMMAND}");
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
            let check =
                call_at(pattern, quote!(#private::locked_pattern), quote!(#pattern, &[#(#names),*], #hint));
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
        let path = self.path.to_string_lossy();
        quote! {
            #(#each)*
            #set
            const _: &[u8] = ::core::include_bytes!(#path);
        }
    }

    /// The names that have all the words of a pattern: the matcher decides, among few.
    fn candidates(&self, pattern: &str) -> Vec<&str> {
        let has_all = |name: &&str| words(pattern).all(|word| name.split('.').any(|part| part == word));
        self.names.iter().map(String::as_str).filter(has_all).collect()
    }

    /// The pattern with each unknown word replaced by the nearest known one.
    fn hint(&self, pattern: &str) -> String {
        let known: Vec<_> = self.names.iter().flat_map(|name| name.split('.')).collect();
        let meant = |word: &str| {
            if word == "*" || word == "+" || known.contains(&word) {
                return Some(word.to_owned());
            }
            let distance = |known: &&&str| strsim::damerau_levenshtein(word, known);
            let nearest = known.iter().min_by_key(distance)?;
            (distance(&nearest) * 3 <= word.len()).then(|| (*nearest).to_owned())
        };
        let words: Option<Vec<_>> = pattern.split('.').map(meant).collect();
        words.map(|words| words.join(".")).filter(|hint| hint != pattern).unwrap_or_default()
    }
}

/// The segments of a pattern that are no wildcards.
fn words(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('.').filter(|word| !["*", "+"].contains(word))
}
