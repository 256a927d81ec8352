//! The port for files: what `COPY` and `ADD` put into a layer.

use std::{error::Error, fmt};

use crate::{
    ImageTree, LayerStack, LayerTree,
    copy::{Copying, Place},
    dockerfile::{Instruction, TargetOs},
};

/// Carries out `COPY` and `ADD`.
pub trait Copier: fmt::Debug + Send + Sync {
    /// Puts what the job's instruction names into `tree`; what is odd and does not stand in the
    /// way is returned. May take long, and is called where it may.
    fn copy(&self, job: &CopyJob<'_>, tree: &mut LayerTree) -> Result<Vec<String>, CopyFailure>;
}

/// Why a copy failed: said of the instruction, without its line.
pub type CopyFailure = Box<dyn Error + Send + Sync>;

/// A `COPY` or an `ADD`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CopyJob<'a> {
    /// The instruction, its variables expanded.
    pub instruction: &'a Instruction,
    /// What tells it from the others of the build: its line, counted from 1, and for what `ONBUILD`
    /// of a base says a number that no line has.
    pub number: usize,
    /// The directory that a relative destination is in; empty if none was said.
    pub working_dir: &'a str,
    /// Which system the image is for.
    pub os: TargetOs,
    /// What the stage has copied so far.
    pub there: &'a LayerStack,
    /// Where sources are.
    pub from: CopyFrom<'a>,
}

/// Where the sources of a copy are.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CopyFrom<'a> {
    /// In the context, or wherever an `ADD` says.
    Context,
    /// In what another stage has copied.
    Stage(&'a LayerTree),
    /// In an image, or in what a stage has copied together with its base.
    Image(&'a ImageTree),
}

impl Copier for Copying {
    fn copy(&self, job: &CopyJob<'_>, tree: &mut LayerTree) -> Result<Vec<String>, CopyFailure> {
        let mut place = Place::new(job.os, job.number);
        place.working_directory = job.working_dir;
        place.there = Some(job.there);
        match job.from {
            CopyFrom::Context => {}
            CopyFrom::Stage(files) => place.from = Some(files),
            CopyFrom::Image(files) => place.image = Some(files),
        }
        Ok(self.carry_out(job.instruction, &place, tree)?)
    }
}
