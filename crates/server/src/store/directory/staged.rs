//! Content that arrives: a file of its own until it is a blob.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::{Shared, content, files};
use crate::{
    route::Name,
    store::{Committed, Content, Leftover, Staged, Ticket},
};

/// So much is written before the system is told to bring it to the disk, so that
/// little is left to do at the end.
const WRITE_BACK_BYTES: u64 = if cfg!(test) { 4096 } else { 32 * 1024 * 1024 };

/// One upload's directory.
#[derive(Debug)]
struct FileStaged {
    store: Arc<Shared>,
    id: String,
    directory: PathBuf,
    /// None if what is there can neither be relied on nor be made anew.
    file: Option<Arc<File>>,
    length: u64,
    /// How many of them are durable.
    synced: u64,
    write_back: WriteBack,
}

/// Brings a file to the disk while more of it arrives.
#[derive(Debug, Default)]
struct WriteBack {
    /// Bytes written since it was last begun.
    pending: u64,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// How long the file was when it began.
    length: u64,
    work: JoinHandle<io::Result<()>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Session {
    repository: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    algorithm: String,
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// An empty file that is there while an upload becomes this blob. Between the moment when the
/// data is no longer the upload's and the one when the repository holds the blob, it is all that
/// says what a process that was killed had in hand.
fn intent(directory: &Path, digest: &Digest) -> PathBuf {
    directory.join(format!("{}-{}", digest.algorithm(), digest.encoded()))
}

/// The blobs that an upload's directory says it was to become.
fn intents(directory: &Path) -> io::Result<Vec<(PathBuf, Digest)>> {
    let names = files::names(directory)?.into_iter();
    let digest = |it: &String| it.replacen('-', ":", 1).parse().ok();
    Ok(names
        .filter_map(|it| digest(&it).map(|digest| (directory.join(&it), digest)))
        .collect())
}

/// Finishes a commit that was cut off: the data is a blob already.
fn finish(store: &Arc<Shared>, directory: &Path, name: &Name) -> io::Result<()> {
    for (_, digest) in intents(directory)? {
        let _linking = store.linking();
        if files::length(&store.content(&digest))?.is_some() {
            store.link_blob(name, &digest)?;
            store.files.sync_parent(&store.blob_link(name, &digest))?;
        }
    }
    Ok(())
}

pub(super) fn create(
    store: &Arc<Shared>,
    id: &str,
    ticket: &Ticket,
) -> io::Result<Box<dyn Staged>> {
    let directory = store.root.join("uploads").join(id);
    let session = serde_json::to_vec(&Session {
        repository: ticket.name.to_string(),
        owner: ticket.owner.clone(),
        algorithm: ticket.algorithm.to_string(),
    })?;
    // Before there is anything of it: whoever looks for garbage leaves it alone.
    store.staging().insert(id.to_owned());
    let created = (|| {
        store.files.make_directory(&directory)?;
        // Not synced: a session that a power loss takes costs work, nothing else.
        let prepared = store.files.prepare_unsynced(&session)?;
        prepared.place(&directory.join("session.json"))?;
        store.files.create_new(&data(&directory))
    })();
    match created {
        Ok(file) => Ok(Box::new(FileStaged::new(store, id, file, 0))),
        Err(error) => {
            // What cannot be removed now goes with the garbage.
            let _ = store.files.remove_tree(&directory);
            store.staging().remove(id);
            Err(error)
        }
    }
}

pub(super) fn leftovers(store: &Arc<Shared>, idle: Duration) -> io::Result<Vec<Leftover>> {
    let uploads = store.root.join("uploads");
    let mut found = Vec::new();
    for id in files::names(&uploads)? {
        let directory = uploads.join(&id);
        // No upload is a file.
        if directory.is_file() {
            store.files.remove(&directory)?;
            continue;
        }
        match leftover(store, &id, idle) {
            Ok(Some((ticket, opened, staged))) => found.push(Leftover {
                id,
                ticket,
                opened,
                staged,
            }),
            Ok(None) => store.files.remove_tree(&directory)?,
            Err(error) => {
                tracing::warn!(%error, upload = %id, "an unfinished upload cannot be read and is dropped");
                store.files.remove_tree(&directory)?;
            }
        }
    }
    Ok(found)
}

/// An upload of an earlier process: whose it is, and when it was opened.
type Unfinished = (Ticket, SystemTime, Box<dyn Staged>);

fn leftover(store: &Arc<Shared>, id: &str, idle: Duration) -> io::Result<Option<Unfinished>> {
    let directory = store.root.join("uploads").join(id);
    let whose = directory.join("session.json");
    let session: Session = serde_json::from_slice(&fs::read(&whose)?)?;
    // It is written once.
    let opened = fs::metadata(&whose)?.modified()?;
    let algorithm = session.algorithm.parse::<Algorithm>();
    let (Some(name), Ok(algorithm)) = (Name::parse(&session.repository), algorithm) else {
        return Ok(None);
    };
    let data = data(&directory);
    if !data.try_exists()? {
        finish(store, &directory, &name)?;
        return Ok(None);
    }
    let file = OpenOptions::new().append(true).open(data)?;
    let metadata = file.metadata()?;
    let age = store.grace.now().duration_since(metadata.modified()?);
    if age.is_ok_and(|age| age > idle) {
        return Ok(None);
    }
    // It did not come to that, and may become another blob.
    for (stale, _) in intents(&directory)? {
        store.files.remove(&stale)?;
    }
    let ticket = Ticket {
        name,
        owner: session.owner,
        algorithm,
    };
    let staged = FileStaged::new(store, id, file, metadata.len());
    Ok(Some((ticket, opened, Box::new(staged))))
}

impl FileStaged {
    fn new(store: &Arc<Shared>, id: &str, file: File, length: u64) -> Self {
        store.staging().insert(id.to_owned());
        Self {
            store: Arc::clone(store),
            id: id.to_owned(),
            directory: store.root.join("uploads").join(id),
            file: Some(Arc::new(file)),
            length,
            synced: 0,
            write_back: WriteBack::default(),
        }
    }

    fn file(&self) -> io::Result<Arc<File>> {
        let broken = || io::Error::other("the upload broke off and cannot go on");
        self.file.clone().ok_or_else(broken)
    }

    /// Begins to make durable what is there, if it is much.
    fn write_back(&mut self, written: u64) -> io::Result<()> {
        self.write_back.pending += written;
        if self.write_back.pending < WRITE_BACK_BYTES {
            return Ok(());
        }
        match &self.write_back.running {
            Some(running) if !running.work.is_finished() => return Ok(()),
            _ => self.guarded(Self::finish_write_back)?,
        }
        let (file, store, path) = (self.file()?, Arc::clone(&self.store), data(&self.directory));
        self.write_back.pending = 0;
        let work = thread::Builder::new()
            .name("write-back".to_owned())
            .spawn(move || store.files.sync(&file, &path))?;
        self.write_back.running = Some(Running {
            length: self.length,
            work,
        });
        Ok(())
    }

    /// Waits for what was begun. Its failure is the file's: the system reports one once only,
    /// so that a later sync may succeed over bytes that were lost.
    fn finish_write_back(&mut self) -> io::Result<()> {
        let Some(running) = self.write_back.running.take() else {
            return Ok(());
        };
        match running.work.join() {
            Ok(synced) => synced?,
            Err(_) => return Err(io::Error::other("write-back died")),
        }
        self.synced = running.length;
        Ok(())
    }

    /// Makes durable what is there.
    fn sync(&mut self) -> io::Result<()> {
        self.guarded(|it| {
            it.finish_write_back()?;
            it.store.files.sync(&*it.file()?, &data(&it.directory))?;
            it.synced = it.length;
            Ok(())
        })
    }

    /// After a failure to bring bytes to the disk nobody knows which of them are there, and a
    /// second try may wrongly succeed: the upload goes back to what was durable before.
    fn guarded(&mut self, sync: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let synced = sync(self);
        if synced.is_err() {
            // One that runs still must not be taken for a sync of what comes next.
            self.end_write_back();
            self.cut(self.synced);
        }
        synced
    }

    /// Waits for what was begun, and forgets what came of it.
    fn end_write_back(&mut self) {
        let running = self.write_back.running.take();
        drop(running.map(|it| it.work.join()));
        self.write_back.pending = 0;
    }

    /// Goes back to a length; if even that fails, nothing can be done with it any more.
    fn cut(&mut self, length: u64) {
        let cut = self.file().and_then(|file| {
            let path = data(&self.directory);
            self.store.files.shorten(&file, &path, length)
        });
        match cut {
            Ok(()) => self.length = length,
            Err(error) => {
                tracing::warn!(%error, upload = %self.id, "an upload cannot be taken back to where it was");
                self.file = None;
                self.length = 0;
            }
        }
        self.synced = self.synced.min(self.length);
    }

    /// Makes the data a blob's content.
    fn rename_to(&self, blob: &Path, digest: &Digest) -> io::Result<()> {
        let files = &self.store.files;
        files.touch(&intent(&self.directory, digest), self.store.grace.now())?;
        let rename = || files.rename(&data(&self.directory), blob);
        let renamed = self.store.place_content(blob, self.length, rename);
        if renamed.is_err() {
            self.forget_intent(digest);
        }
        renamed
    }

    /// What it said is so, or will not be: a blob that is deleted later must not come back.
    fn forget_intent(&self, digest: &Digest) {
        if let Err(error) = self.store.files.remove(&intent(&self.directory, digest)) {
            tracing::warn!(%error, upload = %self.id, "could not remove what an upload left behind");
        }
    }

    /// Begins anew, with nothing: the file is a blob now, and not to be written to again.
    fn renew(&mut self) {
        let made = self.store.files.create_new(&data(&self.directory));
        self.file = made.ok().map(Arc::new);
        self.length = 0;
        self.synced = 0;
    }
}

impl Staged for FileStaged {
    fn length(&self) -> u64 {
        self.length
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file()?;
        let path = data(&self.directory);
        if let Err(error) = self.store.files.append(&file, &path, bytes) {
            // All or nothing: what was written of it is taken back.
            self.cut(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.write_back(bytes.len() as u64)
    }

    fn read(&self) -> io::Result<Box<dyn Content>> {
        self.file()?;
        content::open(&data(&self.directory))?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn commit(&mut self, name: &Name, digest: &Digest) -> io::Result<Committed> {
        self.file()?;
        let store = Arc::clone(&self.store);
        let blob = store.content(digest);
        // The same content under the same name: who comes second changes nothing.
        if !store.has_content(digest, self.length)? {
            self.sync()?;
        }
        let linking = store.linking();
        let moves = !store.has_content(digest, self.length)?;
        if moves {
            if self.synced != self.length {
                // It was there a moment ago.
                self.sync()?;
            }
            self.rename_to(&blob, digest)?;
            store.integrity.forget(digest);
        }
        let linked = store.link_blob(name, digest);
        drop(linking);
        let linked = linked.and_then(|()| store.files.sync_parent(&store.blob_link(name, digest)));
        if linked.is_err() && moves {
            self.forget_intent(digest);
            self.renew();
        }
        linked?;
        if moves {
            self.forget_intent(digest);
        }
        if let Err(error) = self.discard() {
            // The blob is there; what is left over goes with the garbage.
            tracing::warn!(%error, "could not remove what an upload left behind");
        }
        Ok(if moves {
            Committed::New
        } else {
            Committed::Known
        })
    }

    fn discard(&mut self) -> io::Result<()> {
        self.store.files.remove_tree(&self.directory)
    }
}

impl Drop for FileStaged {
    fn drop(&mut self) {
        // It has the store in hand, and the store's lock with it.
        self.end_write_back();
        self.store.staging().remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
