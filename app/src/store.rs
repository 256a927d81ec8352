//! The store of what is fetched from registries: where it is, and what goes through it.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use oci::{Reference, Source};
use push::{
    ByteSize,
    cache::{CachedSource, DEFAULT_LIMIT, Meter, Store, StoreError, StoreObserver, StoreOptions},
};
use serde_json::{Value, json};

use crate::{
    env::Environment,
    error::AppError,
    render::progress::Progress,
    settings::{self, SettingsError},
    warning,
};

/// What is kept of what a registry is asked for
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// Keep what is fetched from a registry in this directory, so that it is fetched once
    /// [default: longshore/store in the user's cache directory]
    #[arg(long, value_name = "DIR", conflicts_with = "no_store")]
    store: Option<PathBuf>,

    /// Keep nothing of what is fetched from a registry
    #[arg(long)]
    no_store: bool,
}

/// Where a store is and how large it may be.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// In bytes.
    pub(crate) limit: u64,
}

/// A store in use.
pub(crate) struct Keeping {
    store: Store,
    meter: Meter,
    /// What the image is called where it comes from, if it has a name there.
    name: Option<String>,
}

impl StoreArgs {
    /// As if `--store` had named this directory, if one is named.
    pub(crate) fn at(store: Option<PathBuf>) -> Self {
        Self {
            store,
            no_store: false,
        }
    }

    /// As if `--no-store` was given.
    pub(crate) fn none() -> Self {
        Self {
            store: None,
            no_store: true,
        }
    }

    /// The store for an image that is `read` from a registry; none for any other, which is read
    /// where it lies. One that cannot be used is none, and told of.
    pub(crate) async fn of(
        &self,
        read: Option<&Reference>,
        writes: bool,
        environment: &Environment,
        progress: &Arc<Progress>,
    ) -> Result<Option<Store>, AppError> {
        let Some(place) = self.place(environment)?.filter(|_| read.is_some()) else {
            return Ok(None);
        };
        let observer: Arc<dyn StoreObserver> = progress.clone();
        let options = place.options(observer);
        let opened = if writes {
            Store::open(&place.path, options).await.map(Some)
        } else {
            Store::look(&place.path, options).await
        };
        match opened {
            Ok(store) => Ok(store),
            Err(error @ StoreError::NotAStore { .. }) => Err(error.into()),
            Err(error) => {
                warn(&error);
                Ok(None)
            }
        }
    }

    /// Where it is; none if there is to be none.
    pub(crate) fn place(&self, environment: &Environment) -> Result<Option<Place>, SettingsError> {
        if self.no_store {
            return Ok(None);
        }
        let (path, limit) = settings::store_of(environment)?;
        let named = self.store.clone().or_else(|| environment.store.clone());
        let path = named.or(path).or_else(default_path);
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        Ok(path.map(|path| Place { path, limit }))
    }
}

impl Place {
    pub(crate) fn options(&self, observer: Arc<dyn StoreObserver>) -> StoreOptions {
        StoreOptions {
            limit: self.limit,
            observer,
            ..StoreOptions::default()
        }
    }
}

impl Keeping {
    /// Puts a store before a source. `whole` says that what is `named` is the source's root, and
    /// not a part of it.
    pub(crate) fn before(
        source: Box<dyn Source>,
        store: Store,
        named: &Reference,
        whole: bool,
    ) -> (Box<dyn Source>, Self) {
        let source: Arc<dyn Source> = source.into();
        let mut cached = CachedSource::new(source, store.clone());
        if let Some(digest) = named.digest().filter(|_| whole) {
            cached = cached.with_root(digest.clone());
        }
        let tag = named.tag_or_latest();
        let it = Self {
            store,
            meter: cached.meter(),
            name: tag.map(|tag| format!("{}:{tag}", named.repository())),
        };
        (Box::new(cached), it)
    }

    /// Waits for what is being written, and lists the image if all of it is there. Whoever was
    /// interrupted does not wait.
    pub(crate) async fn finish(
        &self,
        failed: Option<&AppError>,
        source: &dyn Source,
        progress: &Progress,
    ) {
        if matches!(failed, Some(AppError::Interrupted | AppError::Timeout)) {
            return;
        }
        self.store.settle().await;
        if failed.is_some() {
            return;
        }
        let Ok(root) = source.root().await else {
            return;
        };
        if let Err(error) = self.store.list(&root, self.name.as_deref()).await
            && !progress.is_quiet()
        {
            warn(&error);
        }
    }

    /// What came from where, for a person; nothing if no blob was read.
    pub(crate) fn text(&self) -> Option<String> {
        let tally = self.meter.tally();
        if tally.stored_bytes + tally.fetched_bytes == 0 {
            return None;
        }
        Some(format!(
            "{} read from the store, {} fetched\n",
            ByteSize(tally.stored_bytes),
            ByteSize(tally.fetched_bytes)
        ))
    }

    /// The same for a program, in bytes.
    pub(crate) fn json(&self) -> Value {
        let tally = self.meter.tally();
        json!({
            "path": self.store.path().display().to_string(),
            "stored_blobs": tally.stored_blobs,
            "stored_bytes": tally.stored_bytes,
            "fetched_blobs": tally.fetched_blobs,
            "fetched_bytes": tally.fetched_bytes,
        })
    }
}

fn warn(error: &StoreError) {
    warning::warn(format_args!(
        "the store is not used: {}",
        warning::with_causes(error)
    ));
}

fn default_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.cache_dir().join("longshore").join("store"))
}
