//! The build context: a directory whose files may be copied, and nothing outside it.
//!
//! ```text
//! COPY pattern ─▶ find, children ─▶ Node { directory | file | link } ─▶ LayerTree
//!                     │
//!                 one directory handle: every step is resolved below it
//! ```
//!
//! Confinement is checked where something is opened, not on names: all access goes through
//! one handle, and what the system resolves to a place outside (by `..`, by a symbolic link,
//! by one put there a moment ago) is refused. A leading slash is the context's root.
//!
//! Files are described, not read. The layer's writer opens them through the same handle,
//! and finds out if one changed in between.
//!
//! What `.dockerignore` leaves out is not there: neither by its name nor by a link to it.

use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata},
};

use crate::Owner;

mod error;
mod file;
pub(crate) mod glob;
mod ignore;
mod names;
mod node;

pub use error::ContextError;
use file::Directory;
pub use glob::PatternError;
pub use ignore::{Ignore, IgnoreError};
pub(crate) use node::{Children, Files, Node, NodeKind};

/// How deep directories may be, inclusive: links that are followed count, too.
const MAX_DEPTH: usize = 128;

/// What becomes of symbolic links inside directories that are copied. A link that is named as
/// a source is followed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymlinkPolicy {
    /// What they lead to is copied in their place.
    #[default]
    Follow,
    /// They are kept, if they are relative.
    PreserveRelative,
    /// They are kept as they are.
    Preserve,
    /// They are an error.
    Refuse,
}

/// How a context is opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ContextOptions {
    /// Where the Dockerfile is: `<Dockerfile>.dockerignore` beside it comes before the
    /// context's own `.dockerignore`.
    pub dockerfile: Option<PathBuf>,
    /// What becomes of symbolic links.
    pub symlinks: SymlinkPolicy,
}

/// A directory whose files may be copied. Clones share one handle.
#[derive(Clone)]
pub struct Context(Arc<Shared>);

struct Shared {
    directory: Dir,
    name: PathBuf,
    ignore: Ignore,
    symlinks: SymlinkPolicy,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0.name).finish()
    }
}

impl Context {
    /// Opens a directory, and reads what it leaves out.
    ///
    /// `-`, an archive on standard input, is not known.
    pub fn open(directory: &Path, options: &ContextOptions) -> Result<Self, ContextError> {
        if directory == Path::new("-") {
            return Err(ContextError::Archive);
        }
        let name = directory.to_owned();
        let opened = Dir::open_ambient_dir(directory, ambient_authority());
        let opened = opened.map_err(|source| ContextError::Open {
            path: name.clone(),
            source,
        })?;
        let ignore = read_ignore(&opened, &name, options.dockerfile.as_deref())?;
        Ok(Self(Arc::new(Shared {
            directory: opened,
            name,
            ignore,
            symlinks: options.symlinks,
        })))
    }

    /// What is left out.
    pub fn ignore(&self) -> &Ignore {
        &self.0.ignore
    }

    fn resolved(&self, path: &str) -> Result<Option<String>, ContextError> {
        match self.0.directory.canonicalize(at(path)) {
            Ok(found) => utf8(&found, path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.0.directory.symlink_metadata(at(path)) {
                    Ok(it) if it.is_symlink() => Err(ContextError::Dangling(path.to_owned())),
                    _ => Ok(None),
                }
            }
            // A step that is no directory.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(failed(path, "follow", error)),
        }
    }

    /// What is at `real`, which no link is part of.
    fn node(&self, real: String, trail: &[Arc<str>]) -> Result<Option<Node>, ContextError> {
        let directory = real.rsplit_once('/').map_or("", |it| it.0);
        let directory = Directory::new(self, directory);
        self.node_in(&directory, real, trail)
    }

    /// The same where the directory that it is in is known.
    fn node_in(
        &self,
        directory: &Arc<Directory>,
        real: String,
        trail: &[Arc<str>],
    ) -> Result<Option<Node>, ContextError> {
        let found = self.0.directory.symlink_metadata(at(&real));
        let metadata = found.map_err(|it| failed(&real, "look at", it))?;
        let (mtime, mode) = (modified(&metadata), mode(&metadata));
        let kind = if metadata.is_dir() {
            if trail.iter().any(|it| **it == *real) {
                return Err(ContextError::Loop(real));
            }
            if trail.len() == MAX_DEPTH {
                return Err(ContextError::TooDeep(real));
            }
            if self.0.ignore.matches(&real) && !self.0.ignore.takes_back() {
                return Ok(None);
            }
            let mut trail = trail.to_vec();
            trail.push(real.clone().into());
            NodeKind::Directory { trail }
        } else if self.0.ignore.matches(&real) {
            return Ok(None);
        } else if metadata.is_file() {
            let name = real.rsplit('/').next().unwrap_or_default();
            NodeKind::File(directory.body(name, metadata.len(), mtime))
        } else {
            return Err(ContextError::Special(real));
        };
        let hidden = self.0.ignore.matches(&real);
        Ok(Some(Node {
            path: real,
            hidden,
            kind,
            mtime,
            mode,
            owner: Owner::Default,
            kept: None,
        }))
    }

    /// A link that was met inside a directory.
    fn link(&self, path: &str, trail: &[Arc<str>]) -> Result<Option<Node>, ContextError> {
        if self.0.ignore.matches(path) && !self.0.ignore.takes_back() {
            return Ok(None);
        }
        match self.0.symlinks {
            SymlinkPolicy::Refuse => Err(ContextError::Link(path.to_owned())),
            SymlinkPolicy::Follow => {
                let found = self.resolved(path)?;
                let real = found.ok_or_else(|| ContextError::Dangling(path.to_owned()))?;
                let node = self.node(real, trail)?;
                let node = node.ok_or_else(|| ContextError::Ignored(path.to_owned()))?;
                Ok((!self.0.ignore.matches(path)).then_some(node))
            }
            SymlinkPolicy::Preserve | SymlinkPolicy::PreserveRelative => self.kept(path),
        }
    }

    fn kept(&self, path: &str) -> Result<Option<Node>, ContextError> {
        if self.0.ignore.matches(path) {
            return Ok(None);
        }
        let read = self.0.directory.read_link_contents(path);
        let target = read.map_err(|it| failed(path, "read", it))?;
        let target = utf8(&target, path)?;
        let is_absolute = target.starts_with('/') || Path::new(&target).is_absolute();
        if is_absolute && self.0.symlinks == SymlinkPolicy::PreserveRelative {
            let path = path.to_owned();
            return Err(ContextError::AbsoluteLink { path, target });
        }
        let found = self.0.directory.symlink_metadata(path);
        let metadata = found.map_err(|it| failed(path, "look at", it))?;
        let to_directory = self.0.directory.metadata(path).is_ok_and(|it| it.is_dir());
        Ok(Some(Node {
            path: path.to_owned(),
            hidden: false,
            kind: NodeKind::Symlink {
                target,
                to_directory,
            },
            mtime: modified(&metadata),
            mode: 0o777,
            owner: Owner::Default,
            kept: None,
        }))
    }
}

impl Files for Context {
    fn find(&self, path: &str) -> Result<Option<Node>, ContextError> {
        match self.resolved(path)? {
            Some(real) if self.0.ignore.matches(path) && !self.0.ignore.takes_back() => {
                drop(real);
                Ok(None)
            }
            Some(real) => self.node(real, &[]),
            None => Ok(None),
        }
    }

    fn children<'a>(&'a self, of: &'a Node) -> Result<Children<'a>, ContextError> {
        let NodeKind::Directory { trail } = &of.kind else {
            return Ok(Box::new(std::iter::empty()));
        };
        let directory = Directory::new(self, &of.path);
        let children = names::listed(&self.0.directory, &of.path)?.into_iter();
        Ok(Box::new(children.filter_map(move |(name, is_link)| {
            let path = joined(&of.path, &name);
            let child = if is_link {
                self.link(&path, trail)
            } else {
                self.node_in(&directory, path, trail)
            };
            let named = |it: Option<Node>| it.map(|it| (name, it));
            child.map(named).transpose()
        })))
    }

    fn is_left_out(&self, path: &str) -> bool {
        self.0.ignore.matches(path)
    }

    fn describe(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// The handle wants a name for itself.
fn at(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn joined(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        return name.to_owned();
    }
    format!("{directory}/{name}")
}

/// A path of the context as text, its names parted by `/`.
fn utf8(path: &Path, of: &str) -> Result<String, ContextError> {
    let text = path.to_str().ok_or_else(|| ContextError::NotUtf8 {
        directory: of.to_owned(),
        name: path.to_string_lossy().into_owned(),
    })?;
    let text = if cfg!(windows) {
        text.replace('\\', "/")
    } else {
        text.to_owned()
    };
    Ok(if text == "." { String::new() } else { text })
}

fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata
        .modified()
        .ok()
        .map(cap_std::time::SystemTime::into_std)
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use cap_std::fs::MetadataExt;
    metadata.mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(metadata: &Metadata) -> u32 {
    if metadata.is_dir() { 0o755 } else { 0o644 }
}

/// The handle says "permission denied" of what leads outside, without a number from the
/// system.
fn failed(path: &str, action: &'static str, source: io::Error) -> ContextError {
    let path = at(path).to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error().is_none() {
        return ContextError::Leaves(path);
    }
    ContextError::Io {
        path,
        action,
        source,
    }
}

fn read_ignore(
    directory: &Dir,
    name: &Path,
    dockerfile: Option<&Path>,
) -> Result<Ignore, ContextError> {
    let mut candidates: Vec<(PathBuf, io::Result<Vec<u8>>)> = Vec::new();
    if let Some(dockerfile) = dockerfile {
        let mut beside = dockerfile.as_os_str().to_owned();
        beside.push(".dockerignore");
        let beside = PathBuf::from(beside);
        let read = opened_outside(&beside).and_then(bounded);
        candidates.push((beside, read));
    }
    let ignore = opened(directory, Path::new(".dockerignore"));
    let read = ignore.and_then(regular).and_then(bounded);
    candidates.push((name.join(".dockerignore"), read));
    for (path, read) in candidates {
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(ContextError::Open { path, source }),
        };
        let parsed = Ignore::parse(&bytes);
        return parsed.map_err(|source| ContextError::Ignore { path, source });
    }
    Ok(Ignore::default())
}

/// Opens what is there, whatever it is, and does not wait for it: a pipe that was put in a file's
/// place has nobody at its other end.
fn opened(directory: &Dir, path: &Path) -> io::Result<cap_std::fs::File> {
    let mut options = cap_std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::custom_flags(&mut options, NO_WAITING);
    directory.open_with(path, &options)
}

/// The same of what stands beside a Dockerfile, which may be out of the context.
fn opened_outside(path: &Path) -> io::Result<cap_std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NO_WAITING);
    regular(cap_std::fs::File::from_std(options.open(path)?))
}

/// Means nothing for a file, and that others are opened at once.
#[cfg(unix)]
const NO_WAITING: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// The same, if it is a file.
fn regular(file: cap_std::fs::File) -> io::Result<cap_std::fs::File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no file"))
}

/// One byte more than there may be tells the parser.
fn bounded(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(ignore::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
