//! Which file says what of a name, and what comes of it.

use super::*;
use home::{Home, shown};

mod containerd;
mod home;
mod registries_conf;

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
