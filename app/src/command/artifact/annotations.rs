//! The annotations of an artifact: from flags, and from a file.
//!
//! The file has the form that other tools for artifacts read: an object by file, with `$manifest`
//! and `$config` for those two. A flag goes before it.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use push::source::artifact::ArtifactFile;

use super::named::NamedFile;
use crate::{error::AppError, files};

const MANIFEST: &str = "$manifest";
const CONFIG: &str = "$config";

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotation {
    pub(super) key: String,
    pub(super) value: String,
}

impl FromStr for Annotation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("an annotation is written KEY=VALUE"),
        }
    }
}

/// All annotations of an artifact.
#[derive(Debug, Default)]
pub(super) struct Annotations(BTreeMap<String, BTreeMap<String, String>>);

impl Annotations {
    /// Those of a file.
    pub(super) fn read(path: &Path) -> Result<Self, AppError> {
        let content = files::read(path).map_err(|error| AppError::unread(path, error))?;
        serde_json::from_slice(&content).map(Self).map_err(|error| {
            AppError::Usage(format!(
                "the annotations in {} cannot be used: {error}; expected an object of objects of texts, as {{\"$manifest\": {{\"key\": \"value\"}}, \"FILE\": {{…}}}}",
                path.display()
            ))
        })
    }

    /// Adds the ones of flags: of the manifest, and of files as pairs of a file and an annotation.
    pub(super) fn add(
        &mut self,
        manifest: &[Annotation],
        of_files: &[String],
    ) -> Result<(), AppError> {
        for it in manifest {
            self.insert(MANIFEST, it);
        }
        for pair in of_files.chunks_exact(2) {
            let annotation: Annotation = pair[1]
                .parse()
                .map_err(|error| AppError::Usage(format!("{:?}: {error}", pair[1])))?;
            self.insert(&pair[0], &annotation);
        }
        Ok(())
    }

    fn insert(&mut self, of: &str, it: &Annotation) {
        let these = self.0.entry(of.to_owned()).or_default();
        these.insert(it.key.clone(), it.value.clone());
    }

    /// Those of the manifest.
    pub(super) fn of_manifest(&mut self) -> BTreeMap<String, String> {
        self.0.remove(MANIFEST).unwrap_or_default()
    }

    /// The config with its own.
    pub(super) fn config(&mut self, config: ArtifactFile) -> ArtifactFile {
        annotated(config, self.0.remove(CONFIG).unwrap_or_default())
    }

    /// The file with its own, by the path it was given as or by its name.
    pub(super) fn file(&mut self, named: &NamedFile, file: ArtifactFile) -> ArtifactFile {
        let mut these = BTreeMap::new();
        let name = named.path.file_name().and_then(|it| it.to_str());
        for key in name.into_iter().chain([named.text.as_str()]) {
            these.extend(self.0.remove(key).unwrap_or_default());
        }
        annotated(file, these)
    }

    /// An error if some are of a file that is not there: a name was mistyped.
    pub(super) fn all_used(self) -> Result<(), AppError> {
        let Some((name, _)) = self.0.into_iter().next() else {
            return Ok(());
        };
        Err(AppError::Usage(match name.as_str() {
            CONFIG => "there are annotations of the config, and no --config".to_owned(),
            _ => format!(
                "there are annotations of {name:?}, which is none of the files: they go by the file's name, or its path as it is given"
            ),
        }))
    }
}

fn annotated(file: ArtifactFile, with: BTreeMap<String, String>) -> ArtifactFile {
    with.into_iter()
        .fold(file, |file, (key, value)| file.annotation(key, value))
}
