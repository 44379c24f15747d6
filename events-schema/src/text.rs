//! Messages that are built by the same code at compile time and at run time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::panics::drop_quietly;

/// Maximum length in bytes of a quoted text from outside.
pub const MAX_QUOTED: usize = 80;

const CAPACITY: usize = 1024;

/// A message that a `const fn` can build.
///
/// Holds at most 1024 bytes. [`push`](Self::push) adds a text completely or not at all.
pub struct Text {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Text {
    /// The empty message.
    pub const EMPTY: Self = Self { bytes: [0; CAPACITY], len: 0 };

    /// Appends a text of this library unchanged.
    pub const fn push(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        if self.len + bytes.len() > CAPACITY {
            return self;
        }
        let mut i = 0;
        while i < bytes.len() {
            self.bytes[self.len] = bytes[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    /// Appends a text from outside. Control characters are escaped, and the text is cut after [`MAX_QUOTED`] bytes.
    pub const fn quote(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            let width = utf8_width(bytes[i]);
            if i + width > MAX_QUOTED {
                return self.push("...");
            }
            if is_control(bytes, i) {
                self = self.push("\\x").push_hex(bytes[i + width - 1]);
            } else if is_hidden(bytes, i) {
                self = self.push("\\u{20").push_hex(low_byte(bytes, i)).push("}");
            } else if self.len + width <= CAPACITY {
                let mut k = 0;
                while k < width {
                    self.bytes[self.len] = bytes[i + k];
                    self.len += 1;
                    k += 1;
                }
            }
            i += width;
        }
        self
    }

    pub const fn number(self, n: usize) -> Self {
        let mut digits = [0u8; 20];
        let mut rest = n;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let mut text = self;
        while at < digits.len() {
            text = text.push_byte(digits[at]);
            at += 1;
        }
        text
    }

    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "(the message is not UTF-8)",
        }
    }

    const fn push_byte(mut self, byte: u8) -> Self {
        if self.len < CAPACITY {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        self
    }

    const fn push_hex(self, byte: u8) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.push_byte(HEX[(byte >> 4) as usize]).push_byte(HEX[(byte & 15) as usize])
    }
}

const fn utf8_width(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// Returns whether a character is in C0, DEL or C1 (`c2 80` to `c2 9f` in UTF-8), which a terminal may interpret.
const fn is_control(bytes: &[u8], i: usize) -> bool {
    match bytes[i] {
        0..=0x1f | 0x7f => true,
        0xc2 => bytes[i + 1] < 0xa0,
        _ => false,
    }
}

/// Returns whether a character is a line or paragraph separator or a mark that changes the direction of text: U+200E,
/// U+200F, U+2028 to U+202E, U+2066 to U+2069. In UTF-8, all of them begin with `e2 80` or `e2 81`.
const fn is_hidden(bytes: &[u8], i: usize) -> bool {
    bytes[i] == 0xe2
        && bytes[i + 1] <= 0x81
        && matches!(low_byte(bytes, i), 0x0e | 0x0f | 0x28..=0x2e | 0x66..=0x69)
}

/// Returns the low byte of a code point that takes three bytes in UTF-8.
const fn low_byte(bytes: &[u8], i: usize) -> u8 {
    ((bytes[i + 1] & 0x03) << 6) | (bytes[i + 2] & 0x3f)
}

/// Maximum length in bytes of the text of a user's error.
const MAX_ERROR_BYTES: usize = 4096;

/// Returns the text of a user's error as `{:#}` prints it, which may include its sources. It is cut after 4096 bytes,
/// and no more than that is ever in memory. If `Display` fails or panics, a fixed text is returned.
pub fn of_error(error: &dyn fmt::Display) -> String {
    let mut cut = Cut { text: String::new(), is_cut: false };
    let written = catch_unwind(AssertUnwindSafe(|| fmt::write(&mut cut, format_args!("{error:#}"))));
    match written {
        Ok(Ok(())) => cut.text,
        Ok(Err(_)) => "(the error's Display failed)".to_owned(),
        Err(payload) => {
            drop_quietly(payload);
            "(the error's Display failed)".to_owned()
        }
    }
}

/// A writer that keeps the beginning of a text.
struct Cut {
    text: String,
    is_cut: bool,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Ok(());
        }
        let free = MAX_ERROR_BYTES - self.text.len();
        if text.len() <= free {
            self.text.push_str(text);
            return Ok(());
        }
        self.text.push_str(prefix(text, free));
        self.text.push_str("...");
        self.is_cut = true;
        // An error could make a `Display` implementation panic.
        Ok(())
    }
}

/// Returns the longest prefix that has at most `max` bytes and ends at a character boundary.
pub fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// Escapes control characters and invisible marks, so that a text from outside is safe to print on one line.
///
/// Unlike [`Text::quote`], it does not cut the text.
pub fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    match text.chars().any(must_escape) {
        true => Escaped { text, newline: None }.to_string().into(),
        false => text.into(),
    }
}

/// Displays a text like [`escaped`], without a copy.
pub struct Escaped<'a> {
    pub text: &'a str,
    /// The replacement for a newline or carriage return, in contexts where any whitespace is equivalent; `None` to
    /// escape them.
    pub newline: Option<&'static str>,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        while let Some(at) = rest.find(must_escape) {
            f.write_str(&rest[..at])?;
            let mut chars = rest[at..].chars();
            match (chars.next(), self.newline) {
                (Some('\n' | '\r'), Some(newline)) => f.write_str(newline)?,
                (Some(c), _) if c.is_control() => write!(f, "\\x{:02x}", c as u32)?,
                (Some(c), _) => write!(f, "\\u{{{:x}}}", c as u32)?,
                (None, _) => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

fn must_escape(c: char) -> bool {
    let is_hidden = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_hidden
}

/// Returns a text from outside, escaped and cut to [`MAX_QUOTED`] bytes.
pub fn quoted(text: &str) -> String {
    Text::EMPTY.quote(text).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_between_two_characters() {
        for (max, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "a"), (4, "a漢"), (5, "a漢b"), (9, "a漢b")]
        {
            assert_eq!(prefix("a漢b", max), expected, "at most {max} bytes");
        }
    }

    #[test]
    fn quotes_escape_and_cut() {
        assert_eq!(quoted("user.created"), "user.created");
        assert_eq!(quoted("a\nb\x1b[31m"), "a\\x0ab\\x1b[31m");
        assert_eq!(quoted("\u{9b}31m\u{7f}"), "\\x9b31m\\x7f");
        assert_eq!(quoted("é漢€"), "é漢€");
        assert_eq!(quoted("a\u{2028}b\u{202e}c\u{2066}"), "a\\u{2028}b\\u{202e}c\\u{2066}");
        assert_eq!(escaped("a\u{2028}b\u{202e}c\u{2066}"), "a\\u{2028}b\\u{202e}c\\u{2066}");
        let long = "漢".repeat(100);
        assert_eq!(quoted(&long), format!("{}...", "漢".repeat(26)));
        assert_eq!(escaped("a\r\u{85}b"), "a\\x0d\\x85b");
        assert_eq!(Text::EMPTY.number(0).number(907).as_str(), "0907");
    }
}
