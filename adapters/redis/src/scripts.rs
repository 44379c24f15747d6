//! The Lua scripts. The server runs each script atomically.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)+) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua")), "\n"),+))
        });
    )+};
}

scripts! {
    BEGIN = "begin";
    PUBLISH = "publish";
    APPEND = "common" "append";
    READ = "common" "read";
    SEEK = "common" "seek";
    RETENTION = "common" "retention";
    TRIM = "common" "trim";
    BACK = "common" "back";
    FORWARD = "common" "forward";
    NAMES = "common" "names";
    OPEN = "common" "open";
    UNFINISHED = "common" "unfinished";
    EXCHANGE = "common" "consumer" "exchange";
    RENEW = "common" "consumer" "renew";
    CLOSE = "common" "consumer" "close";
    AHEAD = "common" "consumer" "ahead";
    STATUS = "common" "consumer" "status";
    LETTERS = "common" "consumer" "letters";
    CONTROL = "common" "consumer" "control";
}
