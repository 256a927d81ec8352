//! What containerd's directories of hosts say.

use std::fs;

use secrecy::ExposeSecret as _;

use super::{Home, shown};
use crate::routes::*;

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
