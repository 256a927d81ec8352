//! What a store gives out is read, and nothing it can hold is an error.

use proptest::prelude::*;

use super::*;

fn bearer() -> Fact {
    Fact::Challenge(KnownChallenge::Bearer {
        realm: "https://auth.test/token".into(),
        service: Some("reg".into()),
    })
}

fn all() -> Vec<Fact> {
    let limit = NonZeroU64::new(1 << 20).unwrap();
    vec![
        Fact::BodiesAtOnce(NonZeroUsize::MIN),
        Fact::BodyLimit(limit),
        bearer(),
        Fact::ChunkMinimum(5),
        Fact::ClosesEmpty(true),
        Fact::CountsOneMore(true),
        Fact::Http2(false),
        Fact::KeepsSessions(false),
        Fact::Mounts(true),
        Fact::MountsFromItself(false),
        Fact::QuestionsAtOnce(NonZeroUsize::MAX),
        Fact::Referrers(true),
        Fact::RefusedMounts(Refusals::default().and(&oci::Digest::of(b"one"))),
        Fact::SinglePost(true),
        Fact::TagParameters(true),
        Fact::TakesChunks(false),
        Fact::TriedFromAnywhere(true),
        Fact::ValidatesArtifacts(false),
        Fact::ValidatesImages(true),
        Fact::ValidatesIndexes(true),
    ]
}

fn kept(key: &str, value: &str, seen: SystemTime) -> KeptFact {
    KeptFact {
        key: key.into(),
        value: value.into(),
        seen,
    }
}

#[test]
fn facts_are_kept_as_text_and_read_again() {
    let now = SystemTime::now();
    let facts: Vec<_> = all()
        .iter()
        .map(|it| kept(it.key(), &it.value().unwrap(), now))
        .collect();
    let profile = Profile::read(&facts).current(now);
    let read: Vec<_> = profile.facts().map(|it| it.fact.clone()).collect();
    assert_eq!(read, all());
    let uploads = profile.uploads();
    assert_eq!(uploads.body_limit.map(NonZeroU64::get), Some(1 << 20));
    assert!(uploads.refuses_chunks && uploads.closes_empty && uploads.counts_one_more);
    assert_eq!(Fact::of_uploads(UploadProfile::default(), uploads).len(), 5);
    assert_eq!(Fact::of_uploads(uploads, uploads), []);
}

#[test]
fn p9_a_fact_is_believed_for_a_while() {
    let now = SystemTime::now();
    let aged = |fact: Fact, age: Duration| Seen {
        fact,
        at: now - age,
    };
    for fact in all() {
        let lasts = fact.lasts();
        assert!(aged(fact.clone(), lasts).is_current(now), "{fact}");
        let second = Duration::from_secs(1);
        assert!(!aged(fact.clone(), lasts + second).is_current(now));
        let at = now + AHEAD + second;
        assert!(!Seen { fact, at }.is_current(now));
    }
}

#[test]
fn what_cannot_be_read_is_not_there() {
    let now = SystemTime::now();
    let long = format!(
        r#"{{"scheme":"bearer","realm":"{}"}}"#,
        "x".repeat(MAX_VALUE)
    );
    for (key, value) in [
        ("body-limit", "0"),
        ("body-limit", "-1"),
        ("body-limit", "1e400"),
        ("body-limit", "\"1\""),
        ("challenge", "{}"),
        ("challenge", r#"{"scheme":"negotiate"}"#),
        ("challenge", &long),
        ("mounts", "yes"),
        ("mounts", ""),
        ("a-later-version", "true"),
    ] {
        let profile = Profile::read(&[kept(key, value, now)]);
        assert_eq!(profile, Profile::default(), "{key} {value:.80}");
    }
    let unkept = Fact::Challenge(KnownChallenge::Bearer {
        realm: "x".repeat(MAX_VALUE),
        service: None,
    });
    assert_eq!(unkept.value(), None);
}

proptest! {
    #[test]
    fn nothing_a_store_holds_is_an_error(key in "[a-z-]{0,20}", value in ".{0,60}", age in 0_u64..1 << 40) {
        let seen = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
        let mut facts = vec![kept(&key, &value, seen)];
        facts.extend(all().iter().map(|it| kept(it.key(), &value, seen)));
        let profile = Profile::read(&facts);
        let _ = profile.uploads();
        for it in profile.current(SystemTime::now()).facts() {
            prop_assert_eq!(Fact::read(it.fact.key(), &it.fact.value().unwrap()), Some(it.fact.clone()));
        }
    }
}
