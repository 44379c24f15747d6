//! Reads the source file around a macro call, to improve messages. The compiler passes neither the derives above an
//! attribute nor the surrounding block to a macro.
//!
//! The functions return nothing if another macro generated the code or if the file can't be read (an editor may
//! provide none). In these cases only the compiler's own errors appear.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use proc_macro2::Span;

/// Returns the derives above an attribute, each as the last segment of its path.
pub(crate) fn derives_above(attribute: Span) -> Vec<String> {
    Location::of(attribute).map(|location| location.derives_above()).unwrap_or_default()
}

/// Returns the keyword of the block that surrounds an attribute, if the block is an `impl` or a `trait`.
pub(crate) fn block_around(attribute: Span) -> Option<&'static str> {
    let location = Location::of(attribute)?;
    // An attribute at column 0 is not inside a block. Most handlers are there, and this check avoids parsing the file.
    if location.column == 0 { None } else { location.file.block_around(location.offset) }
}

/// Returns whether the file names this module of std and declares no type with this name itself.
pub(crate) fn imports(span: Span, module: &str, name: &str) -> bool {
    let Some(file) = file_of(span) else { return false };
    let declares =
        ["struct", "enum", "type"].iter().any(|word| file.text.contains(&format!("{word} {name}")));
    file.text.contains(&format!("{module}::")) && !declares
}

fn file_of(span: Span) -> Option<Rc<File>> {
    if !proc_macro::is_available() {
        return None;
    }
    read(span.unwrap().local_file()?)
}

/// The position of an attribute in a file.
struct Location {
    file: Rc<File>,
    /// The line number, from 0.
    line: usize,
    column: usize,
    /// The offset from the start of the file, in bytes.
    offset: usize,
}

impl Location {
    fn of(span: Span) -> Option<Self> {
        let file = file_of(span)?;
        let span = span.unwrap();
        let (line, column) = (span.line().checked_sub(1)?, span.column().checked_sub(1)?);
        let (start, text) = file.line(line)?;
        let offset = start + text.char_indices().nth(column).map(|(offset, _)| offset)?;
        // Code from another macro has the span of the macro call, which does not start with `#`.
        let is_attribute = text[offset - start..].starts_with('#');
        is_attribute.then_some(Self { file, line, column, offset })
    }

    fn derives_above(&self) -> Vec<String> {
        let (mut derives, mut below) = (Vec::new(), String::new());
        let before = (0..self.line).rev().filter_map(|line| self.file.line(line));
        for (_, line) in before {
            let text = format!("{}{below}", line.trim());
            below.clear();
            match text.strip_prefix("#[derive(").and_then(|list| list.strip_suffix(")]")) {
                Some(list) => derives.extend(list.split(',').filter_map(last_segment)),
                None if text.starts_with("#[") && text.ends_with(']') || text.starts_with("///") => {}
                // The last line of a derive list that spans several lines.
                None if text.ends_with(")]") && !text.starts_with("//") && text.len() < MAX_LIST => {
                    below = text
                }
                None => break,
            }
        }
        derives
    }
}

/// The maximum length of a derive list that spans several lines, in bytes.
const MAX_LIST: usize = 1000;

fn last_segment(path: &str) -> Option<String> {
    let segment = path.rsplit("::").next()?.trim();
    (!segment.is_empty()).then(|| segment.to_owned())
}

/// Reads a file and caches its contents. The cache is never invalidated, because the compiler process ends before the
/// file changes.
fn read(path: PathBuf) -> Option<Rc<File>> {
    thread_local! {
        static FILES: RefCell<HashMap<PathBuf, Option<Rc<File>>>> = RefCell::default();
    }
    FILES.with_borrow_mut(|files| {
        let read = |path: &PathBuf| std::fs::read_to_string(path).ok().map(File::new).map(Rc::new);
        files.entry(path).or_insert_with_key(read).clone()
    })
}

struct File {
    text: String,
    /// The byte offset at which each line starts.
    lines: Vec<usize>,
    /// All blocks, parsed when `block_around` is called for the first time.
    blocks: std::cell::OnceCell<Vec<Block>>,
}

impl File {
    fn new(text: String) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { text, lines, blocks: std::cell::OnceCell::new() }
    }

    /// Returns the byte offset and the text of a line.
    fn line(&self, line: usize) -> Option<(usize, &str)> {
        let start = *self.lines.get(line)?;
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        Some((start, self.text.get(start..end)?))
    }

    fn block_around(&self, offset: usize) -> Option<&'static str> {
        let around = |block: &&Block| block.open < offset && offset < block.close;
        let blocks = self.blocks.get_or_init(|| blocks(&self.text));
        blocks.iter().filter(around).max_by_key(|block| block.open)?.word
    }
}

/// A pair of braces, as byte offsets.
struct Block {
    open: usize,
    close: usize,
    /// The keyword, if the block belongs to an `impl` or a `trait`.
    word: Option<&'static str>,
}

/// Returns all blocks of a file.
fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), Vec::new());
    // The text that introduces a block starts after the previous brace or semicolon.
    let (mut begins, mut at) = (0, 0);
    while let Some(found) = text[at..].find(['{', '}', ';', '/', '"', '\'']) {
        let here = at + found;
        at = match text.as_bytes()[here] {
            b'/' => after_comment(text, here),
            b'"' => after_text(text, here),
            b'\'' => after_char(text, here),
            sign => {
                match sign {
                    b'{' => open.push((here, word(&text[begins..here]))),
                    b'}' => {
                        let closed = open.pop();
                        blocks.extend(closed.map(|(open, word)| Block { open, close: here, word }));
                    }
                    _ => {}
                }
                begins = here + 1;
                begins
            }
        };
    }
    blocks
}

/// Returns the keyword if the text before a brace introduces an `impl` or a `trait`.
fn word(before: &str) -> Option<&'static str> {
    let mut rest = before.trim_start();
    loop {
        rest = if rest.starts_with("//") || rest.starts_with("/*") {
            &rest[after_comment(rest, 0)..]
        } else if rest.starts_with('#') {
            &rest[after_brackets(rest)..]
        } else if rest.starts_with('(') {
            // The parentheses of `pub(crate)`.
            &rest[rest.find(')')? + 1..]
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            match &rest[..end] {
                "impl" => return Some("impl"),
                "trait" => return Some("trait"),
                "pub" | "unsafe" | "default" | "const" | "auto" => &rest[end..],
                _ => return None,
            }
        }
        .trim_start();
    }
}

/// Returns the offset after the closing bracket of an attribute.
fn after_brackets(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = text[at..].find(['[', ']', '"']) {
        let here = at + found;
        at = here + 1;
        match text.as_bytes()[here] {
            b'"' => at = after_text(text, here),
            b'[' => depth += 1,
            _ if depth <= 1 => return at,
            _ => depth -= 1,
        }
    }
    text.len()
}

fn after_comment(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    if rest.starts_with("//") {
        return rest.find('\n').map_or(text.len(), |end| at + end + 1);
    }
    if !rest.starts_with("/*") {
        return at + 1;
    }
    let (mut depth, mut end) = (0_usize, 0);
    while let Some(found) = rest[end..].find(['/', '*']) {
        end += found;
        match rest[end..].get(..2) {
            Some("/*") => depth += 1,
            Some("*/") => depth -= 1,
            _ => {
                end += 1;
                continue;
            }
        }
        end += 2;
        if depth == 0 {
            return at + end;
        }
    }
    text.len()
}

fn after_text(text: &str, quote: usize) -> usize {
    let before = &text.as_bytes()[..quote];
    let hashes = before.iter().rev().take_while(|byte| **byte == b'#').count();
    if before.get(..before.len() - hashes).is_some_and(|before| before.ends_with(b"r")) {
        let end = format!("\"{}", "#".repeat(hashes));
        return text[quote + 1..].find(&end).map_or(text.len(), |found| quote + 1 + found + end.len());
    }
    let mut at = quote + 1;
    while let Some(found) = text[at..].find(['"', '\\']) {
        at += found + 1;
        if text.as_bytes()[at - 1] == b'"' {
            return at;
        }
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    text.len()
}

/// Returns the offset after a character literal, or after the quote if it starts a lifetime.
fn after_char(text: &str, quote: usize) -> usize {
    let mut rest = text[quote + 1..].chars();
    match (rest.next(), rest.next()) {
        (Some('\\'), Some(escaped)) => {
            let from = quote + 2 + escaped.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(c), Some('\'')) => quote + 2 + c.len_utf8(),
        _ => quote + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the keyword of the block around the mark `@`.
    fn around(text: &str) -> Option<&'static str> {
        let offset = text.find("@").unwrap();
        File::new(text.to_owned()).block_around(offset)
    }

    #[test]
    fn the_innermost_block_counts() {
        assert_eq!(around("impl Mailer { @ }"), Some("impl"));
        assert_eq!(around("impl<'a> Welcome for Mailer<'a>\nwhere\n T: A,\n{ fn f() {} @ }"), Some("impl"));
        assert_eq!(around("#[cfg(a = \"[\")]\n/// impl\npub(crate) unsafe trait A { @ }"), Some("trait"));
        for free in [
            "@ impl A {}",
            "impl A {} @",
            "mod tests { impl A { fn f() {} } @ }",
            "impl A { fn f() { @ } }",
            "fn f() -> impl Fn() { @ }",
            "const X: u8 = { @ };",
            "// impl A {\n@",
            "/* impl /* A */ { */ mod a { @ }",
            "const A: &str = \"impl A {\"; mod a { @ }",
            "const A: &str = r##\"impl \" A \"# {\"##; mod a { @ }",
            "const A: [char; 3] = ['{', '\\'', '\\u{7b}']; mod a { @ }",
            "impl A { const B: &str = \"\\\"}\"; } fn f<'a>() { @ }",
        ] {
            assert_eq!(around(free), None, "{free}");
        }
    }

    #[test]
    fn derives_are_read_upwards_until_something_else_stands_there() {
        let above = |text: &str| {
            let file = Rc::new(File::new(text.to_owned()));
            let line = text.lines().position(|line| line.trim() == "@").unwrap();
            Location { file, line, column: 0, offset: 0 }.derives_above()
        };
        assert_eq!(
            above("#[derive(Debug, serde::Serialize,)]\n/// A user.\n#[cfg(a)]\n@"),
            ["Debug", "Serialize"]
        );
        assert_eq!(above("#[derive(Debug)]\nstruct A;\n@"), [""; 0]);
        assert_eq!(above("// #[derive(Debug)]\n@"), [""; 0]);
        assert_eq!(above("#[derive(\n    Debug,\n    Clone,\n)]\n@"), ["Debug", "Clone"]);
        assert_eq!(above("@"), [""; 0]);
    }
}
