//! The files of an artifact, written into a directory under their names.
//!
//! ```text
//!   manifest ─▶ names checked, places looked at ─▶ each file: read, verified, written beside,
//!               before a byte is read              and renamed when it is known to be right
//! ```
//!
//! Whoever made the artifact chose the names. None of them leads out of the directory: not by what
//! it says, nor by a link that is there already. What is there is not replaced unless that is asked
//! for, and no file is ever seen with less than all of its bytes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Descriptor, Digest, MediaType, Source, SourceError};

use crate::{
    source::{
        artifact::{TITLE, fault_of_title},
        blocking,
    },
    verify::Verified,
};

#[cfg(test)]
mod tests;

/// How many files are written at once.
const AT_ONCE: usize = 4;

/// Where files go.
#[derive(Clone, Debug)]
pub struct Download {
    directory: PathBuf,
    overwrite: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// The artifact.
    pub manifest: Descriptor,
    /// The files, in the artifact's order: where each is, and what it is.
    pub files: Vec<(PathBuf, Descriptor)>,
    /// How many layers have no name, and were left.
    pub unnamed: usize,
}

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// It is an index: several artifacts, of which none was chosen.
    #[error("{0} lists several manifests and has no files of its own")]
    Index(Digest),
    /// A name that leads out of the directory, or is none.
    #[error("the artifact has a file called {title:?}, which is not written: {reason}")]
    Title {
        /// The name.
        title: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two files of one name.
    #[error("the artifact has two files called {0:?}")]
    SameTitle(String),
    /// A file where another needs a directory.
    #[error("the artifact has a file called {file:?} and one below it, {below:?}")]
    Below {
        /// The name of the one.
        file: String,
        /// The name of the other.
        below: String,
    },
    /// Something is there already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The artifact, or content of it, is missing, altered or cannot be read.
    #[error("the artifact cannot be read")]
    Source(#[source] SourceError),
}

impl Download {
    /// Into this directory, which is made if need be.
    pub fn into(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            overwrite: false,
        }
    }

    /// The same, and files that are there already are replaced.
    #[must_use]
    pub fn overwriting(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Writes the files of the artifact that is the root of `source`.
    ///
    /// Needs a tokio runtime. What cannot be is found before the first byte is read. Where a file
    /// fails later, those before it stay.
    pub async fn of(&self, source: &dyn Source) -> Result<Downloaded, DownloadError> {
        let root = source.root().await.map_err(DownloadError::Source)?;
        let Some(manifest) = root.as_manifest() else {
            return Err(DownloadError::Index(root.digest().clone()));
        };
        let (named, unnamed) = named(&manifest.layers)?;
        let mut files = Vec::new();
        for (title, blob) in named {
            let path = self.directory.join(title);
            files.push((path, title.to_owned(), blob.clone()));
        }
        let (looked_at, this) = (files.clone(), self.clone());
        let looking = blocking(move || this.look(&looked_at)).await;
        looking.map_err(DownloadError::Source)??;
        let verified = Verified::new(source);
        let writing = files.iter().map(|file| self.write(&verified, file));
        let writing: Vec<_> = writing.collect();
        let written: Result<Vec<()>, _> = stream::iter(writing)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await;
        written?;
        Ok(Downloaded {
            manifest: root.descriptor().clone(),
            files: files.into_iter().map(|(path, _, it)| (path, it)).collect(),
            unnamed,
        })
    }

    /// Whether every file can be written where it would be, as far as can be seen. Blocks.
    fn look(&self, files: &[(PathBuf, String, Descriptor)]) -> Result<(), DownloadError> {
        for (path, title, _) in files {
            self.way_to(title, false)?;
            match fs::symlink_metadata(path) {
                Ok(_) if !self.overwrite => return Err(DownloadError::Exists(path.clone())),
                Ok(there) if there.is_dir() => {
                    return Err(unwritable(path, io::ErrorKind::IsADirectory.into()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The directory a file is in, made if it is wanted. No link on the way is followed. Blocks.
    fn way_to(&self, title: &str, make: bool) -> Result<PathBuf, DownloadError> {
        let mut at = self.directory.clone();
        if make {
            fs::create_dir_all(&at).map_err(|error| unwritable(&at, error))?;
        }
        let parents = Path::new(title).parent();
        for part in parents.into_iter().flat_map(Path::components) {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(there) if there.is_dir() => {}
                Ok(there) if there.is_symlink() => {
                    let error = "it is a link, which may lead out of the directory";
                    return Err(unwritable(&at, io::Error::other(error)));
                }
                Ok(_) => return Err(unwritable(&at, io::ErrorKind::NotADirectory.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                    fs::create_dir(&at).map_err(|error| unwritable(&at, error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(at),
                Err(error) => return Err(unwritable(&at, error)),
            }
        }
        Ok(at)
    }

    async fn write(
        &self,
        source: &dyn Source,
        (path, title, blob): &(PathBuf, String, Descriptor),
    ) -> Result<(), DownloadError> {
        let (this, title) = (self.clone(), title.clone());
        let opening = blocking(move || {
            let directory = this.way_to(&title, true)?;
            beside(&directory).map_err(|error| unwritable(&directory, error))
        });
        let mut file = opening.await.map_err(DownloadError::Source)??;
        let mut pieces = source.open(blob, 0).await.map_err(DownloadError::Source)?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(DownloadError::Source)?;
            let writing = blocking(move || {
                let written = io::Write::write_all(&mut file, &piece);
                written.map(|()| file)
            });
            let written = writing.await.map_err(DownloadError::Source)?;
            file = written.map_err(|error| unwritable(path, error))?;
        }
        let (overwrite, to) = (self.overwrite, path.clone());
        let naming = blocking(move || {
            let named = if overwrite {
                file.persist(&to)
            } else {
                file.persist_noclobber(&to)
            };
            match named {
                Ok(_) => Ok(()),
                Err(it) if it.error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(DownloadError::Exists(to))
                }
                Err(it) => Err(unwritable(&to, it.error)),
            }
        });
        naming.await.map_err(DownloadError::Source)?
    }
}

/// Layers with their names.
type Named<'a> = Vec<(&'a str, &'a Descriptor)>;

/// The layers that have a name, and how many have none.
fn named(layers: &[Descriptor]) -> Result<(Named<'_>, usize), DownloadError> {
    let mut places: BTreeMap<&Path, (&str, &Digest)> = BTreeMap::new();
    let (mut named, mut unnamed) = (Named::new(), 0);
    for layer in layers {
        let Some(title) = layer.annotations.get(TITLE) else {
            // The layer of an artifact without files is nothing anybody misses.
            unnamed += usize::from(layer.media_type != MediaType::OCI_EMPTY);
            continue;
        };
        if let Some(reason) = fault_of_title(title) {
            return Err(DownloadError::Title {
                title: title.clone(),
                reason,
            });
        }
        // As paths they are compared by their components: `a//b` is where `a/b` is.
        match places.insert(Path::new(title), (title, &layer.digest)) {
            None => named.push((title.as_str(), layer)),
            Some((_, same)) if *same == layer.digest => {}
            Some(_) => return Err(DownloadError::SameTitle(title.clone())),
        }
    }
    // What is below a path comes right after it.
    for ((one, (file, _)), (next, (below, _))) in places.iter().zip(places.iter().skip(1)) {
        if next.starts_with(one) {
            let (file, below) = ((*file).to_owned(), (*below).to_owned());
            return Err(DownloadError::Below { file, below });
        }
    }
    Ok((named, unnamed))
}

/// A file without the name it will have, with the rights that any new file has.
fn beside(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".longshore-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory)
}

fn unwritable(path: &Path, error: io::Error) -> DownloadError {
    DownloadError::Write {
        path: path.to_owned(),
        error,
    }
}
