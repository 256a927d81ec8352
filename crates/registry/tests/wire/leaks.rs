//! Secrets are bound to origins: one property over everything that leaves the process.
//!
//! Four servers on loopback are the whole world, and write down every request:
//!
//! ```text
//!   home     the registry the user named        all its secrets
//!   tokens   its token service                  password and refresh token, at /token only
//!   foreign  anybody else                       nothing
//!   inside   behind a private address           not one connection on a public registry's word
//! ```
//!
//! All of them answer by dice: challenges with realms, redirects, upload locations and page links
//! that lead anywhere, tokens, refusals. Every case has secrets of its own, so that any sight of one
//! is a leak.

use std::{
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue};
use longshore_registry::{
    Client, CredentialStore, Credentials, MemoryProfiles, ProfileStore, Resolver, RetryPolicy,
    Timeouts,
};
use oci::{PushTarget, Repository, TagOrDigest, TargetErrorKind, UploadSession};
use proptest::prelude::*;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    fixture::{Blobs, PATIENCE, blob, host, manifest, upload},
    scripted::{Reply, Scripted, reply},
    set_up::{SET_UP, speaking},
};

/// Where the registry is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A name on the internet.
    Public,
    /// A name in a private network.
    Internal,
    /// Loopback, by its address.
    Local,
}

/// Every name there is, and its address; all are reached at loopback.
#[derive(Clone, Debug)]
struct Dns {
    place: Place,
    /// The names that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Resolver for Dns {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let public = self.place == Place::Public;
        let addresses: &[[u8; 4]] = match host {
            "registry.example" | "auth.registry.example" if public => &[[203, 0, 113, 1]],
            "registry.example" | "auth.registry.example" => &[[10, 0, 0, 1]],
            "foreign.example" => &[[203, 0, 113, 2]],
            "inside.foreign.example" => &[[10, 0, 0, 2], [127, 0, 0, 1]],
            "localhost" => &[[127, 0, 0, 1]],
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(addresses.iter().map(|it| IpAddr::from(*it)).collect())
    }

    fn route(&self, _: IpAddr) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// Secrets of one case.
#[derive(Clone, Debug)]
struct Secrets {
    identity: bool,
    id: String,
}

impl Secrets {
    fn password(&self) -> String {
        format!("canary-password-{}", self.id)
    }

    /// What a request with user name and password shows.
    fn basic(&self) -> [String; 2] {
        ["alice", "<token>"]
            .map(|user| BASE64_STANDARD.encode(format!("{user}:{}", self.password())))
    }

    fn credentials(&self) -> Credentials {
        if self.identity {
            Credentials::identity(self.password())
        } else {
            Credentials::password("alice", self.password())
        }
    }

    fn header(&self) -> String {
        format!("canary-header-{}", self.id)
    }

    fn token(&self) -> String {
        format!("canary-token-{}", self.id)
    }

    fn refresh(&self) -> String {
        format!("canary-refresh-{}", self.id)
    }

    /// Whether `text` shows what belongs to the registry's own origin alone, or what its token
    /// service may see as well.
    fn shown_in(&self, text: &str) -> (bool, bool) {
        let own = [self.header(), self.token()];
        let [basic, rotated] = self.basic();
        let shared = [self.password(), self.refresh(), basic, rotated];
        let shows = |secrets: &[String]| secrets.iter().any(|it| text.contains(it.as_str()));
        (shows(&own), shows(&shared))
    }
}

/// Bytes that decide, one after the other; then zeros.
#[derive(Debug)]
struct Dice {
    bytes: Vec<u8>,
    at: AtomicUsize,
}

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let at = self.at.fetch_add(1, Relaxed);
        usize::from(self.bytes.get(at).copied().unwrap_or(0)) % sides
    }
}

/// How the servers are named in what they answer.
#[derive(Clone, Debug, Default)]
struct Hosts {
    /// The registry itself, its token service, and the same under the registry's name.
    home: String,
    tokens: String,
    tokens_by_home: String,
    foreign: String,
    inside: Vec<String>,
}

/// What all servers share.
struct World {
    dice: Dice,
    secrets: Secrets,
    hosts: Mutex<Hosts>,
    /// How often an answer led to a private address.
    led_inside: AtomicUsize,
}

impl World {
    /// Somewhere, and never the path of a token service.
    fn somewhere(&self) -> String {
        let hosts = self.hosts.lock().unwrap().clone();
        let scheme = SET_UP.scheme();
        let path = [
            "/v2/app/blobs/uploads/1",
            "/x?sig=1",
            "/v2/app/tags/list?n=1",
            "/",
        ][self.dice.roll(4)];
        match self.dice.roll(10) {
            0 => path.to_owned(),
            1 | 2 => format!("{scheme}://{}{path}", hosts.home),
            3 => format!("{scheme}://{}{path}", hosts.tokens),
            4 => format!("//{}{path}", hosts.tokens_by_home),
            5 | 6 => format!("{scheme}://{}{path}", hosts.foreign),
            7 => format!("{scheme}://user:pw@{}{path}", hosts.foreign),
            8 => format!("ftp://{}{path}", hosts.foreign),
            _ => format!("{scheme}://{}{path}", self.inside(&hosts)),
        }
    }

    fn realm(&self) -> String {
        let hosts = self.hosts.lock().unwrap().clone();
        let host = match self.dice.roll(8) {
            0 | 1 => hosts.tokens,
            2 => hosts.tokens_by_home,
            3 | 4 => hosts.home,
            5 | 6 => hosts.foreign,
            _ => self.inside(&hosts),
        };
        format!("{}://{host}/token", SET_UP.scheme())
    }

    fn inside(&self, hosts: &Hosts) -> String {
        match hosts.inside.len() {
            0 => hosts.foreign.clone(),
            more => {
                self.led_inside.fetch_add(1, Relaxed);
                hosts.inside[self.dice.roll(more)].clone()
            }
        }
    }

    fn challenge(&self) -> Reply {
        let basic = "WWW-Authenticate: Basic realm=\"r\"".to_owned();
        let bearer = format!(
            "WWW-Authenticate: Bearer realm=\"{}\",service=\"s\",scope=\"repository:app:pull,push\"",
            self.realm()
        );
        let lines = match self.dice.roll(4) {
            0 => basic,
            1 => format!("{basic}\r\n{bearer}"),
            _ => bearer,
        };
        reply(&format!("401 Unauthorized\r\n{lines}"), "")
    }

    fn token(&self) -> Reply {
        let (token, refresh) = (self.secrets.token(), self.secrets.refresh());
        let good = format!(r#"{{"token": "{token}", "refresh_token": "{refresh}"}}"#);
        match self.dice.roll(8) {
            0 => reply("401 Unauthorized", ""),
            1 => reply("404 Not Found", ""),
            2 => reply(
                &format!("307 Temporary Redirect\r\nLocation: {}", self.somewhere()),
                "",
            ),
            3 => self.challenge(),
            _ => reply("200 OK", &good),
        }
    }

    fn answer(&self, head: &str) -> Reply {
        if head
            .split(' ')
            .nth(1)
            .is_some_and(|path| path.starts_with("/token"))
        {
            return self.token();
        }
        let shows = head.to_ascii_lowercase().contains("\r\nauthorization:");
        if !shows && self.dice.roll(3) > 0 {
            return self.challenge();
        }
        let to = self.somewhere();
        match self.dice.roll(9) {
            0 => reply("404 Not Found", ""),
            1 => self.challenge(),
            2 => reply(&format!("301 Moved Permanently\r\nLocation: {to}"), ""),
            3 => reply(&format!("303 See Other\r\nLocation: {to}"), ""),
            4 => reply(&format!("307 Temporary Redirect\r\nLocation: {to}"), ""),
            5 => reply(&format!("202 Accepted\r\nRange: 0-0\r\nLocation: {to}"), ""),
            6 => reply(&format!("201 Created\r\nLocation: {to}"), ""),
            7 => reply(
                &format!("200 OK\r\nLink: <{to}>; rel=next"),
                r#"{"tags": ["a"]}"#,
            ),
            _ => reply("403 Forbidden", ""),
        }
    }
}

/// What happened in a case.
#[derive(Debug, Default)]
struct Seen {
    at_home: usize,
    at_tokens: usize,
    foreign_requests: usize,
    led_inside: usize,
    private_refused: usize,
    kept: usize,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What the servers are called.
fn hosts(place: Place, [home, tokens, foreign, inside]: &[Scripted; 4]) -> Hosts {
    let port = |server: &Scripted| server.registry().port().unwrap();
    let own = |name: &str, server| match place {
        Place::Local => format!("127.0.0.1:{}", port(server)),
        _ => format!("{name}:{}", port(server)),
    };
    Hosts {
        home: own("registry.example", home),
        tokens: own("auth.registry.example", tokens),
        tokens_by_home: own("registry.example", tokens),
        foreign: match place {
            Place::Local => format!("localhost:{}", port(foreign)),
            _ => format!("foreign.example:{}", port(foreign)),
        },
        inside: match place {
            Place::Public => [
                "inside.foreign.example",
                "127.0.0.1",
                "[::ffff:127.0.0.1]",
                "localhost",
                "2130706433",
            ]
            .map(|host| format!("{host}:{}", port(inside)))
            .to_vec(),
            _ => Vec::new(),
        },
    }
}

async fn case(place: Place, identity: bool, dice: Vec<u8>) -> Seen {
    let secrets = Secrets {
        identity,
        id: format!("{:016x}", fastrand::u64(..)),
    };
    let world = Arc::new(World {
        dice: Dice {
            bytes: dice,
            at: AtomicUsize::new(0),
        },
        secrets: secrets.clone(),
        hosts: Mutex::default(),
        led_inside: AtomicUsize::new(0),
    });
    let server = || {
        let world = world.clone();
        Scripted::start(move |head| world.answer(head))
    };
    let servers = [
        server().await,
        server().await,
        server().await,
        server().await,
    ];
    let hosts = hosts(place, &servers);
    let registry: oci::Registry = hosts.home.parse().unwrap();
    *world.hosts.lock().unwrap() = hosts;
    let profiles = MemoryProfiles::default();
    let (client, names) = client(place, &registry, (&secrets, &profiles));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish();
    let shown = {
        let _guard = tracing::subscriber::set_default(subscriber);
        everything(&client, &registry.repository("app").unwrap(), &world).await
    };
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for told in [&shown, &log, &format!("{client:?} {:?}", client.traffic())] {
        assert_eq!(secrets.shown_in(told), (false, false), "{told}");
    }
    client.close(PATIENCE).await;
    let kept = profiles.load(&host(&registry)).await;
    for it in &kept {
        assert_eq!(secrets.shown_in(&it.value), (false, false));
    }
    drop(names);
    let mut seen = judge(&secrets, place, &servers);
    seen.kept = kept.len();
    seen.led_inside = world.led_inside.load(Relaxed);
    seen.private_refused = shown.matches("whose address is private").count();
    seen
}

fn client(
    place: Place,
    registry: &oci::Registry,
    (secrets, profiles): (&Secrets, &MemoryProfiles),
) -> (Client, Dns) {
    let names = Dns {
        place,
        asked: Arc::default(),
    };
    let store = CredentialStore::new().with(registry.clone(), secrets.credentials());
    let mut header = HeaderValue::try_from(secrets.header()).unwrap();
    header.set_sensitive(true);
    let headers = HeaderMap::from_iter([("x-meta".parse().unwrap(), header)]);
    let limit = Duration::from_secs(5);
    let client = Client::builder();
    let client = if SET_UP.is_plain() {
        client.plain_http(registry.clone())
    } else {
        speaking(client).https(registry.clone())
    };
    let client = client
        .credentials(store)
        .profiles(profiles.clone())
        .registry_headers(headers)
        .retry(RetryPolicy::never())
        .timeouts(Timeouts::default().with_idle(limit))
        .resolver(names.clone())
        .build()
        .unwrap();
    (client, names)
}

/// Everything the client can be asked for, and all that it says of it.
async fn everything(client: &Client, here: &Repository, world: &World) -> String {
    let mut said = String::new();
    let target = client.push_target(here);
    let reader = client.repository(here);
    let (layer, content) = blob(1, 3000);
    let source = Blobs::one(&layer, &content);
    let sibling = here.registry().repository("base").unwrap();
    let latest = TagOrDigest::Tag(oci::Tag::latest());
    for _ in 0..2 {
        let _ = write!(said, "{:?}", chain(client.log_in(here.registry()).await));
        let _ = write!(said, "{:?}", chain(target.has_blob(&layer).await));
        let _ = write!(said, "{:?}", chain(reader.tags().await));
        let _ = write!(
            said,
            "{:?}",
            chain(target.mount_blob(&layer, &sibling).await.map(drop))
        );
        let uploaded = target.upload_blob(upload(&layer, &source)).await;
        let _ = write!(said, "{:?}", chain(uploaded));
        let _ = write!(
            said,
            "{:?}",
            chain(reader.manifest(&latest).await.map(drop))
        );
        let put = target.put_manifest(&manifest(&[]), None).await;
        let _ = write!(said, "{:?}", chain(put));
        // A session as a journal might have kept it.
        let kept = UploadSession::new(world.somewhere());
        let _ = write!(
            said,
            "{:?}",
            chain(target.session_status(&kept).await.map(drop))
        );
        let _ = write!(said, "{:?}", chain(target.cancel_session(kept).await));
    }
    client.close(PATIENCE).await;
    said
}

/// A result with all causes, in both forms.
fn chain<T: std::fmt::Debug>(result: Result<T, oci::TargetError>) -> Vec<String> {
    let error = match result {
        Ok(value) => return vec![format!("{value:?}")],
        Err(error) => error,
    };
    let mut causes = vec![format!("{error} {error:?} {:?}", error.answer())];
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        causes.push(format!("{cause} {cause:?}"));
        next = cause.source();
    }
    causes
}

/// Whether what arrived where was allowed to.
fn judge(secrets: &Secrets, place: Place, servers: &[Scripted; 4]) -> Seen {
    let [home, tokens, foreign, inside] = servers;
    let (own, shared) = secrets.shown_in(&(home.heads() + &home.bodies().concat()));
    let mut seen = Seen {
        at_home: usize::from(own || shared),
        ..Seen::default()
    };
    for head in tokens.heads().split("\r\n\r\n") {
        let (own, shared) = secrets.shown_in(head);
        assert!(
            !own,
            "the token service saw what is the registry's own: {head}"
        );
        let asks = head
            .split(' ')
            .nth(1)
            .is_some_and(|path| path.starts_with("/token"));
        assert!(
            asks || !shared,
            "credentials went beside the token service: {head}"
        );
        seen.at_tokens += usize::from(shared);
    }
    let (own, shared) = secrets.shown_in(&tokens.bodies().concat());
    assert!(!own);
    seen.at_tokens += usize::from(shared);
    for server in [foreign, inside] {
        let all = server.heads() + &server.bodies().concat();
        assert_eq!(secrets.shown_in(&all), (false, false), "{all}");
    }
    seen.foreign_requests = foreign.lines().len();
    if place == Place::Public {
        let touched = inside.first_bytes().len() + inside.lines().len();
        assert_eq!(
            touched,
            0,
            "a private address was connected to: {}",
            inside.heads()
        );
    }
    seen
}

/// 400 cases; what they came to is asserted too, since a world in which nothing happens proves
/// nothing.
#[test]
fn n6_secrets_are_seen_at_their_origins_only_wherever_answers_lead() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let total = std::cell::RefCell::new(Seen::default());
    let places = prop_oneof![
        Just(Place::Public),
        Just(Place::Internal),
        Just(Place::Local)
    ];
    let dice = proptest::collection::vec(any::<u8>(), 60..300);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    };
    proptest!(config, |(place in places, identity in any::<bool>(), dice in dice)| {
        let seen = runtime.block_on(case(place, identity, dice));
        let mut total = total.borrow_mut();
        total.at_home += seen.at_home;
        total.at_tokens += seen.at_tokens;
        total.foreign_requests += seen.foreign_requests;
        total.led_inside += seen.led_inside;
        total.private_refused += seen.private_refused;
        total.kept += seen.kept;
    });
    let total = total.into_inner();
    let counts = [
        total.at_home,
        total.at_tokens,
        total.foreign_requests,
        total.led_inside,
        total.private_refused,
        total.kept,
    ];
    assert!(counts.iter().all(|count| *count >= 40), "{total:?}");
}

/// A registry in a private network, known by a name, may lead to its neighbours; one on the internet
/// may not, and says so.
#[tokio::test]
async fn n6_a_public_registry_leads_to_no_private_address_and_an_internal_one_does() {
    for (place, host, expected) in [
        (Place::Public, "127.0.0.1", Some(TargetErrorKind::Unsafe)),
        (Place::Public, "localhost", Some(TargetErrorKind::Unsafe)),
        (
            Place::Public,
            "inside.foreign.example",
            Some(TargetErrorKind::Unsafe),
        ),
        (Place::Public, "foreign.example", None),
        (Place::Internal, "inside.foreign.example", None),
        (Place::Internal, "127.0.0.1", None),
    ] {
        let inside = Scripted::start(|_| reply("201 Created", "")).await;
        let port = inside.registry().port().unwrap();
        let to = format!("{}://{host}:{port}/u/1", SET_UP.scheme());
        let home =
            Scripted::start(move |_| reply(&format!("202 Accepted\r\nLocation: {to}"), "")).await;
        let name = format!("registry.example:{}", home.registry().port().unwrap());
        let registry: oci::Registry = name.parse().unwrap();
        let secrets = Secrets {
            identity: false,
            id: "1".to_owned(),
        };
        let kept = MemoryProfiles::default();
        let (client, names) = client(place, &registry, (&secrets, &kept));
        let target = client.push_target(&registry.repository("app").unwrap());
        let (layer, content) = blob(1, 3000);
        let source = Blobs::one(&layer, &content);
        let result = target.upload_blob(upload(&layer, &source)).await;
        let kind = result.as_ref().err().map(|error| error.kind().clone());
        assert_eq!(kind, expected, "{place:?} {host}: {result:?}");
        let connections = usize::from(expected.is_none());
        assert_eq!(inside.first_bytes().len(), connections, "{place:?} {host}");
        if let Err(error) = result {
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("whose address is private"), "{cause}");
        }
        assert!(
            names
                .asked
                .lock()
                .unwrap()
                .iter()
                .all(|it| it != "127.0.0.1")
        );
    }
}
