//! Every environment variable the command reads. Nothing else in the workspace reads any.

use std::{env, ffi::OsString, path::PathBuf};

use secrecy::SecretString;

/// The environment, read once at the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `LONGSHORE_CONFIG`: the settings file, instead of the one in the user's
    /// configuration directory.
    pub(crate) config: Option<PathBuf>,
    /// `LONGSHORE_USERNAME`: the user name for the destination's registry.
    pub(crate) username: Option<String>,
    /// `LONGSHORE_PASSWORD`: the password or token that goes with it.
    pub(crate) password: Option<SecretString>,
    /// `LONGSHORE_CONCURRENCY`: requests in flight to one host.
    pub(crate) concurrency: Option<String>,
    /// `LONGSHORE_STATE`: the file for what is kept between runs.
    pub(crate) state: Option<PathBuf>,
    /// `LONGSHORE_STORE`: the directory for what is fetched from registries.
    pub(crate) store: Option<PathBuf>,
    /// `LONGSHORE_LOG`: what to log to standard error, for instance `debug`.
    pub(crate) log: Option<String>,
    /// `SOURCE_DATE_EPOCH`: when what is made is said to have been made, in seconds since 1970
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    pub(crate) source_date_epoch: Option<String>,
    /// `DOCKER_CONFIG`: the directory of `config.json`, instead of `~/.docker`.
    pub(crate) docker_config: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`: the content of a Docker configuration file.
    pub(crate) docker_auth_config: Option<SecretString>,
    /// `REGISTRY_AUTH_FILE`: a file with credentials, before all others.
    pub(crate) registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: where podman keeps its credentials until the end of a session.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`: where podman keeps them for longer.
    pub(crate) config_home: Option<PathBuf>,
    /// `CONTAINERS_REGISTRIES_CONF`: the file with rules for registries, in the place of podman's
    /// own.
    pub(crate) registries_conf: Option<PathBuf>,
    /// `PATH`: the directories credential helpers are looked for in.
    pub(crate) path: Vec<PathBuf>,
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in upper or lower case: proxies.
    pub(crate) proxies: ProxyVariables,
    /// The user's home directory.
    pub(crate) home: Option<PathBuf>,
}

/// What the environment says of proxies. There may be passwords in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxyVariables {
    pub(crate) https: Option<SecretString>,
    pub(crate) http: Option<SecretString>,
    pub(crate) all: Option<SecretString>,
    pub(crate) except: Option<String>,
}

impl Environment {
    /// The same without a login: for asking whether a registry is there.
    pub(crate) fn anonymous(&self) -> Self {
        Self {
            username: None,
            password: None,
            ..self.clone()
        }
    }

    /// The environment of this process. An empty variable counts as none.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub(crate) fn read() -> Self {
        let path = |name: &str| -> Option<OsString> {
            env::var_os(name).filter(|value| !value.is_empty())
        };
        let text = |name: &str| path(name).and_then(|value| value.into_string().ok());
        let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase()));
        let proxies = ProxyVariables {
            https: either("HTTPS_PROXY").map(SecretString::from),
            // Where requests set variables, anybody can set this one (CVE-2016-5385).
            http: match path("REQUEST_METHOD") {
                Some(_) => text("http_proxy"),
                None => either("HTTP_PROXY"),
            }
            .map(SecretString::from),
            all: either("ALL_PROXY").map(SecretString::from),
            except: either("NO_PROXY"),
        };
        Self {
            proxies,
            config: path("LONGSHORE_CONFIG").map(PathBuf::from),
            username: text("LONGSHORE_USERNAME"),
            password: text("LONGSHORE_PASSWORD").map(SecretString::from),
            concurrency: text("LONGSHORE_CONCURRENCY"),
            state: path("LONGSHORE_STATE").map(PathBuf::from),
            store: path("LONGSHORE_STORE").map(PathBuf::from),
            log: text("LONGSHORE_LOG"),
            source_date_epoch: text("SOURCE_DATE_EPOCH"),
            docker_config: path("DOCKER_CONFIG").map(PathBuf::from),
            docker_auth_config: text("DOCKER_AUTH_CONFIG").map(SecretString::from),
            registry_auth_file: path("REGISTRY_AUTH_FILE").map(PathBuf::from),
            runtime_dir: path("XDG_RUNTIME_DIR").map(PathBuf::from),
            config_home: path("XDG_CONFIG_HOME").map(PathBuf::from),
            registries_conf: path("CONTAINERS_REGISTRIES_CONF")
                .or_else(|| path("REGISTRIES_CONFIG_PATH"))
                .map(PathBuf::from),
            path: path("PATH").map_or_else(Vec::new, |it| env::split_paths(&it).collect()),
            home: etcetera::home_dir().ok(),
        }
    }
}
