//! Installs rust-analyzer, a component of the toolchain.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Maximum duration of the installation.
const MAX_INSTALL: Duration = Duration::from_secs(300);

/// Installs rust-analyzer, and the sources of the standard library that it needs, if they are missing.
///
/// # Errors
///
/// Returns the reason if they are missing and can't be installed.
///
/// # Panics
///
/// Panics if they are still missing after the installation.
pub(crate) fn rust_analyzer() -> Result<(), String> {
    if is_there() {
        return Ok(());
    }
    rustup()?;
    assert!(is_there(), "rustup has installed rust-analyzer and rust-src, and one of them can't be found");
    Ok(())
}

fn is_there() -> bool {
    let output = |program: &str, arguments: &[&str]| Command::new(program).args(arguments).output().ok();
    let runs = output("rust-analyzer", &["--version"]).is_some_and(|output| output.status.success());
    let sysroot = output("rustc", &["--print", "sysroot"]).map(|output| output.stdout).unwrap_or_default();
    let sources = String::from_utf8_lossy(&sysroot).trim().to_owned() + "/lib/rustlib/src/rust/library";
    runs && Path::new(&sources).is_dir()
}

fn rustup() -> Result<(), String> {
    let command = "rustup component add rust-analyzer rust-src";
    let mut rustup = Command::new("rustup");
    rustup
        .args(command.split(' ').skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let refused = |why: &str| Err(format!("rust-analyzer is missing, and `{command}` failed: {why}"));
    let child = match rustup.spawn() {
        Ok(child) => child,
        Err(error) => return refused(&error.to_string()),
    };
    let (sender, ended) = sync_channel(1);
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(MAX_INSTALL) {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => refused(&errors_of(&output)),
        Ok(Err(error)) => refused(&error.to_string()),
        Err(_) => refused(&format!("it has not ended within {} s", MAX_INSTALL.as_secs())),
    }
}

/// Returns the error of rustup in one line.
fn errors_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.starts_with("info:")).collect();
    lines.join("; ")
}
