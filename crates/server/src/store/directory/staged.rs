//! Content that arrives: a file of its own until it is a blob.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::{Directory, content, files};
use crate::{
    route::Name,
    store::{Content, Leftover, Staged, Ticket},
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
    running: Option<std::thread::JoinHandle<()>>,
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
}

impl Staged for FileStaged {
    fn length(&self) -> u64 {
        self.length
    }

    fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        match write_all(&mut self.file, pieces) {
            Ok(written) => {
                self.length += written;
                self.write_back.wrote(written, &self.file);
                Ok(())
            }
            Err(error) => {
                // All or nothing: what was written of it is taken back.
                self.file.set_len(self.length)?;
                Err(error)
            }
        }
    }

    fn read(&self) -> io::Result<Box<dyn Content>> {
        content::open(&data(&self.directory))?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn commit(&mut self, name: &Name, digest: &Digest) -> io::Result<()> {
        let blob = files::by_digest(&self.root.join("blobs"), digest);
        let repository = self.root.join("repositories").join(name.as_str());
        let link = files::by_digest(&repository.join("_blobs"), digest);
        self.file.sync_all()?;
        let linking = self.links.read().unwrap_or_else(PoisonError::into_inner);
        // The same content under the same name: who comes second changes nothing.
        if !blob.try_exists()? {
            fs::rename(data(&self.directory), &blob)?;
        }
        files::sync_parent(&blob)?;
        files::touch(&link)?;
        drop(linking);
        self.discard()
    }

    fn discard(&mut self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }
}

fn write_all(file: &mut File, pieces: &[Bytes]) -> io::Result<u64> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|it| IoSlice::new(it)).collect();
    let total = pieces.iter().map(|it| it.len() as u64).sum();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

impl WriteBack {
    /// Notes bytes that were written; begins to bring them to the disk when they are many.
    fn wrote(&mut self, bytes: u64, file: &File) {
        self.pending += bytes;
        let is_running = self.running.as_ref().is_some_and(|it| !it.is_finished());
        if self.pending < WRITE_BACK_BYTES || is_running {
            return;
        }
        // Failing costs nothing: the sync at the end counts, and it reports errors of its own.
        let Ok(file) = file.try_clone() else {
            return;
        };
        self.pending = 0;
        self.running = std::thread::Builder::new()
            .name("write-back".to_owned())
            .spawn(move || drop(file.sync_data()))
            .ok();
    }
}
