//! What registries.conf says.

use std::fs;

use super::Home;
use crate::routes::*;

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
