//! In which order places are asked. Pure.

use std::cmp::Reverse;

use oci::Digest;

use super::Location;

/// The locations worth asking for `wanted`, the best first, at most `most`.
///
/// What is there comes before what was gone; then the exact digest before what stands for it,
/// the newest first, and of the same time what was seen more directly; ties by digest and
/// repository. The same facts have the same order, whatever order they came in.
pub fn ranked(wanted: &Digest, mut found: Vec<Location>, most: usize) -> Vec<Location> {
    found.sort_by_cached_key(|it| {
        (
            it.held.is_none(),
            it.digest != *wanted,
            Reverse(it.at),
            Reverse(it.held.map(|(_, by)| by)),
            it.digest.to_string(),
            it.repository.to_string(),
        )
    });
    found.truncate(most);
    found
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use oci::Digest;
    use proptest::prelude::*;

    use super::{Location, ranked};
    use crate::index::Evidence;

    /// Places in words, the best first; `same` is a blob that stands for the wanted one.
    const TABLE: [&[&str]; 7] = [
        &["exact a 9 pushed", "exact b 8 pushed"],
        &["exact b 9 implied", "exact a 8 pushed"],
        &["exact b 9 pushed", "exact a 9 implied"],
        &["exact a 9 pushed", "exact b 9 pushed", "exact c 9 pushed"],
        &["exact a 1 implied", "same a 9 pushed"],
        &["same b 9 pushed", "same a 8 pushed"],
        &["exact a 1 pushed", "same a 1 pushed", "exact b 9 gone"],
    ];

    fn place(words: &str) -> Location {
        let words: Vec<&str> = words.split(' ').collect();
        let seconds = words[2].parse().unwrap();
        Location {
            digest: Digest::of(words[0].as_bytes()),
            repository: format!("registry.test/{}", words[1]).parse().unwrap(),
            held: Evidence::named(words[3]).map(|by| (1, by)),
            at: UNIX_EPOCH + Duration::from_secs(seconds),
            denied: None,
        }
    }

    proptest! {
        #[test]
        fn i2_the_order_is_exact_then_newest_then_by_digest_and_the_list_is_trimmed(
            row in 0..TABLE.len(),
            order in Just(vec![0_usize, 1, 2]).prop_shuffle(),
            most in 1_usize..=3,
        ) {
            let expected: Vec<Location> = TABLE[row].iter().map(|it| place(it)).collect();
            let found = order.iter().filter_map(|&it| expected.get(it).cloned()).collect();
            let wanted = Digest::of(b"exact");
            prop_assert_eq!(
                ranked(&wanted, found, most),
                &expected[..most.min(expected.len())]
            );
        }

        /// Two that stand for it and were seen at the same time: the lesser digest first.
        #[test]
        fn i2_ties_are_broken_by_digest_and_then_by_repository(swap in any::<bool>()) {
            let mut same = [place("one a 9 pushed"), place("two a 9 pushed")];
            same.sort_by_key(|it| it.digest.to_string());
            let mut found = vec![same[0].clone(), same[1].clone()];
            if swap {
                found.reverse();
            }
            prop_assert_eq!(ranked(&Digest::of(b"exact"), found, 4), same);
        }
    }
}
