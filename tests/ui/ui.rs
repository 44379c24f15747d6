//! The compiler messages, which are API: one file per mistake, beside what the compiler says.
//!
//! The texts are those of the compiler in rust-toolchain.toml. To accept changed ones, read them as a
//! user would, then run with `TRYBUILD=overwrite`.

#[test]
fn compiler_messages() {
    let cases = trybuild::TestCases::new();
    for subject in ["event", "payload", "on", "emit", "schema", "event_set", "view", "secret", "itself"] {
        cases.pass(format!("{subject}/pass/*.rs"));
        cases.compile_fail(format!("{subject}/fail/*.rs"));
    }
}
