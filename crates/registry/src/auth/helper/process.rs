//! One run of a program: input in, output out, both bounded, and an end in any case.
//!
//! On Unix the program gets a process group of its own, so that what it started is ended
//! with it. A child that it leaves behind on purpose (an agent) may keep its standard output
//! open: the program's own end is what counts.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::HelperError;

/// The longest output read, in bytes, inclusive.
pub(super) const MAX_OUTPUT: usize = 256 * 1024;
/// How long output is waited for after the program's own end.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// How often a program that is being written to is tried again.
const BUSY: u32 = 20;

/// How a run ended.
pub(super) struct Run {
    pub(super) succeeded: bool,
    /// In words: `exit status: 1`.
    pub(super) status: String,
    pub(super) output: Vec<u8>,
}

/// Why a run did not end by itself.
#[derive(Debug)]
pub(super) enum Fault {
    System(io::Error),
    TimedOut,
    TooLong,
}

impl Fault {
    pub(super) fn of(self, program: String, limit: Duration) -> HelperError {
        match self {
            Self::System(error) => HelperError::NotRun {
                program,
                reason: error.to_string(),
            },
            Self::TimedOut => HelperError::TimedOut { program, limit },
            Self::TooLong => HelperError::TooLong { program },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// The first of `directories` that has the program.
pub(super) async fn find(directories: &[PathBuf], program: &str) -> Option<PathBuf> {
    let program = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    for directory in directories {
        let path = directory.join(&program);
        let found = tokio::fs::metadata(&path).await;
        if found.is_ok_and(|it| it.is_file() && is_executable(&it)) {
            return Some(path);
        }
    }
    None
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    true
}

/// Runs `path verb`, at most for `limit`; it and what it started are ended then, or when this
/// is dropped.
pub(super) async fn run(
    path: &Path,
    verb: &str,
    input: Vec<u8>,
    limit: Duration,
) -> Result<Run, Fault> {
    let running = async {
        let mut child = spawn(path, verb).await?;
        let mut group = Group::of(&child);
        let run = talk(&mut child, &input).await?;
        group.ended();
        Ok(run)
    };
    timeout(limit, running)
        .await
        .unwrap_or(Err(Fault::TimedOut))
}

async fn spawn(path: &Path, verb: &str) -> io::Result<Child> {
    let mut command = Command::new(path);
    command
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut tries = 0;
    loop {
        match command.spawn() {
            // It is being installed at this moment.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY => {
                tries += 1;
                sleep(Duration::from_millis(5)).await;
            }
            spawned => return spawned,
        }
    }
}

async fn talk(child: &mut Child, input: &[u8]) -> Result<Run, Fault> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut output = Vec::new();
    let status = {
        let talking = async {
            let writing = async {
                if let Some(mut stdin) = stdin {
                    // A helper that does not read is no fault of its own.
                    let _ = stdin.write_all(input).await;
                }
            };
            let reading = async {
                if let Some(stdout) = stdout {
                    let mut bounded = stdout.take(MAX_OUTPUT as u64 + 1);
                    bounded.read_to_end(&mut output).await?;
                }
                Ok::<_, io::Error>(())
            };
            tokio::join!(writing, reading).1
        };
        tokio::pin!(talking);
        let ended = tokio::select! {
            biased;
            said = &mut talking => { said?; None }
            ended = child.wait() => Some(ended?),
        };
        if ended.is_some() {
            let _ = timeout(AFTERWARDS, &mut talking).await;
        }
        ended
    };
    if output.len() > MAX_OUTPUT {
        return Err(Fault::TooLong);
    }
    let status = match status {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok(Run {
        succeeded: status.success(),
        status: status.to_string(),
        output,
    })
}

/// A process group, ended when this is dropped before its leader has ended.
struct Group(#[cfg_attr(not(unix), expect(dead_code, reason = "there are no groups"))] Option<u32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id())
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(rustix::process::Pid::from_raw) {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
