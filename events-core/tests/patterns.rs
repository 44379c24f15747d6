//! The matcher against a naive reference that follows the definition word for word.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p events-core --test patterns` for a million cases.

use events_core::{Pattern, check_name};
use proptest::prelude::*;

/// `*` stands for one or more segments, `+` for exactly one, and any other segment for itself. A wildcard in the first
/// segment does not match `typed-events`.
fn reference(pattern: &[&str], name: &[&str]) -> bool {
    let is_of_library = |path: &[&str]| path.first() == Some(&"typed-events");
    (!is_of_library(name) || is_of_library(pattern)) && segments_match(pattern, name)
}

fn segments_match(pattern: &[&str], name: &[&str]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ["*", rest @ ..] => (1..=name.len()).any(|taken| segments_match(rest, &name[taken..])),
        [first, rest @ ..] => match name {
            [segment, others @ ..] => (*first == "+" || first == segment) && segments_match(rest, others),
            [] => false,
        },
    }
}

/// Few distinct segments, so that patterns often match. Some are prefixes of others.
fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "aa", "a-b", "_", "typed-events"])
}

fn pattern_segment() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => segment(), 2 => Just("*"), 1 => Just("+")]
}

fn config() -> ProptestConfig {
    // More than proptest's default of 256, unless the environment sets a number.
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 20_000 };
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn matches_as_the_reference_does(
        pattern in prop::collection::vec(pattern_segment(), 1..=7),
        name in prop::collection::vec(segment(), 1..=8),
    ) {
        let (pattern_text, name_text) = (pattern.join("."), name.join("."));
        let matched = Pattern::new(&pattern_text).unwrap().matches(&name_text);
        prop_assert_eq!(matched, reference(&pattern, &name), "{} on {}", pattern_text, name_text);
    }

    #[test]
    fn a_pattern_that_was_made_from_a_name_takes_it(
        segments in prop::collection::vec((segment(), 0..4_u8, 1..3_usize), 1..=5),
    ) {
        let (mut pattern, mut name) = (Vec::new(), Vec::new());
        for (segment, kind, repeats) in segments {
            match kind {
                0 => { pattern.push("*"); name.extend(std::iter::repeat_n(segment, repeats)); }
                1 => { pattern.push("+"); name.push(segment); }
                _ => { pattern.push(segment); name.push(segment); }
            }
        }
        // Only a pattern that begins with the library's segment matches the library's names.
        let expected = name[0] != "typed-events" || pattern[0] == "typed-events";
        let (pattern, name) = (pattern.join("."), name.join("."));
        prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&name), expected, "{} on {}", pattern, name);
    }

    #[test]
    fn no_text_panics_and_errors_point_into_it(text in "[ab*+. é\\n]{0,12}", name in "[ab. é]{0,12}") {
        match Pattern::new(&text) {
            Ok(pattern) => { pattern.matches(&name); }
            Err(error) => prop_assert!((1..=text.len() + 1).contains(&error.position())),
        }
        prop_assert_eq!(check_name(&text).is_ok(), Pattern::new(&text).is_ok_and(|pattern| pattern.is_name()));
    }
}
