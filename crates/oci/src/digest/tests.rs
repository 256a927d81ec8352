//! The grammar of digests, and hashing against another implementation.

use proptest::prelude::*;
use sha2::Digest as _;

use super::{Algorithm, Digest, DigestError, Hasher};

const EMPTY_256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EMPTY_512: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
    47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn the_digests_of_nothing_are_the_known_ones() {
    assert_eq!(Digest::of(b"").to_string(), format!("sha256:{EMPTY_256}"));
    let long = Digest::of_with(Algorithm::Sha512, b"");
    assert_eq!(long.to_string(), format!("sha512:{EMPTY_512}"));
    assert_eq!(
        (long.algorithm(), long.encoded()),
        (Algorithm::Sha512, EMPTY_512)
    );
}

#[test]
fn what_is_not_a_digest_is_an_error_that_says_why() {
    let error = |text: &str| text.parse::<Digest>().expect_err(text);
    for text in ["", "sha256", EMPTY_256, "latest", "sha256-00"] {
        assert!(
            matches!(error(text), DigestError::NoAlgorithm(it) if it == text),
            "{text}"
        );
    }
    for algorithm in [
        "",
        "SHA256",
        "sha-256",
        "sha384",
        "md5",
        "blake3",
        " sha256",
        "sha256+b64",
    ] {
        let error = error(&format!("{algorithm}:{EMPTY_256}"));
        assert!(matches!(error, DigestError::UnknownAlgorithm(it) if it == algorithm));
    }
    for text in [
        "sha256:".to_owned(),
        format!("sha256:{}", EMPTY_256.to_ascii_uppercase()),
        format!("sha256:{}", &EMPTY_256[1..]),
        format!("sha256:{EMPTY_256}0"),
        format!("sha256:{EMPTY_256}\n"),
        format!("sha256: {}", &EMPTY_256[1..]),
        format!("sha256:{}g", &EMPTY_256[1..]),
        format!("sha256:{}:", &EMPTY_256[1..]),
        format!("sha256:{}", "../".repeat(21) + "x"),
        format!("sha256:{}", "é".repeat(32)),
        format!("sha256:{EMPTY_512}"),
        format!("sha512:{EMPTY_256}"),
    ] {
        let error = error(&text);
        assert!(
            matches!(error, DigestError::Malformed { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("lower-case hex digits"));
    }
    let long = error(&format!("sha256:{}", "é".repeat(5000)));
    assert!(
        long.to_string().chars().count() < 300,
        "foreign text is cut"
    );
}

#[test]
fn json_is_the_text_with_escapes_and_from_a_reader_too() {
    let it = Digest::of(b"");
    let json = serde_json::to_string(&it).expect("json");
    assert_eq!(json, format!("\"sha256:{EMPTY_256}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).expect("a digest"), it);
    let escaped = json.replace("sha", r"\u0073ha");
    let read: Digest = serde_json::from_reader(escaped.as_bytes()).expect("a digest");
    assert_eq!(read, it);
    for wrong in ["null", "1", "\"\"", "[\"sha256\"]"] {
        assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_hasher_tells_another_content_and_says_which() {
    let hasher = || {
        let mut hasher = Hasher::for_digest(&Digest::of(b"right"));
        hasher.update(b"wrong");
        hasher
    };
    assert_eq!(hasher().check(&Digest::of(b"wrong")), Ok(()));
    assert_eq!(
        hasher().check(&Digest::of(b"right")),
        Err(Digest::of(b"wrong"))
    );
    let other = Digest::of_with(Algorithm::Sha512, b"wrong");
    assert_eq!(
        hasher().check(&other),
        Err(Digest::of(b"wrong")),
        "the same content under another algorithm is another digest"
    );
    assert!(!format!("{:?}", hasher()).contains("context"));
}

proptest! {
    #[test]
    fn a_digest_is_that_of_another_implementation_in_any_pieces(
        content in proptest::collection::vec(any::<u8>(), 0..2000),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|it| it.index(content.len() + 1)).collect();
        cuts.extend([0, content.len()]);
        cuts.sort_unstable();
        for (algorithm, expected) in [
            (Algorithm::Sha256, hex(&sha2::Sha256::digest(&content))),
            (Algorithm::Sha512, hex(&sha2::Sha512::digest(&content))),
        ] {
            let whole = Digest::of_with(algorithm, &content);
            prop_assert_eq!(whole.encoded(), &expected);
            let mut hasher = Hasher::new(algorithm);
            for cut in cuts.windows(2) {
                hasher.update(&content[cut[0]..cut[1]]);
            }
            prop_assert_eq!(hasher.bytes(), content.len() as u64);
            prop_assert_eq!(&hasher.finish(), &whole);
            prop_assert!(whole.matches(&content));
        }
    }

    #[test]
    fn a_digest_prints_as_it_parses(text in "sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}") {
        let it: Digest = text.parse().expect("a digest");
        prop_assert_eq!(it.to_string(), text);
        prop_assert_eq!(it.to_string().parse(), Ok(it.clone()));
        prop_assert_eq!(it.encoded().len(), it.algorithm().hex_len());
    }

    #[test]
    fn any_text_is_a_digest_or_an_error(text in "\\PC{0,80}|sha(256|512):[0-9a-fA-F]{60,130}") {
        if let Ok(it) = text.parse::<Digest>() {
            prop_assert_eq!(it.to_string(), text);
        }
    }
}
