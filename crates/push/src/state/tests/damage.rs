//! Damage: a log that ends anywhere, bytes that are wrong anywhere, a file that is no database.
//!
//! What a loss of power can leave behind is a log cut short at any byte, or one whose tail has
//! other bytes. Then the state opens, with the rows of some commit before; and what is worse
//! than that is begun anew.

use std::{fs, io::Read as _};

use super::*;
use crate::journal::Journal;

/// A database with a log of `commits` commits that no checkpoint has taken over, as it is
/// found after a crash: the database, and its log.
async fn crashed(commits: u64) -> (Vec<u8>, Vec<u8>) {
    let (_directory, path) = in_directory();
    drop(opened(&path));
    let state = opened(&path);
    let claim = state.claim(blob("x"), SIZE);
    for acknowledged in 1..=commits {
        state.store(&claim, &session(acknowledged)).await.unwrap();
    }
    let wal = format!("{}-wal", path.display());
    // Read by files that are never closed: closing one would let go of locks. And by no other
    // process: one that begins has everything open for a moment, locks of other tests too.
    let copy = |from: &str| {
        let mut file = fs::File::open(from).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        std::mem::forget(file);
        bytes
    };
    (copy(&path.display().to_string()), copy(&wal))
}

/// What a process finds that opens these files.
async fn found(database: &[u8], log: &[u8]) -> (Option<Notice>, Vec<u64>) {
    // Many thousand times: in memory, where that can be.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.unwrap();
    let path = directory.path().join("state.db");
    fs::write(&path, database).unwrap();
    fs::write(format!("{}-wal", path.display()), log).unwrap();
    fs::write(format!("{}.lock", path.display()), "").unwrap();
    let (state, notice) = State::open(&path);
    assert!(state.lasts(), "{notice:?}");
    let rows = state.list().await.unwrap();
    let claim = state.claim(blob("y"), SIZE);
    state.store(&claim, &session(1)).await.unwrap();
    (notice, rows.iter().map(|it| it.acknowledged).collect())
}

/// The log is cut at every byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p1_a_log_that_ends_anywhere_holds_the_commits_before_its_end() {
    let (database, log) = crashed(3).await;
    let (notice, rows) = found(&database, &log).await;
    assert!(notice.is_none());
    assert_eq!(rows, [3], "all of it is the last commit");
    let (database, log) = (Arc::new(database), Arc::new(log));
    let part = log.len().div_ceil(8);
    let parts = (0..8).map(|number| {
        let (database, log) = (Arc::clone(&database), Arc::clone(&log));
        tokio::spawn(async move {
            let mut last = 0;
            for end in number * part..log.len().min((number + 1) * part) {
                let (notice, rows) = found(&database, &log[..end]).await;
                assert!(notice.is_none(), "{end}: {notice:?}");
                let at = rows.first().copied().unwrap_or(0);
                assert!(at >= last && at < 3 && rows.len() <= 1, "{end}: {rows:?}");
                last = at;
            }
            last
        })
    });
    let mut last = 0;
    for part in parts.collect::<Vec<_>>() {
        let reached = part.await.unwrap();
        assert!(reached >= last);
        last = reached;
    }
    assert_eq!(last, 2);
}

#[tokio::test]
async fn a_log_with_other_bytes_at_its_end_holds_the_commits_before_them() {
    let (database, log) = crashed(3).await;
    for from in (32..log.len()).step_by(331) {
        let mut torn = log.clone();
        torn[from..].iter_mut().for_each(|byte| *byte ^= 0xa5);
        let (notice, rows) = found(&database, &torn).await;
        assert!(notice.is_none(), "{from}: {notice:?}");
        assert!(
            rows.len() <= 1 && rows.iter().all(|it| *it < 3),
            "{from}: {rows:?}"
        );
    }
}

/// The lock says that it was a database of ours.
#[tokio::test]
async fn what_is_no_database_any_more_is_put_aside_and_no_earlier_one_is_lost() {
    let (_directory, path) = in_directory();
    drop(opened(&path));
    let mut kept = Vec::new();
    for number in 0..16 {
        let junk = format!("this is no database {number}\n").repeat(500);
        fs::write(&path, &junk).unwrap();
        let (state, notice) = State::open(&path);
        let Some(Notice::Rebuilt { aside, .. }) = notice else {
            panic!("{notice:?}")
        };
        assert!(state.lasts());
        assert_eq!(state.list().await.unwrap(), []);
        kept.push((aside, junk));
        drop(state);
        drop(opened(&path));
    }
    assert!(kept[0].0.to_str().unwrap().ends_with(".damaged"));
    assert!(kept[1].0.to_str().unwrap().ends_with(".damaged.2"));
    for (aside, junk) in &kept {
        assert_eq!(fs::read_to_string(aside).unwrap(), *junk);
    }
    // There is an end to it.
    fs::write(&path, "junk").unwrap();
    let (state, notice) = State::open(&path);
    let Some(Notice::Memory {
        cause: NoDatabase::Damaged(cause),
        ..
    }) = notice
    else {
        panic!("{notice:?}")
    };
    assert!(!state.lasts());
    let cause = std::error::Error::source(&cause).unwrap().to_string();
    assert!(
        cause.starts_with("16 damaged ones are kept already as "),
        "{cause}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"junk");
}

#[tokio::test]
async fn whoever_only_looks_leaves_a_damaged_file_as_it_is() {
    let (directory, path) = in_directory();
    drop(opened(&path));
    let files = || {
        let files = fs::read_dir(path.parent().unwrap()).unwrap();
        let mut files: Vec<_> = files.map(|it| it.unwrap().path()).collect();
        files.sort();
        files
    };
    let before = files();
    fs::write(&path, b"junk".repeat(2000)).unwrap();
    let (state, notice) = State::look(&path);
    assert!(!state.lasts());
    let Some(Notice::Memory {
        cause: NoDatabase::LeftDamaged,
        ..
    }) = notice
    else {
        panic!("{notice:?}")
    };
    assert_eq!(fs::read(&path).unwrap(), b"junk".repeat(2000));
    assert_eq!(files(), before);
    drop(directory);
}

#[tokio::test]
async fn pages_that_are_wrong_cost_what_was_kept_and_nothing_else() {
    let (_directory, path) = in_directory();
    let state = opened(&path);
    let claim = state.claim(blob("x"), SIZE);
    state.store(&claim, &session(3)).await.unwrap();
    drop(state);
    let sound = fs::read(&path).unwrap();
    for page in 0..sound.len() / 4096 {
        let mut damaged = sound.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0x5a);
        let (notice, rows) = found(&damaged, b"").await;
        let rebuilt = matches!(notice, Some(Notice::Rebuilt { .. }));
        assert!(rebuilt, "page {page}: {notice:?}");
        assert_eq!(rows, [0_u64; 0]);
    }
}

#[tokio::test]
async fn a_damaged_file_is_left_alone_while_another_has_it_open() {
    let (_directory, path) = in_directory();
    let held = opened(&path);
    let other = format!("{}.other", path.display());
    fs::write(&other, b"junk".repeat(2000)).unwrap();
    fs::rename(&other, &path).unwrap();
    // Its log would make up for pages that are wrong.
    fs::remove_file(format!("{}-wal", path.display())).unwrap();
    let (state, notice) = State::open(&path);
    assert!(!state.lasts());
    let Some(Notice::Memory {
        cause: NoDatabase::DamagedInUse,
        ..
    }) = notice
    else {
        panic!("{notice:?}")
    };
    assert_eq!(fs::read(&path).unwrap(), b"junk".repeat(2000));
    drop(held);
    let (state, notice) = State::open(&path);
    assert!(state.lasts() && matches!(notice, Some(Notice::Rebuilt { .. })));
}
