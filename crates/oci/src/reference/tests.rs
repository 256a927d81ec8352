//! The grammar of references: tables for what people write.

use super::{Parts, Reference, ReferenceError, Registry, Repository, Scheme, Tag, TagOrDigest};
use crate::Digest;

mod properties;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Reference {
    text.parse().expect(text)
}

/// Registry, path, tag and digest of a text.
fn parts(text: &str) -> (String, String, Option<String>, bool) {
    let it = parse(text);
    (
        it.repository().registry().to_string(),
        it.repository().path().to_owned(),
        it.tag().map(ToString::to_string),
        it.digest().is_some(),
    )
}

fn error(text: &str) -> ReferenceError {
    text.parse::<Reference>().expect_err(text)
}

#[test]
fn json_reads_back_where_the_registry_does_not_look_like_one() {
    for text in [
        "Host/app",
        "Host/app:v1",
        "http://5/app",
        "https://host/app",
    ] {
        let reference: Reference = text.parse().unwrap();
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
        let repository = reference.repository();
        let json = serde_json::to_string(repository).unwrap();
        let again: Repository = serde_json::from_str(&json).unwrap();
        assert_eq!(&again, repository, "{json}");
        assert!(!again.registry().is_docker_hub());
    }
}

#[test]
fn z11_reference_errors_and_readings_are_the_documented_ones() {
    let whole = |registry: &str, path: &str, tag: Option<&str>, digest| {
        (
            registry.to_owned(),
            path.to_owned(),
            tag.map(str::to_owned),
            digest,
        )
    };
    assert_eq!(error(""), ReferenceError::Empty);
    assert_eq!(error("::x"), ReferenceError::Tag(":x".into()));
    assert_eq!(
        error("host:5000/Team/App:1"),
        ReferenceError::UpperCase("Team/App".into())
    );
    assert_eq!(
        error("Alpine"),
        ReferenceError::UpperCase("Alpine".into()),
        "and not a registry of that name"
    );
    assert_eq!(
        error("host:port/r:t"),
        ReferenceError::Registry("host:port".into())
    );
    assert_eq!(
        parts("host:5000/r:t"),
        whole("host:5000", "r", Some("t"), false)
    );
    assert_eq!(
        parts(&format!("r@{DIGEST}")),
        whole("docker.io", "library/r", None, true)
    );
    assert_eq!(
        parts(&format!("h/r:t@{DIGEST}")),
        whole("docker.io", "h/r", Some("t"), true)
    );
    assert_eq!(
        parts(&format!("h:80/r:t@{DIGEST}")),
        whole("h:80", "r", Some("t"), true)
    );
    assert!(matches!(error("r:"), ReferenceError::Tag(text) if text.is_empty()));
    assert!(matches!(error("r@"), ReferenceError::Digest(_)));
}

#[test]
fn z11_a_wrong_reference_says_what_was_expected() {
    for (text, expected) in [
        ("", "the reference is empty"),
        ("::x", "tag \":x\" is malformed"),
        ("h:5000/App", "upper-case"),
        ("h:port/r", "expected host[:port]"),
        ("ftp://h/r", "scheme \"ftp\" is not supported"),
    ] {
        let message = error(text).to_string();
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}

#[test]
fn r1_references_of_the_grammar_are_read_part_by_part() {
    for (text, registry, path, tag) in [
        ("alpine", "docker.io", "library/alpine", None),
        ("alpine:3.20", "docker.io", "library/alpine", Some("3.20")),
        ("team/app", "docker.io", "team/app", None),
        ("docker.io/alpine", "docker.io", "library/alpine", None),
        ("index.docker.io/a/b", "docker.io", "a/b", None),
        ("registry-1.docker.io/a/b", "docker.io", "a/b", None),
        ("docker.io:443/alpine", "docker.io", "library/alpine", None),
        ("docker.io:80/alpine", "docker.io:80", "alpine", None),
        ("localhost/x", "localhost", "x", None),
        ("localhost:5000/x:y", "localhost:5000", "x", Some("y")),
        (
            "localhost:5000",
            "docker.io",
            "library/localhost",
            Some("5000"),
        ),
        ("Host/x", "host", "x", None),
        ("GHCR.io/a/b:Latest", "ghcr.io", "a/b", Some("Latest")),
        ("ghcr.io:443/a/b", "ghcr.io", "a/b", None),
        ("ghcr.io:0443/a/b", "ghcr.io", "a/b", None),
        ("ghcr.io:80/a/b", "ghcr.io:80", "a/b", None),
        ("ghcr.io:65535/a", "ghcr.io:65535", "a", None),
        ("h:05000/a", "h:5000", "a", None),
        ("[::1]:5000/app", "[::1]:5000", "app", None),
        ("[::1]/app:x", "[::1]", "app", Some("x")),
        ("[0:0::0:1]:5000/app", "[::1]:5000", "app", None),
        ("[2001:DB8::A]/app", "[2001:db8::a]", "app", None),
        ("127.0.0.1:443/a", "127.0.0.1:443", "a", None),
        ("localhost:80/a", "localhost:80", "a", None),
        ("my_service:5000/a", "my_service:5000", "a", None),
        ("h.example/a/b/c/d/e:f", "h.example", "a/b/c/d/e", Some("f")),
        (
            "a__b/c-d---e/f.g_h",
            "docker.io",
            "a__b/c-d---e/f.g_h",
            None,
        ),
        ("docker://alpine", "docker.io", "library/alpine", None),
        ("docker://h:5000/a", "h:5000", "a", None),
        ("https://h/a", "h", "a", None),
        ("HTTPS://h:443/a", "h", "a", None),
        ("http://h:80/a", "h", "a", None),
        ("http://registry/team/app", "registry", "team/app", None),
        ("http://localhost:5000/a", "localhost:5000", "a", None),
    ] {
        let expected = (
            registry.to_owned(),
            path.to_owned(),
            tag.map(str::to_owned),
            false,
        );
        assert_eq!(parts(text), expected, "{text}");
    }
    assert_eq!(parse("http://h/a").scheme(), Some(Scheme::Http));
    assert_eq!(parse("https://h/a").scheme(), Some(Scheme::Https));
    assert_eq!(parse("docker://h/a").scheme(), None);
    assert_eq!(parse("h/a").scheme(), None);
}

/// Every one of the texts, divided by ` | `, is refused as `kind` says.
fn refused(texts: &str, kind: fn(&ReferenceError) -> bool) {
    for text in texts.split(" | ") {
        let error = error(text);
        assert!(kind(&error), "{text:?}: {error:?}");
    }
}

#[test]
fn r1_what_is_not_a_registry_is_an_error() {
    let registry: fn(&ReferenceError) -> bool = |it| matches!(it, ReferenceError::Registry(_));
    refused(
        "h:0/a | h:65536/a | h:/a | h:+80/a | h:99999999999/a",
        registry,
    );
    refused(
        "-h.io/a | h-.io/a | h..io/a | h.io./a | .io/a | https:///a",
        registry,
    );
    refused(
        "::1/a | [::1/a | [::g]/a | [::1]x/a | [::1]:x/a | h:1:2/a",
        registry,
    );
    refused(
        "h\u{e9}.io/a | h .io/a | https://h:0/a | h.io\n/a",
        registry,
    );
}

#[test]
fn r1_what_is_not_a_repository_is_an_error() {
    let repository: fn(&ReferenceError) -> bool = |it| matches!(it, ReferenceError::Repository(_));
    refused(
        "h.io/ | h.io/a/ | h.io//a | / | /a | a/ | https://h",
        repository,
    );
    refused(
        "h.io/a..b | h.io/a.-b | h.io/a___b | h.io/-a | h.io/a- | h.io/_a",
        repository,
    );
    refused(
        "h.io/a b | h.io/\u{e9} | h.io/a:1/b | a\n | h.io/a%2f",
        repository,
    );
    refused("h.io/. | h.io/.. | h.io/a/../b", repository);
}

#[test]
fn r1_what_is_not_a_tag_a_digest_or_a_scheme_is_an_error() {
    refused(
        "a: | a:b:c | a:-x | a:.x | a:x y | a:\u{e9} | : | :: | [::1]:5000",
        |it| matches!(it, ReferenceError::Tag(_)),
    );
    refused(
        "a@ | @ | a@b | a@sha256: | a@sha256:AA | a@md5:00 | u:p@h/a",
        |it| matches!(it, ReferenceError::Digest(_)),
    );
    refused("oci://h/a | ://a | file:///a", |it| {
        matches!(it, ReferenceError::Scheme(_))
    });
    refused("https:// | docker://", |it| {
        matches!(it, ReferenceError::Empty)
    });
    refused(&"a1".repeat(32), |it| {
        matches!(it, ReferenceError::ImageId(_))
    });
}

#[test]
fn r1_an_invalid_digest_is_an_error_and_keeps_its_cause() {
    let error = error("h.io/a:1@sha256:12");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("64 lower-case hex digits"), "{cause}");
    assert!(!error.to_string().contains(&cause), "{error} repeats it");
}

#[test]
fn a_password_before_the_host_is_not_printed() {
    let error = error("https://user:hunter2@h.io/a");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_name_takes_255_bytes_and_no_more() {
    let path = "a".repeat(255 - "h.io/".len());
    assert_eq!(parse(&format!("h.io/{path}")).repository().path(), path);
    assert!(matches!(
        error(&format!("h.io/{path}a")),
        ReferenceError::TooLong(_)
    ));
    let host = "h".repeat(300);
    assert!(matches!(
        host.parse::<Registry>(),
        Err(ReferenceError::TooLong(text)) if text.len() == 300
    ));
    assert!(matches!(
        "é".repeat(5000).parse::<Tag>(),
        Err(ReferenceError::Tag(text)) if text.chars().count() == 300
    ));
}

#[test]
fn a_tag_takes_128_characters_and_no_more() {
    assert!("t".repeat(128).parse::<Tag>().is_ok());
    assert!("t".repeat(129).parse::<Tag>().is_err());
}

#[test]
fn a_repository_has_neither_tag_nor_digest_nor_scheme() {
    let it: Repository = "h:5000/a/b".parse().expect("a repository");
    assert_eq!((it.registry().name(), it.path()), ("h:5000", "a/b"));
    for text in ["h/a:1", &format!("h/a@{DIGEST}")] {
        assert!(text.parse::<Repository>().is_err(), "{text}");
    }
    let it: Repository = "http://h:80/a".parse().expect("a repository");
    assert_eq!(
        it.to_string(),
        "h:80/a",
        "the port stays where the scheme goes"
    );
}

#[test]
fn a_repository_of_docker_hub_is_below_library_however_it_is_made() {
    let made = Registry::docker_hub().repository("alpine").expect("a path");
    assert_eq!(made.to_string(), "docker.io/library/alpine");
    assert_eq!(made, *parse("alpine").repository());
}

#[test]
fn a_missing_tag_is_latest_only_when_asked_for_and_without_digest() {
    let latest = Tag::latest();
    assert_eq!(parse("a").tag(), None);
    assert_eq!(parse("a").tag_or_latest(), Some(latest.clone()));
    assert_eq!(parse("a").tag_or_digest(), TagOrDigest::Tag(latest));
    let by_digest = parse(&format!("a:1@{DIGEST}"));
    assert_eq!(by_digest.tag_or_digest().to_string(), DIGEST);
    assert_eq!(parse(&format!("a@{DIGEST}")).tag_or_latest(), None);
}

#[test]
fn a_registry_says_where_its_api_is() {
    let at = |text: &str| text.parse::<Registry>().expect(text);
    assert_eq!(at("docker.io").api_authority(), "registry-1.docker.io");
    assert_eq!(at("h.io:5000").api_authority(), "h.io:5000");
    assert_eq!(
        (at("[::1]:50").host(), at("[::1]:50").port()),
        ("[::1]", Some(50))
    );
    for loopback in [
        "localhost",
        "a.localhost:1",
        "127.0.0.1",
        "127.9.9.9:2",
        "[::1]:3",
    ] {
        assert!(at(loopback).is_loopback(), "{loopback}");
    }
    for other in [
        "localhost.io",
        "xlocalhost",
        "128.0.0.1",
        "[::2]",
        "127.0.0.1.io",
        "0.0.0.0",
    ] {
        assert!(!at(other).is_loopback(), "{other}");
    }
}

#[test]
fn json_keeps_the_scheme_and_reads_escapes_and_streams() {
    let it = parse("http://h:443/a:b");
    let json = serde_json::to_string(&it).expect("json");
    assert_eq!(json, "\"http://h:443/a:b\"");
    assert_eq!(
        serde_json::from_str::<Reference>(&json).expect("a reference"),
        it
    );
    let escaped = r#""h.io\/a:\u0062""#;
    let read: Reference = serde_json::from_reader(escaped.as_bytes()).expect("a reference");
    assert_eq!(read, parse("h.io/a:b"));
    assert!(serde_json::from_str::<Reference>("\"::x\"").is_err());
    assert!(serde_json::from_str::<Reference>("7").is_err());
    let slot: TagOrDigest = serde_json::from_str(&format!("{DIGEST:?}")).expect("a digest");
    assert!(matches!(slot, TagOrDigest::Digest(_)));
}

#[test]
fn r2_registries_agree_in_any_case_by_default_port_and_by_alias() {
    let same = Parts::REGISTRY;
    for (a, b) in [
        ("GHCR.IO/a", "ghcr.io/b"),
        ("ghcr.io:443/a", "ghcr.io/a"),
        ("http://h.io:80/a", "http://h.io/a"),
        ("http://h.io:80/a", "https://h.io:443/a"),
        ("localhost:80/a", "localhost/a"),
        ("https://localhost:443/a", "https://localhost/a"),
        ("alpine", "index.docker.io/x/y"),
        ("registry-1.docker.io/x/y", "docker.io/x/y"),
        ("[::1]/a", "[0:0:0:0:0:0:0:1]:80/a"),
    ] {
        assert!(parse(a).agrees(&parse(b), same), "{a} {b}");
    }
    for (a, b) in [
        ("ghcr.io/a", "ghcr.io:80/a"),
        ("h.io:5000/a", "h.io:5001/a"),
        ("localhost:443/a", "localhost/a"),
        ("http://h.io:443/a", "h.io:444/a"),
        ("h.io/a", "h.io.io/a"),
    ] {
        assert!(!parse(a).agrees(&parse(b), same), "{a} {b}");
    }
}

#[test]
fn r2_repository_tag_and_digest_keep_their_case_and_stand_for_themselves() {
    let a = parse("a.io/x/y:Tag");
    let b = parse("b.io/x/y:tag");
    assert!(a.agrees(&b, Parts::REPOSITORY));
    assert!(!a.agrees(&b, Parts::REPOSITORY | Parts::REGISTRY));
    assert!(!a.agrees(&b, Parts::TAG));
    assert!(a.agrees(&b, Parts::DIGEST), "both have none");
    assert!(!a.agrees(&parse(&format!("a.io/x/y@{DIGEST}")), Parts::DIGEST));
    assert!(a.agrees(&b, Parts::SCHEME));
    assert!(!a.agrees(&parse("http://a.io/x/y"), Parts::SCHEME));
    assert!(parse("localhost/a").agrees(&parse("http://h/b"), Parts::SCHEME));
    assert!(a.agrees(&b, Parts::NONE));
    assert!(a.agrees(&parse("A.io:443/x/y:Tag"), Parts::ALL));
    assert!(!a.agrees(&b, Parts::ALL));
}

#[test]
fn a_digest_in_the_manifest_slot_has_a_colon() {
    let digest: Digest = DIGEST.parse().expect("a digest");
    assert_eq!(DIGEST.parse(), Ok(TagOrDigest::from(digest)));
    assert!(matches!("v1".parse(), Ok(TagOrDigest::Tag(_))));
    assert!("sha256:zz".parse::<TagOrDigest>().is_err());
}

#[test]
fn a_part_of_a_host_takes_63_bytes_and_no_more() {
    let longest = "h".repeat(63);
    assert_eq!(
        parse(&format!("{longest}.io/app")).repository().path(),
        "app"
    );
    let longer = format!("h{longest}:443/app");
    assert!(matches!(
        longer.parse::<Reference>(),
        Err(ReferenceError::Registry(_))
    ));
}

/// No text is parsed to it, so nothing that was typed can be taken for it, nor it for a registry's.
#[test]
fn a_directory_stands_in_for_a_repository_and_is_no_text_s_meaning() {
    let it = Repository::in_directory("/srv/images");
    assert_eq!(it.to_string(), "oci:/srv/images");
    assert_eq!(serde_json::to_string(&it).unwrap(), r#""oci:/srv/images""#);
    assert_eq!(it.directory(), Some("/srv/images"));
    assert!("oci:/srv/images".parse::<Repository>().is_err());
    assert!("oci:srv/images".parse::<Repository>().is_err());
    let archive = Repository::in_archive("/srv/app.tar");
    assert_eq!(archive.to_string(), "oci-archive:/srv/app.tar");
    assert_eq!(archive.directory(), Some("/srv/app.tar"));
    assert!("oci-archive:srv/app.tar".parse::<Repository>().is_err());
    let repository: Repository = "r.test/app".parse().unwrap();
    assert_eq!(repository.directory(), None);
}
