//! What a file has: modes, formats, owners that are gone, and places where there can be none.

use std::fs;

use super::*;
use crate::journal::{Journal, Stored};

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, path) = in_directory();
    let state = opened(&path);
    let claim = state.claim(blob("x"), SIZE);
    state.store(&claim, &session(3)).await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&beside_of(&path, ".owners")), 0o700);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&beside_of(&path, suffix)), 0o600, "{suffix}");
    }
    drop(state);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _state = opened(&path);
    assert_eq!(mode(&path), 0o600, "it is taken from others");
}

fn beside_of(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[tokio::test]
async fn a_session_is_free_when_its_process_is_gone_and_not_before() {
    let (_directory, path) = in_directory();
    let (first, second) = (opened(&path), opened(&path));
    let claim = first.claim(blob("x"), SIZE);
    assert_eq!(
        first.store(&claim, &session(3)).await.unwrap(),
        Stored::Kept
    );
    let other = second.claim(blob("x"), SIZE);
    assert_eq!(second.take(&other).await.unwrap(), None);
    drop(first);
    assert_eq!(second.look(&blob("x")).await.unwrap(), Some(3));
    assert_eq!(second.take(&other).await.unwrap(), Some(session(3)));
}

#[tokio::test]
async fn what_was_stored_is_there_when_the_file_is_opened_again() {
    let (_directory, path) = in_directory();
    let state = opened(&path);
    let claim = state.claim(blob("x"), SIZE);
    state.store(&claim, &session(3)).await.unwrap();
    state.let_go(&claim);
    state.put_host_fact("one.test", "k", "v").await.unwrap();
    drop(state);
    let state = opened(&path);
    assert_eq!(state.look(&blob("x")).await.unwrap(), Some(3));
    assert!(state.host_fact("one.test", "k").await.unwrap().is_some());
    let owners = fs::read_dir(beside_of(&path, ".owners")).unwrap();
    assert_eq!(owners.count(), 1, "the first one's lock is gone with it");
}

#[tokio::test]
async fn processes_that_open_a_new_file_at_once_all_get_it() {
    let (_directory, path) = in_directory();
    let opening = (0..16).map(|number| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || (number, opened(&path)))
    });
    let mut states = Vec::new();
    for opened in opening.collect::<Vec<_>>() {
        states.push(opened.await.unwrap());
    }
    for (number, state) in &states {
        let claim = state.claim(blob(&number.to_string()), SIZE);
        assert_eq!(
            state.store(&claim, &session(1)).await.unwrap(),
            Stored::Kept
        );
    }
    assert_eq!(states[0].1.list().await.unwrap().len(), 16);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone_and_the_run_goes_on_in_memory() {
    type Wrong = fn(&NoDatabase) -> bool;
    let cases: [(&str, Wrong); 2] = [
        (
            "PRAGMA application_id = 1819174771; PRAGMA user_version = 99",
            |it| {
                matches!(
                    it,
                    NoDatabase::Newer {
                        version: 99,
                        known: 2
                    }
                )
            },
        ),
        ("CREATE TABLE notes (text TEXT)", |it| {
            matches!(it, NoDatabase::Foreign)
        }),
    ];
    for (sql, expected) in cases {
        let (_directory, path) = in_directory();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        sqlite::tests::execute(&path, sql);
        let before = fs::read(&path).unwrap();
        let (state, notice) = State::open(&path);
        let Some(Notice::Memory { cause, .. }) = &notice else {
            panic!("{notice:?}")
        };
        assert!(expected(cause), "{cause:?}");
        assert!(!state.lasts());
        let claim = state.claim(blob("x"), SIZE);
        assert_eq!(
            state.store(&claim, &session(1)).await.unwrap(),
            Stored::Kept
        );
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

/// Neither a text nor a database of another program: no byte, no mode, nothing beside it.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_never_ours_is_not_touched() {
    use std::os::unix::fs::PermissionsExt as _;
    let text = |path: &Path| fs::write(path, "Dear diary,\n".repeat(1000)).unwrap();
    let notes = |path: &Path| {
        sqlite::tests::execute(path, "CREATE TABLE notes (text TEXT)");
    };
    let makers: [&dyn Fn(&Path); 2] = [&text, &notes];
    for make in makers {
        for open in [State::open, State::look] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("mine");
            make(&path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let before = fs::read(&path).unwrap();
            let (state, notice) = open(&path);
            let Some(Notice::Memory {
                cause: NoDatabase::Foreign,
                ..
            }) = notice
            else {
                panic!("{notice:?}")
            };
            assert!(!state.lasts());
            assert_eq!(fs::read(&path).unwrap(), before);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o644);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }
}

#[tokio::test]
async fn where_no_file_can_be_made_the_run_goes_on_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("state.db"), directory.path().to_owned()] {
        let (state, notice) = State::open(&path);
        assert!(!state.lasts());
        let Some(Notice::Memory {
            cause: NoDatabase::Unusable(_),
            ..
        }) = notice
        else {
            panic!("{notice:?}")
        };
    }
}
