//! In which versions of HTTP the suite speaks: all of it is run in three set-ups.
//!
//! ```text
//!   plain   without TLS, where there is HTTP/1.1 alone: how the suite runs unless told otherwise
//!   mixed   over TLS as by default: bodies with blobs over HTTP/1.1, everything else over HTTP/2
//!   http2   over TLS, all over HTTP/2
//! ```
//!
//! One test has the program of this suite run the rest of itself in the other two. What is about
//! one version by what it says is listed here, with the reason, and nowhere else. That a set-up is
//! what is spoken is asserted by the doubles, of every request they see.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    env,
    process::{Command, Stdio},
    sync::LazyLock,
    thread,
};

use http::Version;
use longshore_registry::{ClientBuilder, HttpVersions};
use oci::Registry;
use tokio_rustls::TlsAcceptor;

use crate::front::{Authority, Pair, Wants};

/// Has the variable that names the set-up.
const VARIABLE: &str = "LONGSHORE_WIRE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetUp {
    Plain,
    Mixed,
    Http2,
}

/// The set-up this process runs in.
pub(crate) static SET_UP: LazyLock<SetUp> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the suite is told its set-up")]
    let name = env::var(VARIABLE);
    let named = |name: &str| SetUp::ALL.into_iter().find(|it| it.name() == name);
    match name {
        Err(_) => SetUp::Plain,
        Ok(name) => named(&name).expect("LONGSHORE_WIRE is plain, mixed or http2"),
    }
});

/// Who vouches for every double of this process, and what they show.
static TRUST: LazyLock<(Authority, Pair)> = LazyLock::new(|| {
    let authority = Authority::new("wire");
    let names = [
        "127.0.0.1",
        "localhost",
        "::1",
        "registry.example",
        "auth.registry.example",
        "foreign.example",
        "inside.foreign.example",
    ];
    let pair = authority.sign(&names, |_| {});
    (authority, pair)
});

thread_local! {
    /// The doubles of this test. A test runs on one thread, and its doubles are started there.
    static DOUBLES: RefCell<BTreeSet<Registry>> = RefCell::default();
}

impl SetUp {
    const ALL: [Self; 3] = [Self::Plain, Self::Mixed, Self::Http2];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Mixed => "mixed",
            Self::Http2 => "http2",
        }
    }

    pub(crate) fn is_plain(self) -> bool {
        self == Self::Plain
    }

    /// Connections of a client that sends blobs and asks questions, one after the other.
    pub(crate) fn connections(self) -> usize {
        if self == Self::Mixed { 2 } else { 1 }
    }

    /// The same over TLS, that a test has brought itself.
    pub(crate) fn lanes(self) -> usize {
        if self == Self::Http2 { 1 } else { 2 }
    }

    /// Of the URLs of doubles.
    pub(crate) fn scheme(self) -> &'static str {
        if self.is_plain() { "http" } else { "https" }
    }

    /// What a request has to come over, with a blob in its body or its answer's, or without.
    pub(crate) fn version(self, blob: bool) -> Version {
        match self {
            Self::Http2 => Version::HTTP_2,
            Self::Mixed if !blob => Version::HTTP_2,
            Self::Plain | Self::Mixed => Version::HTTP_11,
        }
    }
}

/// Has a client speak as the set-up wants, to all doubles this test has started so far.
pub(crate) fn speaking(mut client: ClientBuilder) -> ClientBuilder {
    if SET_UP.is_plain() {
        return client;
    }
    client = client.extra_ca(TRUST.0.pem().as_bytes());
    // Said and not only left at its default: that gives HTTP/2 up where connections break, and
    // what breaks here is meant.
    client = client.http_versions(match *SET_UP {
        SetUp::Http2 => HttpVersions::Http2,
        SetUp::Plain | SetUp::Mixed => HttpVersions::Mixed,
    });
    let doubles = DOUBLES.with_borrow(Clone::clone);
    doubles.into_iter().fold(client, ClientBuilder::https)
}

/// A double clients are to know of.
pub(crate) fn remember(double: Registry) {
    DOUBLES.with_borrow_mut(|doubles| doubles.insert(double));
}

/// A certificate and its key, for a server that has none of its own.
pub(crate) fn identity() -> Option<(String, String)> {
    (!SET_UP.is_plain()).then(|| (TRUST.1.pem.clone(), TRUST.1.key()))
}

/// TLS for a double that is no server of ours.
pub(crate) fn tls() -> Option<TlsAcceptor> {
    (!SET_UP.is_plain()).then(|| TRUST.1.acceptor(&TRUST.0, Wants::Nothing))
}

/// What a server with TLS offers to speak, most wanted first.
pub(crate) fn protocols() -> Vec<Vec<u8>> {
    let http2 = (!SET_UP.is_plain()).then(|| b"h2".to_vec());
    http2.into_iter().chain([b"http/1.1".to_vec()]).collect()
}

/// What is about one version of HTTP, or about no TLS, by what it says: the beginnings of names.
/// It runs in the plain set-up alone.
const ONE_VERSION: &[(&str, &str)] = &[
    ("set_up::", "has the others run"),
    ("versions::", "goes through the set-ups by itself"),
    (
        "hostile::endless_headers_are_cut",
        "bytes of HTTP/1.1 that are no answer",
    ),
    (
        "hostile::what_does_not_speak_http",
        "bytes of HTTP/1.1 that are no answer",
    ),
    (
        "timeouts::z16_bytes_that_never_become",
        "bytes of HTTP/1.1 that are no answer",
    ),
    (
        "hosts::r5_certificates_for_a_registry_on_loopback",
        "plain HTTP is HTTP/1.1",
    ),
    ("proxies::a_registry_without_tls", "plain HTTP is HTTP/1.1"),
    (
        "proxies::this_machine_and_what_is_excepted",
        "plain HTTP is HTTP/1.1",
    ),
    ("socks::a_registry_without_tls", "plain HTTP is HTTP/1.1"),
    ("tls::z17_a_loopback_registry", "plain HTTP is HTTP/1.1"),
    (
        "tls::bodies_and_questions_have_connections",
        "says what the mixed set-up is",
    ),
];

/// Has this program run all that does not depend on the version, in every other set-up.
#[test]
fn p25_the_whole_suite_passes_in_every_set_up() {
    let program = env::current_exe().unwrap();
    let list = Command::new(&program)
        .args(["--list", "--format=terse"])
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let all: Vec<&str> = list
        .lines()
        .filter_map(|it| it.strip_suffix(": test"))
        .collect();
    for (beginning, reason) in ONE_VERSION {
        let known = all.iter().any(|it| it.starts_with(beginning));
        assert!(known, "no test is called {beginning}… any more ({reason})");
    }
    let skipped = |name: &str| ONE_VERSION.iter().any(|(it, _)| name.starts_with(it));
    let (skipped, kept): (Vec<&str>, Vec<&str>) = all.iter().partition(|it| skipped(it));
    assert!(
        kept.len() > 4 * skipped.len(),
        "{} of {}",
        kept.len(),
        all.len()
    );
    // Read by every client that speaks TLS: the machine's own are many.
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), TRUST.0.pem()).unwrap();
    let passed = format!(
        "test result: ok. {} passed; 0 failed; 0 ignored;",
        kept.len()
    );
    let run = |set_up: SetUp| {
        let mut command = Command::new(&program);
        command
            .env(VARIABLE, set_up.name())
            .env("SSL_CERT_FILE", roots.path())
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .arg("--exact");
        for name in &skipped {
            command.args(["--skip", name]);
        }
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        // What passed is no news: it would bury the rest.
        let told = said.find("\nfailures:\n").map_or(&*said, |at| &said[at..]);
        assert!(
            ran.status.success() && said.contains(&passed),
            "{}: {told}",
            set_up.name()
        );
    };
    // Each waits for time limits for most of its time.
    thread::scope(|scope| {
        for set_up in [SetUp::Mixed, SetUp::Http2] {
            let run = &run;
            scope.spawn(move || run(set_up));
        }
    });
}
