//! The port for `RUN`: a command in a stage, and the layer it leaves.
//!
//! ```text
//!   RUN ──RunJob──▶ Runner ──lines──▶ RunOutput ──▶ events
//!                     └──CommittedLayer, a tar──▶ linter ──▶ compressor ──▶ spool
//! ```
//!
//! - **The port is all there is.** Nothing here starts a process; [`NoRunner`] says so of every
//!   system, and a build that has no other runner refuses `RUN` before it asks or reads anything.
//! - **What a runner gives back is not trusted**: its layer goes by the rules of every other one, its
//!   time is measured by the caller too, its lines are cut at [`MAX_OUTPUT_LINE_BYTES`].

use std::{error::Error, fmt, io::Read, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use oci::{Descriptor, Digest, Platform, Source};

mod output;

pub use output::{MAX_OUTPUT_LINE_BYTES, RunOutput};

use crate::dockerfile::{Command, TargetOs};

/// How long a `RUN` may take unless it is said otherwise, its layer's export included.
pub const DEFAULT_RUN_LIMIT: Duration = Duration::from_hours(1);

/// The largest layer that a `RUN` may leave, in bytes of its tar, inclusive.
pub const MAX_COMMITTED_BYTES: u64 = 256 << 30;

/// Runs commands in stages of a build.
#[async_trait]
pub trait Runner: fmt::Debug + Send + Sync {
    /// Whether it can run anything in stages of this system, here and now. Asked before anything is
    /// fetched or written.
    fn check(&self, os: TargetOs) -> Result<(), RunError>;

    /// Runs a command on top of the job's layers, and gives back what it changed as a layer.
    ///
    /// What the command prints goes to `output` as it comes. A command that ends otherwise than
    /// with 0 is [`RunError::Exited`], and leaves no layer. Who drops the future ends the command:
    /// that is how a time limit and an interrupt are meant.
    async fn run(&self, job: RunJob, output: &mut RunOutput) -> Result<CommittedLayer, RunError>;
}

/// A `RUN`, everything in it known.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunJob {
    /// What is run. A text goes to the shell as one word, as it is written.
    pub command: Command,
    /// The words before a text, the shell's own first: `SHELL`, or the system's default.
    pub shell: Vec<String>,
    /// The variables, in their order, each name once: `ENV`, and those `ARG`s of the stage that no
    /// `ENV` hides. What is not among them is what the system sets itself.
    pub env: Vec<(String, String)>,
    /// The directory it starts in; empty if none was said.
    pub working_dir: String,
    /// Who runs it; empty if nobody was said.
    pub user: String,
    /// How long it may take.
    pub limit: Duration,
    /// What the stage is for, with the version of Windows that its base says.
    pub platform: Platform,
    /// What is under it, lowest first.
    pub layers: Vec<RunLayer>,
}

/// A layer under a `RUN`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunLayer {
    /// One of the base's. Nothing of it was fetched yet.
    Base {
        /// As the base's manifest has it.
        layer: Box<Descriptor>,
        /// The digest of its tar.
        diff_id: Digest,
        /// Where its bytes are.
        source: Arc<dyn Source>,
    },
    /// One of this build's, in a file.
    New {
        /// Where it is. It stays there until the build ends.
        path: PathBuf,
        /// The digest of the file.
        digest: Digest,
        /// The digest of its tar.
        diff_id: Digest,
        /// How long the file is, in bytes.
        size: u64,
    },
}

/// What a `RUN` changed: a layer's tar, not compressed, as it is read once.
pub struct CommittedLayer {
    tar: Box<dyn Read + Send>,
}

/// Why a `RUN` left no layer, said of the instruction and without its line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Nothing can be run for this system here.
    #[error("nothing can be run for {} here", .0.name())]
    NotSupported(TargetOs),
    /// It ended, and not well.
    #[error("it ended with exit code {0}: its output says why")]
    Exited(i64),
    /// It took longer than it may.
    #[error("it was ended after {} seconds, the longest it may take", .0.as_secs())]
    TooLong(Duration),
    /// The runner could not run it.
    #[error("it could not be run")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

/// Runs nothing, whatever the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRunner;

#[async_trait]
impl Runner for NoRunner {
    fn check(&self, os: TargetOs) -> Result<(), RunError> {
        Err(RunError::NotSupported(os))
    }

    async fn run(&self, job: RunJob, _output: &mut RunOutput) -> Result<CommittedLayer, RunError> {
        Err(RunError::NotSupported(job.os()))
    }
}

// === impl RunJob ===

impl RunJob {
    /// The system it is run on.
    pub fn os(&self) -> TargetOs {
        if self.platform.os == "windows" {
            TargetOs::Windows
        } else {
            TargetOs::Linux
        }
    }
}

impl fmt::Debug for RunJob {
    /// Variables by name: an `ARG` may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|it| it.0.as_str()).collect();
        f.debug_struct("RunJob")
            .field("command", &self.command)
            .field("shell", &self.shell)
            .field("env", &names)
            .field("working_dir", &self.working_dir)
            .field("user", &self.user)
            .field("limit", &self.limit)
            .field("platform", &self.platform)
            .field("layers", &self.layers)
            .finish()
    }
}

// === impl CommittedLayer ===

impl CommittedLayer {
    /// The layer that this tar is.
    pub fn new(tar: impl Read + Send + 'static) -> Self {
        Self { tar: Box::new(tar) }
    }

    pub(crate) fn into_tar(self) -> Box<dyn Read + Send> {
        self.tar
    }
}

impl fmt::Debug for CommittedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommittedLayer").finish_non_exhaustive()
    }
}
