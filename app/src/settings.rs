//! Settings: flags over environment over file, decided here and nowhere else.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use oci::Registry;
use registry::{ChunkSize, CredentialStore, HostTls, Proxies, Rate, RequestRate, TrustedHost};
use secrecy::ExposeSecret as _;

use crate::{
    auth_files,
    env::Environment,
    host_files,
    proxies::{self, ProxySettingError},
};

mod error;
mod file;
mod login;
mod routing;
mod told;
mod values;
mod versions;

pub(crate) use error::SettingsError;
use file::{RegistryFile, SettingsFile, read_file};
pub(crate) use file::{state_file, store_of};
use login::login;
pub(crate) use login::{Login, first_line, password_from_stdin};
pub(crate) use routing::{Rewrite, Routing, routing};
pub(crate) use told::{Point, Told};
use values::{Time, Trusted, chunk_size, rate, requests};
pub(crate) use values::{duration, length};
use versions::{Version, Versions};

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
    #[arg(long, value_name = "FILE", requires = "key", hide_short_help = true)]
    cert: Option<PathBuf>,

    /// The private key of --cert, in PEM and not encrypted
    #[arg(long, value_name = "FILE", requires = "cert", hide_short_help = true)]
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
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) authfile: Option<PathBuf>,

    /// Longest wait for a credential helper [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    pub(crate) helper_timeout: Option<Duration>,

    /// Give credentials to the token service on this host, though it is of another domain than
    /// the registry; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", hide_short_help = true)]
    trust_token_service: Vec<TrustedHost>,

    /// Give the registry's credentials to this host too, if the registry has uploads go on there
    /// or redirects to it, and it asks for them; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", hide_short_help = true)]
    trust_host: Vec<TrustedHost>,

    /// Requests in flight to one host at most [default: 32]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    concurrency: Option<NonZeroUsize>,

    /// Over which version of HTTP, where TLS offers several: 1.1, 2, mixed (blobs over 1.1, the rest
    /// over 2), or auto: mixed unless the registry has shown that its HTTP/2 does not work
    /// [default: auto]
    #[arg(long, value_name = "VERSION", hide_short_help = true)]
    http_version: Option<Version>,

    /// Longest body of an upload: bytes, or as 16MiB; 0: each blob in one body; auto: in one body
    /// unless the registry shows that it takes no such body [default: auto]
    #[arg(long, value_name = "SIZE|auto", value_parser = chunk_size, hide_short_help = true)]
    chunk_size: Option<ChunkSize>,

    /// Send and receive blobs no faster than this: bytes a second, as 10MiB or 10MB, in each
    /// direction and to all hosts together [default: no limit]
    #[arg(long, value_name = "RATE", value_parser = rate, hide_short_help = true)]
    limit_rate: Option<Rate>,

    /// Send no more requests than this to any one host: a number in a time, as 50/s, 600/min or 100/h,
    /// one after the other; shared with all runs that use the same state file [default: no limit]
    #[arg(long, value_name = "N/TIME", value_parser = requests, hide_short_help = true)]
    limit_requests: Option<RequestRate>,

    /// Longest wait for a connection [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    connect_timeout: Option<Duration>,

    /// Longest time in which no byte moves [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    idle_timeout: Option<Duration>,

    /// Longest wait for the registry to commit a blob [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    commit_timeout: Option<Duration>,

    /// Longest time for which requests are held back where a registry asks for that (`Retry-After`);
    /// one that asks for more ends the command [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    max_retry_after: Option<Duration>,

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

impl ConnectionArgs {
    /// The same without a login: for asking whether a registry is there.
    pub(crate) fn anonymous(&self) -> Self {
        Self {
            username: None,
            password_stdin: false,
            typed: None,
            ..self.clone()
        }
    }
}

/// How to speak to registries, decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) versions: Versions,
    pub(crate) chunk_size: ChunkSize,
    /// How fast blobs travel: to and from all hosts together, and single ones.
    pub(crate) limit_rate: Option<Rate>,
    pub(crate) limit_rate_of: Vec<(Registry, Rate)>,
    /// How many requests go to each host, and to single ones.
    pub(crate) limit_requests: Option<RequestRate>,
    pub(crate) limit_requests_of: Vec<(Registry, RequestRate)>,
    pub(crate) connect_timeout: Option<Duration>,
    /// Whether the one for connections was given with the command.
    pub(crate) connect_timeout_given: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) commit_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    /// The longest pause of a host that is waited for.
    pub(crate) max_retry_after: Option<Duration>,
    /// Token services that get credentials whatever their domain.
    pub(crate) token_services: Vec<TrustedHost>,
    /// Hosts that get a registry's credentials where it leads there.
    pub(crate) trusted_hosts: Vec<TrustedHost>,
    pub(crate) plain_http: Vec<Registry>,
    /// What is said of the TLS of hosts.
    pub(crate) tls: Vec<(Registry, HostTls)>,
    /// Certificates in PEM, for every host.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Through which proxies hosts are spoken to.
    pub(crate) proxies: Proxies,
    /// What of all that was said where.
    pub(crate) told: Vec<Told>,
    /// What is wrong, and does not stand in the way.
    pub(crate) warnings: Vec<String>,
    /// For the destination's registry only.
    pub(crate) login: Option<Login>,
    /// What the files with credentials say, and the helpers they name.
    pub(crate) credentials: CredentialStore,
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
            versions: versions(args, &file),
            chunk_size: args
                .chunk_size
                .or(file.chunk_size.map(|it| it.0))
                .unwrap_or_default(),
            limit_rate: args.limit_rate.or(file.limit_rate.map(|it| it.0)),
            limit_rate_of: Vec::new(),
            limit_requests: args.limit_requests.or(file.limit_requests.map(|it| it.0)),
            limit_requests_of: Vec::new(),
            connect_timeout: args.connect_timeout.or(file.connect_timeout.map(|it| it.0)),
            connect_timeout_given: args.connect_timeout.is_some(),
            idle_timeout: args.idle_timeout.or(file.idle_timeout.map(|it| it.0)),
            commit_timeout: args.commit_timeout.or(file.commit_timeout.map(|it| it.0)),
            timeout: args.timeout,
            max_retry_after: args.max_retry_after.or(file.max_retry_after.map(|it| it.0)),
            token_services: trusted(&args.trust_token_service, file.trust_token_service),
            trusted_hosts: trusted(&args.trust_host, file.trust_host),
            plain_http: Vec::new(),
            tls: Vec::new(),
            certificates: Vec::new(),
            proxies: environment.proxies.proxies()?,
            told: told::by_flags(args, destination),
            warnings: directories.warnings,
            login: login(args, environment)?,
            credentials: credentials(args, environment, file.helper_timeout)?,
        };
        // In this order: the first client certificate that will do is shown.
        settings.add_flags(args, destination)?;
        for (name, it) in file.registry {
            settings.add_registry(&path, &name, &it)?;
        }
        let told = directories.hosts.iter().flat_map(told::by_directory);
        settings.told.extend(told);
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
        self.told.extend(told::by_file(path, &registry, it));
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
            let url = Some(proxy.expose_secret()).filter(|it| *it != proxies::NONE);
            let with = self.proxies.clone().for_registry(&registry, url);
            self.proxies = with.map_err(|error| ProxySettingError {
                place: format!("{name} in {}", path.display()),
                error,
            })?;
        }
        if let Some(rate) = &it.limit_rate {
            self.limit_rate_of.push((registry.clone(), rate.0));
        }
        if let Some(rate) = &it.limit_requests {
            self.limit_requests_of.push((registry.clone(), rate.0));
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
            self.certificates.push(host_files::ca(path)?);
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

    /// What the flags say of the destination's registry goes for another one as well.
    pub(crate) fn apply_flags(
        &mut self,
        args: &ConnectionArgs,
        other: &Registry,
    ) -> Result<(), SettingsError> {
        let certificates = self.certificates.len();
        self.add_flags(args, other)?;
        // The authorities are those of every host, and were read already.
        self.certificates.truncate(certificates);
        Ok(())
    }

    /// Whether a registry on this machine is spoken to over TLS though nothing says so of it: a CA
    /// for something without TLS would make no sense.
    pub(crate) fn means_tls(&self, registry: &Registry) -> bool {
        let given = !self.certificates.is_empty();
        given && registry.is_loopback() && !self.plain_http.contains(registry)
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

fn versions(args: &ConnectionArgs, file: &SettingsFile) -> Versions {
    // A name that is no registry is an error of its own.
    let of = file.registry.iter();
    let of = of.filter_map(|(name, it)| Some((name.parse().ok()?, it.http_version)));
    Versions::decide(args.http_version, file.http_version, of)
}

fn trusted(given: &[TrustedHost], file: Vec<Trusted>) -> Vec<TrustedHost> {
    let given = given.iter().cloned();
    given.chain(file.into_iter().map(|it| it.0)).collect()
}

/// A number of things of which one at least is needed.
pub(crate) fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.trim().parse();
    number.map_err(|_| "expected a whole number, 1 or more".to_owned())
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

#[cfg(test)]
mod tests;
