//! Content that arrives: a file of its own until it is a blob.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::{Directory, content, files};
use crate::{
    route::Name,
    store::{Committed, Content, Leftover, Staged, Ticket},
};

/// So much is written before the system is told to bring it to the disk, so that
/// little is left to do at the end.
const WRITE_BACK_BYTES: u64 = 32 * 1024 * 1024;

/// One upload's directory.
#[derive(Debug)]
struct FileStaged {
    root: PathBuf,
    directory: PathBuf,
    file: File,
    length: u64,
    write_back: WriteBack,
    links: Arc<RwLock<()>>,
}

/// Brings a file to the disk while more of it arrives.
#[derive(Debug, Default)]
struct WriteBack {
    /// Bytes written since it was last begun.
    pending: u64,
    running: Option<JoinHandle<io::Result<()>>>,
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

pub(super) fn create(store: &Directory, id: &str, ticket: &Ticket) -> io::Result<Box<dyn Staged>> {
    let directory = store.root.join("uploads").join(id);
    fs::create_dir(&directory)?;
    let session = serde_json::to_vec(&Session {
        repository: ticket.name.to_string(),
        owner: ticket.owner.clone(),
        algorithm: ticket.algorithm.to_string(),
    })?;
    // Not synced: a session that a power loss takes costs work, nothing else.
    fs::write(directory.join("session.json"), session)?;
    let file = File::create_new(data(&directory))?;
    Ok(Box::new(FileStaged::new(store, directory, file, 0)))
}

pub(super) fn leftovers(store: &Directory, idle: Duration) -> io::Result<Vec<Leftover>> {
    let uploads = store.root.join("uploads");
    let mut found = Vec::new();
    for id in files::names(&uploads)? {
        let directory = uploads.join(&id);
        // What trying to write left behind when the process died over it.
        if directory.is_file() {
            files::remove(&directory)?;
            continue;
        }
        match leftover(store, &directory, idle) {
            Ok(Some((ticket, staged))) => found.push(Leftover { id, ticket, staged }),
            Ok(None) => fs::remove_dir_all(&directory)?,
            Err(error) => {
                tracing::warn!(%error, upload = %id, "an unfinished upload cannot be read and is dropped");
                fs::remove_dir_all(&directory)?;
            }
        }
    }
    Ok(found)
}

fn leftover(
    store: &Directory,
    directory: &Path,
    idle: Duration,
) -> io::Result<Option<(Ticket, Box<dyn Staged>)>> {
    let session: Session = serde_json::from_slice(&fs::read(directory.join("session.json"))?)?;
    let file = OpenOptions::new().append(true).open(data(directory))?;
    let metadata = file.metadata()?;
    let age = SystemTime::now().duration_since(metadata.modified()?);
    let algorithm = session.algorithm.parse::<Algorithm>();
    let (Some(name), Ok(algorithm)) = (Name::parse(&session.repository), algorithm) else {
        return Ok(None);
    };
    if age.is_ok_and(|age| age > idle) {
        return Ok(None);
    }
    let ticket = Ticket {
        name,
        owner: session.owner,
        algorithm,
    };
    let staged = FileStaged::new(store, directory.to_owned(), file, metadata.len());
    Ok(Some((ticket, Box::new(staged))))
}

impl FileStaged {
    fn new(store: &Directory, directory: PathBuf, file: File, length: u64) -> Self {
        Self {
            root: store.root.clone(),
            directory,
            file,
            length,
            write_back: WriteBack::default(),
            links: Arc::clone(&store.links),
        }
    }

    fn write_back(&mut self, written: u64) -> io::Result<()> {
        self.guarded(|it| it.write_back.wrote(written, &it.file))
    }

    /// Makes durable what is there.
    fn sync(&mut self) -> io::Result<()> {
        self.guarded(|it| {
            it.write_back.finish()?;
            it.file.sync_all()
        })
    }

    /// After a failure to bring bytes to the disk nobody knows which are there, and a second
    /// try may wrongly succeed: the upload begins anew, with nothing.
    fn guarded(&mut self, sync: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let synced = sync(self);
        if synced.is_err() {
            self.file = File::create(data(&self.directory))?;
            self.length = 0;
            self.write_back = WriteBack::default();
        }
        synced
    }
}

impl Staged for FileStaged {
    fn length(&self) -> u64 {
        self.length
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // All or nothing: what was written of it is taken back.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::End(0))?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.write_back(bytes.len() as u64)
    }

    fn read(&self) -> io::Result<Box<dyn Content>> {
        content::open(&data(&self.directory))?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn commit(&mut self, name: &Name, digest: &Digest) -> io::Result<Committed> {
        let blob = files::by_digest(&self.root.join("blobs"), digest);
        let repository = self.root.join("repositories").join(name.as_str());
        let link = files::by_digest(&repository.join("_blobs"), digest);
        let links = Arc::clone(&self.links);
        let _linking = links.read().unwrap_or_else(PoisonError::into_inner);
        // The same content under the same name: who comes second changes nothing.
        let committed = if blob.try_exists()? {
            Committed::Known
        } else {
            self.sync()?;
            fs::rename(data(&self.directory), &blob)?;
            Committed::New
        };
        files::sync_parent(&blob)?;
        files::touch(&link)?;
        if let Err(error) = self.discard() {
            // The blob is there; what is left over goes with the next start.
            tracing::warn!(%error, "could not remove what an upload left behind");
        }
        Ok(committed)
    }

    fn discard(&mut self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }
}

impl WriteBack {
    /// Notes bytes that were written; begins to bring them to the disk when they are many.
    fn wrote(&mut self, bytes: u64, file: &File) -> io::Result<()> {
        self.pending += bytes;
        if self.pending < WRITE_BACK_BYTES {
            return Ok(());
        }
        match &self.running {
            Some(running) if !running.is_finished() => return Ok(()),
            _ => self.finish()?,
        }
        let file = file.try_clone()?;
        self.pending = 0;
        self.running = Some(
            thread::Builder::new()
                .name("write-back".to_owned())
                .spawn(move || file.sync_data())?,
        );
        Ok(())
    }

    /// Waits for what was begun. Its failure is the file's: the system reports one once only,
    /// so that a later sync may succeed over bytes that were lost.
    fn finish(&mut self) -> io::Result<()> {
        match self.running.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(synced)) => synced,
            Some(Err(_)) => Err(io::Error::other("write-back died")),
        }
    }
}
