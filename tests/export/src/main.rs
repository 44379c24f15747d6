//! Prints the catalog of the github example: `cargo run -p export -- typescript`.

#[allow(dead_code)] // its `main`
#[path = "../../../examples/github.rs"]
mod github;

fn main() -> std::process::ExitCode {
    typed_events::export::main()
}
