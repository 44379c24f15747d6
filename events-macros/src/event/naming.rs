//! The naming lint: an event is named after something that has happened, not like a command.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::LitStr;

/// Verbs that names of commands often end with, each with its past participle.
const VERBS: &[(&str, &str)] = &[
    ("accept", "accepted"),
    ("activate", "activated"),
    ("add", "added"),
    ("approve", "approved"),
    ("archive", "archived"),
    ("assign", "assigned"),
    ("begin", "begun"),
    ("buy", "bought"),
    ("cancel", "cancelled"),
    ("capture", "captured"),
    ("change", "changed"),
    ("close", "closed"),
    ("confirm", "confirmed"),
    ("connect", "connected"),
    ("create", "created"),
    ("delete", "deleted"),
    ("deliver", "delivered"),
    ("deploy", "deployed"),
    ("destroy", "destroyed"),
    ("disable", "disabled"),
    ("disconnect", "disconnected"),
    ("enable", "enabled"),
    ("enqueue", "enqueued"),
    ("expire", "expired"),
    ("fail", "failed"),
    ("finish", "finished"),
    ("generate", "generated"),
    ("insert", "inserted"),
    ("invite", "invited"),
    ("join", "joined"),
    ("leave", "left"),
    ("merge", "merged"),
    ("move", "moved"),
    ("pay", "paid"),
    ("publish", "published"),
    ("receive", "received"),
    ("refund", "refunded"),
    ("register", "registered"),
    ("reject", "rejected"),
    ("remove", "removed"),
    ("rename", "renamed"),
    ("restart", "restarted"),
    ("save", "saved"),
    ("sell", "sold"),
    ("send", "sent"),
    ("ship", "shipped"),
    ("start", "started"),
    ("stop", "stopped"),
    ("submit", "submitted"),
    ("subscribe", "subscribed"),
    ("update", "updated"),
    ("upload", "uploaded"),
    ("verify", "verified"),
    ("write", "written"),
];

/// Returns the name in the past tense, if this one sounds like a command.
fn past(name: &str) -> Option<String> {
    let start = name.rfind(['.', '-', '_']).map_or(0, |at| at + 1);
    let (before, verb) = name.split_at(start);
    let (_, past) = VERBS.iter().find(|(command, _)| *command == verb)?;
    Some(format!("{before}{past}"))
}

/// Generates a warning at the name if it sounds like a command. The code uses a deprecated function, because a macro
/// has no other way to warn on stable Rust.
pub(crate) fn warning(name: &LitStr) -> Option<TokenStream> {
    let value = name.value();
    let past = past(&value)?;
    let note = format!(
        "the name of an event says what has happened, but this one reads like a command: did you mean `{past}`? If not, write `#[event({value:?}, allow(naming))]`"
    );
    let command = Ident::new("a_name_like_a_command", name.span());
    Some(quote! {
        const _: () = {
            #[deprecated(note = #note)]
            const fn #command() {}
            #command()
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_what_has_happened() {
        assert_eq!(past("order.create").as_deref(), Some("order.created"));
        assert_eq!(past("mail.bulk-send").as_deref(), Some("mail.bulk-sent"));
        assert_eq!(past("pay").as_deref(), Some("paid"));
        for fine in
            ["order.created", "order.create.requested", "app.ready", "door.open.now", "user.login-failed"]
        {
            assert_eq!(past(fine), None, "{fine}");
        }
    }

    #[test]
    fn the_verbs_are_in_order_and_no_past_is_a_verb() {
        assert!(VERBS.is_sorted());
        assert!(VERBS.iter().all(|(_, past)| !VERBS.iter().any(|(verb, _)| verb == past)));
    }
}
