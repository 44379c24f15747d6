//! Edit distance between names of events, handlers and options, for the suggestions of the macros and the runtime.
//!
//! This crate has no dependencies, since it is compiled twice: for the macros and for the program.

#![cfg_attr(docsrs, feature(doc_cfg))]

/// Returns the number of edits between two texts. An edit adds, removes or replaces a character, or swaps it with the
/// next one.
///
/// # Complexity
///
/// Time: the product of the lengths. Memory: the length of the second text.
///
/// ```
/// assert_eq!(events_names::distance("user.craeted", "user.created"), 1);
/// ```
///
/// Source: the optimal string alignment distance, Boytsov, "Indexing methods for approximate dictionary searching",
/// 2011, section 2.
pub fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The distances of the prefixes of `other` to three prefixes of `one`: two characters shorter, one character
    // shorter, and the current one.
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, character) in one.chars().enumerate() {
        let mut now = Vec::with_capacity(last.len());
        now.push(row + 1);
        for (column, candidate) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(character != *candidate);
            let mut edits = replaced.min(last[column + 1] + 1).min(now[column] + 1);
            if column > 0 && previous == Some(*candidate) && other[column - 1] == character {
                edits = edits.min(before_last[column - 1] + 1);
            }
            now.push(edits);
        }
        before_last = std::mem::replace(&mut last, now);
        previous = Some(character);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_strsim() {
        let words = [
            "",
            "a",
            "ab",
            "ba",
            "abc",
            "user.created",
            "usr.creatde",
            "order_by",
            "ordered_by",
            "é漢字",
            "字漢",
        ];
        for one in words {
            for other in words {
                assert_eq!(distance(one, other), strsim::osa_distance(one, other), "{one} {other}");
            }
        }
        // Texts of up to 7 characters from an alphabet of three, generated in a fixed order.
        let mut state = 1u64;
        let mut text = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (0..state >> 61)
                .map(|at| char::from(b'a' + (state >> (30 + 3 * at)) as u8 % 3))
                .collect::<String>()
        };
        for _ in 0..20_000 {
            let (one, other) = (text(), text());
            assert_eq!(distance(&one, &other), strsim::osa_distance(&one, &other), "{one} {other}");
        }
    }
}
