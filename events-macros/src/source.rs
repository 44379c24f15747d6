//! What stands around a macro in its file, for messages: the compiler tells a macro neither of the derives above it nor
//! of the block around it.
//!
//! Nothing is known where the code was written by another macro, or where the file can't be read (an editor gives none):
//! then the compiler's own errors remain.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use proc_macro2::Span;

/// The derives that stand above an attribute, by the last segment of each path.
pub(crate) fn derives_above(attribute: Span) -> Vec<String> {
    Location::of(attribute).map(|location| location.derives_above()).unwrap_or_default()
}

/// The word that begins the block around an attribute, where that is an `impl` or a `trait`.
pub(crate) fn block_around(attribute: Span) -> Option<&'static str> {
    let location = Location::of(attribute)?;
    // Most handlers are at the margin of their file, and in no block.
    if location.column == 0 { None } else { location.file.block_around(location.offset) }
}

/// Whether a file names a type of this module of std, and declares no other one of its name.
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

/// A location in a file.
struct Location {
    file: Rc<File>,
    /// The number of its line, from 0.
    line: usize,
    column: usize,
    /// In bytes, from the beginning of the file.
    offset: usize,
}

impl Location {
    fn of(span: Span) -> Option<Self> {
        let file = file_of(span)?;
        let span = span.unwrap();
        let (line, column) = (span.line().checked_sub(1)?, span.column().checked_sub(1)?);
        let (start, text) = file.line(line)?;
        let offset = start + text.char_indices().nth(column).map(|(offset, _)| offset)?;
        // Code of another macro has the place of its call.
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
                // The end of one that has several lines.
                None if text.ends_with(")]") && !text.starts_with("//") && text.len() < MAX_LIST => {
                    below = text
                }
                None => break,
            }
        }
        derives
    }
}

/// The longest list of derives that is read, in bytes.
const MAX_LIST: usize = 1000;

fn last_segment(path: &str) -> Option<String> {
    let segment = path.rsplit("::").next()?.trim();
    (!segment.is_empty()).then(|| segment.to_owned())
}

/// Each file is read once; a compiler ends before it changes.
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
    /// Where each line begins.
    lines: Vec<usize>,
    /// Found when the first handler asks that is not at the margin.
    blocks: std::cell::OnceCell<Vec<Block>>,
}

impl File {
    fn new(text: String) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { text, lines, blocks: std::cell::OnceCell::new() }
    }

    /// Where a line begins, and its text.
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

/// What braces enclose.
struct Block {
    open: usize,
    close: usize,
    /// Where it is of an `impl` or a `trait`.
    word: Option<&'static str>,
}

/// All blocks of a file.
fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), Vec::new());
    // What stands before a brace begins after the brace or semicolon before.
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

/// Whether the text before a brace is that of an `impl` or a `trait`.
fn word(before: &str) -> Option<&'static str> {
    let mut rest = before.trim_start();
    loop {
        rest = if rest.starts_with("//") || rest.starts_with("/*") {
            &rest[after_comment(rest, 0)..]
        } else if rest.starts_with('#') {
            &rest[after_brackets(rest)..]
        } else if rest.starts_with('(') {
            // Of `pub(crate)`.
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

/// Behind the brackets of an attribute.
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

/// Behind a character; behind the quote alone where it begins a lifetime.
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

    /// The word of the block around the mark.
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
