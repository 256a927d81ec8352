//! The facts of one way: what is so, and because of what.

use oci::reference::Scheme;
use serde::Serialize;

use crate::{
    auth_files,
    env::Environment,
    error::AppError,
    routes::Way,
    settings::{ConnectionArgs, Point, Settings, SettingsError, Told},
};

/// How one way would be gone.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    pub(super) endpoint: Said,
    pub(super) repository: Option<String>,
    pub(super) tls: bool,
    /// Whether its certificate is.
    pub(super) checked: bool,
    /// Why it is not.
    pub(super) unchecked: Vec<String>,
    /// Files of certificates it is trusted by, beside the system's.
    pub(super) authorities: Vec<Said>,
    /// Files of certificates it is shown.
    pub(super) certificates: Vec<Said>,
    pub(super) proxy: Option<Said>,
    pub(super) credentials: Option<Said>,
    /// Names of headers of its own.
    pub(super) headers: Vec<String>,
}

/// Something that is so, and what it is so by.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub(super) value: String,
    pub(super) because: String,
}

impl Facts {
    pub(super) fn of(
        way: &Way,
        connection: &ConnectionArgs,
        environment: &Environment,
    ) -> Result<Self, AppError> {
        // Neither a password nor half a login is wanted here.
        let (args, without) = (connection.anonymous(), environment.anonymous());
        let settings = Settings::decide(&args, &without, way.registry())?;
        crate::open::warn(&settings.warnings);
        let (plain, because) = plain(way, &settings);
        let own = |it: &&Told| it.registry.as_ref().is_none_or(|it| it == way.registry());
        let told: Vec<&Told> = settings.told.iter().filter(own).collect();
        let of_way = |files: &[std::path::PathBuf]| -> Vec<Said> {
            files
                .iter()
                .map(|it| said(it.display().to_string(), "of its endpoint"))
                .collect()
        };
        let mut authorities = of_way(&way.files.authorities);
        let mut certificates = of_way(&way.files.certificates);
        let mut unchecked = Vec::new();
        if !way.tls.is_checked() {
            unchecked.push("the file that decided says so".to_owned());
        }
        for it in &told {
            match &it.point {
                Point::Authority(path) => {
                    authorities.push(said(path.display().to_string(), &it.place));
                }
                Point::Certificate(path) => {
                    certificates.push(said(path.display().to_string(), &it.place));
                }
                Point::Unchecked => unchecked.push(it.place.clone()),
                Point::PlainHttp | Point::Proxy => {}
            }
        }
        if plain {
            (authorities, certificates, unchecked) = Default::default();
        }
        Ok(Self {
            endpoint: Said {
                value: way.endpoint.url(plain),
                because,
            },
            repository: way.repository().map(ToString::to_string),
            tls: !plain,
            checked: unchecked.is_empty(),
            unchecked,
            authorities,
            certificates,
            proxy: proxy(way, plain, &settings, environment),
            credentials: credentials(way, connection, environment)?,
            headers: way.headers.iter().map(|(name, _)| name.clone()).collect(),
        })
    }
}

fn said(value: impl Into<String>, because: &str) -> Said {
    Said {
        value: value.into(),
        because: because.to_owned(),
    }
}

/// Whether it is spoken to without TLS, and why.
fn plain(way: &Way, settings: &Settings) -> (bool, String) {
    let registry = way.registry();
    let told = |it: &&Told| it.point == Point::PlainHttp && it.registry.as_ref() == Some(registry);
    let said = settings.told.iter().find(told);
    let of_host = settings.tls.iter().filter(|(host, _)| host == registry);
    let mut all = of_host.map(|(_, tls)| tls).chain([&way.tls]);
    match (way.scheme(), said) {
        (Some(Scheme::Https), _) => (false, "its URL says so".into()),
        (Some(Scheme::Http), _) if way.fallback => (true, "insecure, if it has no TLS".into()),
        (Some(Scheme::Http), _) => (true, "its URL says so".into()),
        (None, Some(told)) => (true, told.place.clone()),
        (None, None) if !registry.is_loopback() => (false, "as every registry".into()),
        (None, None) if settings.means_tls(registry) => (false, "--ca is given".into()),
        (None, None) if all.any(|it| it.roots() + it.identities() > 0) => {
            (false, "there are certificates for it".into())
        }
        (None, None) => (true, "it is on this machine".into()),
    }
}

fn proxy(way: &Way, plain: bool, settings: &Settings, environment: &Environment) -> Option<Said> {
    let registry = way.registry();
    let shown = settings.proxies.shown(registry, !plain)?;
    let own = |it: &&Told| it.point == Point::Proxy && it.registry.as_ref() == Some(registry);
    let variables = &environment.proxies;
    let because = match settings.told.iter().find(own) {
        Some(told) => &told.place,
        None if plain && variables.http.is_some() => "HTTP_PROXY",
        None if !plain && variables.https.is_some() => "HTTPS_PROXY",
        None => "ALL_PROXY",
    };
    Some(said(shown, because))
}

/// Where credentials would come from, if any are wanted.
fn credentials(
    way: &Way,
    connection: &ConnectionArgs,
    environment: &Environment,
) -> Result<Option<Said>, AppError> {
    if connection.username.is_some() {
        return Ok(Some(said("a user name and a password", "--username")));
    }
    if environment.username.is_some() {
        return Ok(Some(said(
            "a user name and a password",
            "LONGSHORE_USERNAME",
        )));
    }
    let authfile = connection.authfile.as_deref();
    let (registry, repository) = (way.registry(), way.repository());
    let found = auth_files::source_of(registry, repository, authfile, environment);
    let found = found.map_err(SettingsError::from)?;
    Ok(found.map(|(place, kind)| Said {
        value: kind,
        because: place,
    }))
}
