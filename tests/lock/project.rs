//! Real projects of one crate.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A project of one crate, `shop`, in its own folder.
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
}

const PRELUDE: &str =
    "#[allow(unused_imports)]\nuse typed_events::{EventSet, Record, locked::{event, on}, payload};\n\n";

pub(crate) const CREATED: &str = "#[event(\"user.created\")]
pub struct UserCreated {
    pub id: u32,
    pub email: String,
    pub nick: Option<String>,
}
";

impl Project {
    /// Creates a project, and writes the lock for `source`.
    pub(crate) fn locked(name: &str, source: &str) -> Self {
        let project = Self::new(name, source);
        project.write_lock().unwrap();
        project.check().unwrap();
        project
    }

    pub(crate) fn new(name: &str, source: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lock").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        let project = Self { folder };
        let root = env!("CARGO_MANIFEST_DIR");
        project.write(
            "Cargo.toml",
            &format!("[package]\nname = \"lock-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\nname = \"shop\"\n\n[dependencies]\ntyped-events = {{ path = {root:?}, features = [\"lock\"] }}\n\n[dev-dependencies]\ntokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n[workspace]\n"),
        );
        project.write("Cargo.lock", &std::fs::read_to_string(Path::new(root).join("Cargo.lock")).unwrap());
        project.write(
            "tests/lock.rs",
            "use shop as _;\n\n#[test]\nfn events_are_locked() -> Result<(), typed_events::Error> {\n    typed_events::schema_lock!().verify()\n}\n",
        );
        project.source(source);
        project
    }

    /// Replaces the library; its first line is the fourth of the file.
    pub(crate) fn source(&self, source: &str) {
        self.write("src/lib.rs", &format!("{PRELUDE}{source}"));
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.join(path)).unwrap()
    }

    /// Returns the sorted names of the files in a folder.
    pub(crate) fn files(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.folder.join(path)).unwrap();
    }

    /// Replaces a text in a file of the project, which must contain it.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{text}");
        self.write(path, &text.replace(from, to));
    }

    /// Runs cargo. If it fails, returns its output.
    pub(crate) fn cargo(&self, arguments: &[&str], env: Option<&str>) -> Result<(), String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).arg("--offline").current_dir(&self.folder);
        cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("lock-target"));
        cargo.env_remove("TYPED_EVENTS_LOCK").env("RUST_BACKTRACE", "0").env("CARGO_TERM_COLOR", "never");
        if let Some(value) = env {
            cargo.env("TYPED_EVENTS_LOCK", value);
        }
        let output = cargo.output().unwrap();
        let text = [output.stderr, output.stdout].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() { Ok(()) } else { Err(text) }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.cargo(&["check", "-q"], None)
    }

    pub(crate) fn test(&self) -> Result<(), String> {
        self.cargo(&["test", "-q", "--test", "lock"], None)
    }

    pub(crate) fn write_lock(&self) -> Result<(), String> {
        self.cargo(&["test", "-q", "--test", "lock"], Some("write"))
    }

    /// Asserts that `cargo check` fails with a message at a location.
    pub(crate) fn check_refused(&self, message: &str, place: &str) {
        let said = self.check().expect_err(message);
        assert_said(&said, message);
        assert_said(&said, place);
        assert_eq!(said.matches("\nerror").count() + usize::from(said.starts_with("error")), 2, "{said}");
    }
}

pub(crate) fn assert_said(said: &str, what: &str) {
    assert!(said.contains(what), "expected:\n{what}\nbut it says:\n{said}");
}
