//! A copy's source: opened, cut down to some platforms, with what stands behind and before it.

use std::{path::Path, sync::Arc};

use oci::Source;
use push::{
    cache::Store,
    index::BlobIndex,
    source::{OnePlatform, Selection, SomePlatforms, Subset, SubsetMode},
};
use registry::Client;

use super::{CopyArgs, SubsetArg};
use crate::{
    error::AppError,
    open::{self, course::Course, place::Place},
    recorded::WithRecorded,
    store::Keeping,
};

/// What a source is opened with.
pub(super) struct Opening<'a> {
    pub(super) args: &'a CopyArgs,
    pub(super) course: &'a Course,
    pub(super) client: &'a Client,
    pub(super) store: Option<Store>,
    /// Where blobs were seen, if that may be asked.
    pub(super) index: Option<Arc<dyn BlobIndex>>,
    /// The registry of all destinations, if they have one in common.
    pub(super) to: Option<&'a oci::Registry>,
}

/// A source, what of its image is copied if not all, and what is kept of it.
pub(super) type Opened = (Box<dyn Source>, Option<Subset>, Option<Keeping>);

impl Opening<'_> {
    pub(super) async fn open(self, from: &Place) -> Result<Opened, AppError> {
        let args = self.args;
        let transfer = &args.transfer;
        let client = self.client;
        let (source, keeping) = match from {
            Place::Registry(named) => self.in_registry(named)?,
            Place::Path { path, name } | Place::Archive { path, name } => {
                let source = in_files(args, path, name.as_deref()).await?;
                let source = transfer.with_foreign(source, client)?;
                (self.with_recorded(source), None)
            }
        };
        let mode = match (args.subset, &args.platforms[..]) {
            (_, []) => return Ok((source, None, keeping)),
            (SubsetArg::Image, [platform, ..]) => {
                let one = OnePlatform::of(source, platform).await?;
                return Ok((Box::new(one), None, keeping));
            }
            (SubsetArg::Rewrite, _) => SubsetMode::Rewrite,
            (SubsetArg::Sparse, _) => SubsetMode::Sparse,
        };
        let some = SomePlatforms::of(source, &args.platforms, mode).await?;
        let subset = some.subset().clone();
        Ok((Box::new(some), Some(subset), keeping))
    }

    /// With what is not in the files from where it was seen.
    fn with_recorded(self, source: Box<dyn Source>) -> Box<dyn Source> {
        match self.index {
            Some(index) => Box::new(WithRecorded::new(source, self.client, (index, self.to))),
            None => source,
        }
    }

    /// With a token that is for the destination as well, and through the store if there is one.
    fn in_registry(
        self,
        named: &oci::Reference,
    ) -> Result<(Box<dyn Source>, Option<Keeping>), AppError> {
        if self.args.image.is_some() {
            return Err(AppError::Usage(
                "--image chooses among the images of a file; one in a registry is named by its reference".into(),
            ));
        }
        let reference = self.course.source().unwrap_or(named);
        let mut source = self.client.source(reference, None);
        if let Some(to) = self.course.destination(0) {
            source = source.to_be_pushed_to(to.repository());
        }
        let transfer = &self.args.transfer;
        let source = transfer.with_foreign(Box::new(source), self.client)?;
        Ok(match self.store {
            Some(store) => {
                let (source, keeping) = Keeping::before(source, store, named, true);
                (source, Some(keeping))
            }
            None => (source, None),
        })
    }
}

async fn in_files(
    args: &CopyArgs,
    path: &Path,
    name: Option<&str>,
) -> Result<Box<dyn Source>, AppError> {
    let name = name.map(str::to_owned);
    let selection = Selection {
        name: open::one_name(name, args.image.clone(), &args.source)?,
        platform: None,
    };
    Ok(push::source::open(path, &selection).await?)
}
