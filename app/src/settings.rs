//! Settings: flags over environment over file, decided here and nowhere else.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use oci::Registry;
use registry::{ChunkSize, CredentialStore, HostTls, Proxies};
use serde::Deserialize;

use crate::{
    auth_files::{self, AuthFileError},
    env::{Environment, Password},
    files,
    host_files::{self, HostFileError},
    proxies::{self, ProxySettingError},
};

/// Requests in flight to one host, unless said otherwise.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// How the registry is spoken to
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Speak HTTP without TLS to the registry; loopback addresses need no flag
    #[arg(long)]
    plain_http: bool,

    /// Trust the certificates in this PEM file beside the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Show the registry the client certificate in this PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The private key of --cert, in PEM and not encrypted
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Do not check the registry's certificate
    #[arg(long)]
    insecure_skip_tls_verify: bool,

    /// User name for the registry; the password comes from --password-stdin or
    /// the environment
    #[arg(long, short, value_name = "NAME")]
    pub(crate) username: Option<String>,

    /// Read the password or token from standard input
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,

    /// What was typed in.
    #[arg(skip)]
    typed: Option<Login>,

    /// Take credentials from this file, of Docker's or podman's form, and from no other; `login`
    /// keeps them there
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,

    /// Longest wait for a credential helper [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) helper_timeout: Option<Duration>,

    /// Give credentials to the token service on this host, though it is of another domain than
    /// the registry; may be given several times
    #[arg(long, value_name = "HOST")]
    trust_token_service: Vec<String>,

    /// Requests in flight to one host at most [default: 32]
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,

    /// Longest body of an upload, in bytes; 0: each blob in one body; auto: in one body unless the
    /// registry shows that it takes no such body [default: auto]
    #[arg(long, value_name = "BYTES|auto", value_parser = chunk_size)]
    chunk_size: Option<ChunkSize>,

    /// Longest wait for a connection [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    connect_timeout: Option<Duration>,

    /// Longest time in which no byte moves [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    idle_timeout: Option<Duration>,

    /// Longest wait for the registry to commit a blob [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    commit_timeout: Option<Duration>,

    /// Longest time for the whole command [default: none]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

impl ConnectionArgs {
    /// The same with these credentials. The file given is written then, and need not be there.
    pub(crate) fn for_login(&self, typed: Login) -> Self {
        Self {
            typed: Some(typed),
            authfile: None,
            ..self.clone()
        }
    }
}

/// The settings file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct SettingsFile {
    concurrency: Option<NonZeroUsize>,
    connect_timeout: Option<Time>,
    idle_timeout: Option<Time>,
    commit_timeout: Option<Time>,
    helper_timeout: Option<Time>,
    trust_token_service: Vec<String>,
    state: Option<PathBuf>,
    registry: BTreeMap<String, RegistryFile>,
}

/// What the settings file says of one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RegistryFile {
    plain_http: bool,
    insecure_skip_tls_verify: bool,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    proxy: Option<Password>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

/// How to speak to registries, decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) commit_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    /// Hosts of token services that get credentials whatever their domain.
    pub(crate) token_services: Vec<String>,
    pub(crate) plain_http: Vec<Registry>,
    /// What is said of the TLS of hosts.
    pub(crate) tls: Vec<(Registry, HostTls)>,
    /// Certificates in PEM, for every host.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Through which proxies hosts are spoken to.
    pub(crate) proxies: Proxies,
    /// What is wrong, and does not stand in the way.
    pub(crate) warnings: Vec<String>,
    /// For the destination's registry only.
    pub(crate) login: Option<Login>,
    /// What the files with credentials say, and the helpers they name.
    pub(crate) credentials: CredentialStore,
}

/// A user name and password given for the destination's registry.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: Password,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error("settings file {path} is malformed")]
    File {
        path: PathBuf,
        #[source]
        error: Box<toml::de::Error>,
    },
    #[error("settings file {path} names a registry that is not one")]
    Registry {
        path: PathBuf,
        #[source]
        error: oci::ReferenceError,
    },
    #[error(transparent)]
    AuthFile(#[from] AuthFileError),
    #[error(transparent)]
    Proxy(#[from] ProxySettingError),
    #[error(transparent)]
    HostFile(#[from] HostFileError),
    #[error(
        "settings file {path} has `cert` without `key`, or `key` without `cert`, for {registry}"
    )]
    HalfPair { path: PathBuf, registry: String },
    #[error("{name} is {value:?}: expected a number of at least 1")]
    Number { name: &'static str, value: String },
    #[error("there is a user name but no password: set LONGSHORE_PASSWORD or use --password-stdin")]
    NoPassword,
    #[error("there is a password but no user name: set LONGSHORE_USERNAME or use --username")]
    NoUsername,
}

impl Settings {
    /// Decides, for a command that speaks to `destination`.
    pub(crate) fn decide(
        args: &ConnectionArgs,
        environment: &Environment,
        destination: &Registry,
    ) -> Result<Self, SettingsError> {
        let (path, file) = read_file(environment)?;
        let directories = host_files::read(destination, environment)?;
        let from_environment = concurrency_of(environment)?;
        let mut settings = Self {
            concurrency: args
                .concurrency
                .or(from_environment)
                .or(file.concurrency)
                .unwrap_or(CONCURRENCY),
            chunk_size: args.chunk_size.unwrap_or_default(),
            connect_timeout: args.connect_timeout.or(file.connect_timeout.map(|it| it.0)),
            idle_timeout: args.idle_timeout.or(file.idle_timeout.map(|it| it.0)),
            commit_timeout: args.commit_timeout.or(file.commit_timeout.map(|it| it.0)),
            timeout: args.timeout,
            token_services: [&args.trust_token_service[..], &file.trust_token_service[..]].concat(),
            plain_http: Vec::new(),
            tls: Vec::new(),
            certificates: Vec::new(),
            proxies: environment.proxies.proxies()?,
            warnings: directories.warnings,
            login: login(args, environment)?,
            credentials: credentials(args, environment, file.helper_timeout)?,
        };
        // In this order: the first client certificate that will do is shown.
        settings.add_flags(args, destination)?;
        for (name, it) in file.registry {
            settings.add_registry(&path, &name, &it)?;
        }
        let of_directories = directories.hosts.into_iter().map(|it| (it.host, it.tls));
        settings.tls.extend(of_directories);
        Ok(settings)
    }

    /// What the settings file says of a registry.
    fn add_registry(
        &mut self,
        path: &Path,
        name: &str,
        it: &RegistryFile,
    ) -> Result<(), SettingsError> {
        let registry: Registry = name.parse().map_err(|error| SettingsError::Registry {
            path: path.to_owned(),
            error,
        })?;
        let mut tls = HostTls::new();
        if let Some(ca) = &it.ca {
            tls = host_files::with_ca(tls, ca, &mut self.warnings)?;
        }
        tls = match (&it.cert, &it.key) {
            (Some(certificate), Some(key)) => host_files::with_identity(tls, certificate, key)?,
            (None, None) => tls,
            _ => {
                return Err(SettingsError::HalfPair {
                    path: path.to_owned(),
                    registry: name.to_owned(),
                });
            }
        };
        if let Some(proxy) = &it.proxy {
            let url = Some(proxy.0.as_str()).filter(|it| *it != proxies::NONE);
            let with = self.proxies.clone().for_registry(&registry, url);
            self.proxies = with.map_err(|error| ProxySettingError {
                place: format!("{name} in {}", path.display()),
                error,
            })?;
        }
        self.add(registry, tls, it.plain_http, it.insecure_skip_tls_verify);
        Ok(())
    }

    fn add_flags(
        &mut self,
        args: &ConnectionArgs,
        destination: &Registry,
    ) -> Result<(), SettingsError> {
        if let Some(path) = &args.ca {
            self.certificates.push(read(path)?);
        }
        let mut tls = HostTls::new();
        if let (Some(certificate), Some(key)) = (&args.cert, &args.key) {
            tls = host_files::with_identity(tls, certificate, key)?;
        }
        self.add(
            destination.clone(),
            tls,
            args.plain_http,
            args.insecure_skip_tls_verify,
        );
        Ok(())
    }

    fn add(&mut self, registry: Registry, tls: HostTls, plain_http: bool, insecure: bool) {
        if plain_http {
            self.plain_http.push(registry.clone());
        }
        let tls = if insecure { tls.without_checks() } else { tls };
        if !tls.is_empty() {
            self.tls.push((registry, tls));
        }
    }
}

fn read_file(environment: &Environment) -> Result<(PathBuf, SettingsFile), SettingsError> {
    let chosen = environment.config.clone();
    let must_exist = chosen.is_some();
    let Some(path) = chosen.or_else(default_path) else {
        return Ok(Default::default());
    };
    let text = match files::read_text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            return Ok((path, SettingsFile::default()));
        }
        Err(error) => return Err(SettingsError::Read { path, error }),
    };
    match toml::from_str(&text) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(SettingsError::File {
            path,
            error: Box::new(error),
        }),
    }
}

/// The file for what is kept between runs, if the settings file names one.
pub(crate) fn state_file(environment: &Environment) -> Result<Option<PathBuf>, SettingsError> {
    Ok(read_file(environment)?.1.state)
}

fn default_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.config_dir().join("longshore").join("config.toml"))
}

fn concurrency_of(environment: &Environment) -> Result<Option<NonZeroUsize>, SettingsError> {
    let parse = |value: &String| {
        value.trim().parse().map_err(|_| SettingsError::Number {
            name: "LONGSHORE_CONCURRENCY",
            value: value.clone(),
        })
    };
    environment.concurrency.as_ref().map(parse).transpose()
}

fn login(args: &ConnectionArgs, environment: &Environment) -> Result<Option<Login>, SettingsError> {
    if let Some(typed) = &args.typed {
        return Ok(Some(typed.clone()));
    }
    let username = args.username.clone().or(environment.username.clone());
    let password = if args.password_stdin {
        Some(password_from_stdin()?)
    } else {
        environment.password.clone()
    };
    match (username, password) {
        (Some(username), Some(password)) => Ok(Some(Login { username, password })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(SettingsError::NoPassword),
        (None, Some(_)) => Err(SettingsError::NoUsername),
    }
}

/// The first line of standard input, at most 64 KiB, without its line ending.
pub(crate) fn password_from_stdin() -> Result<Password, SettingsError> {
    use std::io::{BufRead, Read};
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(64 * 1024)
        .read_line(&mut line)
        .map_err(|error| SettingsError::Read {
            path: "standard input".into(),
            error,
        })?;
    Ok(Password(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn credentials(
    args: &ConnectionArgs,
    environment: &Environment,
    helper_timeout: Option<Time>,
) -> Result<CredentialStore, SettingsError> {
    let limit = args.helper_timeout.or(helper_timeout.map(|it| it.0));
    let mut store = CredentialStore::new().with_helpers(auth_files::helpers(environment, limit));
    for file in auth_files::read(args.authfile.as_deref(), environment)? {
        store = store.with_docker_config(file);
    }
    Ok(store)
}

fn read(path: &Path) -> Result<Vec<u8>, SettingsError> {
    files::read(path).map_err(|error| SettingsError::Read {
        path: path.to_owned(),
        error,
    })
}

/// `10s`, `5m`, `500ms`, `2h`; a plain number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a time: expected for instance 30s, 5m or 500ms"))?;
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => return Err(format!("unit {unit:?} is not known: use ms, s, m or h")),
    };
    number
        .checked_mul(unit)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is too long a time"))
}

/// `auto`, or a number of bytes; 0 for one body each.
fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    if text == "auto" {
        return Ok(ChunkSize::Auto);
    }
    let bytes = text.parse();
    bytes.map(ChunkSize::of).map_err(|_| {
        format!("{text:?} is no chunk size: expected auto, 0, or a number of bytes as 16777216")
    })
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration(&text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn destination() -> Registry {
        "registry.example.com".parse().unwrap()
    }

    fn environment_with(file: &str) -> (tempfile::TempDir, Environment) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, file).unwrap();
        let environment = Environment {
            config: Some(path),
            ..Environment::default()
        };
        (directory, environment)
    }

    #[test]
    fn flags_beat_the_environment_and_the_environment_beats_the_file() {
        let (_directory, mut environment) = environment_with("concurrency = 3\n");
        let mut args = ConnectionArgs::default();
        let decided = |args: &ConnectionArgs, environment: &Environment| {
            Settings::decide(args, environment, &destination())
                .unwrap()
                .concurrency
                .get()
        };
        assert_eq!(decided(&args, &Environment::default()), 32);
        assert_eq!(decided(&args, &environment), 3);
        environment.concurrency = Some("5".into());
        assert_eq!(decided(&args, &environment), 5);
        args.concurrency = NonZeroUsize::new(7);
        assert_eq!(decided(&args, &environment), 7);
    }

    #[test]
    fn a_settings_file_with_an_unknown_key_is_refused_by_name() {
        let (_directory, environment) = environment_with("concurency = 3\n");
        let error =
            Settings::decide(&ConnectionArgs::default(), &environment, &destination()).unwrap_err();
        let SettingsError::File { error, .. } = error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains("concurency"));
    }

    #[test]
    fn plain_http_is_for_the_registry_it_was_said_of() {
        let (_directory, environment) =
            environment_with("[registry.\"lab.example.com:5000\"]\nplain-http = true\n");
        let settings =
            Settings::decide(&ConnectionArgs::default(), &environment, &destination()).unwrap();
        assert_eq!(
            settings.plain_http,
            ["lab.example.com:5000".parse().unwrap()]
        );
        assert!(settings.tls.iter().all(|(_, it)| it.is_checked()));
    }

    #[test]
    fn half_a_login_is_an_error_and_a_password_does_not_print() {
        let environment = Environment {
            password: Some(Password("canary".into())),
            ..Environment::default()
        };
        let error = Settings::decide(&ConnectionArgs::default(), &environment, &destination());
        assert!(matches!(error, Err(SettingsError::NoUsername)));
        assert!(!format!("{environment:?}").contains("canary"));
    }

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert!(duration("5 parsecs").is_err());
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("18446744073709551615h").is_err());
    }
}
