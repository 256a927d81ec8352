//! What is learned stays in order, within bounds, and apart from registries.

use std::sync::Arc;

use oci::{Digest, Repository};
use proptest::prelude::*;

use super::{LayerRepos, MAX_REPOSITORIES, MountableLayers};

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

#[test]
fn sources_are_the_registrys_own_the_latest_first_and_never_the_destination() {
    let layers = LayerRepos::new();
    let layer = Digest::of(b"layer");
    for name in [
        "r.test/a",
        "r.test/b",
        "other.test/c",
        "r.test/dest",
        "r.test/a",
    ] {
        layers.add_source(&layer, &repository(name));
    }
    let destination = repository("r.test/dest");
    assert_eq!(
        layers.sources(&layer, &destination),
        [repository("r.test/a"), repository("r.test/b")]
    );
    assert!(layers.is_elsewhere(&layer, &destination));
    assert_eq!(layers.sources(&Digest::of(b"unknown"), &destination), []);
    layers.forget(&layer, &repository("r.test/a"));
    assert_eq!(
        layers.sources(&layer, &destination),
        [repository("r.test/b")]
    );
}

#[test]
fn a_layer_keeps_a_bounded_number_of_repositories_and_loses_the_oldest() {
    let layers = LayerRepos::new();
    let layer = Digest::of(b"layer");
    for n in 0..=MAX_REPOSITORIES {
        layers.add_source(&layer, &repository(&format!("r.test/n{n}")));
    }
    let sources = layers.sources(&layer, &repository("r.test/dest"));
    assert_eq!(sources.len(), MAX_REPOSITORIES);
    assert!(!sources.contains(&repository("r.test/n0")));
}

#[test]
fn must_mount_stays_until_it_is_taken_back() {
    let layers = LayerRepos::new();
    let layer = Digest::of(b"layer");
    layers.set_must_mount(&layer, true);
    layers.add_source(&layer, &repository("r.test/a"));
    assert!(layers.must_mount(&layer));
    layers.set_must_mount(&layer, false);
    assert!(!layers.must_mount(&layer));
    assert_eq!(layers.sources(&layer, &repository("r.test/b")).len(), 1);
}

#[test]
fn threads_that_add_at_once_lose_nothing() {
    let layers = Arc::new(LayerRepos::new());
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
    fn is_mountable_does_not_depend_on_the_order_it_was_learned_in(
        names in Just(vec!["r.test/a", "r.test/b", "o.test/c", "r.test/dest"]).prop_shuffle(),
        count in 0_usize..=4,
    ) {
        let layers = LayerRepos::new();
        let layer = Digest::of(b"layer");
        let destination = repository("r.test/dest");
        for name in &names[..count] {
            layers.add_source(&layer, &repository(name));
        }
        let known = &names[..count];
        let expected = !known.contains(&"r.test/dest")
            && (known.contains(&"r.test/a") || known.contains(&"r.test/b"));
        prop_assert_eq!(layers.is_mountable(&layer, &destination), expected);
    }
}
