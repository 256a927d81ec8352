//! Endpoints: the URL of a registry's API, taken apart.

use oci::{Registry, reference::Scheme};

use super::name::joined;

/// Where an API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) registry: Registry,
    /// None: as for any registry of this name.
    pub(crate) scheme: Option<Scheme>,
    /// The path of the API, where it is not `/v2`.
    pub(crate) api_path: Option<String>,
    /// What comes before every repository's path.
    pub(super) prefix: String,
}

impl Endpoint {
    /// A registry as it is.
    pub(super) fn plain(registry: &Registry, scheme: Option<Scheme>) -> Self {
        Self {
            registry: registry.clone(),
            scheme,
            api_path: None,
            prefix: String::new(),
        }
    }

    /// Repositories' paths are below this one there.
    pub(super) fn below(&self, path: &str) -> String {
        joined(&self.prefix, path)
    }

    /// The URL of its API; `plain` is whether it is spoken to without TLS where no scheme says so.
    pub(crate) fn url(&self, plain: bool) -> String {
        let scheme = self
            .scheme
            .unwrap_or(if plain { Scheme::Http } else { Scheme::Https });
        let api = self.api_path.as_deref().unwrap_or("/v2");
        format!("{scheme}://{}{api}/", self.registry.api_authority())
    }
}

/// The same of an endpoint in the settings: an API at `/v2` may have the beginning of repositories'
/// paths behind it without further ado.
pub(super) fn of_settings(url: &str) -> Result<Endpoint, String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    parse(url, path.starts_with("v2/"))
}

/// Reads the URL of an endpoint: `https` where no scheme is written; an API at `/v2` below its path,
/// unless that ends with `/v2` or `whole` says that it is the path of the API as it is, as
/// [containerd](https://github.com/containerd/containerd/blob/main/docs/hosts.md) has it.
///
/// What follows `/v2/` is the beginning of every repository's path: so it stands in scopes and in
/// mounts.
pub(super) fn parse(url: &str, whole: bool) -> Result<Endpoint, String> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some((other, _)) => {
            return Err(format!(
                "a scheme {other:?} is not known: use http or https"
            ));
        }
        None => (Scheme::Https, url),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.contains(['?', '#', '@']) {
        return Err("an endpoint has no user name, query or fragment".into());
    }
    let registry: Registry = host
        .parse()
        .map_err(|error| format!("{host:?} is no host: {error}"))?;
    let path = path.trim_matches('/');
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("its path {path:?} leads upwards"));
    }
    let ends = path == "v2" || path.ends_with("/v2");
    let path = match (whole || ends, path) {
        (true, path) => path.to_owned(),
        (false, path) => joined(path, "v2"),
    };
    let endpoint = Endpoint::plain(&registry, Some(scheme));
    Ok(match path.strip_prefix("v2") {
        Some("") => endpoint,
        Some(rest) if rest.starts_with('/') => Endpoint {
            prefix: rest.trim_matches('/').to_owned(),
            ..endpoint
        },
        _ => Endpoint {
            api_path: Some(match &*path {
                "" => String::new(),
                path => format!("/{path}"),
            }),
            ..endpoint
        },
    })
}
