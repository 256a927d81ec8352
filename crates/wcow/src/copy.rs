//! `COPY` and `ADD`: from an instruction to entries of a layer.
//!
//! ```text
//! sources ─▶ context · another stage · here-document · archive · URL
//!              │ patterns, --exclude
//!              ▼
//!            Node ──destination, --chmod, --chown──▶ LayerTree
//! ```
//!
//! The rules are those of the [reference](https://docs.docker.com/reference/dockerfile/#copy).
//! Where they depend on what is in an image already, what the stage itself put there
//! counts, and the directories that every image of the system has: the base's own layers
//! are not read.
//!
//! Nothing is held in memory: files of the context are opened when the layer is written, what
//! comes out of archives and from URLs waits in a file ([`CopyOptions::spool`]).

use std::{fmt, path::PathBuf, sync::Arc};

use crate::{
    FileBody, LayerPath, LayerStack, LayerTree, Meta, Origin, Owner,
    context::{Context, Files, Ignore, Node, NodeKind, SymlinkPolicy},
    dockerfile::{CopyInstruction, Heredoc, Instruction, SourcePath, TargetOs},
    names,
};

mod add;
mod archive;
mod destination;
mod error;
mod mode;
mod pattern;
mod spool;
mod staged;
mod url;

pub(crate) use archive::{MAX_RATIO, SMALL_BYTES, is_window};
use destination::Destination;
pub(crate) use destination::is_in_every_image;
pub use error::{ArchiveFault, CopyError};
use mode::Mode;
use pattern::Stars;
pub(crate) use pattern::names as source_names;
pub(crate) use spool::Spool;
pub(crate) use staged::of_stage;
pub(crate) use url::shown;
pub use url::{Fetch, FetchError};

/// What a copy may do, and where it may write.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Flags that mean nothing on the image's system are an error instead of a warning.
    pub strict: bool,
    /// A pattern that matches nothing copies nothing, instead of being an error.
    pub allows_empty_wildcard: bool,
    /// A directory for what is unpacked or downloaded, until the layers are written. None:
    /// neither can be done.
    pub spool: Option<PathBuf>,
    /// What becomes of symbolic links in archives.
    pub symlinks: SymlinkPolicy,
}

impl CopyOptions {
    /// Lenient about flags, strict about patterns, and no place to write.
    pub fn new(symlinks: SymlinkPolicy) -> Self {
        Self {
            strict: false,
            allows_empty_wildcard: false,
            spool: None,
            symlinks,
        }
    }
}

/// Carries out `COPY` and `ADD` for one build.
#[derive(Clone, Debug)]
pub struct Copying {
    context: Context,
    options: CopyOptions,
    fetch: Option<Arc<dyn Fetch>>,
}

/// Where an instruction stands, and what it finds there.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Place<'a> {
    /// What the image is for.
    pub os: TargetOs,
    /// The instruction's line.
    pub line: usize,
    /// What a relative destination is relative to, as the config has it; the root if empty.
    pub working_directory: &'a str,
    /// What the stage has copied so far.
    pub there: Option<&'a LayerStack>,
    /// The files of the stage that is copied from; the context's if none.
    pub from: Option<&'a LayerTree>,
    /// The files of the image that is copied from. It comes before the stage.
    pub(crate) image: Option<&'a dyn Files>,
}

impl Place<'_> {
    /// At the root, nothing there, from the context.
    pub fn new(os: TargetOs, line: usize) -> Self {
        Self {
            os,
            line,
            working_directory: "",
            there: None,
            from: None,
            image: None,
        }
    }

    /// Whether two paths are one on the image's system.
    fn is_one(&self, one: &LayerPath, other: &LayerPath) -> bool {
        match self.os {
            TargetOs::Windows => names::fold(one.as_str()) == names::fold(other.as_str()),
            TargetOs::Linux => one == other,
        }
    }

    fn origin(&self, source: &str) -> Origin {
        Origin::new(source).by(u32::try_from(self.line).unwrap_or(u32::MAX))
    }

    /// Whether something is a directory before the instruction, as far as is known.
    fn has_directory(&self, path: &LayerPath) -> bool {
        let is_directory = |there: &LayerStack| there.has_directory(path);
        path.is_root()
            || self.there.is_some_and(is_directory)
            || is_in_every_image(self.os, path)
            || Destination::parse(self.os, self.working_directory, ".")
                .is_ok_and(|it| self.is_one(&it.path, path))
    }
}

impl Copying {
    /// From a context; nothing is downloaded.
    pub fn new(context: Context, options: CopyOptions) -> Self {
        Self {
            context,
            options,
            fetch: None,
        }
    }

    /// The same with a way to download what `ADD` names by URL.
    #[must_use]
    pub fn with_fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = Some(fetch);
        self
    }

    /// Puts what a `COPY` or an `ADD`, variables replaced, names into `tree`, and says what
    /// was odd about it. Other instructions copy nothing.
    ///
    /// Blocks on files and, for URLs, on the network.
    pub fn carry_out(
        &self,
        instruction: &Instruction,
        place: &Place<'_>,
        tree: &mut LayerTree,
    ) -> Result<Vec<String>, CopyError> {
        match instruction {
            Instruction::Copy(it) => self.copy(it, place, tree),
            Instruction::Add(it) => self.add(it, place, tree),
            _ => Ok(Vec::new()),
        }
    }

    fn copy(
        &self,
        it: &CopyInstruction,
        place: &Place<'_>,
        tree: &mut LayerTree,
    ) -> Result<Vec<String>, CopyError> {
        let staged = place.from.map(staged::Staged::new);
        let files: &dyn Files = match (place.image, &staged) {
            (Some(image), _) => image,
            (None, Some(staged)) => staged,
            (None, None) => &self.context,
        };
        let mut job = Job::new(self, place, files, tree, &it.destination)?;
        job.excludes = Ignore::patterns(&it.excludes).map_err(CopyError::Exclude)?;
        job.flags(it.chown.as_deref(), it.chmod.as_deref())?;
        if it.sources.len() > 1 && !job.destination.is_directory && !it.parents {
            return Err(CopyError::NoTrailingSlash(it.destination.clone()));
        }
        for source in &it.sources {
            match source {
                SourcePath::Heredoc(heredoc) => job.heredoc(heredoc)?,
                SourcePath::Path(path) if url::is_remote(path) => {
                    return Err(CopyError::UrlInCopy(url::redacted(path)));
                }
                SourcePath::Path(path) if it.parents => job.with_parents(path)?,
                SourcePath::Path(path) => job.path(path)?,
            }
        }
        Ok(job.warnings)
    }
}

/// One instruction that is being carried out.
struct Job<'a> {
    options: &'a CopyOptions,
    place: &'a Place<'a>,
    files: &'a dyn Files,
    tree: &'a mut LayerTree,
    destination: Destination,
    excludes: Ignore,
    /// `--chmod`, on Linux.
    mode: Option<Mode>,
    owner: Owner,
    warnings: Vec<String>,
}

impl<'a> Job<'a> {
    fn new(
        copying: &'a Copying,
        place: &'a Place<'a>,
        files: &'a dyn Files,
        tree: &'a mut LayerTree,
        destination: &str,
    ) -> Result<Self, CopyError> {
        let destination = Destination::parse(place.os, place.working_directory, destination)?;
        Ok(Self {
            options: &copying.options,
            place,
            files,
            tree,
            destination,
            excludes: Ignore::default(),
            mode: None,
            owner: Owner::Default,
            warnings: Vec::new(),
        })
    }

    /// `--chown` and `--chmod`.
    fn flags(&mut self, chown: Option<&str>, chmod: Option<&str>) -> Result<(), CopyError> {
        let windows = self.place.os == TargetOs::Windows;
        if windows && let Some(mode) = chmod {
            // Nothing will read it, so it may be anything.
            self.without_effect("--chmod", mode)?;
        } else if let Some(mode) = chmod {
            let parsed = Mode::parse(mode);
            self.mode = Some(parsed.ok_or_else(|| CopyError::Mode(mode.to_owned()))?);
        }
        let Some(owner) = chown else {
            return Ok(());
        };
        self.owner = match destination::owner(self.place.os, owner) {
            Some(owner) => owner,
            None if windows => {
                self.without_effect("--chown", owner)?;
                Owner::Default
            }
            None => return Err(CopyError::Owner(owner.to_owned())),
        };
        Ok(())
    }

    fn without_effect(&mut self, flag: &'static str, value: &str) -> Result<(), CopyError> {
        let value = value.to_owned();
        let said = CopyError::NoEffect { flag, value };
        if self.options.strict {
            return Err(said);
        }
        self.warnings.push(said.to_string());
        Ok(())
    }

    /// The mode of something that has `mode` where it comes from.
    fn mode_of(&self, mode: u32, is_directory: bool) -> u32 {
        let said = self.mode.as_ref();
        said.map_or(mode, |it| it.of(mode, is_directory))
    }

    fn meta(&self, origin: &str, node: &Node) -> Meta {
        Meta {
            mtime: node.mtime,
            mode: self.mode_of(node.mode, matches!(node.kind, NodeKind::Directory { .. })),
            owner: self.owner_of(node.owner),
            origin: self.place.origin(origin),
            kept: node.kept.clone(),
        }
    }

    /// Whose something is that is `owner`'s where it comes from: accounts of one system are nobody on
    /// the other.
    fn owner_of(&self, owner: Owner) -> Owner {
        let is_known = match self.place.os {
            TargetOs::Windows => !matches!(owner, Owner::Ids { .. }),
            TargetOs::Linux => matches!(owner, Owner::Ids { .. }),
        };
        match self.owner {
            Owner::Default if is_known => owner,
            said => said,
        }
    }

    /// A file from the Dockerfile itself.
    fn heredoc(&mut self, heredoc: &Heredoc) -> Result<(), CopyError> {
        let content = bytes::Bytes::copy_from_slice(heredoc.content.as_bytes());
        self.one_file(
            &format!("<<{}", heredoc.name),
            &heredoc.name,
            0o644,
            content.into(),
        )
    }

    /// A file that is in no tree of files.
    fn one_file(
        &mut self,
        origin: &str,
        name: &str,
        mode: u32,
        body: FileBody,
    ) -> Result<(), CopyError> {
        let to = self.file_place(name)?;
        let meta = Meta {
            mtime: None,
            mode: self.mode_of(mode, false),
            owner: self.owner,
            origin: self.place.origin(origin),
            kept: None,
        };
        self.tree.file(&to, body, meta)?;
        Ok(())
    }

    /// Where a file of a name goes.
    fn file_place(&self, name: &str) -> Result<LayerPath, CopyError> {
        let to = &self.destination;
        if to.is_directory || self.place.has_directory(&to.path) {
            return Ok(to.path.join(name)?);
        }
        Ok(to.path.clone())
    }

    /// What a source without `--parents` names.
    fn path(&mut self, source: &str) -> Result<(), CopyError> {
        let found = self.found(source, Stars::One)?;
        self.all(source, &found)
    }

    /// What a source matched. Several files need a directory to go to.
    fn all(&mut self, source: &str, found: &[(String, Node)]) -> Result<(), CopyError> {
        let files = found.iter().filter(|it| !it.1.is_directory()).count();
        let to = &self.destination;
        if files > 1 && !to.is_directory && !self.place.has_directory(&to.path) {
            return Err(CopyError::SeveralMatch {
                pattern: source.to_owned(),
                files,
            });
        }
        found
            .iter()
            .try_for_each(|(path, node)| self.source(path, node))
    }

    fn source(&mut self, path: &str, node: &Node) -> Result<(), CopyError> {
        if node.is_directory() {
            let to = self.destination.path.clone();
            return self.contents(path, node, &to);
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        if self.excludes.matches(name) {
            return Ok(());
        }
        let to = self.file_place(name)?;
        self.put(path, node, &to)
    }

    /// Everything a source matches. Nothing at all is an error, unless it is a pattern and
    /// patterns may match nothing.
    fn found(&self, source: &str, stars: Stars) -> Result<Vec<(String, Node)>, CopyError> {
        let found = pattern::expand(self.files, self.place.os, source, stars)?;
        if !found.nodes.is_empty() || found.is_pattern && self.options.allows_empty_wildcard {
            return Ok(found.nodes);
        }
        let source = url::redacted(source);
        Err(if found.is_pattern {
            CopyError::NothingMatches(source)
        } else if self.place.image.is_some() {
            CopyError::NotInImage(source)
        } else if self.place.from.is_some() {
            CopyError::NotInStage(source)
        } else if self.files.is_left_out(&found.cleaned) {
            CopyError::LeftOut(source)
        } else {
            CopyError::NotFound(source)
        })
    }

    /// What a source with `--parents` names, below as much of its path as follows `/./`.
    fn with_parents(&mut self, source: &str) -> Result<(), CopyError> {
        let source = pattern::slashes(self.place.os, source);
        let pivot = source.split_once("/./").map(|it| it.0);
        let skipped = pivot.map_or(0, |it| it.split('/').filter(|it| !it.is_empty()).count());
        for (path, node) in self.found(&source, Stars::Many)? {
            let kept: Vec<&str> = path.split('/').skip(skipped).collect();
            let kept = kept.join("/");
            let to = if kept.is_empty() {
                self.destination.path.clone()
            } else {
                self.destination.path.join(&kept)?
            };
            if self.excludes.matches(&kept) {
                continue;
            }
            if node.is_directory() {
                self.contents(&path, &node, &to)?;
            } else {
                self.put(&path, &node, &to)?;
            }
        }
        Ok(())
    }

    /// What is in a directory, into another.
    fn contents(&mut self, path: &str, node: &Node, to: &LayerPath) -> Result<(), CopyError> {
        if !node.hidden && !self.place.has_directory(to) {
            self.directory(to, self.meta(path, node))?;
        }
        self.children(path, node, to, "")
    }

    fn children(
        &mut self,
        path: &str,
        node: &Node,
        to: &LayerPath,
        below: &str,
    ) -> Result<(), CopyError> {
        let files = self.files;
        for child in files.children(node)? {
            let (name, child) = child?;
            let path = join(path, &name);
            let below = join(below, &name);
            let excluded = self.excludes.matches(&below);
            if excluded && !(child.is_directory() && self.excludes.takes_back()) {
                continue;
            }
            let to = to.join(&name)?;
            if child.is_directory() {
                if !child.hidden && !excluded {
                    self.directory(&to, self.meta(&path, &child))?;
                }
                self.children(&path, &child, &to, &below)?;
            } else {
                self.put(&path, &child, &to)?;
            }
        }
        Ok(())
    }

    /// A directory, unless it is one of Windows' own: those have rights that no copy is to loosen,
    /// so they are there because of what is in them alone.
    fn directory(&mut self, to: &LayerPath, meta: Meta) -> Result<(), CopyError> {
        let os = self.place.os;
        if os == TargetOs::Windows && is_in_every_image(os, to) {
            return Ok(());
        }
        Ok(self.tree.directory(to, meta)?)
    }

    fn put(&mut self, path: &str, node: &Node, to: &LayerPath) -> Result<(), CopyError> {
        let meta = self.meta(&self.files.describe(path), node);
        match &node.kind {
            NodeKind::File(body) => self.tree.file(to, body.clone(), meta)?,
            NodeKind::Symlink {
                target,
                to_directory,
            } => self.tree.symlink(to, target, *to_directory, meta)?,
            NodeKind::Directory { .. } => self.directory(to, meta)?,
        }
        Ok(())
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Job").field(&self.destination).finish()
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        return name.to_owned();
    }
    format!("{directory}/{name}")
}

#[cfg(test)]
mod tests;
