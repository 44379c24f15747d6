//! The tools, as npm installs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tests_support::skipped;

/// The folder with the tools; `None` where they can't be installed.
static TOOLS: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("validate");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("validate");
    fs::create_dir_all(&folder).unwrap();
    for file in ["package.json", "judge.mjs"] {
        fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let install = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    match Command::new("npm").args(install).current_dir(&folder).status() {
        Ok(status) if status.success() => Some(folder),
        Ok(_) => skipped("npm can't install the tools that judge exported documents"),
        Err(_) => skipped("npm is not installed (Node.js 20 or newer)"),
    }
});

/// A place for the files of one test, beside the tools.
pub struct Judge {
    folder: PathBuf,
}

impl Judge {
    /// `None` where there are no tools.
    pub fn of(test: &str) -> Option<Self> {
        let folder = TOOLS.as_ref()?.join(test);
        fs::create_dir_all(&folder).unwrap();
        Some(Self { folder })
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.folder.join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// What a tool says of files.
    pub fn says(&self, tool: &str, files: &[PathBuf]) -> Value {
        let script = self.folder.parent().unwrap().join("judge.mjs");
        let judged = Command::new("node").arg(script).arg(tool).args(files).output().unwrap();
        let said = String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{tool}: {said}");
        serde_json::from_slice(&judged.stdout).unwrap()
    }

    /// Has the compiler of TypeScript look at a module of types and at one that imports it.
    pub fn compile(&self, types: &str, uses: &str) -> Vec<String> {
        let files = [self.write("events.ts", types), self.write("uses.ts", uses)];
        serde_json::from_value(self.says("typescript", &files)).unwrap()
    }
}
