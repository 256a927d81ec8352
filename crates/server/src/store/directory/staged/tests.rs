//! Commits that a kill cut off, as the next start finds them.

use std::{fs, path::PathBuf, time::Duration};

use oci::{Algorithm, Digest};
use tempfile::TempDir;

use super::super::Directory;
use crate::{
    route::Name,
    store::{Clock, Grace, Leftover, Store as _, Ticket},
};

const HOUR: Duration = Duration::from_hours(1);

/// A store that is closed, with an upload that has received all of `content`.
struct Killed {
    dir: TempDir,
    content: Vec<u8>,
}

fn open(dir: &TempDir) -> Directory {
    Directory::open(dir.path(), Grace::new(HOUR, Clock::system())).unwrap()
}

fn name() -> Name {
    Name::parse("app").unwrap()
}

impl Killed {
    fn over(content: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ticket = Ticket {
            name: name(),
            owner: None,
            algorithm: Algorithm::Sha256,
        };
        let store = open(&dir);
        let mut staged = store.stage("upload", &ticket).unwrap();
        staged.append(content).unwrap();
        drop(staged);
        let content = content.to_vec();
        Self { dir, content }
    }

    fn upload(&self, file: &str) -> PathBuf {
        self.dir.path().join("uploads/upload").join(file)
    }

    /// It says that it becomes the blob with this digest.
    fn intended(self, digest: &Digest) -> Self {
        fs::write(self.upload(&format!("sha256-{}", digest.encoded())), "").unwrap();
        self
    }

    /// Its data is gone from it, and is the content of its digest.
    fn moved(self) -> Self {
        let blobs = self.dir.path().join("blobs/sha256");
        let blob = blobs.join(Digest::of(&self.content).encoded());
        fs::rename(self.upload("data"), blob).unwrap();
        self
    }

    /// What the next start makes of it, with whether the repository holds the content.
    fn started(&self) -> (Vec<Leftover>, bool) {
        let store = open(&self.dir);
        let leftovers = store.leftovers(HOUR).unwrap();
        let held = store.blob(&name(), &Digest::of(&self.content)).unwrap();
        (leftovers, held.is_some())
    }
}

#[test]
fn a_commit_that_was_cut_off_before_its_link_is_finished() {
    let digest = Digest::of(b"content");
    let killed = Killed::over(b"content").intended(&digest).moved();
    let (leftovers, held) = killed.started();
    assert!(leftovers.is_empty() && held);
    assert!(!killed.upload("").exists());
    // And it is no other upload's: nothing of it comes back.
    open(&killed.dir).remove_blob(&name(), &digest).unwrap();
    assert!(!killed.started().1);
}

#[test]
fn a_commit_that_was_cut_off_before_its_data_moved_goes_on() {
    let digest = Digest::of(b"content");
    let killed = Killed::over(b"content").intended(&digest);
    let (mut leftovers, held) = killed.started();
    assert!(!held);
    let Leftover { staged, .. } = &mut leftovers[0];
    assert_eq!(staged.length(), 7);
    // It may become another blob, and then nothing says that it was to be this one.
    assert!(
        !killed
            .upload(&format!("sha256-{}", digest.encoded()))
            .exists()
    );
    staged.append(b" and more").unwrap();
    let other = Digest::of(b"content and more");
    staged.commit(&name(), &other).unwrap();
    drop(leftovers);
    let store = open(&killed.dir);
    assert!(store.blob(&name(), &other).unwrap().is_some());
    assert!(store.blob(&name(), &digest).unwrap().is_none());
}

#[test]
fn an_upload_without_its_data_is_nothing_else() {
    // Nobody said what it was to become.
    let (leftovers, held) = Killed::over(b"content").moved().started();
    assert!(leftovers.is_empty() && !held);
    // What it was to become is not there.
    let killed = Killed::over(b"content").intended(&Digest::of(b"content"));
    fs::remove_file(killed.upload("data")).unwrap();
    let (leftovers, held) = killed.started();
    assert!(leftovers.is_empty() && !held);
}
