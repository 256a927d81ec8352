//! Why a build failed.

use crate::{
    BaseError, BuiltImageError, ConfigureError, LayerError, TreeError, dockerfile::DockerfileError,
    run::RunError,
};

/// Why a build failed. Where a line of the Dockerfile is to blame the text begins with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile cannot be followed.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// An instruction cannot be followed.
    #[error("{file}:{line}: {instruction} cannot be followed")]
    Instruction {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// As it is written.
        instruction: String,
        /// Why not.
        #[source]
        error: ConfigureError,
    },
    /// What `FROM` names cannot be a base.
    #[error("{file}:{line}: FROM {reference} cannot be followed")]
    Base {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// What it names, variables and rules followed.
        reference: String,
        /// Why not.
        #[source]
        error: Box<BaseError>,
    },
    /// What `COPY --from` names is no stage, and cannot be read as an image.
    #[error(
        "{file}:{line}: {instruction} cannot be followed: no stage is called {reference}, so it is an image"
    )]
    CopiedImage {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// As it is written.
        instruction: String,
        /// What it names, rules followed.
        reference: String,
        /// Why not.
        #[source]
        error: Box<BaseError>,
    },
    /// Files cannot be copied.
    #[error("{file}:{line}: {instruction} cannot be followed")]
    Copy {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// As it is written.
        instruction: String,
        /// Why not.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A directory cannot be made, or layers not be made one.
    #[error("{file}:{line}: the layer cannot be put together")]
    Tree {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        error: Box<TreeError>,
    },
    /// A layer cannot be written.
    #[error("{file}:{line}: the layer cannot be written")]
    Layer {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// Why not.
        #[source]
        error: Box<LayerError>,
    },
    /// A command was not run, or not well.
    #[error("{file}:{line}: {instruction} cannot be followed")]
    Run {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// As it is written.
        instruction: String,
        /// Why not.
        #[source]
        error: RunError,
    },
    /// What a command leaves would have to be one layer with what was copied.
    #[error("{file}:{line}: what RUN leaves stays a layer of its own: leave out --squash-new")]
    SquashedRun {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
    },
    /// No images are assembled for it.
    #[error("no images are assembled for {0}: write windows/ARCHITECTURE or linux/ARCHITECTURE")]
    Platform(String),
    /// A version is to take the place of a tag, and there is none to take.
    #[error(
        "{file}:{line}: --base-version {version} cannot take the place of a tag in FROM {reference}: \
         write ARG BASE_VERSION before the first FROM, and ${{BASE_VERSION}} where it belongs"
    )]
    NoTagToReplace {
        /// Which file.
        file: String,
        /// Which line, counted from 1.
        line: usize,
        /// The version.
        version: String,
        /// What `FROM` names.
        reference: String,
    },
    /// Two images of an index would be for the same hosts.
    #[error(
        "two of the images are for {platform}, and no host could tell which is meant: of one build \
         of Windows only one base can be given"
    )]
    SameBuild {
        /// What both run on.
        platform: String,
    },
    /// Docker's media types stand beside OCI's.
    #[error("{what} has both media types of Docker and of OCI: --oci makes all of them OCI's")]
    MixedMediaTypes {
        /// What has: a base's reference, or the index.
        what: String,
    },
    /// An image that is not one.
    #[error("the image cannot be put together")]
    Image(#[from] BuiltImageError),
    /// A document that is not one.
    #[error("the index cannot be put together")]
    Index(#[source] oci::DocumentError),
    /// Nothing to assemble.
    #[error("there is no stage to build")]
    NoStage,
}
