//! The command as a client: a process of its own for every push, told by flags and by its
//! environment what the library is told by its builder, and believed by its exit code.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use tempfile::TempDir;

use crate::{
    image::Image,
    scenario::{CHUNK, PASSWORD, REPOSITORY, Scenario, TAG, USER},
    trouble::Trouble,
};

/// Exit codes that say what the registry or the network did: credentials, refused, network,
/// rate limited.
const TYPED: [i32; 4] = [3, 6, 7, 8];

/// The command, and an image on a disk for it.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    image: TempDir,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With 0.
    Done,
    /// With a code that says why it is not done.
    Failed(i32),
    /// In some other way: what it wrote.
    Oddly(String),
}

impl Program {
    /// The command at `path`.
    pub fn new(path: PathBuf, image: &Image) -> Result<Self, Trouble> {
        let directory = tempfile::tempdir().map_err(Trouble::setting_up)?;
        image
            .write_layout(directory.path())
            .map_err(Trouble::setting_up)?;
        Ok(Self {
            path,
            image: directory,
        })
    }

    /// Pushes once. The process dies with this future.
    pub async fn push(
        &self,
        scenario: Scenario,
        proxy: SocketAddr,
        hurried: bool,
    ) -> Result<Ended, Trouble> {
        let limit = if hurried { "1s" } else { "8s" };
        let home = tempfile::tempdir().map_err(Trouble::setting_up)?;
        let mut command = tokio::process::Command::new(&self.path);
        command
            .arg("push")
            .arg(self.image.path())
            .arg(format!("{proxy}/{REPOSITORY}:{TAG}"))
            .args(["--no-state", "--quiet", "--concurrency", "1"])
            .args(["--idle-timeout", limit, "--commit-timeout", limit])
            .args(["--max-retry-after", "5s"])
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if scenario == Scenario::Chunks {
            command.args(["--chunk-size", &CHUNK.to_string()]);
        }
        if scenario.asks_who() {
            command.env("LONGSHORE_USERNAME", USER);
            command.env("LONGSHORE_PASSWORD", PASSWORD);
        }
        let output = command.output().await.map_err(Trouble::setting_up)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if said.contains(PASSWORD) {
            return Ok(Ended::Oddly("it shows the password".to_owned()));
        }
        Ok(match output.status.code() {
            Some(0) => Ended::Done,
            Some(code) if TYPED.contains(&code) => Ended::Failed(code),
            code => Ended::Oddly(format!("exit code {code:?}: {said}")),
        })
    }
}
