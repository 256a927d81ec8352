//! From text to the things commands work with: references, sources, a client.

use std::{io::Write as _, path::Path, sync::Arc};

use oci::{Reference, Registry, Source, Tag, reference::Scheme};
use push::{Destination, State, source};
use registry::{
    Client, ClientBuilder, ClientObserver, CredentialStore, Credentials, RetryPolicy, Timeouts,
};

use crate::{
    error::AppError,
    pauses::SharedPauses,
    profiles::StateProfiles,
    settings::{Login, Settings},
};

/// A reference from the command line.
pub(crate) fn reference(text: &str) -> Result<Reference, AppError> {
    text.parse().map_err(|error| AppError::Reference {
        text: text.to_owned(),
        error,
    })
}

/// The image at `text`: a path, or `docker://` and a reference for one in a registry.
pub(crate) async fn source(
    text: &str,
    selection: &source::Selection,
    client: &Client,
) -> Result<Box<dyn Source>, AppError> {
    match text.strip_prefix("docker://") {
        Some(name) => {
            if selection.name.is_some() {
                return Err(AppError::Usage(
                    "--image chooses among the images of a file; one in a registry is named by its reference".into(),
                ));
            }
            let reference = reference(name)?;
            if reference.scheme().is_some() {
                return Err(AppError::Usage(format!(
                    "the source {text:?} has a scheme after docker://: leave it out. Registries are spoken to over TLS, those on this machine without; for another one without, set plain-http = true under [registry.{:?}] in the settings",
                    reference.repository().registry().to_string(),
                )));
            }
            let source = client.source(&reference, selection.platform.clone());
            Ok(Box::new(source))
        }
        None => Ok(source::open(Path::new(text), selection).await?),
    }
}

/// Where a push goes: the reference's own tag first, then `tags`.
///
/// A reference with a digest has to be the image's own.
pub(crate) async fn destination(
    reference: &Reference,
    tags: &[Tag],
    mount_from: &[oci::Repository],
    source: &dyn Source,
) -> Result<Destination, AppError> {
    if let Some(expected) = reference.digest() {
        let root = source.root().await.map_err(|error| AppError::Source {
            place: "the image".into(),
            error,
        })?;
        if root.digest() != expected {
            return Err(AppError::Usage(format!(
                "the image has digest {}, the reference says {expected}",
                root.digest()
            )));
        }
    }
    let own = reference.tag_or_latest();
    Ok(Destination {
        tags: own.into_iter().chain(tags.iter().cloned()).collect(),
        mount_from: mount_from.to_vec(),
    })
}

/// Who a client has to do with beside registries.
pub(crate) struct Company {
    /// What other runs know, and are told.
    pub(crate) state: State,
    /// Who is told what happens.
    pub(crate) observer: Arc<dyn ClientObserver>,
}

/// The client, as the settings say, that knows what other runs know and adds to it; `login` is for
/// `destination` only.
pub(crate) fn client(
    settings: &Settings,
    destination: &Reference,
    company: Company,
) -> Result<Client, AppError> {
    let registry = destination.repository().registry();
    let mut builder = builder(settings, registry, destination.scheme())
        .profiles(StateProfiles(company.state.clone()))
        .observer(company.observer);
    if company.state.lasts() {
        builder = builder.pause_board(SharedPauses(company.state));
    }
    builder.build().map_err(AppError::Client)
}

/// A client for a registry as a whole, that knows nothing of it.
pub(crate) fn client_of(
    settings: &Settings,
    registry: &Registry,
    scheme: Option<Scheme>,
    observer: Arc<dyn ClientObserver>,
) -> Result<Client, AppError> {
    let builder = builder(settings, registry, scheme).observer(observer);
    builder.build().map_err(AppError::Client)
}

fn builder(settings: &Settings, registry: &Registry, scheme: Option<Scheme>) -> ClientBuilder {
    for warning in &settings.warnings {
        let _ = writeln!(std::io::stderr().lock(), "warning: {warning}");
    }
    let mut builder = Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .max_in_flight(settings.concurrency)
        .chunk_size(settings.chunk_size)
        .timeouts(timeouts(settings))
        .retry(retry(settings))
        .proxies(settings.proxies.clone())
        .registry_headers(settings.credentials.http_headers())
        .credentials(credentials(settings, registry));
    match scheme {
        Some(Scheme::Http) => builder = builder.plain_http(registry.clone()),
        Some(Scheme::Https) => builder = builder.https(registry.clone()),
        None => {}
    }
    for registry in &settings.plain_http {
        builder = builder.plain_http(registry.clone());
    }
    for (host, tls) in &settings.tls {
        builder = builder.host_tls(host, tls.clone());
    }
    for host in &settings.token_services {
        builder = builder.trust_token_service(host.clone());
    }
    if let Some(rate) = settings.limit_rate {
        builder = builder.limit_rate(rate);
    }
    for (host, rate) in &settings.limit_rate_of {
        builder = builder.limit_rate_of(host, *rate);
    }
    for pem in &settings.certificates {
        builder = builder.extra_ca(pem);
    }
    builder
}

/// The same result; where its time was up while a host wanted no requests, it says so.
pub(crate) fn unless_paused<T>(
    result: Result<T, AppError>,
    client: &Client,
) -> Result<T, AppError> {
    let longest = client.paused().into_iter().max_by_key(|(_, left)| *left);
    match (result, longest) {
        (Err(AppError::Timeout), Some((host, left))) => Err(AppError::Paused { host, left }),
        (result, _) => result,
    }
}

fn retry(settings: &Settings) -> RetryPolicy {
    let policy = RetryPolicy::default();
    match settings.max_retry_after {
        Some(longest) => policy.with_max_retry_after(longest),
        None => policy,
    }
}

fn timeouts(settings: &Settings) -> Timeouts {
    let mut timeouts = Timeouts::default();
    if let Some(limit) = settings.connect_timeout {
        timeouts.connect = limit;
    }
    if let Some(limit) = settings.idle_timeout {
        timeouts.idle = limit;
    }
    if let Some(limit) = settings.commit_timeout {
        timeouts.commit = limit;
    }
    timeouts
}

fn credentials(settings: &Settings, registry: &Registry) -> CredentialStore {
    let store = settings.credentials.clone();
    match &settings.login {
        Some(Login { username, password }) => {
            let login = Credentials::password(username.clone(), password.0.clone());
            store.with(registry.clone(), login)
        }
        None => store,
    }
}
