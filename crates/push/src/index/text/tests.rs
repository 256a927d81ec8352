//! Lines that are facts, lines that are not, and facts that come back as they went.

use std::time::{Duration, UNIX_EPOCH};

use oci::Digest;
use proptest::prelude::*;

use super::{AHEAD, LineError, MAX_LINE, Sighting, parse};
use crate::index::{Evidence, Sight};

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn read(line: &str) -> Result<Option<Sighting>, LineError> {
    parse(line.as_bytes(), UNIX_EPOCH + NOW)
}

fn any_sight() -> impl Strategy<Value = Sight> {
    let digest = any::<u8>().prop_map(|it| Digest::of(&[it]));
    let present = (digest.clone(), 0..=i64::MAX as u64, 0..Evidence::ALL.len());
    prop_oneof![
        Just(Sight::Denied),
        digest.prop_map(|digest| Sight::Gone { digest }),
        present.prop_map(|(digest, size, by)| Sight::Present {
            digest,
            size,
            by: Evidence::ALL[by],
        }),
    ]
}

proptest! {
    #[test]
    fn p17_what_is_written_is_read_again(sight in any_sight(), millis in 0..=NOW.as_secs() * 1000) {
        let sighting = Sighting {
            repository: "registry.test:5000/team/app".parse().unwrap(),
            sight,
            at: UNIX_EPOCH + Duration::from_millis(millis),
        };
        prop_assert_eq!(read(&sighting.to_string()), Ok(Some(sighting)));
    }

    #[test]
    fn p17_no_bytes_are_too_bad_to_be_told_so(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&line, UNIX_EPOCH + NOW);
    }
}

/// People write names as they know them.
#[test]
fn p17_a_repository_may_have_any_of_its_names_with_its_registry() {
    let digest = Digest::of(b"x");
    for (name, normal) in [
        ("r.test/a", "r.test/a"),
        ("R.Test/a", "r.test/a"),
        ("r.test:443/a", "r.test/a"),
        ("r.test:80/a", "r.test:80/a"),
        ("docker.io/x", "docker.io/library/x"),
        ("index.docker.io/library/x", "docker.io/library/x"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("[0:0:0:0:0:0:0:1]:5000/a", "[::1]:5000/a"),
    ] {
        let read = read(&format!("{digest} {name} gone 1")).unwrap().unwrap();
        assert_eq!(read.to_string(), format!("{digest} {normal} gone 1"));
    }
}

/// Lines that are no facts, what was expected there, and what was found; `$` is a digest.
const NO_FACTS: [(&str, &str, &str); 16] = [
    ("x", "a digest or -", "x"),
    ("$", "registry/repository", ""),
    ("$ r.test", "registry/repository", "r.test"),
    ("$ library/x gone 1", "registry/repository", "library/x"),
    ("$ r.test/A gone 1", "registry/repository", "r.test/A"),
    ("$ r.test/a:1 gone 1", "registry/repository", "r.test/a:1"),
    (
        "$ me:secret@r.test/a gone 1",
        "registry/repository",
        "…@r.test/a",
    ),
    ("$ r.test/a", "present or gone", ""),
    ("$ r.test/a denied 1", "present or gone", "denied"),
    ("- r.test/a gone 1", "denied", "gone"),
    ("$ r.test/a present -1 pushed 1", "a size in bytes", "-1"),
    (
        "$ r.test/a present 9223372036854775808 pushed 1",
        "a size in bytes",
        "9223372036854775808",
    ),
    (
        "$ r.test/a present 1 guessed 1",
        "how it is known",
        "guessed",
    ),
    (
        "$ r.test/a present 1 pushed",
        "a time in milliseconds since 1970",
        "",
    ),
    (
        "$ r.test/a gone soon",
        "a time in milliseconds since 1970",
        "soon",
    ),
    ("$ r.test/a gone 1 2", "the end of the line", "2"),
];

#[test]
fn p17_a_line_that_is_no_fact_says_what_was_expected() {
    let digest = Digest::of(b"x");
    for (line, expected, found) in NO_FACTS {
        let line = line.replace('$', &digest.to_string());
        let found = found.to_owned();
        assert_eq!(
            read(&line),
            Err(LineError::Word { expected, found }),
            "{line}"
        );
    }
    let ahead = (NOW + AHEAD).as_millis();
    assert!(read(&format!("{digest} r.test/a gone {ahead}")).is_ok());
    let too_far = format!("{digest} r.test/a gone {}", ahead + 1);
    assert_eq!(read(&too_far), Err(LineError::Ahead));
    assert_eq!(read(&"#".repeat(MAX_LINE)), Ok(None));
    assert_eq!(read(&"#".repeat(MAX_LINE + 1)), Err(LineError::TooLong));
    assert_eq!(parse(b"\xff", UNIX_EPOCH), Err(LineError::NotText));
    assert_eq!(read("# longshore index 1"), Ok(None));
    assert_eq!(
        read("# longshore index 2"),
        Err(LineError::Version("2".into()))
    );
    assert_eq!(read("  "), Ok(None));
}
