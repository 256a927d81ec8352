//! Running the binary, with an environment of its own.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// The binary, away from the settings and credentials of whoever runs the tests.
pub(crate) fn longshore(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .env_clear()
        .env("HOME", home)
        .env("TMPDIR", std::env::temp_dir())
        .stdin(Stdio::null());
    command
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same run, which must have succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

/// Runs to the end.
pub(crate) fn run<'a>(home: &Path, args: impl IntoIterator<Item = &'a str>) -> Run {
    finished(longshore(home).args(args).output().unwrap())
}

/// Runs to the end without holding up the test's own runtime.
pub(crate) async fn run_beside<'a>(home: &Path, args: impl IntoIterator<Item = &'a str>) -> Run {
    let mut command = tokio::process::Command::from(longshore(home));
    finished(command.args(args).output().await.unwrap())
}

/// The same where no file may grow over so many blocks of 512 bytes, as on a disk that is full.
#[cfg(target_os = "linux")]
pub(crate) async fn run_on_full_disk<'a>(
    home: &Path,
    blocks: u32,
    args: impl IntoIterator<Item = &'a str>,
) -> Run {
    let limited = r#"trap "" XFSZ; ulimit -f "$1"; shift; exec "$@""#;
    let mut command = tokio::process::Command::new("/bin/sh");
    command
        .env_clear()
        .env("HOME", home)
        .args(["-c", limited, "sh", &blocks.to_string()])
        .arg(longshore(home).get_program())
        .args(args);
    finished(command.output().await.unwrap())
}

pub(crate) fn finished(output: Output) -> Run {
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Writes a program. By a process of its own: what this one has open for writing, whatever another
/// thread starts has open too for a moment, and nobody can run it meanwhile.
#[cfg(unix)]
pub(crate) fn write_program(path: &Path, script: &str) {
    let write = r#"printf %s "$1" >"$0" && chmod 755 "$0""#;
    let mut shell = Command::new("/bin/sh");
    let written = shell.args(["-c", write]).arg(path).arg(script).status();
    assert!(written.unwrap().success());
}
