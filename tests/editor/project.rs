//! A user's workspace with the crates `shop`, `hands` and `vault`, and the forms of `tests/ui`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates, each with the features of typed-events and the other dependencies that it needs.
const CRATES: [(&str, &str, &str); 4] = [
    (
        "forms",
        "features = [\"durable\"]",
        "serde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\ntokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }\nuuid = { version = \"1\", features = [\"serde\"] }\n",
    ),
    ("hands", "", ""),
    ("vault", "features = [\"lock\"]", ""),
    (
        "shop",
        "features = [\"durable\"]",
        "hands = { path = \"../hands\" }\nvault = { path = \"../vault\" }\nserde = { version = \"1\", features = [\"derive\"] }\n",
    ),
];

/// Copies the workspace out of the repository, because it is not part of the repository's workspace.
pub(crate) fn copy() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("editor");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.join("../..").canonicalize().unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    copy_folder(&package.join("project"), &folder);
    copy_forms(&root.join("tests/ui"), &folder.join("forms"));
    // Copied, because the target folder may be outside of the repository.
    for file in ["Cargo.lock", "rust-toolchain.toml"] {
        std::fs::copy(root.join(file), folder.join(file)).unwrap();
    }
    let names = CRATES.map(|(name, ..)| name);
    std::fs::write(
        folder.join("Cargo.toml"),
        format!("[workspace]\nmembers = {names:?}\nresolver = \"3\"\n\n[profile.dev]\ndebug = false\n"),
    )
    .unwrap();
    for (name, features, others) in CRATES {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\ntyped-events = {{ path = {root:?}, {features} }}\n{others}"
        );
        std::fs::write(folder.join(name).join("Cargo.toml"), manifest).unwrap();
    }
    folder.canonicalize().unwrap()
}

/// Copies the cases of `tests/ui` that compile, each as an example of the crate.
fn copy_forms(cases: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("src")).unwrap();
    std::fs::create_dir_all(to.join("examples")).unwrap();
    std::fs::write(to.join("src/lib.rs"), "").unwrap();
    for subject in std::fs::read_dir(cases).unwrap() {
        let subject = subject.unwrap();
        let Ok(passing) = std::fs::read_dir(subject.path().join("pass")) else { continue };
        for case in passing {
            let case = case.unwrap();
            let name = format!("{}_{}", subject.file_name().display(), case.file_name().display());
            std::fs::copy(case.path(), to.join("examples").join(name)).unwrap();
        }
    }
}

/// Returns the paths of the files in the workspace, relative to its folder.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    files
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Returns the target folder that cargo and rust-analyzer share, so that nothing is built twice.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("editor-target")
}

/// Returns the errors and warnings of the compiler for the workspace, without the forms, which `tests/ui` checks.
pub(crate) fn check(folder: &Path) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--workspace", "--quiet"]).current_dir(folder);
    cargo.env("CARGO_TARGET_DIR", target()).env("CARGO_TERM_COLOR", "never");
    without_settings(&mut cargo);
    String::from_utf8_lossy(&cargo.output().unwrap().stderr).into_owned()
}

/// Hides the environment settings of the tests from a program, and makes it use only packages that the tests have.
pub(crate) fn without_settings(program: &mut Command) {
    program.env_remove("TYPED_EVENTS_LOCK").env_remove("RUSTFLAGS").env("CARGO_NET_OFFLINE", "true");
}
