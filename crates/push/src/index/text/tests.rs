//! Lines that are facts, lines that are not, and facts that come back as they went.

use std::time::{Duration, UNIX_EPOCH};

use oci::Digest;
use proptest::prelude::*;

use super::{AHEAD, LineError, MAX_LINE, Sighting, parse};
use crate::index::{Evidence, Sight};

const NOW: Duration = Duration::from_millis(1_700_000_000_000);

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
    fn p17_what_is_written_is_read_again(sight in any_sight(), millis in 0..=NOW.as_millis() as u64) {
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

#[test]
fn p17_a_line_that_is_no_fact_says_what_was_expected() {
    let digest = Digest::of(b"x");
    let rows = [
        ("x".to_owned(), "a digest or -", "x"),
        (format!("{digest}"), "registry/repository", ""),
        (format!("{digest} r.test"), "registry/repository", "r.test"),
        (
            format!("{digest} r.test/a:1 gone 1"),
            "registry/repository",
            "r.test/a:1",
        ),
        (
            format!("{digest} user:secret@r.test/a gone 1"),
            "registry/repository",
            "…@r.test/a",
        ),
        (format!("{digest} r.test/a"), "present or gone", ""),
        (
            format!("{digest} r.test/a denied 1"),
            "present or gone",
            "denied",
        ),
        ("- r.test/a gone 1".to_owned(), "denied", "gone"),
        (
            format!("{digest} r.test/a present -1 pushed 1"),
            "a size in bytes",
            "-1",
        ),
        (
            format!("{digest} r.test/a present 18446744073709551615 pushed 1"),
            "a size in bytes",
            "18446744073709551615",
        ),
        (
            format!("{digest} r.test/a present 1 guessed 1"),
            "how it is known",
            "guessed",
        ),
        (
            format!("{digest} r.test/a present 1 pushed"),
            "a time in milliseconds since 1970",
            "",
        ),
        (
            format!("{digest} r.test/a gone soon"),
            "a time in milliseconds since 1970",
            "soon",
        ),
        (
            format!("{digest} r.test/a gone 1 2"),
            "the end of the line",
            "2",
        ),
    ];
    for (line, expected, found) in rows {
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
