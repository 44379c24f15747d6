//! Writes the file of an event.

use std::fmt::Write as _;

use crate::event::EventDecl;
use crate::event::locking::{Change, LockedVersion, Locking, PastLocking};
use crate::lock::changes::UsedReasons;
use crate::lock::{FORMAT, print, unix};

/// Returns the text that the file of an event should have.
pub(super) fn file(decl: &EventDecl, locking: &Locking, reasons: &UsedReasons) -> String {
    let before = locking.file.map(|file| unix(file.text)).unwrap_or_default();
    let versions = versions(decl, locking, reasons, &before);
    let history = before.lines().find(|line| line.starts_with("history ")).map_or_else(
        || format!("history \"first written as {:016x}\"", fingerprint(&versions)),
        str::to_owned,
    );
    let mut text = format!(
        "// The event as programs write and read it. Kept by typed-events; check it in.\n\nformat {FORMAT}\nevent {:?}\ntype {:?}\ncompatibility {}\n",
        decl.name,
        decl.location.item,
        locking.compatibility.as_str()
    );
    let reserved = reserved(locking);
    if !reserved.is_empty() {
        let names: Vec<_> = reserved.iter().map(|name| format!("{name:?}")).collect();
        let _ = writeln!(text, "reserved {}", names.join(", "));
    }
    let _ = writeln!(text, "{history}");
    text + &versions
}

/// Names that no field may reuse, sorted.
fn reserved(locking: &Locking) -> Vec<&'static str> {
    let kept = locking.file.map_or(&[][..], |file| file.reserved);
    let mut reserved: Vec<&str> = locking.reserved.iter().chain(kept).copied().collect();
    reserved.sort_unstable();
    reserved.dedup();
    reserved
}

/// All versions in the order of their numbers, each after an empty line.
fn versions(decl: &EventDecl, locking: &Locking, reasons: &UsedReasons, before: &str) -> String {
    let mut versions = sections(before);
    versions.retain(|(number, _)| *number != decl.version);
    let mut previous = locking.previous;
    while let Some(past) = previous {
        if !is_unchanged(past, reasons) {
            versions.retain(|(number, _)| *number != past.version);
            let used = reasons.past.iter().find(|(number, _)| *number == past.version);
            let used = used.map_or(&[][..], |(_, used)| used);
            versions.push((past.version, print::version(past.version, past.schema, past.locked, used, &[])));
        }
        previous = past.previous;
    }
    let locked = locking.file.and_then(|file| file.version);
    let text = print::version(decl.version, decl.schema, locked, &reasons.current, &reserved(locking));
    versions.push((decl.version, text));
    versions.sort_by_key(|(number, _)| *number);
    versions.into_iter().map(|(_, text)| format!("\n{}\n", text.trim_end())).collect()
}

/// Whether the file contains an earlier version exactly as it is declared.
fn is_unchanged(past: &PastLocking, reasons: &UsedReasons) -> bool {
    let has_reason = |(number, used): &(u32, Vec<Change>)| *number == past.version && !used.is_empty();
    let is_same = |locked: LockedVersion| past.schema.is_same(locked.schema);
    past.locked.is_some_and(is_same) && !reasons.past.iter().any(has_reason)
}

/// Splits a file into its versions, each with its number and text.
fn sections(text: &str) -> Vec<(u32, String)> {
    let starts: Vec<_> = text.match_indices("\nversion ").map(|(at, _)| at + 1).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]);
    let number = |part: &str| part.split(' ').nth(1).and_then(|number| number.parse().ok());
    parts.filter_map(|part| Some((number(part)?, part.to_owned()))).collect()
}

/// FNV-1a hash. It distinguishes a file that was deleted and written again from the original file.
fn fingerprint(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, fold)
}
