use super::*;

fn hash(password: &str, cost: u32) -> String {
    let salt = [7; 16];
    bcrypt::hash_with_salt(password, cost, salt)
        .unwrap()
        .format_for_version(bcrypt::Version::TwoY)
}

fn users() -> Users {
    let lines = format!("ann:{}\nbob:{}\n", hash("right", 4), hash("right", 7));
    Users::from_htpasswd(&lines, "users").unwrap()
}

/// Names cannot be told by time: a wrong password takes the same rounds for every name.
#[test]
fn a_wrong_password_takes_the_same_rounds_for_every_name() {
    let users = users().with("plain", "secret");
    for name in ["ann", "bob", "plain", "nobody", ""] {
        let (right, rounds) = prove(users.password(name), "wrong", 7);
        assert_eq!((right, rounds), (false, 1 << 7), "{name}");
    }
    assert_eq!(prove(users.password("ann"), "right", 7), (true, 1 << 4));
    assert_eq!(prove(users.password("bob"), "right", 7), (true, 1 << 7));
    assert_eq!(prove(users.password("plain"), "secret", 7), (true, 0));
}

#[test]
fn a_user_that_is_not_there_has_no_password() {
    for given in ["", "x"] {
        assert!(!is_plain(None, given));
    }
    assert!(!prove(None, "", 4).0);
}

#[tokio::test]
async fn a_right_password_is_hashed_once_and_a_wrong_one_each_time() {
    let verifier = Verifier::new(users()).unwrap();
    for _ in 0..5 {
        assert!(verifier.check("ann", "right").await.unwrap());
    }
    assert_eq!(verifier.hashed.load(Ordering::Relaxed), 1);
    for _ in 0..3 {
        assert!(!verifier.check("ann", "wrong").await.unwrap());
    }
    assert_eq!(verifier.hashed.load(Ordering::Relaxed), 4);
    // What was remembered of one user says nothing about another.
    assert!(!verifier.check("nobody", "right").await.unwrap());
    assert!(!verifier.check("an", "nright").await.unwrap());
    assert!(!verifier.check("ann", "right\0").await.unwrap());
}

#[tokio::test]
async fn requests_at_once_with_one_password_share_one_hash() {
    let verifier = Verifier::new(users()).unwrap();
    let checks = (0..32).map(|_| verifier.check("bob", "right"));
    for right in futures_util::future::join_all(checks).await {
        assert!(right.unwrap());
    }
    assert_eq!(verifier.hashed.load(Ordering::Relaxed), 1);
    assert!(verifier.known().memory().pending.is_empty());
}

#[tokio::test]
async fn more_checks_than_may_wait_are_refused() {
    let verifier = Verifier::new(users()).unwrap();
    let all = u32::try_from(verifier.turns.available_permits()).unwrap();
    let held = Arc::clone(&verifier.turns)
        .acquire_many_owned(all)
        .await
        .unwrap();
    let passwords: Vec<String> = (0..=MAX_WAITING).map(|it| it.to_string()).collect();
    let mut checks: Vec<_> = passwords
        .iter()
        .map(|it| Box::pin(tokio::task::unconstrained(verifier.check("ann", it))))
        .collect();
    for check in &mut checks[..MAX_WAITING] {
        assert!(futures_util::poll!(check.as_mut()).is_pending());
    }
    let last = checks.pop().unwrap().await;
    assert!(matches!(last, Err(Refusal::Denied(it)) if it.status == 429));
    drop(checks);
    drop(held);
    assert_eq!(verifier.waiting.load(Ordering::Relaxed), 0);
    assert!(verifier.known().memory().pending.is_empty());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut memory = Memory::default();
    let nth = |n: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Fingerprint(bytes)
    };
    for n in 0..MAX_REMEMBERED {
        memory.remember(nth(n));
    }
    assert!(memory.recall(nth(0)));
    memory.remember(nth(MAX_REMEMBERED));
    assert_eq!(memory.right.len(), MAX_REMEMBERED);
    assert!(memory.recall(nth(0)) && memory.recall(nth(MAX_REMEMBERED)));
    assert!(!memory.recall(nth(1)));
}
