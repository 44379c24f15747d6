//! Where the words of a file lead.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::client::{Client, path_of, place, text_at};

/// A word of a file, a name or a literal, and the definitions it leads to.
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// The text of that line.
    pub(crate) line_text: String,
    pub(crate) targets: Vec<Target>,
}

impl Word {
    /// Whether the word is as good for an editor as one of code without macros: it leads to one definition, which is
    /// one that users know.
    pub(crate) fn is_clear(&self) -> bool {
        if self.targets.iter().any(|target| target.is_private) {
            return false;
        }
        match &self.targets[..] {
            [] => self.names_nothing(),
            [_] => true,
            // A path in a text of serde's is code to its macros.
            _ if self.text.starts_with('"') && self.line_text.contains("serde(") => true,
            // `UserCreated { id, .. }` names a field and a variable.
            [first, second] if first.name == self.text && second.name == self.text => {
                (&first.file, first.line) != (&second.file, second.line)
            }
            // Macros wrote a method that is called: the methods of atomics, and `heap_size`.
            [method, macro_call] if macro_call.name == "atomic_int!" => method.name == self.text,
            [_, derive] => self.text == "heap_size" && derive.name == "derive(Schema)",
            _ => false,
        }
    }

    /// Whether the word is no name, or an option of an attribute.
    fn names_nothing(&self) -> bool {
        let is_literal =
            self.text.starts_with(|first: char| first.is_ascii_digit() || ['"', '\''].contains(&first));
        let is_option = self.line_text.trim_start().starts_with('#') || self.line_text.contains("#[");
        is_literal || is_option || ["_", "true", "false"].contains(&&*self.text)
    }
}

/// A definition.
#[derive(PartialEq)]
pub(crate) struct Target {
    pub(crate) file: String,
    /// The name that it defines.
    pub(crate) name: String,
    pub(crate) line: u64,
    /// Whether it is what generated code names, and not what users do.
    pub(crate) is_private: bool,
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.line, self.text)?;
        for Target { file, name, line, .. } in &self.targets {
            write!(formatter, "\n        {name} in {file}:{line}")?;
        }
        Ok(())
    }
}

/// The words that are not names.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "const", "crate", "derive", "dyn", "else", "enum", "fn", "for", "if", "impl",
    "in", "let", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static", "struct", "super",
    "trait", "type", "use", "where", "while",
];

/// The words of a file, each with where it leads.
pub(crate) fn of(client: &mut Client, path: &Path, text: &str) -> Vec<Word> {
    let starts = starts(text);
    // Before a quote, the cursor is at what stands there, too.
    let inside = |(at, word): &(usize, &str)| at + usize::from(word.starts_with('"'));
    let asked = starts.iter().map(|start| place(path, text, inside(start))).collect();
    let answers = client.ask_all("textDocument/definition", asked);
    let words = starts.into_iter().zip(answers);
    words
        .map(|((at, word), answer)| Word {
            text: word.to_owned(),
            line: text[..at].matches('\n').count() + 1,
            line_text: text.lines().nth(text[..at].matches('\n').count()).unwrap_or_default().to_owned(),
            targets: answer.as_array().map_or_else(Vec::new, |all| all.iter().map(target).collect()),
        })
        .collect()
}

fn target(link: &Value) -> Target {
    let path = path_of(&link["targetUri"]);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let range = &link["targetSelectionRange"];
    // A file that is a module is a target as a whole.
    let name = text_at(&text, range).lines().next().unwrap_or_default().to_owned();
    let line = range["start"]["line"].as_u64().unwrap_or_default() + 1;
    let is_private = name.starts_with("__") || PRIVATE.iter().any(|file| path.ends_with(file));
    let parts: Vec<_> = path.iter().rev().take(3).map(|part| part.to_string_lossy()).collect();
    let file = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    Target { file, name, line, is_private }
}

/// The files of the library that only generated code calls.
const PRIVATE: [&str; 3] =
    ["events-core/src/private.rs", "events-core/src/check.rs", "events-core/src/lock/check.rs"];

/// The names and literals of a file, each with where it begins; not those of comments.
fn starts(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => 3,
            byte if is_part(&byte) => rest.bytes().take_while(is_part).count(),
            _ => 1,
        };
        let word = &rest[..length];
        let counts = word.starts_with('"') || is_part(&bytes[at]) && !KEYWORDS.contains(&word);
        if counts {
            found.push((at, word));
        }
        at += length;
    }
    found
}
