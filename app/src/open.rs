//! From text to the things commands work with: references, sources, a client.

use std::sync::Arc;

use oci::{Reference, Registry, Source, Tag, reference::Scheme};
use push::{Destination, Engine, State, source};
use registry::{
    Client, ClientBuilder, ClientObserver, CredentialStore, Credentials, RetryPolicy, Timeouts,
};
use secrecy::ExposeSecret as _;

use crate::{
    error::AppError,
    pauses::SharedPauses,
    profiles::StateProfiles,
    routes::Way,
    settings::{Login, Settings},
};

pub(crate) mod course;
pub(crate) mod place;

/// What a source in a registry begins with.
pub(crate) const IN_REGISTRY: &str = "docker://";

/// The reference of a source that is in a registry.
pub(crate) fn source_reference(text: &str) -> Result<Option<Reference>, AppError> {
    let Some(name) = text.strip_prefix(IN_REGISTRY) else {
        return Ok(None);
    };
    let reference = reference(name)?;
    if reference.scheme().is_some() {
        return Err(AppError::Usage(format!(
            "the source {text:?} has a scheme after docker://: leave it out. Registries are spoken to over TLS, those on this machine without; for another one without, set plain-http = true under [registry.{:?}] in the settings",
            reference.repository().registry().to_string(),
        )));
    }
    Ok(Some(reference))
}

/// A reference from the command line.
///
/// A host with nothing behind it would be one of Docker Hub's own images by the rules of the
/// grammar; nobody means that.
pub(crate) fn reference(text: &str) -> Result<Reference, AppError> {
    let bare = text.strip_prefix(IN_REGISTRY).unwrap_or(text);
    if is_host_alone(bare) {
        return Err(AppError::Usage(format!(
            "the reference {text:?} names a registry and no repository: it is {bare}/REPOSITORY[:TAG]; an image of that name on Docker Hub is docker.io/library/{bare}"
        )));
    }
    text.parse().map_err(|error| AppError::Reference {
        text: text.to_owned(),
        error,
    })
}

/// Whether a text is the name of a registry, with its port perhaps, and no more.
fn is_host_alone(text: &str) -> bool {
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    let is_host = host == "localhost" || (host.contains('.') && !host.contains('@'));
    is_host && !text.contains('/') && text.parse::<Registry>().is_ok()
}

/// The image at `text`: a path, perhaps with what it is (`oci:`, …), or `docker://` and a reference for one in a registry, which is at
/// `routed` if that is given.
pub(crate) async fn source(
    text: &str,
    routed: Option<&Reference>,
    selection: &source::Selection,
    client: &Client,
) -> Result<Box<dyn Source>, AppError> {
    if let Some(name) = text.strip_prefix(IN_REGISTRY) {
        if selection.name.is_some() {
            return Err(AppError::Usage(
                "--image chooses among the images of a file; one in a registry is named by its reference".into(),
            ));
        }
        let reference = routed.map_or_else(|| reference(name), |it| Ok(it.clone()))?;
        let source = client.source(&reference, selection.platform.clone());
        return Ok(Box::new(source));
    }
    let (path, name) = place::file(text);
    let selection = source::Selection {
        name: one_name(name, selection.name.clone(), text)?,
        platform: selection.platform.clone(),
    };
    Ok(source::open(&path, &selection).await?)
}

/// The name of an image in a file, which stands behind the file's or in `--image`.
pub(crate) fn one_name(
    behind: Option<String>,
    flag: Option<String>,
    source: &str,
) -> Result<Option<String>, AppError> {
    if behind.is_some() && flag.is_some() {
        return Err(AppError::Usage(format!(
            "the source {source:?} names an image, and so does --image: leave one of them out"
        )));
    }
    Ok(behind.or(flag))
}

/// Where a push goes: the reference's own tag first, then `tags`.
///
/// A reference with a digest has to be the image's own, as it is pushed by the engine.
pub(crate) async fn destination(
    reference: &Reference,
    tags: &[Tag],
    mount_from: &[oci::Repository],
    (source, engine): (&dyn Source, &Engine),
) -> Result<Destination, AppError> {
    if let Some(expected) = reference.digest() {
        let own = source.root().await.map_err(|error| AppError::Source {
            place: "the image".into(),
            error,
        })?;
        let root = engine.pushed_root(source).await?;
        if root.digest() != expected {
            let pushed = if root.digest() == own.digest() {
                String::new()
            } else {
                format!(" and is pushed with {}", root.digest())
            };
            return Err(AppError::Usage(format!(
                "the image has digest {}{pushed}, the reference says {expected}",
                own.digest()
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

/// The client for these ways: the destinations', then the source's if that is in a registry. It
/// knows what other runs know and adds to it; the login is for the first way's registry only.
pub(crate) fn client(
    settings: &Settings,
    ways: &[&Way],
    company: Company,
) -> Result<Client, AppError> {
    let mut builder = builder(settings, ways)
        .profiles(StateProfiles(company.state.clone()))
        .observer(company.observer);
    if company.state.lasts() {
        builder = builder.pause_board(SharedPauses(company.state));
    }
    builder.build().map_err(AppError::Client)
}

/// A client for a registry as a whole, that knows nothing of it but whether it wants requests.
pub(crate) fn client_of(
    settings: &Settings,
    way: &Way,
    company: Company,
) -> Result<Client, AppError> {
    let mut builder = builder(settings, &[way]).observer(company.observer);
    if company.state.lasts() {
        builder = builder.pause_board(SharedPauses(company.state));
    }
    builder.build().map_err(AppError::Client)
}

/// A client that asks whether a registry is there, and nothing else.
fn asking(settings: &Settings, way: &Way) -> Result<Client, AppError> {
    builder(settings, &[way]).build().map_err(AppError::Client)
}

fn builder(settings: &Settings, ways: &[&Way]) -> ClientBuilder {
    let first = ways.first().copied();
    let mut builder = settings
        .versions
        .tell(Client::builder())
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .max_in_flight(settings.concurrency)
        .chunk_size(settings.chunk_size)
        .timeouts(timeouts(settings, first))
        .retry(retry(settings))
        .proxies(settings.proxies.clone())
        .registry_headers(settings.credentials.http_headers())
        .credentials(credentials(settings, first.map(Way::registry)));
    // Of one host, what is said for the way that comes first counts.
    let mut seen: Vec<&Registry> = Vec::new();
    for way in ways {
        let registry = way.registry();
        if !seen.contains(&registry) {
            seen.push(registry);
            builder = by_way(builder, way);
        }
    }
    if let Some(way) = first
        && way.scheme().is_none()
        && settings.means_tls(way.registry())
    {
        builder = builder.https(way.registry().clone());
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
    for host in &settings.trusted_hosts {
        builder = builder.trust_host(host.clone());
    }
    if let Some(rate) = settings.limit_rate {
        builder = builder.limit_rate(rate);
    }
    for (host, rate) in &settings.limit_rate_of {
        builder = builder.limit_rate_of(host, *rate);
    }
    if let Some(rate) = settings.limit_requests {
        builder = builder.limit_requests(rate);
    }
    for (host, rate) in &settings.limit_requests_of {
        builder = builder.limit_requests_of(host, *rate);
    }
    for pem in &settings.certificates {
        builder = builder.extra_ca(pem);
    }
    builder
}

/// What is peculiar to a way.
fn by_way(mut builder: ClientBuilder, way: &Way) -> ClientBuilder {
    let registry = way.registry();
    match way.scheme() {
        Some(Scheme::Http) => builder = builder.plain_http(registry.clone()),
        Some(Scheme::Https) => builder = builder.https(registry.clone()),
        None => {}
    }
    if !way.tls.is_empty() {
        builder = builder.host_tls(registry, way.tls.clone());
    }
    if let Some(path) = &way.endpoint.api_path {
        builder = builder.api_path(registry.clone(), &format!("{path}/"));
    }
    for (name, value) in &way.headers {
        builder = builder.header_for(registry, name, value.expose_secret());
    }
    builder
}

/// Tells of what is wrong and does not stand in the way.
pub(crate) fn warn<'a>(warnings: impl IntoIterator<Item = &'a String>) {
    for warning in warnings {
        crate::warning::warn(warning);
    }
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

fn timeouts(settings: &Settings, way: Option<&Way>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let of_way = way.and_then(|it| it.dial_timeout);
    let of_way = of_way.filter(|_| !settings.connect_timeout_given);
    if let Some(limit) = of_way.or(settings.connect_timeout) {
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

fn credentials(settings: &Settings, registry: Option<&Registry>) -> CredentialStore {
    let store = settings.credentials.clone();
    match (&settings.login, registry) {
        (Some(Login { username, password }), Some(registry)) => {
            let login = Credentials::Password {
                username: username.clone(),
                password: password.clone(),
            };
            store.with(registry.clone(), login)
        }
        _ => store,
    }
}
