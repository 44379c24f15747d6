//! The Lua scripts. The server runs each script atomically.

use std::sync::LazyLock;

use events_core::store::{LIMITS, Limits};
use redis::Script;

/// The keys of a log: the last parts of their names, in the order of `KEYS`.
pub(crate) const LOG_KEYS: [&str; 6] = ["meta", "log", "ids", "names", "live", "ended"];

/// The keys of a consumer, which follow those of the log. The scripts know them by these names in capitals.
pub(crate) const CONSUMER_KEYS: [&str; 22] = [
    "head", "members", "calls", "hand", "rows", "open", "copies", "copy", "ahead", "due", "suspects",
    "order", "blocked", "busy", "kinds", "lanes", "judged", "dead", "letters", "events", "quiet", "told",
];

/// The keys of `quick.lua`, by their names above.
pub(crate) const QUICK_KEYS: ([&str; 3], [&str; 11]) = (
    ["meta", "log", "live"],
    ["head", "calls", "hand", "busy", "kinds", "lanes", "due", "suspects", "quiet", "told", "blocked"],
);

/// Defines the keys of a consumer as variables.
fn consumer_keys() -> String {
    let names = CONSUMER_KEYS.join(", ").to_uppercase();
    format!("local {names} = unpack(KEYS, {})\n", LOG_KEYS.len() + 1)
}

/// The bounds of a call as the scripts know them.
pub(crate) fn limits(limits: &Limits) -> [(&'static str, u64); 8] {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    [
        ("chunk", number(limits.chunk)),
        ("claimed", number(limits.claimed)),
        ("claimed_in_order", number(limits.claimed_in_order)),
        ("letters", number(limits.letters)),
        ("ended_sessions", number(limits.ended_sessions)),
        ("day", limits.day),
        ("settings", number(limits.settings)),
        ("jump", u64::try_from(limits.jump).unwrap_or_default()),
    ]
}

/// Defines the bounds in production.
fn production_limits() -> String {
    let fields = limits(&LIMITS).map(|(name, value)| format!("{name} = {value}"));
    format!("local LIMITS = {{ {} }}\n", fields.join(", "))
}

/// The functions that find records by time and by id.
const POSITION: &str = include_str!("scripts/position.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)+) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            let files: &[(&str, &str)] = &[$(($file, include_str!(concat!("scripts/", $file, ".lua")))),+];
            let mut code = String::new();
            for (file, text) in files {
                match *file {
                    "common" => code.push_str(POSITION),
                    "store" | "quick" => code.push_str(&production_limits()),
                    "consumer" => code.push_str(&consumer_keys()),
                    _ => {}
                }
                code.push_str(&text.replace("--[[position]]", POSITION));
                code.push('\n');
            }
            Script::new(&code)
        });
    )+};
}

scripts! {
    BEGIN = "begin";
    PUBLISH = "publish";
    APPEND = "append";
    READ = "common" "read";
    SEEK = "common" "seek";
    RETENTION = "common" "retention";
    TRIM = "common" "store" "trim";
    BACK = "common" "back";
    RECORDS = "common" "records";
    NAMES_OF = "common" "names";
    CONSUMERS = "common" "consumers";
    FIND = "common" "find";
    BEAT = "common" "store" "beat";
    END_SESSION = "common" "store" "end_session";
    RAISE = "common" "store" "raise";
    REGISTER = "common" "store" "consumer" "register";
    QUICK = "quick";
    EXCHANGE = "common" "store" "consumer" "window" "exchange";
    OPERATE = "common" "store" "consumer" "operate";
    SWEEP = "common" "store" "consumer" "sweep";
    KINDS = "common" "store" "consumer" "kinds";
    JUDGE = "common" "store" "consumer" "judge";
    STATUS = "common" "store" "consumer" "status";
    LETTERS = "common" "store" "consumer" "letters";
    UNIONS = "common" "store" "consumer" "unions";
    UNFINISHED = "common" "store" "consumer" "unfinished";
}
