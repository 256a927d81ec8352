//! Which file says what of a name, and what comes of it.

use std::fs;

use oci::reference::Scheme;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::*;

/// A home directory, and what is in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(".config").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn settings(self, text: &str) -> Self {
        self.with("longshore/config.toml", text)
    }

    /// Never empty: the user's own file keeps the machine's away.
    fn conf(self, text: &str) -> Self {
        self.with("containers/registries.conf", text)
    }

    fn hosts(self, directory: &str, text: &str) -> Self {
        self.with(&format!("containerd/certs.d/{directory}/hosts.toml"), text)
    }

    fn environment(&self) -> Environment {
        let config = self.0.path().join(".config/longshore/config.toml");
        Environment {
            home: Some(self.0.path().to_owned()),
            config: config.exists().then_some(config),
            ..Environment::default()
        }
    }

    fn routes(&self) -> Result<Routes, RouteError> {
        let has_conf = self.0.path().join(".config/containers/registries.conf");
        if !has_conf.exists() {
            fs::create_dir_all(has_conf.parent().unwrap()).unwrap();
            fs::write(&has_conf, "").unwrap();
        }
        let mut routes = Routes::read(&self.environment())?;
        // The machine's own are nobody's business here.
        routes.containerd.retain(|it| it.starts_with(self.0.path()));
        Ok(routes)
    }

    fn route(&self, name: &str, purpose: Purpose) -> Result<Route, RouteError> {
        self.routes()?.of_reference(&name.parse().unwrap(), purpose)
    }

    /// The ways of a push, as text.
    fn pushes(&self, name: &str) -> Vec<String> {
        shown(&self.route(name, Purpose::Push).unwrap())
    }

    fn reads(&self, name: &str) -> Vec<String> {
        shown(&self.route(name, Purpose::Read).unwrap())
    }

    fn refused(&self, name: &str) -> String {
        let error = self.route(name, Purpose::Push).unwrap_err();
        let because = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {}", because.unwrap_or_default())
    }
}

/// `https://host/api repository`, the scheme only where it was decided.
fn shown(route: &Route) -> Vec<String> {
    let one = |way: &Way| {
        let scheme = way.scheme().map_or("", Scheme::as_str);
        let repository = way.repository().unwrap();
        let path = way.endpoint.api_path.as_deref().unwrap_or_default();
        let checked = if way.tls.is_checked() {
            ""
        } else {
            " unchecked"
        };
        format!("{scheme}:{repository}{checked} {path}")
            .trim_end()
            .to_owned()
    };
    route.ways.iter().map(one).collect()
}

#[test]
fn without_files_a_name_is_where_it_says() {
    let home = Home::new();
    assert_eq!(home.pushes("r.test/team/app"), [":r.test/team/app"]);
    assert_eq!(home.pushes("app"), [":docker.io/library/app"]);
    assert_eq!(home.pushes("http://r.test/app"), ["http:r.test/app"]);
}

#[test]
fn r4_endpoints_of_the_settings_are_in_their_order_and_rewrites_anchored() {
    let home = Home::new().settings(
        r#"
        [registry."r.test"]
        endpoint = ["https://a.test:5000", "http://b.test/odd", "https://c.test/v2/cache"]
        rewrite = [
            { from = "team/deep", to = "deep" },
            { from = "team/", to = "lab/team" },
            { from = "gone", to = "" },
        ]
        [registry."other.test"]
        rewrite = [{ from = "", to = "all" }]
        "#,
    );
    let expected = |path: &str| {
        [
            format!("https:a.test:5000/{path}"),
            format!("http:b.test/{path} /odd/v2"),
            format!("https:c.test/cache/{path}"),
        ]
    };
    for (named, path) in [
        ("team/deep/app", "deep/app"),
        ("team/deeper/app", "lab/team/deeper/app"),
        ("team/app", "lab/team/app"),
        ("team", "lab/team"),
        // Neither in the middle nor by half a part.
        ("x/team/app", "x/team/app"),
        ("teams/app", "teams/app"),
        ("gone/app", "app"),
    ] {
        for _ in 0..3 {
            assert_eq!(home.pushes(&format!("r.test/{named}")), expected(path));
        }
    }
    assert_eq!(home.pushes("other.test/app"), [":other.test/all/app"]);
    assert_eq!(home.pushes("r.test:5000/team"), [":r.test:5000/team"]);
    assert!(home.refused("r.test/gone").contains("has no name left"));
}

#[test]
fn r4_a_sibling_is_where_its_own_rule_has_it() {
    let home = Home::new().settings(
        r#"
        [registry."r.test"]
        endpoint = "https://a.test"
        rewrite = [{ from = "base", to = "mirror/base" }, { from = "", to = "lab" }]
        "#,
    );
    let routes = home.routes().unwrap();
    let to: Reference = "r.test/team/app".parse().unwrap();
    let route = routes.of_reference(&to, Purpose::Push).unwrap();
    let sibling = |name: &str| {
        let named = name.parse().unwrap();
        routes.sibling(&named, &route.ways[0]).to_string()
    };
    assert_eq!(shown(&route), ["https:a.test/lab/team/app"]);
    assert_eq!(sibling("r.test/base/x"), "a.test/mirror/base/x");
    assert_eq!(sibling("r.test/team/x"), "a.test/lab/team/x");
    // Named as it is there.
    assert_eq!(sibling("a.test/lab/x"), "a.test/lab/x");
    assert_eq!(sibling("elsewhere.test/x"), "elsewhere.test/x");
}

const CONF: &str = r#"
    unqualified-search-registries = ["r.test"]
    short-name-mode = "enforcing"
    [aliases]
    "app" = "r.test/app"

    [[registry]]
    location = "r.test"
    insecure = true
    [[registry]]
    prefix = "r.test/team"
    location = "in.test:5000/mirror"
    [[registry]]
    prefix = "r.test/team/deep"
    location = "deep.test"
    mirror-by-digest-only = true
    [[registry.mirror]]
    location = "mirror.test/deep"
    pull-from-mirror = "digest-only"
    [[registry]]
    prefix = "*.wild.test"
    location = "in.test/wild"
    [[registry]]
    prefix = "docker.io/library"
    location = "in.test/hub"
    [[registry]]
    location = "no.test"
    blocked = true
    [[registry]]
    location = "no.test/but/this"
"#;

#[test]
fn r4_locations_are_for_reading_and_for_pushes_only_where_it_is_said_so() {
    let home = Home::new().conf(CONF);
    let cases = [
        ("r.test/team/app", "in.test:5000/mirror/app"),
        ("r.test/team", "in.test:5000/mirror"),
        // The longest prefix, by whole parts.
        ("r.test/team/deep/app", "deep.test/app"),
        ("r.test/team/deeper", "in.test:5000/mirror/deeper"),
        ("a.wild.test/app", "in.test/wild/app"),
        ("a.b.wild.test/app", "in.test/wild/app"),
        ("app", "in.test/hub/app"),
    ];
    let told = Home::new().conf(CONF).settings("push-to-locations = true");
    for (named, at) in cases {
        let there = [format!(":{at}")];
        assert_eq!(home.reads(named), there);
        assert_eq!(told.pushes(named), there);
        let here = named.parse::<Reference>().unwrap();
        assert_eq!(home.pushes(named), [format!(":{}", here.repository())]);
    }
    for named in [
        "wild.test/app",
        "notwild.test/app",
        "r.test:5000/team/app",
        "docker.io/other/app",
    ] {
        assert_eq!(home.reads(named), [format!(":{named}")]);
    }
    let route = home.route("r.test/team/deep/app", Purpose::Push).unwrap();
    assert!(
        route.notes[0].contains("deep.test/app is where"),
        "{:?}",
        route.notes
    );
    assert_eq!(route.notes[1], "mirror mirror.test/deep is for pulls alone");
    assert_eq!(home.routes().unwrap().warnings(), [] as [String; 0]);
}

#[test]
fn what_is_insecure_is_tried_over_tls_first() {
    let home = Home::new().conf(CONF);
    let both = ["https:r.test/app unchecked", "http:r.test/app"];
    assert_eq!(home.pushes("r.test/app"), both);
    assert_eq!(home.reads("r.test/app"), both);
    // A scheme that was written is the one.
    assert_eq!(home.pushes("http://r.test/app"), ["http:r.test/app"]);
    assert_eq!(
        home.pushes("https://r.test/app"),
        ["https:r.test/app unchecked"]
    );
}

#[test]
fn what_is_blocked_is_blocked_by_its_file_and_prefix_whatever_else_is_said() {
    let home = Home::new()
        .conf(CONF)
        .settings("[registry.\"r.test\"]\nendpoint = \"https://no.test:5000\"\n[registry.\"no.test\"]\nendpoint = \"https://in.test\"")
        .hosts("no.test", "server = \"https://in.test\"");
    for name in [
        "no.test/app",
        "no.test:5000/app",
        "https://no.test/app",
        "r.test/app",
    ] {
        let told = home.refused(name);
        assert!(
            told.contains("is blocked: ")
                && told.contains("registries.conf says so of \"no.test\""),
            "{told}"
        );
        assert!(home.route(name, Purpose::Read).is_err());
    }
    // A longer prefix decides.
    assert_eq!(home.pushes("no.test/but/this"), ["https:in.test/but/this"]);
}

#[test]
fn drop_ins_are_read_by_name_after_the_file_and_the_last_counts() {
    let rule =
        |location: &str| format!("[[registry]]\nprefix = \"r.test\"\nlocation = \"{location}\"\n");
    let home = Home::new()
        .conf(&rule("first.test"))
        .with("containers/registries.conf.d/20-b.conf", &rule("b.test"))
        .with("containers/registries.conf.d/10-a.conf", &rule("a.test"))
        .with(
            "containers/registries.conf.d/30-c.conf.off",
            &rule("c.test"),
        )
        .with(
            "containers/registries.conf.d/15-x.conf",
            "[[registry]]\nlocation = \"x.test\"\nblocked = true\n",
        );
    assert_eq!(home.reads("r.test/app"), [":b.test/app"]);
    assert!(home.refused("x.test/app").contains("15-x.conf says so"));

    // A file that is named takes the place of the user's own, and is there or is an error.
    let named = home.0.path().join("named.conf");
    let environment = Environment {
        registries_conf: Some(named.clone()),
        ..home.environment()
    };
    assert!(
        matches!(Routes::read(&environment), Err(RouteError::Read { path, .. }) if path == named)
    );
    fs::write(
        &named,
        "[[registry]]\nlocation = \"y.test\"\nblocked = true\n",
    )
    .unwrap();
    let routes = Routes::read(&environment).unwrap();
    let blocked = |name: &str| {
        routes
            .of_reference(&name.parse().unwrap(), Purpose::Push)
            .is_err()
    };
    assert!(blocked("y.test/app") && blocked("x.test/app"));
}

#[test]
fn a_file_that_cannot_be_meant_is_an_error_with_its_reason() {
    for (conf, told) in [
        (
            "[registries.insecure]\nregistries = [\"r.test\"]",
            "is of version 1",
        ),
        ("[[registry]]\nprefix = \"r.test\"", "it has no `location`"),
        (
            "[[registry]]\nblocked = true",
            "neither `prefix` nor `location`",
        ),
        (
            "[[registry]]\nlocation = \"https://r.test\"",
            "has a scheme",
        ),
        (
            "[[registry]]\nprefix = \"a.*.test\"\nlocation = \"x.test\"",
            "is no host",
        ),
        (
            "[[registry]]\nprefix = \"*.r.test/a\"",
            "first part of a host alone",
        ),
        ("[[registry]]\nlocation = 1", "is malformed"),
    ] {
        let home = Home::new().conf(conf);
        let error = home.routes().unwrap_err().to_string();
        assert!(
            error.contains(told) && error.contains("registries.conf"),
            "{error}"
        );
    }
    // What a search says is nobody's business here; what is not known is told.
    let odd = "[registries.search]\nregistries = [\"r.test\"]\n[[registry]]\nlocation = \"r.test\"\nnew-key = 1\n[[registry]]\nprefix = \"r.test/app:1\"\nlocation = \"x.test\"\n[[registry]]\nlocation = \"r.test\"\nblocked = true";
    let home = Home::new().conf(odd);
    assert_eq!(home.pushes("r.test/app"), [":r.test/app"]);
    let warnings = home.routes().unwrap().warnings().join("\n");
    for told in ["\"new-key\"", "one tag or digest", "stands there twice"] {
        assert!(warnings.contains(told), "{warnings}");
    }
}

#[test]
fn hosts_that_take_pushes_are_those_of_hosts_toml_in_its_order_and_then_the_server() {
    let home = Home::new().hosts(
        "r.test_5000_",
        r#"
        server = "https://server.test"
        [host."https://z.test/v2/cache"]
        override_path = true
        [host."http://mirror.test"]
        capabilities = ["pull", "resolve"]
        [host."https://a.test/odd/api"]
        capabilities = ["push"]
        override_path = true
        skip_verify = true
        dial_timeout = "1m0.5s"
        header = { X-One = "1", X-Two = ["2", "3"] }
        "#,
    );
    let route = home.route("r.test:5000/app", Purpose::Push).unwrap();
    let expected = [
        "https:z.test/cache/app",
        "https:a.test/app unchecked /odd/api",
        "https:server.test/app",
    ];
    assert_eq!(shown(&route), expected);
    let odd = &route.ways[1];
    assert_eq!(
        odd.dial_timeout,
        Some(std::time::Duration::from_millis(60_500))
    );
    let headers: Vec<_> = odd
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(headers, [("X-One", "1"), ("X-Two", "2"), ("X-Two", "3")]);
    assert!(
        !format!("{odd:?}").contains("\"2\""),
        "a header may be a secret"
    );
    assert!(
        route.notes[0].contains("http://mirror.test/v2/ is not for pushes"),
        "{:?}",
        route.notes
    );
    // Reading needs what mirrors have too, and is not from mirrors.
    assert_eq!(
        home.reads("r.test:5000/app"),
        ["https:z.test/cache/app", "https:server.test/app"]
    );
    assert_eq!(home.pushes("r.test/app"), [":r.test/app"]);
}

#[test]
fn a_hosts_directory_is_the_first_there_is_and_the_default_is_for_all_others() {
    let server = |name: &str| format!("server = \"{name}\"");
    let home = Home::new()
        .hosts("r.test_5000_", &server("one.test"))
        .hosts("r.test:5000", &server("two.test"))
        .hosts("s.test:5000", &server("three.test/v2/"))
        .hosts("_default", "[host.\"four.test\"]\n")
        .hosts("empty.test", "");
    assert_eq!(home.pushes("r.test:5000/app"), ["https:one.test/app"]);
    assert_eq!(home.pushes("s.test:5000/app"), ["https:three.test/app"]);
    // A server that is not named is the registry itself.
    assert_eq!(
        home.pushes("t.test/app"),
        ["https:four.test/app", ":t.test/app"]
    );
    assert_eq!(home.pushes("empty.test/app"), [":empty.test/app"]);
    // A place of the user's choice is looked into alone.
    let elsewhere = home.0.path().join("elsewhere");
    let home = home.settings(&format!("containerd-certs-d = [{elsewhere:?}]"));
    assert_eq!(home.pushes("r.test:5000/app"), [":r.test:5000/app"]);
    fs::create_dir_all(elsewhere.join("r.test:5000")).unwrap();
    fs::write(
        elsewhere.join("r.test:5000/hosts.toml"),
        server("five.test"),
    )
    .unwrap();
    let routes = Routes::read(&home.environment()).unwrap();
    let route = routes
        .of_reference(&"r.test:5000/app".parse().unwrap(), Purpose::Push)
        .unwrap();
    assert_eq!(shown(&route), ["https:five.test/app"]);
}

#[test]
fn what_containerd_does_not_know_is_told_of_and_what_it_refuses_is_an_error() {
    let odd = "server = \"in.test\"\nnew = 1\n[host.\"a.test\"]\nfuture = true\n";
    let home = Home::new().hosts("r.test", odd);
    let route = home.route("r.test/app", Purpose::Push).unwrap();
    let told = route.warnings.join("\n");
    assert!(
        told.contains("\"future\" of a.test") && told.contains("\"new\" of in.test"),
        "{told}"
    );
    for (text, told) in [
        (
            "server = \"in.test\"\ncapabilities = [\"pull\"]",
            "none has the capability \"push\"",
        ),
        (
            "[host.\"a.test\"]\ncapabilities = [\"fly\"]",
            "\"fly\" is not known",
        ),
        ("[host.\"ftp://a.test\"]", "\"ftp\" is not known"),
        ("[host.\"a.test\"]\nca = 1", "1 is no path"),
        (
            "[host.\"a.test\"]\nclient = [[\"a\"]]",
            "a certificate and a key",
        ),
        (
            "[host.\"a.test\"]\ndial_timeout = \"soon\"",
            "\"soon\" is no time",
        ),
        (
            "[host.\"a.test\"]\nheader = { X = 1 }",
            "\"X\" has a value that is no text",
        ),
        ("[host.\"a.test/../b\"]", "leads upwards"),
        ("[host.\"https://user@a.test\"]", "no user name"),
        ("host = 1", "expected tables"),
        ("[host", "is malformed"),
    ] {
        let text = format!("{text}\n");
        let refused = Home::new().hosts("r.test", &text).refused("r.test/app");
        assert!(
            refused.contains(told) && refused.contains("hosts.toml"),
            "{refused}"
        );
    }
}

#[test]
fn a_malformed_file_is_told_of_without_what_stands_in_it() {
    for text in [
        "header = { X-Key = \"canary\"\n",
        "[host.\"a.test\"]\nheader = { X = \"canary\" }\nskip_verify = \"canary\"\n",
        "[host]\n\"a.test\" = \"canary\"\n",
    ] {
        let home = Home::new().hosts("r.test", text);
        let error = home.route("r.test/app", Purpose::Push).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let told = format!("{error:?} {error} {source:?}");
        assert!(matches!(error, RouteError::Malformed { .. }), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn the_settings_come_before_registries_conf_and_that_before_containerd() {
    let own = "[registry.\"r.test\"]\nendpoint = \"own.test\"\n";
    let containerd = "server = \"containerd.test\"";
    let home = Home::new().hosts("r.test", containerd);
    assert_eq!(home.pushes("r.test/app"), ["https:containerd.test/app"]);
    let home = home.conf("[[registry]]\nlocation = \"r.test\"\ninsecure = true");
    assert_eq!(
        home.pushes("r.test/app"),
        ["https:r.test/app unchecked", "http:r.test/app"]
    );
    let home = home.settings(own);
    assert_eq!(home.pushes("r.test/app"), ["https:own.test/app"]);
    let decided = home
        .route("r.test/app", Purpose::Push)
        .unwrap()
        .decided
        .unwrap();
    assert!(decided.path.ends_with("longshore/config.toml"));
    assert_eq!(decided.rule, "[registry.\"r.test\"]");
}
