//! The rules as tables.

use super::*;

fn origin(url: &str) -> Origin {
    Origin::of(&Url::parse(url).unwrap()).unwrap()
}

fn follow_from(base: &str, location: &str) -> Result<String, LocationError> {
    let base = Url::parse(base).unwrap();
    let registry = Origin::of(&base).unwrap();
    follow(&base, location, &registry).map(|url| url.to_string())
}

#[test]
fn relative_and_absolute_locations_are_resolved_against_the_request() {
    let base = "https://r.test/v2/app/blobs/uploads/";
    let cases = [
        (
            "/v2/app/blobs/uploads/1?_state=a%2Fb",
            "https://r.test/v2/app/blobs/uploads/1?_state=a%2Fb",
        ),
        ("1?x=y", "https://r.test/v2/app/blobs/uploads/1?x=y"),
        ("https://other.test/u/1#frag", "https://other.test/u/1"),
        ("//other.test/u/1", "https://other.test/u/1"),
    ];
    for (location, expected) in cases {
        assert_eq!(follow_from(base, location).as_deref(), Ok(expected));
    }
}

#[test]
fn a_downgrade_to_plain_http_is_refused() {
    let wrong = follow_from("https://r.test/v2/", "http://r.test/v2/x");
    assert!(
        matches!(wrong, Err(LocationError::Downgrade(_))),
        "{wrong:?}"
    );
    // A registry that is spoken to in plain HTTP has nothing to lose.
    assert!(follow_from("http://r.test:5000/v2/", "http://other.test/x").is_ok());
}

#[test]
fn back_to_a_plain_http_registry_is_no_downgrade() {
    let registry = origin("http://127.0.0.1:5000");
    let base = Url::parse("https://127.0.0.1:5443/x").unwrap();
    assert!(follow(&base, "http://127.0.0.1:5000/y", &registry).is_ok());
}

#[test]
fn hosts_that_say_themselves_that_they_are_private_are_known() {
    let private = [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "[::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        // Other spellings of loopback that a URL parser makes the same.
        "2130706433",
        "0x7f.1",
        "127.1",
    ];
    for host in private {
        assert!(origin(&format!("https://{host}/x")).is_private(), "{host}");
    }
    for host in ["r.test", "9.9.9.9", "localhost.test", "[2620:fe::fe]"] {
        assert!(!origin(&format!("https://{host}/x")).is_private(), "{host}");
    }
    assert!(origin("https://9.9.9.9").is_address() && origin("https://[::1]").is_address());
    assert!(!origin("https://r.test").is_address());
}

#[test]
fn what_is_no_web_address_is_refused() {
    let base = "https://r.test/v2/";
    assert!(matches!(
        follow_from(base, "file:///etc/passwd"),
        Err(LocationError::Scheme(_))
    ));
    assert!(matches!(
        follow_from(base, "ftp://r.test/x"),
        Err(LocationError::Scheme(_))
    ));
    assert!(matches!(
        follow_from(base, "https://u:p@r.test/x"),
        Err(LocationError::UserInfo(_))
    ));
    assert!(matches!(
        follow_from(base, "https://[::1/x"),
        Err(LocationError::Malformed)
    ));
}

#[test]
fn a_realm_is_absolute_and_no_less_safe_than_its_registry() {
    let safe = origin("https://r.test");
    assert!(realm("https://auth.r.test/token?a=b", &safe).is_ok());
    assert!(matches!(
        realm("/token", &safe),
        Err(LocationError::Malformed)
    ));
    assert!(matches!(
        realm("http://r.test/token", &safe),
        Err(LocationError::Downgrade(_))
    ));
    assert!(
        realm(
            "http://127.0.0.1:5001/token",
            &origin("http://127.0.0.1:5000")
        )
        .is_ok()
    );
}

#[test]
fn credentials_stay_in_the_registrys_domain() {
    let cases = [
        (
            "https://auth.docker.io/token",
            "https://registry-1.docker.io",
            true,
        ),
        (
            "https://gitlab.com/jwt/auth",
            "https://registry.gitlab.com",
            true,
        ),
        ("https://ghcr.io/token", "https://ghcr.io", true),
        ("http://127.0.0.1:1/token", "http://127.0.0.1:2", true),
        (
            "https://evil.test/token",
            "https://registry.gitlab.com",
            false,
        ),
        (
            "https://docker.io.evil.test/token",
            "https://docker.io",
            false,
        ),
        ("https://evil.co.uk/token", "https://registry.co.uk", false),
        (
            "https://auth.corp.co.uk/token",
            "https://registry.corp.co.uk",
            true,
        ),
        ("http://127.0.0.2/token", "http://127.0.0.1", false),
        ("https://io/token", "https://docker.io", false),
    ];
    shared(&cases);
}

#[test]
fn credentials_stay_with_one_tenant_of_a_platform() {
    let cases = [
        // Hosts of one platform, and of two of its tenants.
        ("https://b.github.io/token", "https://a.github.io", false),
        (
            "https://b.cloudfront.net/t",
            "https://a.cloudfront.net",
            false,
        ),
        (
            "https://b.azurecr.io/oauth2/t",
            "https://a.azurecr.io",
            false,
        ),
        ("https://b.jfrog.io/token", "https://a.jfrog.io", false),
        (
            "https://b.herokuapp.com/t",
            "https://a.herokuapp.com",
            false,
        ),
        (
            "https://a.6.6.6.6.nip.io/t",
            "https://r.10.0.0.1.nip.io",
            false,
        ),
        (
            "https://a.evil.svc.cluster.local/t",
            "https://r.ci.svc.cluster.local",
            false,
        ),
    ];
    shared(&cases);
}

#[test]
fn registries_as_they_are_keep_their_token_services() {
    let cases = [
        (
            "https://a.azurecr.io/oauth2/token",
            "https://a.azurecr.io",
            true,
        ),
        ("https://a.jfrog.io/v2/token", "https://a.jfrog.io", true),
        ("https://quay.io/v2/auth", "https://quay.io", true),
        ("https://nvcr.io/proxy_auth", "https://nvcr.io", true),
        ("https://gcr.io/v2/token", "https://gcr.io", true),
        (
            "https://docker-auth.elastic.co/auth",
            "https://docker.elastic.co",
            true,
        ),
        (
            "https://api.digitalocean.com/v2/registry/auth",
            "https://registry.digitalocean.com",
            true,
        ),
        (
            "https://dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://registry.cn-hangzhou.aliyuncs.com",
            true,
        ),
        (
            "https://auth.corp.local/token",
            "https://registry.corp.local",
            true,
        ),
    ];
    shared(&cases);
}

/// Token service, registry, and whether the one may have the credentials of the other.
fn shared(cases: &[(&str, &str, bool)]) {
    for &(realm, registry, expected) in cases {
        let url = Url::parse(realm).unwrap();
        assert_eq!(
            shares_credentials(&url, &origin(registry)),
            expected,
            "{realm} {registry}"
        );
    }
}
