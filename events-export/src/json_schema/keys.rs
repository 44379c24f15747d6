//! Schemas of the keys of maps, which are strings in JSON.

use events_core::{EnumSchema, Tag, TypeSchema};
use serde_json::{Value, json};

use super::{Side, Writer, any_of};

/// Pattern of a number as JSON writes it.
const NUMBER: &str = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$";

impl Writer {
    /// Returns the schema of the keys of a map, or `None` if any string is a key.
    pub(super) fn keys(&self, keys: &'static TypeSchema) -> Option<Value> {
        if matches!(keys, TypeSchema::Named(named) if named.get().secret) && self.side == Side::Written {
            return None;
        }
        match self.sided(keys) {
            TypeSchema::Integer(min, max) => Some(json!({"pattern": whole_numbers(*min, *max, true)})),
            TypeSchema::NonZero(min, max) => Some(json!({"pattern": whole_numbers(*min, *max, false)})),
            TypeSchema::Float | TypeSchema::Float32 => Some(json!({"pattern": NUMBER})),
            TypeSchema::Bool => Some(json!({"enum": ["true", "false"]})),
            TypeSchema::Char => Some(json!({"minLength": 1, "maxLength": 1})),
            TypeSchema::Format(format) => Some(json!({"format": super::format_name(format)})),
            TypeSchema::Enum(schema) => self.variants_as_keys(schema),
            _ => None,
        }
    }

    fn variants_as_keys(&self, schema: &'static EnumSchema) -> Option<Value> {
        let (mut names, mut any) = (Vec::new(), Vec::new());
        for variant in schema.variants.iter().filter(|variant| !self.names_of(variant).is_empty()) {
            match (variant.untagged || schema.tag == Tag::Untagged, variant.body) {
                (true, Some(body)) => any.push(self.keys(body)?),
                // A unit variant without a tag is not a string.
                (true, None) => {}
                (false, _) if variant.other && self.side == Side::Read => return None,
                (false, _) => names.extend(self.names_of(variant)),
            }
        }
        if !names.is_empty() {
            any.insert(0, json!({"enum": names}));
        }
        Some(any_of(any))
    }
}

/// Returns a pattern that matches exactly the integers from `min` to `max`, as JSON writes them. `zero` says whether 0
/// is one of them.
fn whole_numbers(min: i128, max: u128, zero: bool) -> String {
    let mut any = Vec::new();
    if zero && min <= 0 {
        any.push("0".to_owned());
    }
    let least = u128::try_from(min).map_or(1, |min| min.max(1));
    if let Some(positive) = positive(least, max) {
        any.push(positive);
    }
    if min < 0
        && let Some(negative) = positive(1, min.unsigned_abs())
    {
        any.push(format!("-(?:{negative})"));
    }
    format!("^(?:{})$", any.join("|"))
}

/// Returns a pattern of the integers from `min` to `max`. `min` is at least 1.
fn positive(min: u128, max: u128) -> Option<String> {
    if min > max {
        return None;
    }
    let (least, max) = (min.to_string(), max.to_string());
    let (shortest, longest) = (least.len(), max.len());
    let first = |length: usize| format!("1{}", "0".repeat(length - 1));
    let last = |length: usize| "9".repeat(length);
    if shortest == longest {
        return Some(alike(least.as_bytes(), max.as_bytes()).join("|"));
    }
    let mut any = Vec::new();
    // The first length from which all numbers are included.
    let full = match least == first(shortest) {
        true => shortest,
        false => {
            any.extend(alike(least.as_bytes(), last(shortest).as_bytes()));
            shortest + 1
        }
    };
    if full < longest {
        any.push(format!("[1-9][0-9]{{{},{}}}", full - 1, longest - 2));
    }
    any.extend(alike(first(longest).as_bytes(), max.as_bytes()));
    Some(any.join("|"))
}

/// Returns the patterns of the numbers between two numbers with the same count of digits.
fn alike(least: &[u8], max: &[u8]) -> Vec<String> {
    let ([low, lower @ ..], [high, higher @ ..]) = (least, max) else { return vec![String::new()] };
    let (from_first, to_last) =
        (lower.iter().all(|digit| *digit == b'0'), higher.iter().all(|digit| *digit == b'9'));
    let begin = |digit: u8, rest: Vec<String>| {
        rest.into_iter().map(move |rest| format!("{}{rest}", char::from(digit))).collect::<Vec<_>>()
    };
    if low == high && !(from_first && to_last) {
        return begin(*low, alike(lower, higher));
    }
    let mut any = Vec::new();
    let (mut from, mut to) = (*low, *high);
    if !from_first {
        any.extend(begin(from, alike(lower, &vec![b'9'; lower.len()])));
        from += 1;
    }
    if !to_last {
        any.extend(begin(to, alike(&vec![b'0'; higher.len()], higher)));
        to -= 1;
    }
    if from <= to {
        let digits = match lower.len() {
            0 => String::new(),
            1 => "[0-9]".to_owned(),
            count => format!("[0-9]{{{count}}}"),
        };
        any.push(match from == to {
            true => format!("{}{digits}", char::from(from)),
            false => format!("[{}-{}]{digits}", char::from(from), char::from(to)),
        });
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_patterns_of_whole_numbers_are_exact() {
        let check = |min, max, zero, pattern: &str| assert_eq!(whole_numbers(min, max, zero), pattern);
        check(0, 255, true, "^(?:0|[1-9][0-9]{0,1}|25[0-5]|2[0-4][0-9]|1[0-9]{2})$");
        check(1, 255, true, "^(?:[1-9][0-9]{0,1}|25[0-5]|2[0-4][0-9]|1[0-9]{2})$");
        check(
            -128,
            127,
            false,
            "^(?:[1-9][0-9]{0,1}|12[0-7]|1[0-1][0-9]|-(?:[1-9][0-9]{0,1}|12[0-8]|1[0-1][0-9]))$",
        );
        check(0, 0, true, "^(?:0)$");
        check(7, 9, true, "^(?:[7-9])$");
        check(95, 99, true, "^(?:9[5-9])$");
        check(95, 1000, true, "^(?:9[5-9]|[1-9][0-9]{2,2}|1000)$");
    }
}
