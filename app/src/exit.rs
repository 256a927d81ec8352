//! Exit codes: one per cause, stable, documented in `longshore help`.

use std::process::ExitCode;

use serde::Serialize;

/// Why the command ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// All of it was done.
    Done,
    /// A bug of ours, or a machine that would not let us work.
    Internal,
    /// The command line, a reference or the settings are wrong.
    Usage,
    /// Authentication or permission.
    Credentials,
    /// There is no such source, image or platform.
    SourceNotFound,
    /// Local data is missing, corrupt, or not an image.
    LocalData,
    /// The registry refused it, or did not answer as a registry does.
    Refused,
    /// The network failed or a time limit passed.
    Network,
    /// The registry wants fewer requests.
    RateLimited,
    /// A gate of the user's own stopped it.
    Gate,
    /// Some of it was done, some was refused.
    Partly,
    /// Ctrl-C or a termination signal.
    Interrupted,
}

impl Cause {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Credentials => 3,
            Self::SourceNotFound => 4,
            Self::LocalData => 5,
            Self::Refused => 6,
            Self::Network => 7,
            Self::RateLimited => 8,
            Self::Gate => 9,
            Self::Partly => 10,
            Self::Interrupted => 130,
        }
    }
}

impl From<Cause> for ExitCode {
    fn from(cause: Cause) -> Self {
        Self::from(cause.code())
    }
}

/// The table `longshore help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    internal error
  2    wrong usage: the command line, a reference, the settings
  3    authentication or permission
  4    source not found: no such path, image or platform
  5    local data missing, corrupt, or not to be written
  6    refused by the registry
  7    network failure or time limit
  8    rate limited
  9    stopped by a gate (--max-upload-bytes, --must-mount, --no-overwrite)
  10   partly done
  130  interrupted

Environment:
  LONGSHORE_CONFIG       settings file (default: longshore/config.toml in the
                         user's configuration directory)
  LONGSHORE_USERNAME     user name for the destination's registry
  LONGSHORE_PASSWORD     the password or token that goes with it
  LONGSHORE_CONCURRENCY  requests in flight to one host
  LONGSHORE_STATE        file for what is kept between runs
  LONGSHORE_STORE        directory for what is fetched from registries
  LONGSHORE_LOG          what to log to standard error, for instance debug
  SOURCE_DATE_EPOCH      when an artifact is said to have been made, in seconds since 1970
  DOCKER_CONFIG          directory of Docker's config.json (default: ~/.docker)
  DOCKER_AUTH_CONFIG     the content of such a file, before any file
  REGISTRY_AUTH_FILE     a file with credentials, before Docker's and podman's
  CONTAINERS_REGISTRIES_CONF
                         rules for registries, in the place of registries.conf
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                         proxies, and hosts spoken to without; docs/hosts.md";
