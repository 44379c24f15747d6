//! Checks of fields that are left out if they are empty, and of the default that serde reads instead.
//!
//! Only the paths of the two functions are known. A user's function that decides whether a field is left out may agree
//! with one that returns its default, so such a pair is accepted.

use super::{Verdict, refuse};
use crate::mismatch::Problem;
use crate::written::same;
use crate::{FieldSchema, Presence, TypeSchema};

/// Types whose `is_empty` is that of std or serde_json if the field is a list, a map or a text.
const COLLECTIONS: [&str; 11] = [
    "Vec",
    "String",
    "str",
    "HashMap",
    "BTreeMap",
    "HashSet",
    "BTreeSet",
    "VecDeque",
    "BinaryHeap",
    "LinkedList",
    "Map",
];

/// Checks that a field that is left out if it is `None`, empty or `false` is not read as the result of a user's
/// function, and that an `Option` is not left out if it is `Some`.
pub(super) const fn check_absent(field: &FieldSchema) -> Verdict {
    if field.written.is_none() {
        return Ok(());
    }
    if (field.default.is_empty() || gives_nothing(field.default))
        && ends_with(field.skipped_if, "Option::is_some")
        && matches!(field.presence, Presence::Sometimes)
    {
        return refuse(Problem::NeverSome { function: field.skipped_if });
    }
    if !is_function(field.default) || gives_nothing(field.default) {
        return Ok(());
    }
    let function = match field.presence {
        Presence::Always => return Ok(()),
        Presence::UnlessNone => "Option::is_none",
        Presence::Sometimes => field.skipped_if,
    };
    let means_empty = match (field.presence, field.shape) {
        (Presence::UnlessNone, _) => true,
        (_, TypeSchema::Sequence(..) | TypeSchema::Map(..) | TypeSchema::String) => is_empty_of_std(function),
        (_, TypeSchema::Bool) => ends_with(function, "Not::not") || ends_with(function, "Not>::not"),
        _ => false,
    };
    match means_empty {
        true => refuse(Problem::Replaced { function, default: field.default }),
        false => Ok(()),
    }
}

/// Returns whether a default is the result of a function for the field itself, see [`FieldSchema::default`].
const fn is_function(default: &str) -> bool {
    !default.is_empty() && !same(default, "struct") && !starts_with(default, "struct ")
}

/// Returns whether the path looks like a function that returns an empty value, such as `Default::default` or
/// `Vec::new`.
const fn gives_nothing(default: &str) -> bool {
    ends_with(default, "::default")
        || ends_with(default, "::new")
        || same(default, "default")
        || same(default, "new")
}

/// Returns whether a path is `is_empty` of a collection, with or without type parameters: `Vec::is_empty`,
/// `<[u8]>::is_empty`, `std::vec::Vec::<u8>::is_empty`.
const fn is_empty_of_std(path: &str) -> bool {
    const END: &str = "::is_empty";
    if !ends_with(path, END) {
        return false;
    }
    let owner = path.split_at(path.len() - END.len()).0;
    if !ends_with(owner, ">") {
        return is_collection(owner);
    }
    let before = owner.split_at(opening(owner)).0;
    if before.is_empty() {
        // `<Vec<u8>>` or `<[u8]>`.
        if !starts_with(owner, "<") {
            return false;
        }
        let inner = owner.split_at(1).1;
        return starts_with(inner, "[") || is_collection(inner.split_at(first(inner, b'<', b'>')).0);
    }
    // `Vec::<u8>` or `Vec<u8>`.
    match ends_with(before, "::") {
        true => is_collection(before.split_at(before.len() - 2).0),
        false => is_collection(before),
    }
}

/// Returns whether the last segment of a path is the name of a collection.
const fn is_collection(path: &str) -> bool {
    let mut i = 0;
    while i < COLLECTIONS.len() {
        let name = COLLECTIONS[i];
        if ends_with(path, name) {
            let before = path.split_at(path.len() - name.len()).0;
            if before.is_empty() || ends_with(before, "::") {
                return true;
            }
        }
        i += 1;
    }
    false
}

/// Returns the index of the bracket that the last byte closes.
const fn opening(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut i) = (0usize, bytes.len());
    while i > 0 {
        i -= 1;
        match bytes[i] {
            b'>' => depth += 1,
            b'<' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    0
}

/// Returns the index of the first occurrence of either byte, or the length of the text.
const fn first(text: &str, one: u8, other: u8) -> usize {
    let (bytes, mut i) = (text.as_bytes(), 0);
    while i < bytes.len() && bytes[i] != one && bytes[i] != other {
        i += 1;
    }
    i
}

const fn starts_with(text: &str, start: &str) -> bool {
    text.len() >= start.len() && bytes_at(text, 0, start)
}

const fn ends_with(text: &str, end: &str) -> bool {
    text.len() >= end.len() && bytes_at(text, text.len() - end.len(), end)
}

/// Returns whether `text` has `part` at this index.
const fn bytes_at(text: &str, at: usize, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let mut i = 0;
    while i < part.len() {
        if text[at + i] != part[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{gives_nothing, is_empty_of_std, is_function};

    #[test]
    fn paths_of_std_are_known_however_they_are_written() {
        for path in [
            "Vec::is_empty",
            "std::vec::Vec::is_empty",
            "Vec::<u8>::is_empty",
            "Vec::<Vec<u8>>::is_empty",
            "<Vec<u8>>::is_empty",
            "<[u8]>::is_empty",
            "<[_]>::is_empty",
            "str::is_empty",
            "<str>::is_empty",
            "serde_json::Map::is_empty",
            "std::collections::HashMap::<String,Vec<u8>>::is_empty",
        ] {
            assert!(is_empty_of_std(path), "{path}");
        }
        for path in
            ["is_empty", "own::is_empty", "Own::is_empty", "MyVec::is_empty", "Vec::is_sorted", ">::is_empty"]
        {
            assert!(!is_empty_of_std(path), "{path}");
        }
    }

    #[test]
    fn defaults_are_known() {
        for path in ["Default::default", "Vec::new", "<Vec<u8>>::default", "default"] {
            assert!(gives_nothing(path), "{path}");
        }
        assert!(!gives_nothing("some") && !gives_nothing("renew"));
        assert!(
            is_function("structure")
                && !is_function("struct")
                && !is_function("struct some")
                && !is_function("")
        );
    }
}
