//! What a server is to be, before it runs.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::http::Uri;
use oci::Registry;

use crate::{
    AccessLog, Auth, Collection, Faults, Limits, ReadOnly, Rules, ServerError, UploadOptions,
    Validation, Warning, log, options::Options, store, tls,
};

/// The embedded registry; [`Server::builder`] is the way in.
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// Whether the directory is one that [`ServerBuilder::directory`] made. Blocks.
    pub fn is_store(directory: &Path) -> bool {
        store::is_store(directory)
    }

    /// A server in memory, on a free port of 127.0.0.1, open to everybody, that
    /// refuses manifests with missing children: until it is told otherwise.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            storage: Storage::Memory,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listener: None,
            auth: Auth::None,
            rules: None,
            tls: None,
            public_url: None,
            allow_clear_text: false,
            faults: Faults::new(),
            limits: Limits::default(),
            options: Options::default(),
            collection: Collection::default(),
            log_entries: log::DEFAULT_ENTRIES,
            keep_headers: None,
            access_log: None,
        }
    }
}

/// Where everything is kept.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Memory,
    Directory(PathBuf),
    ReadOnly(ReadOnly),
}

/// Settings of a server that is not running yet.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct ServerBuilder {
    pub(crate) storage: Storage,
    pub(crate) address: SocketAddr,
    pub(crate) listener: Option<Arc<TcpListener>>,
    pub(crate) auth: Auth,
    pub(crate) rules: Option<Rules>,
    pub(crate) tls: Option<tls::Identity>,
    pub(crate) public_url: Option<String>,
    pub(crate) allow_clear_text: bool,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    pub(crate) options: Options,
    pub(crate) collection: Collection,
    pub(crate) log_entries: NonZeroUsize,
    pub(crate) keep_headers: Option<bool>,
    pub(crate) access_log: Option<AccessLog>,
}

impl ServerBuilder {
    /// Keeps everything in memory, up to [`Limits::memory_bytes`]; it is gone when the server stops.
    pub fn memory(mut self) -> Self {
        self.storage = Storage::Memory;
        self
    }

    /// Keeps everything in a directory, which is made if it is not there.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.storage = Storage::Directory(path.into());
        self
    }

    /// Serves these images and takes nothing: every request that writes is refused with 405.
    pub fn read_only(mut self, images: ReadOnly) -> Self {
        self.storage = Storage::ReadOnly(images);
        self
    }

    /// Listens here; port 0 is any free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Listens on a socket that is open already, as a service manager hands it over; the
    /// address that [`listen`](Self::listen) says is not used then.
    pub fn listen_on(mut self, listener: TcpListener) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Asks clients who they are.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// What clients may do. Without rules, whoever has credentials may do everything, and
    /// everybody may where nobody is asked for any.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Speaks TLS only, HTTP/2 and HTTP/1.1, with this certificate chain and key, both PEM.
    pub fn tls(mut self, certificates: &[u8], key: &[u8]) -> Result<Self, ServerError> {
        let identity = tls::Identity::from_pem(certificates, key);
        self.tls = Some(identity.map_err(ServerError::Tls)?);
        Ok(self)
    }

    /// The same from files, which are read now.
    pub fn tls_files(
        mut self,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, ServerError> {
        let identity = tls::Identity::from_files(certificates.as_ref(), key.as_ref());
        self.tls = Some(identity.map_err(ServerError::TlsFiles)?);
        Ok(self)
    }

    /// How clients reach this server, where that is not where it listens: `https://` or
    /// `http://`, a host and perhaps a port. Challenges and absolute locations name it.
    pub fn public_url(mut self, url: &str) -> Result<Self, ServerError> {
        match origin(url) {
            Some(origin) => {
                self.public_url = Some(origin);
                Ok(self)
            }
            None => Err(ServerError::PublicUrl {
                text: url.chars().take(300).collect(),
            }),
        }
    }

    /// Whether a server that asks for credentials may listen without TLS where other machines
    /// can reach it; a proxy may speak TLS before it. Off: [`ServerError::ClearText`].
    pub fn allow_clear_text(mut self, on: bool) -> Self {
        self.allow_clear_text = on;
        self
    }

    /// Does these faults; more may be added through the handle while the server runs.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// What happens to manifests whose children are missing.
    pub fn validation(mut self, validation: Validation) -> Self {
        self.options.validation = validation;
        self
    }

    /// How uploads answer where registries differ.
    pub fn uploads(mut self, options: UploadOptions) -> Self {
        self.options.uploads = options;
        self
    }

    /// Whether manifests, tags and blobs may be deleted; if not, the answer is 405. On.
    pub fn deletes(mut self, on: bool) -> Self {
        self.options.deletes = on;
        self
    }

    /// Whether `/metrics` answers with numbers; if not, it is not there. On.
    pub fn metrics(mut self, on: bool) -> Self {
        self.options.metrics = on;
        self
    }

    /// Whether `/` shows what there is to people with a browser; if not, it is not there. On.
    pub fn page(mut self, on: bool) -> Self {
        self.options.page = on;
        self
    }

    /// Writes a line for every request here. None is written unless this is called.
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.access_log = Some(log);
        self
    }

    /// Whether referrers are listed; if not, the answer is 404 and manifests are answered
    /// without `OCI-Subject`, so that clients keep the fallback tag. On.
    pub fn referrers(mut self, on: bool) -> Self {
        self.options.referrers = on;
        self
    }

    /// What becomes of content that nothing refers to.
    pub fn collection(mut self, collection: Collection) -> Self {
        self.collection = collection;
        self
    }

    /// Says this to clients, beside what else is said to them.
    pub fn warning(mut self, warning: Warning) -> Self {
        self.options.warnings.push(warning);
        self
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many requests the log keeps. 100,000.
    pub fn log_entries(mut self, entries: NonZeroUsize) -> Self {
        self.log_entries = entries;
        self
    }

    /// Whether raw headers, credentials with them, are kept in memory for
    /// [`RequestLog::saw_secret`](crate::RequestLog::saw_secret). On for servers in memory, off for others.
    pub fn keep_headers(mut self, on: bool) -> Self {
        self.keep_headers = Some(on);
        self
    }
}

/// The origin of a URL that is one and nothing else: a scheme, a host, perhaps a port.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|it| ["https", "http"].contains(it))?;
    let registry: Registry = uri.authority()?.as_str().parse().ok()?;
    let is_bare = uri.path_and_query().is_none_or(|it| it.as_str() == "/");
    let origin = format!("{scheme}://{}", registry.name());
    // No fragment either, which the grammar of requests drops.
    let is_all = url
        .strip_suffix('/')
        .unwrap_or(url)
        .eq_ignore_ascii_case(&origin);
    (is_bare && is_all).then_some(origin)
}
