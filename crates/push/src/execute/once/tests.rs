//! Claims: one at a time, no change missed, nothing left behind.

use futures_util::FutureExt;

use super::*;

fn repository(path: &str) -> Repository {
    format!("registry.test/{path}").parse().unwrap()
}

fn turn<'a>(claims: &'a Claims, path: &str, blob: &Digest) -> Option<Turn<'a>> {
    match claims.claim(&repository(path), blob).now_or_never() {
        Some(Claim::Turn(turn)) => Some(turn),
        Some(Claim::Proven) => panic!("proven"),
        None => None,
    }
}

#[test]
fn one_goes_and_the_others_wait_whatever_their_repository() {
    let claims = Claims::default();
    let blob = Digest::of(b"blob");
    let first = turn(&claims, "a", &blob).unwrap();
    assert!(turn(&claims, "a", &blob).is_none());
    assert!(turn(&claims, "b", &blob).is_none());
    assert!(
        turn(&claims, "a", &Digest::of(b"other")).is_some(),
        "another blob is free"
    );
    drop(first);
    assert!(turn(&claims, "b", &blob).is_some());
    assert!(lock(&claims.open).is_empty(), "nothing is left behind");
}

#[test]
fn a_registry_is_no_other_registry() {
    let claims = Claims::default();
    let blob = Digest::of(b"blob");
    let _first = turn(&claims, "a", &blob).unwrap();
    let elsewhere: Repository = "other.test/a".parse().unwrap();
    let second = claims.claim(&elsewhere, &blob).now_or_never();
    assert!(matches!(second, Some(Claim::Turn(_))));
}

#[tokio::test]
async fn the_proof_reaches_those_who_wait_and_siblings_go_on_together() {
    let claims = Claims::default();
    let blob = Digest::of(b"blob");
    let (a, b, c) = (repository("a"), repository("b"), repository("c"));
    let Claim::Turn(first) = claims.claim(&a, &blob).await else {
        panic!("proven by nobody");
    };
    let waiting = async {
        let same = claims.claim(&a, &blob);
        let (b, c) = (claims.claim(&b, &blob), claims.claim(&c, &blob));
        tokio::join!(same, b, c)
    };
    let proving = async {
        tokio::task::yield_now().await;
        first.prove();
    };
    let ((same, b, c), ()) = tokio::join!(waiting, proving);
    assert!(matches!(same, Claim::Proven));
    for it in [b, c] {
        let Claim::Turn(turn) = it else {
            panic!("proven for another repository");
        };
        assert_eq!(turn.holders, [repository("a")], "both at the same time");
    }
    assert!(lock(&claims.open).is_empty());
}

/// A claim that is given up while it waits frees nothing that another holds.
#[test]
fn a_claim_dropped_while_it_waits_disturbs_nobody() {
    let claims = Claims::default();
    let blob = Digest::of(b"blob");
    let first = turn(&claims, "a", &blob).unwrap();
    assert!(turn(&claims, "a", &blob).is_none());
    assert!(turn(&claims, "a", &blob).is_none(), "still somebody else's");
    drop(first);
    assert!(turn(&claims, "a", &blob).is_some());
}

/// The same where the other is mounting, not first.
#[test]
fn a_claim_dropped_while_it_waits_for_a_mount_disturbs_nobody() {
    let claims = Claims::default();
    let blob = Digest::of(b"blob");
    let first = turn(&claims, "a", &blob).unwrap();
    let elsewhere = repository("c");
    let another = claims.claim(&elsewhere, &blob);
    futures_util::pin_mut!(another);
    assert!((&mut another).now_or_never().is_none());
    first.prove();
    let mounting = turn(&claims, "b", &blob).unwrap();
    assert_eq!(mounting.holders, [repository("a")]);
    assert!(turn(&claims, "b", &blob).is_none());
    assert!(turn(&claims, "b", &blob).is_none(), "still somebody else's");
    drop(mounting);
    assert!(turn(&claims, "b", &blob).is_some());
}

/// Many at once on several threads: never two in one repository, and none left over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_claim_at_once_take_turns() {
    let claims = Arc::new(Claims::default());
    let going = Arc::new(Mutex::new(HashSet::new()));
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (claims, going) = (Arc::clone(&claims), Arc::clone(&going));
            tokio::spawn(async move {
                let blob = Digest::of(&[u8::try_from(n % 3).unwrap()]);
                let here = repository(&format!("r{}", n % 4));
                match claims.claim(&here, &blob).await {
                    Claim::Proven => 0,
                    Claim::Turn(turn) => {
                        let key = (here, blob);
                        assert!(lock(&going).insert(key.clone()), "two at once");
                        tokio::task::yield_now().await;
                        lock(&going).remove(&key);
                        if n % 5 == 0 {
                            drop(turn);
                        } else {
                            turn.prove();
                        }
                        1
                    }
                }
            })
        })
        .collect();
    let mut turns = 0;
    for task in tasks {
        turns += task.await.unwrap();
    }
    assert!(turns >= 12, "each repository got each blob");
    assert!(lock(&claims.open).is_empty());
}
