//! What is learned stays in order, within bounds, and apart from registries.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use oci::{Digest, Reference, Repository};
use proptest::prelude::*;

use super::{
    GONE_FOR, HOLD_FOR, LayerProvider, LayerRepos, MAX_REPOSITORIES, MountableLayers, SetAside,
};
use crate::{
    State,
    index::{BlobIndex, Evidence, Location},
};

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

fn layer() -> Digest {
    Digest::of(b"layer")
}

/// What an index says: seen this long ago.
fn seen(name: &str, ago: Duration, held: Option<Evidence>) -> Location {
    Location {
        digest: layer(),
        repository: repository(name),
        held: held.map(|by| (1, by)),
        at: SystemTime::now() - ago,
        denied: None,
    }
}

fn sources(layers: &LayerRepos) -> Vec<String> {
    let sources = layers.sources(&layer(), &repository("r.test/dest"));
    sources.iter().map(ToString::to_string).collect()
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn m3_what_is_known_is_what_was_added_and_can_be_set_aside() {
    let layers = LayerRepos::new();
    for name in [
        "r.test/a",
        "r.test/b",
        "other.test/c",
        "r.test/dest",
        "r.test/a",
    ] {
        layers.add_source(&layer(), &repository(name));
    }
    assert_eq!(sources(&layers), ["r.test/a", "r.test/b"]);
    let destination = repository("r.test/dest");
    let elsewhere = (repository("other.test/c"), SetAside::OtherRegistry);
    assert_eq!(layers.aside(&layer(), &destination), [elsewhere]);
    let unknown = Digest::of(b"unknown");
    assert_eq!(layers.sources(&unknown, &destination), []);
    layers.set_aside(&layer(), &repository("r.test/a"), SetAside::Gone);
    assert_eq!(sources(&layers), ["r.test/b"]);
}

#[derive(Debug)]
struct Always(&'static str);

impl LayerProvider for Always {
    fn sources(&self, _layer: &Digest, _destination: &Repository) -> Vec<Repository> {
        self.0.split(' ').map(repository).collect()
    }
}

#[test]
fn m3_providers_are_asked_after_what_was_seen() {
    let provider = Always("r.test/base r.test/seen other.test/x r.test/dest r.test/denied");
    let layers = LayerRepos::builder().provider(Arc::new(provider)).build();
    layers.add_source(&layer(), &repository("r.test/seen"));
    assert_eq!(
        sources(&layers),
        ["r.test/seen", "r.test/base", "r.test/denied"]
    );
    layers.add_source(&layer(), &repository("r.test/denied"));
    layers.set_aside(&layer(), &repository("r.test/denied"), SetAside::OnHold);
    assert_eq!(sources(&layers), ["r.test/seen", "r.test/base"]);
}

#[test]
fn m4_a_builder_is_empty_by_default_and_has_an_index_among_its_options() {
    let empty = LayerRepos::builder().build();
    assert!(empty.index().is_none());
    assert_eq!(sources(&empty), [""; 0]);
    assert!(!empty.must_mount(&layer()));

    let index: Arc<dyn BlobIndex> = Arc::new(State::memory());
    let built = LayerRepos::builder()
        .source(&layer(), &repository("r.test/a"))
        .source(&layer(), &repository("r.test/b"))
        .must_mount(&layer())
        .most_sources(NonZeroUsize::MIN)
        .index(Arc::clone(&index))
        .build();
    assert!(built.index().is_some_and(|it| Arc::ptr_eq(&it, &index)));
    assert_eq!(sources(&built), ["r.test/b"], "one at most");
    assert!(built.must_mount(&layer()));
}

#[test]
fn m5_two_tags_of_a_repository_are_one_source_and_the_most_recent_is_first() {
    let layers = LayerRepos::new();
    let add = |text: &str| {
        let reference: Reference = text.parse().unwrap();
        layers.add_source(&layer(), reference.repository());
    };
    add("r.test/a:1");
    add("r.test/a:2");
    assert_eq!(sources(&layers), ["r.test/a"]);
    add("r.test/b:1");
    assert_eq!(sources(&layers), ["r.test/b", "r.test/a"]);
    add("R.test:443/a:3");
    assert_eq!(sources(&layers), ["r.test/a", "r.test/b"]);
}

#[test]
fn m8_sources_are_ranked_by_recency_and_confidence_bounded_and_on_the_registry() {
    let layers = LayerRepos::builder()
        .provider(Arc::new(Always("r.test/told")))
        .build();
    layers.recall(&[
        seen("r.test/old", HOUR * 48, Some(Evidence::Pushed)),
        seen("r.test/new", HOUR, Some(Evidence::Answered)),
        seen("r.test/gone", Duration::ZERO, None),
        seen("r.test/long-gone", GONE_FOR * 2, None),
        seen("r.test/dest", Duration::ZERO, Some(Evidence::Pushed)),
        seen("other.test/new", Duration::ZERO, Some(Evidence::Pushed)),
    ]);
    let expected = [
        "r.test/new",
        "r.test/old",
        "r.test/long-gone",
        "r.test/told",
    ];
    assert_eq!(sources(&layers), expected);
    // What this process sees is newer; a duplicate moves and is not added.
    layers.add_source(&layer(), &repository("r.test/old"));
    assert_eq!(sources(&layers)[..2], ["r.test/old", "r.test/new"]);
    layers.add_source(&layer(), &repository("r.test/fifth"));
    assert_eq!(sources(&layers).len(), 4, "the default");
    // Of the same time, what was seen more directly.
    let layers = LayerRepos::new();
    let mut implied = seen("r.test/a", HOUR, Some(Evidence::Implied));
    let pushed = seen("r.test/b", HOUR, Some(Evidence::Pushed));
    implied.at = pushed.at;
    layers.recall(&[implied, pushed]);
    assert_eq!(sources(&layers), ["r.test/b", "r.test/a"]);
}

#[test]
fn m13_what_was_denied_is_on_hold_for_a_while_and_a_success_ends_that() {
    let layers = LayerRepos::new();
    let mut denied = seen("r.test/a", HOUR, Some(Evidence::Pushed));
    let other = seen("r.test/b", HOUR * 2, Some(Evidence::Pushed));
    denied.denied = Some(SystemTime::now() - HOLD_FOR - HOUR);
    layers.recall(&[denied.clone(), other]);
    assert_eq!(sources(&layers), ["r.test/a", "r.test/b"], "long ago");
    denied.denied = Some(SystemTime::now() - HOLD_FOR + HOUR);
    layers.recall(&[denied]);
    assert_eq!(sources(&layers), ["r.test/b"]);
    let on_hold = (repository("r.test/a"), SetAside::OnHold);
    let aside = layers.aside(&layer(), &repository("r.test/dest"));
    assert_eq!(aside, [on_hold]);
    layers.add_source(&layer(), &repository("r.test/a"));
    assert_eq!(sources(&layers), ["r.test/a", "r.test/b"]);
}

#[test]
fn a_layer_keeps_a_bounded_number_of_repositories_and_loses_the_oldest() {
    let most = NonZeroUsize::new(1000).unwrap();
    let layers = LayerRepos::builder().most_sources(most).build();
    for n in 0..=MAX_REPOSITORIES {
        layers.add_source(&layer(), &repository(&format!("r.test/n{n}")));
    }
    let sources = sources(&layers);
    assert_eq!(sources.len(), MAX_REPOSITORIES);
    assert!(!sources.contains(&"r.test/n0".to_owned()));
}

#[test]
fn m6_must_mount_stays_until_it_is_cleared() {
    let layers = LayerRepos::new();
    layers.add_source(&layer(), &repository("r.test/a"));
    layers.require(&layer());
    layers.require(&layer());
    layers.add_source(&layer(), &repository("r.test/a"));
    layers.set_aside(&layer(), &repository("r.test/a"), SetAside::Gone);
    layers.recall(&[seen("r.test/b", HOUR, Some(Evidence::Pushed))]);
    assert!(layers.must_mount(&layer()));
    assert!(!layers.must_mount(&Digest::of(b"another")));
    layers.release(&layer());
    assert!(!layers.must_mount(&layer()));
    assert_eq!(sources(&layers), ["r.test/b"]);
}

#[test]
fn m3_threads_that_add_at_once_lose_nothing() {
    let most = NonZeroUsize::new(16).unwrap();
    let layers = Arc::new(LayerRepos::builder().most_sources(most).build());
    let threads: Vec<_> = (0..16)
        .map(|n| {
            let layers = Arc::clone(&layers);
            std::thread::spawn(move || {
                for m in 0..100 {
                    let layer = Digest::of(format!("{m}").as_bytes());
                    layers.add_source(&layer, &repository(&format!("r.test/n{n}")));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for m in 0..100 {
        let layer = Digest::of(format!("{m}").as_bytes());
        assert_eq!(layers.sources(&layer, &repository("r.test/dest")).len(), 16);
    }
}

proptest! {
    #[test]
    fn m7_is_mountable_does_not_depend_on_the_order_it_was_learned_in(
        names in Just(vec!["r.test/a", "R.TEST/b", "o.test/c", "r.test:443/dest"]).prop_shuffle(),
        recalled in prop::collection::vec(any::<bool>(), 4),
        count in 0_usize..=4,
    ) {
        let layers = LayerRepos::new();
        let known = &names[..count];
        for (name, recalled) in known.iter().zip(recalled) {
            if recalled {
                layers.recall(&[seen(name, HOUR, Some(Evidence::Pushed))]);
            } else {
                layers.add_source(&layer(), &repository(name));
            }
        }
        let expected = !known.contains(&"r.test:443/dest")
            && (known.contains(&"r.test/a") || known.contains(&"R.TEST/b"));
        let destination = repository("r.test/dest");
        prop_assert_eq!(layers.is_mountable(&layer(), &destination), expected);
    }
}
