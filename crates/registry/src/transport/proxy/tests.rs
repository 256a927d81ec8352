//! Which hosts are spoken to through which proxy.

use super::*;

fn through(proxies: &Proxies, url: &str) -> Option<String> {
    let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
    proxies.of(&origin).map(|it| it.origin.to_string())
}

#[test]
fn each_scheme_has_its_proxy_and_this_machine_has_none() {
    let proxies = Proxies::none().for_https("secure.test:3128").unwrap();
    assert_eq!(through(&proxies, "http://r.test"), None);
    let proxies = proxies.for_http("https://plain.test").unwrap();
    let secure = Some("http://secure.test:3128".to_owned());
    assert_eq!(through(&proxies, "https://r.test"), secure);
    assert_eq!(
        through(&proxies, "http://r.test"),
        Some("https://plain.test".to_owned())
    );
    assert_eq!(through(&proxies, "https://10.0.0.1"), secure);
    for here in [
        "https://localhost:5000",
        "https://a.localhost",
        "https://127.0.0.1",
        "https://127.1.2.3:5000",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "http://0.0.0.0",
    ] {
        assert_eq!(through(&proxies, here), None, "{here}");
    }
}

#[test]
fn exceptions_are_names_addresses_and_blocks_of_them() {
    let cases: [(&str, &[&str], &[&str]); 11] = [
        (
            "r.test",
            &["r.test", "r.test:5000", "a.r.test", "R.TEST."],
            &["ar.test", "test", "r.test.com"],
        ),
        (
            ".r.test",
            &["a.r.test", "b.a.r.test"],
            &["r.test", "ar.test"],
        ),
        ("*.r.test", &["a.r.test"], &["r.test"]),
        (
            "r.test:5000",
            &["r.test:5000", "a.r.test:5000"],
            &["r.test"],
        ),
        ("10.1.2.3", &["10.1.2.3", "10.1.2.3:5000"], &["10.1.2.4"]),
        ("10.1.2.3:5000", &["10.1.2.3:5000"], &["10.1.2.3"]),
        (
            "10.0.0.0/8, 192.168.1.0/25",
            &["10.255.0.1", "192.168.1.127", "[::ffff:10.0.0.1]"],
            &["11.0.0.1", "192.168.1.128", "ten.test"],
        ),
        ("0.0.0.0/0", &["8.8.8.8"], &["[2001:4860::1]", "r.test"]),
        (
            "fd00::/8,[2001:db8::1]:5000",
            &["[fd12::1]", "[2001:db8::1]:5000"],
            &["[fe00::1]", "[2001:db8::1]"],
        ),
        ("*", &["r.test", "10.0.0.1"], &[]),
        (
            ",,10.0.0.0/33,r*.test,a:b,/8, one.test two.test",
            &["one.test", "two.test"],
            &["r1.test", "10.0.0.1", "a"],
        ),
    ];
    for (list, without, with) in cases {
        let proxies = Proxies::none().for_https("p.test").unwrap().except(list);
        for host in without {
            let url = format!("https://{host}");
            assert_eq!(through(&proxies, &url), None, "{host} in {list}");
        }
        for host in with {
            let url = format!("https://{host}");
            assert!(through(&proxies, &url).is_some(), "{host} not in {list}");
        }
    }
}

#[test]
fn a_registry_of_its_own_proxy_has_that_one_whatever_else_is_said() {
    let registry = |name: &str| name.parse::<Registry>().unwrap();
    let proxies = Proxies::none()
        .for_https("p.test")
        .unwrap()
        .except("own.test")
        .for_registry(&registry("own.test"), Some("http://its.test:1"))
        .unwrap()
        .for_registry(&registry("direct.test:5000"), None)
        .unwrap();
    let its = Some("http://its.test:1".to_owned());
    assert_eq!(through(&proxies, "https://own.test"), its);
    assert_eq!(proxies.shown(&registry("own.test"), true), its);
    assert_eq!(through(&proxies, "https://direct.test:5000"), None);
    assert!(through(&proxies, "https://direct.test").is_some());
}

#[test]
fn a_proxy_is_a_url_and_its_password_shows_nowhere() {
    let url = "http://user:can%40ary@p.test:3128";
    let proxies = Proxies::none().for_https(url).unwrap();
    let origin = Origin::of(&Url::parse("https://r.test").unwrap()).unwrap();
    let proxy = proxies.of(&origin).unwrap();
    let sent = proxy.authorization.as_ref().unwrap();
    let expected = format!("Basic {}", STANDARD.encode("user:can@ary"));
    assert_eq!(sent.to_str().unwrap(), expected);
    let shown = format!("{proxies:?} {sent:?} {}", proxy.url);
    assert!(
        !shown.contains("ary") && !shown.contains("Basic"),
        "{shown}"
    );

    let error = |url: &str| Proxies::none().for_https(url).unwrap_err();
    assert_eq!(error(""), ProxyError::Malformed);
    assert_eq!(error("http://"), ProxyError::Malformed);
    assert_eq!(error("ftp://p.test"), ProxyError::Scheme("ftp".into()));
}
