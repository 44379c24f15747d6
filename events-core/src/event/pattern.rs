//! Event names, patterns, and the one matcher that the whole library uses.

use std::fmt;

use crate::text::Text;

/// Maximum number of segments in a name or pattern.
pub const MAX_SEGMENTS: usize = 16;

/// Maximum length of a name or pattern in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// First segment of names that are reserved for the library.
const LIBRARY: &str = "typed-events";

/// Whether the first segment of a name or pattern is the one reserved for the library.
pub(crate) const fn is_of_library(name: &str) -> bool {
    let (name, library) = (name.as_bytes(), LIBRARY.as_bytes());
    same(name, 0, segment_end(name, 0), library, 0, library.len())
}

/// A set of event names, written as a name in which whole segments may be wildcards.
///
/// `*` matches one or more segments, `+` matches exactly one. Every other segment consists of one or more of
/// `A-Z`, `a-z`, `0-9`, `_` and `-`, and matches itself. A pattern has 1 to [`MAX_SEGMENTS`] segments joined
/// by `.` and at most [`MAX_NAME_BYTES`] bytes.
///
/// Names whose first segment is `typed-events` are reserved for the library. A wildcard in the first segment
/// does not match them: `*` matches every event of the program, `typed-events.*` matches the events of the
/// library.
///
/// ```
/// use typed_events::Pattern;
///
/// const USERS: Pattern<'_> = match Pattern::new("user.*") {
///     Ok(pattern) => pattern,
///     Err(_) => panic!(),
/// };
/// assert!(USERS.matches("user.created"));
/// assert!(USERS.matches("user.profile.updated"));
/// assert!(!USERS.matches("user"));
///
/// let error = Pattern::new("us*r").unwrap_err();
/// assert_eq!(error.position(), 3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pattern<'a> {
    text: &'a str,
}

impl<'a> Pattern<'a> {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// Returns a [`PatternError`] with the first invalid position.
    ///
    /// # Complexity
    ///
    /// One pass over the text.
    pub const fn new(text: &'a str) -> Result<Self, PatternError> {
        match scan(text.as_bytes(), true) {
            Ok(()) => Ok(Self { text }),
            Err(error) => Err(error),
        }
    }

    /// Wraps a text that is known to be a valid pattern.
    pub(crate) const fn of_valid(text: &'a str) -> Self {
        Self { text }
    }

    /// Text of the pattern.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether the pattern has no wildcard and so matches exactly one name.
    pub const fn is_name(&self) -> bool {
        let bytes = self.text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            if bytes[i] == b'*' || bytes[i] == b'+' {
                return false;
            }
            i += 1;
        }
        true
    }

    /// Whether the pattern matches `name`. A name reserved for the library matches only a pattern that begins
    /// with `typed-events`.
    ///
    /// If `name` is not a valid event name, the result is unspecified, but the function does not panic.
    ///
    /// # Complexity
    ///
    /// Linear in the length of `name` without `*`; with `*`, at most the product of both lengths. Does not
    /// allocate.
    pub const fn matches(&self, name: &str) -> bool {
        if is_of_library(name) && !is_of_library(self.text) {
            return false;
        }
        let (pattern, name) = (self.text.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Position to backtrack to if the rest after the last `*` does not match: the pattern after that `*`,
        // and the first segment of the name that the `*` has not consumed.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            if n > name.len() {
                // The whole name is consumed. Backtracking would leave even fewer segments for the rest of
                // the pattern.
                return p > pattern.len();
            }
            if p <= pattern.len() {
                let (p_end, n_end) = (segment_end(pattern, p), segment_end(name, n));
                let fits = match pattern[p] {
                    b'*' => {
                        retry = Some((p_end + 1, n_end + 1));
                        true
                    }
                    b'+' => true,
                    _ => same(pattern, p, p_end, name, n, n_end),
                };
                if fits {
                    p = p_end + 1;
                    n = n_end + 1;
                    continue;
                }
            }
            match retry {
                Some((resume, untaken)) if untaken <= name.len() => {
                    p = resume;
                    n = segment_end(name, untaken) + 1;
                    retry = Some((p, n));
                }
                _ => return false,
            }
        }
    }
}

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// Checks an event name, which is a pattern without wildcards.
///
/// # Errors
///
/// Returns a [`PatternError`] with the first invalid position.
pub const fn check_name(name: &str) -> Result<(), PatternError> {
    scan(name.as_bytes(), false)
}

/// Error of parsing an event name or a pattern: the cause and the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternError {
    problem: Problem,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    EmptySegment,
    Character,
    PartialWildcard,
    WildcardInName,
    TooManySegments,
    TooLong,
}

impl PatternError {
    /// Position of the first invalid byte, counted from 1.
    pub const fn position(&self) -> usize {
        self.at + 1
    }

    /// Appends the cause and the position to a message.
    pub(crate) const fn describe(&self, text: Text) -> Text {
        let text = text.push(match self.problem {
            Problem::Empty => "it is empty",
            Problem::EmptySegment => "a segment is empty",
            Problem::Character => "a segment may contain only A-Z, a-z, 0-9, `_` and `-`",
            Problem::PartialWildcard => "a wildcard must be a whole segment, as in `user.*`",
            Problem::WildcardInName => "a name can't contain a wildcard, only a pattern can",
            Problem::TooManySegments => "it has more than 16 segments",
            Problem::TooLong => "it has more than 255 bytes",
        });
        text.push(" (position ").number(self.position()).push(")")
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe(Text::EMPTY).as_str())
    }
}

impl std::error::Error for PatternError {}

const fn scan(text: &[u8], wildcards: bool) -> Result<(), PatternError> {
    const fn error(problem: Problem, at: usize) -> Result<(), PatternError> {
        Err(PatternError { problem, at })
    }
    if text.is_empty() {
        return error(Problem::Empty, 0);
    }
    let mut segments = 0;
    let mut start = 0;
    while start <= text.len() {
        let end = segment_end(text, start);
        segments += 1;
        if start == end {
            return error(Problem::EmptySegment, start);
        }
        if segments > MAX_SEGMENTS {
            return error(Problem::TooManySegments, start);
        }
        let mut i = start;
        while i < end {
            match text[i] {
                _ if i >= MAX_NAME_BYTES => return error(Problem::TooLong, i),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => {}
                b'*' | b'+' if !wildcards => return error(Problem::WildcardInName, i),
                b'*' | b'+' if end - start == 1 => {}
                b'*' | b'+' => return error(Problem::PartialWildcard, i),
                _ => return error(Problem::Character, i),
            }
            i += 1;
        }
        start = end + 1;
    }
    Ok(())
}

/// Returns the end of the segment that starts at `start`: the next dot or the end of the text.
const fn segment_end(text: &[u8], start: usize) -> usize {
    let mut end = start;
    while end < text.len() && text[end] != b'.' {
        end += 1;
    }
    end
}

const fn same(a: &[u8], a_start: usize, a_end: usize, b: &[u8], b_start: usize, b_end: usize) -> bool {
    if a_end - a_start != b_end - b_start {
        return false;
    }
    let mut i = 0;
    while i < a_end - a_start {
        if a[a_start + i] != b[b_start + i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, taken: &[&str], refused: &[&str]) {
        let pattern = Pattern::new(pattern).unwrap();
        for name in taken {
            assert!(pattern.matches(name), "{pattern} takes {name}");
        }
        for name in refused {
            assert!(!pattern.matches(name), "{pattern} does not take {name}");
        }
    }

    #[test]
    fn patterns_take_what_the_grammar_says() {
        check("user.created", &["user.created"], &["user", "user.create", "user.created.x", "xuser.created"]);
        check(
            "user.*",
            &["user.created", "user.profile.updated"],
            &["user", "users.created", "x.user.created"],
        );
        check("shop.order.*", &["shop.order.paid", "shop.order.a.b"], &["shop.order", "shop.cart.paid"]);
        check("*", &["a", "a.b", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"], &[]);
        check(
            "*.failed",
            &["payment.failed", "auth.login.failed"],
            &["failed", "failed.payment", "payment.failed.x"],
        );
        check("a.+.c", &["a.b.c", "a.x.c"], &["a.c", "a.b.b.c", "a.b.d"]);
        check("a.b.*", &["a.b.c", "a.b.c.d"], &["a.b", "a.c.b"]);
        check("+", &["a"], &["a.b"]);
        check("*.*", &["a.b", "a.b.c"], &["a"]);
        check("*.+.*", &["a.b.c", "a.b.c.d"], &["a.b"]);
        check(
            "a.*.b.*.c",
            &["a.x.b.y.c", "a.b.b.b.c", "a.x.b.b.y.c.c", "a.x.x.b.y.c"],
            &["a.b.x.c", "a.x.b.c"],
        );
        check("*.a.+", &["x.a.b", "a.a.a", "x.a.a.b"], &["a.b", "x.a", "x.b.a"]);
        check(
            "*",
            &["typed-event.x", "typed-events2.x", "x.typed-events"],
            &["typed-events", "typed-events.x"],
        );
        check("+.x", &["a.x"], &["typed-events.x"]);
        check("*.x", &["a.x", "a.typed-events.x"], &["typed-events.x", "typed-events.a.x"]);
        check(
            "typed-events.*",
            &["typed-events.x", "typed-events.a.b"],
            &["typed-events", "a.typed-events.x"],
        );
        check("typed-events.+.*", &["typed-events.a.b"], &["typed-events.x"]);
    }

    #[test]
    fn bad_texts_name_the_position() {
        let long = format!("{}.x", "a".repeat(254));
        let segments = ["a"; 17].join(".");
        for (text, position, words) in [
            ("", 1, "it is empty"),
            (".", 1, "a segment is empty"),
            ("user.", 6, "a segment is empty"),
            ("user..x", 6, "a segment is empty"),
            (".user", 1, "a segment is empty"),
            ("us*r", 3, "whole segment"),
            ("user.**", 6, "whole segment"),
            ("user created", 5, "A-Z"),
            ("user.créé", 8, "A-Z"),
            (&segments, 33, "more than 16"),
            (&long, 256, "more than 255"),
        ] {
            let error = Pattern::new(text).unwrap_err();
            assert_eq!(error.position(), position, "{text:?}");
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
        assert_eq!(check_name("user.*").unwrap_err().position(), 6);
        assert!(check_name(&"a".repeat(255)).is_ok());
        assert!(check_name(&"a".repeat(256)).is_err());
        assert!(check_name(&["a"; 16].join(".")).is_ok());
    }
}
