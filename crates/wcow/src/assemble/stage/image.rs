//! What a copy takes files of: the context, another stage, an image.
//!
//! An image is read as a base is, manifest and config, before anything is made; whether its layers may
//! be fetched is settled then. They are fetched when a copy turns out to need them, each once in a
//! build. What is on this machine needs no leave: nothing is fetched.
//!
//! A stage has what it copied, and under it what its base has. Its base's layers are read only if that
//! is allowed, and not for what is a file of the stage's own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use oci::{Descriptor, Digest, Hasher, SourceError};

use super::{Act, BuildError, PlannedStage, StageState, Work};
use crate::{
    Base, BaseError, BuildEvent, EntryKind, FetchedLayer, FileBody, ImageFault, ImageFilesError,
    ImageTree, LayerTree, Wanted,
    assemble::release::os_of,
    copy::{Spool, is_in_every_image, of_stage, source_names},
    dockerfile::{CopyInstruction, CopySource, Instruction, SourcePath, TargetOs},
    image_files::{ImageFiles, Look, View},
    os_version::Chosen,
};

/// The longest layer that is fetched, in bytes, inclusive.
const MAX_LAYER_BYTES: u64 = 32 << 30;

/// Images that files are copied from, for all of a build.
#[derive(Default)]
pub(in crate::assemble) struct Images {
    /// Their manifests and configs, by what was asked for.
    read: HashMap<String, Base>,
    /// What was found in them so far, by the digests of their manifests.
    files: BTreeMap<Digest, ImageFiles>,
    /// The blobs of layers, by digest.
    blobs: BTreeMap<Digest, FileBody>,
    fetched: Vec<FetchedLayer>,
}

/// What a copy takes files of.
pub(super) enum CopiedFrom<'a> {
    Context,
    Stage(&'a StageState),
    Image(Box<Base>),
}

/// The files of that.
pub(super) enum FromFiles {
    Context,
    Stage(Arc<LayerTree>),
    Image(ImageTree),
}

impl Images {
    /// The layers that were fetched.
    pub(in crate::assemble) fn take_fetched(&mut self) -> Vec<FetchedLayer> {
        std::mem::take(&mut self.fetched)
    }
}

impl Work<'_> {
    /// Reads the image that an instruction copies from, if it does. One that may not be fetched is an
    /// error.
    pub(super) async fn read_image(
        &self,
        planned: &PlannedStage,
        state: &StageState,
        act: &Act,
    ) -> Result<(), BuildError> {
        let Some(CopySource::Image(written)) = &act.from else {
            return Ok(());
        };
        let key = self.image_key(planned, state, written)?;
        if self.assembler.known().images.read.contains_key(&key) {
            return Ok(());
        }
        let options = &self.assembler.options;
        let (named, mapped) = self.release.as_written(written, &options.from_map);
        if let Some(to) = &mapped {
            let (from, to) = (named.clone(), to.clone());
            self.assembler.events.tell(&BuildEvent::Mapped { from, to });
        }
        let reference = mapped.unwrap_or(named);
        let base = self.image(planned, state, &reference).await;
        let base = base.map_err(|error| BuildError::CopiedImage {
            file: self.file(),
            line: act.step.line,
            instruction: act.said.clone(),
            reference: reference.clone(),
            error: Box::new(error),
        })?;
        let bytes = layer_bytes(&base);
        self.assembler.events.tell(&BuildEvent::CopiedFrom {
            reference: reference.clone(),
            platform: Box::new(base.platform().clone()),
            digest: base.manifest().digest().clone(),
            bytes,
        });
        if !self.may_read(&base) {
            let image = reference;
            let error = ImageFilesError::NotAllowed { image, bytes };
            return Err(self.copy_error(act, error.into()));
        }
        let images = &mut self.assembler.known().images;
        images.read.insert(key, base);
        Ok(())
    }

    /// What tells an image that is asked for from others.
    fn image_key(
        &self,
        planned: &PlannedStage,
        state: &StageState,
        written: &str,
    ) -> Result<String, BuildError> {
        let platform = self.platform(planned)?;
        let version = state.platform.os_version.as_deref().unwrap_or_default();
        let release = self.release.base_version.as_deref().unwrap_or_default();
        Ok(format!("{written} {platform} {version} {release}"))
    }

    /// An image for what the stage is for. Where it is made for several builds of Windows, the one
    /// that the stage is built on is meant; one that says no version is as good as any.
    async fn image(
        &self,
        planned: &PlannedStage,
        state: &StageState,
        reference: &str,
    ) -> Result<Base, BaseError> {
        let platform = self.platform(planned).unwrap_or(state.platform.clone());
        let os = os_of(&platform).unwrap_or(TargetOs::Linux);
        let mut wanted = Wanted {
            platform,
            os_version: None,
        };
        let bases = self.assembler.bases;
        let mut read = Base::read(bases, reference, os, &wanted).await;
        if let Err(BaseError::SeveralBuilds { .. }) = read
            && state.platform.os_version.is_some()
        {
            wanted
                .platform
                .os_version
                .clone_from(&state.platform.os_version);
            read = Base::read(bases, reference, os, &wanted).await;
        }
        if let Err(BaseError::Version(_)) = read {
            wanted.os_version = Some(Chosen {
                version: None,
                forced: true,
            });
            read = Base::read(bases, reference, os, &wanted).await;
        }
        read
    }

    /// Whether layers of an image may be read. One that is on this machine is not fetched.
    fn may_read(&self, base: &Base) -> bool {
        self.assembler.options.fetches_layers || base.source().origin().is_none()
    }

    /// What an instruction copies from.
    pub(super) fn copied_from<'s>(
        &self,
        planned: &PlannedStage,
        state: &StageState,
        act: &Act,
        states: &'s BTreeMap<usize, StageState>,
    ) -> Result<CopiedFrom<'s>, BuildError> {
        match &act.from {
            None => Ok(CopiedFrom::Context),
            Some(CopySource::Stage(index)) => {
                let from = states.get(index).ok_or(BuildError::NoStage)?;
                if from.ran {
                    let error = "something was run in that stage, and what it made there is not known: copy \
                                 from a stage without RUN";
                    return Err(self.copy_error(act, error.into()));
                }
                Ok(CopiedFrom::Stage(from))
            }
            Some(CopySource::Image(written)) => {
                let key = self.image_key(planned, state, written)?;
                let base = self.assembler.known().images.read.get(&key).cloned();
                Ok(CopiedFrom::Image(Box::new(
                    base.ok_or(BuildError::NoStage)?,
                )))
            }
        }
    }

    /// What makes what is copied from the same as another.
    pub(super) fn key_of(&self, from: &CopiedFrom<'_>) -> String {
        match from {
            CopiedFrom::Context => String::new(),
            // What its base has counts where it may be read.
            CopiedFrom::Stage(from) => match from.base.as_ref().filter(|it| self.may_read(it)) {
                Some(base) => format!("{} {}", base.manifest().digest(), from.key()),
                None => from.key(),
            },
            CopiedFrom::Image(base) => format!("image {}", base.manifest().digest()),
        }
    }

    /// The files that an instruction may take, and how much memory there is for what it does.
    pub(super) async fn files(
        &self,
        os: TargetOs,
        act: &Act,
        instruction: &Instruction,
        from: CopiedFrom<'_>,
    ) -> Result<(FromFiles, u64), BuildError> {
        let Instruction::Copy(copy) = instruction else {
            return Ok((FromFiles::Context, self.room()));
        };
        let failed = |error: ImageFilesError| self.copy_error(act, error.into());
        match from {
            CopiedFrom::Context => Ok((FromFiles::Context, self.room())),
            CopiedFrom::Image(base) => {
                let sources = self.sources(act, copy, base.os())?;
                let files = self.looked(&base, sources, None).await;
                Ok((FromFiles::Image(files.map_err(failed)?), self.room()))
            }
            CopiedFrom::Stage(from) => {
                let merged = self.merged(os, &from.files);
                let (own, room) = merged.map_err(|error| self.tree_error(act, error))?;
                let Some(base) = &from.base else {
                    return Ok((FromFiles::Stage(own), room));
                };
                let sources = self.sources(act, copy, from.os()?)?;
                let is_file = |names: &Vec<String>| {
                    of_stage(&own, &names.join("/")).is_some_and(|it| !it.is_directory())
                };
                if !self.may_read(base) {
                    self.own_files(act, (from.os()?, base), &own, &sources)?;
                } else if !sources.iter().all(is_file) {
                    let files = self.looked(base, sources, Some(own)).await;
                    return Ok((FromFiles::Image(files.map_err(failed)?), room));
                }
                Ok((FromFiles::Stage(own), room))
            }
        }
    }

    /// The names of the sources of an instruction that are paths.
    fn sources(
        &self,
        act: &Act,
        copy: &CopyInstruction,
        os: TargetOs,
    ) -> Result<Vec<Vec<String>>, BuildError> {
        let paths = copy.sources.iter().filter_map(|it| match it {
            SourcePath::Path(path) => Some(path),
            SourcePath::Heredoc(_) => None,
        });
        let names = paths.map(|it| source_names(os, it));
        let names: Result<_, _> = names.collect();
        names.map_err(|error| self.copy_error(act, error.into()))
    }

    /// Whether what a stage copied is all there is to take. What is in its base, too, is told.
    fn own_files(
        &self,
        act: &Act,
        (os, base): (TargetOs, &Base),
        own: &LayerTree,
        sources: &[Vec<String>],
    ) -> Result<(), BuildError> {
        for names in sources {
            let path = names.join("/");
            let is_pattern = path.contains(['*', '?', '[', '\\']);
            let found = of_stage(own, &path);
            if found.is_none() && !is_pattern && !names.is_empty() {
                let error = ImageFilesError::NotInStage {
                    path,
                    image: base.reference().to_owned(),
                    bytes: layer_bytes(base),
                };
                return Err(self.copy_error(act, error.into()));
            }
            let is_of_base = found.is_some_and(|it| {
                is_in_every_image(os, it.path())
                    || matches!(it.kind(), EntryKind::Directory { implicit: true })
            });
            if is_of_base {
                let text = format!(
                    "of {path:?} only what that stage copied is taken: what its base has there comes along \
                     with --allow-base-download"
                );
                self.warn(act, &text);
            }
        }
        Ok(())
    }

    /// What sources may mean in an image, its layers fetched as they are needed.
    async fn looked(
        &self,
        base: &Base,
        sources: Vec<Vec<String>>,
        above: Option<Arc<LayerTree>>,
    ) -> Result<ImageTree, ImageFilesError> {
        let digest = base.manifest().digest();
        let known = self.assembler.known().images.files.remove(digest);
        let mut files = match known {
            Some(files) => files,
            None => self.image_files(base)?,
        };
        let sources = Arc::new(sources);
        loop {
            let (over, names) = (above.clone(), Arc::clone(&sources));
            let looking = tokio::task::spawn_blocking(move || {
                let look = files.look(&names, over.as_deref());
                (files, look)
            });
            let (looked, look) = looking
                .await
                .map_err(|error| ImageFilesError::Spool(std::io::Error::other(error)))?;
            files = looked;
            match look? {
                Look::Needs(number) => {
                    let blob = self.blob(base, number).await?;
                    files.give(number, blob);
                }
                Look::Found(tree) => {
                    let images = &mut self.assembler.known().images;
                    images.files.insert(digest.clone(), files);
                    return Ok(tree);
                }
            }
        }
    }

    fn image_files(&self, base: &Base) -> Result<ImageFiles, ImageFilesError> {
        let configuration = base.configuration();
        let diff_ids = configuration.diff_ids().iter();
        // One that is no digest is that of nothing.
        let diff_ids = diff_ids.map(|it| it.as_str().and_then(|it| it.parse().ok()));
        let nothing = Digest::of(b"");
        let layers = base.layers().iter().map(|it| it.digest.clone());
        let layers = layers.zip(diff_ids.map(|it| it.unwrap_or_else(|| nothing.clone())));
        let options = &self.assembler.options;
        let view = View {
            os: base.os(),
            keeps_times: options.keeps_image_times,
        };
        ImageFiles::new(base.reference(), view, layers, &options.spool)
    }

    /// The blob of a layer, which has its digest: fetched, or as it was fetched before.
    async fn blob(&self, base: &Base, number: usize) -> Result<FileBody, ImageFilesError> {
        let layer = &base.layers()[number];
        let known = self
            .assembler
            .known()
            .images
            .blobs
            .get(&layer.digest)
            .cloned();
        if let Some(blob) = known {
            return Ok(blob);
        }
        let reference = base.reference().to_owned();
        if base.source().origin().is_some() {
            self.assembler.events.tell(&BuildEvent::Fetch {
                reference: reference.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
            });
        }
        let blob = self.fetched(base, layer).await?;
        let images = &mut self.assembler.known().images;
        images.blobs.insert(layer.digest.clone(), blob.clone());
        if base.source().origin().is_some() {
            images.fetched.push(FetchedLayer {
                reference,
                digest: layer.digest.clone(),
                size: layer.size,
            });
        }
        Ok(blob)
    }

    /// Streams a layer into a file, piece by piece.
    async fn fetched(&self, base: &Base, layer: &Descriptor) -> Result<FileBody, ImageFilesError> {
        let fault = |fault| ImageFilesError::Layer {
            image: base.reference().to_owned(),
            layer: layer.digest.clone(),
            entry: None,
            fault: Box::new(fault),
        };
        let wrong_length = |actual| {
            fault(ImageFault::Length {
                expected: layer.size,
                actual,
            })
        };
        if layer.size > MAX_LAYER_BYTES {
            return Err(fault(ImageFault::TooLarge(MAX_LAYER_BYTES)));
        }
        let opened = self.assembler.bases.open_layer(base.source(), layer).await;
        let mut pieces = opened.map_err(|error| unopened(base, layer, error))?;
        let spool = Spool::new(&self.assembler.options.spool).map_err(ImageFilesError::Spool)?;
        let mut kept = (spool, Hasher::for_digest(&layer.digest));
        let broken = |error| unreadable(base, layer, error);
        while let Some(piece) = pieces.try_next().await.map_err(broken)? {
            if kept.0.length() + piece.len() as u64 > layer.size {
                return Err(wrong_length(layer.size + 1));
            }
            let keeping = tokio::task::spawn_blocking(move || {
                use std::io::Write as _;
                kept.1.update(&piece);
                kept.0.write_all(&piece).map(|()| kept)
            });
            let done = keeping.await.map_err(std::io::Error::other).flatten();
            kept = done.map_err(ImageFilesError::Spool)?;
        }
        let (spool, hasher) = kept;
        if spool.length() != layer.size {
            return Err(wrong_length(spool.length()));
        }
        match hasher.check(&layer.digest) {
            Ok(()) => Ok(spool.piece(0).into()),
            Err(actual) => Err(fault(ImageFault::Digest(actual))),
        }
    }
}

/// Why a layer cannot be opened: a foreign one may be somewhere else.
fn unopened(base: &Base, layer: &Descriptor, error: SourceError) -> ImageFilesError {
    if !layer.is_foreign() {
        return unreadable(base, layer, error);
    }
    ImageFilesError::Foreign {
        image: base.reference().to_owned(),
        layer: layer.digest.clone(),
        size: layer.size,
        error: Box::new(error),
    }
}

fn unreadable(base: &Base, layer: &Descriptor, error: SourceError) -> ImageFilesError {
    ImageFilesError::Source {
        image: base.reference().to_owned(),
        layer: layer.digest.clone(),
        size: layer.size,
        error: Box::new(error),
    }
}

fn layer_bytes(base: &Base) -> u64 {
    base.layers().iter().map(|it| it.size).sum()
}
