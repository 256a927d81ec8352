//! What a registry has shown of how it checks manifests, for each kind of them.
//!
//! A refusal for want of content is the only thing that shows it: a manifest that is complete is
//! taken by everybody. It proves much on the day it was seen, and less later.

use std::time::{Duration, SystemTime};

use oci::{Digest, Document, TargetError, Validation, wire::ErrorCode};

use crate::{RepositoryClient, profile::Fact};

/// How long a refusal proves that what is taken is complete. What a registry checks is a matter
/// of its configuration.
const PROVES: Duration = Duration::from_hours(24);

impl RepositoryClient {
    /// Whether the registry is known to refuse manifests of this one's kind that lack something.
    pub(crate) async fn validation(&self, document: &Document) -> Validation {
        let page = self.inner().page(self.repository.registry()).await;
        let Some((fact, kept)) = page.known_since(fact(document, true).key()) else {
            return Validation::Unknown;
        };
        if fact == self::fact(document, false) {
            return Validation::Lacking;
        }
        let age = kept.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        match age {
            Some(age) if age > PROVES => Validation::Dated,
            _ => Validation::Proven,
        }
    }

    /// It has taken this one although something was missing. That stands, whatever it refuses later.
    pub(crate) fn took_incomplete(&self, document: &Document) {
        self.learn(fact(document, false));
    }

    /// It has refused this one: for want of content, if it says so or names some of it.
    pub(crate) async fn learn_validation(&self, document: &Document, refusal: &TargetError) {
        let named = refusal.answer().mentioned_digests();
        let lacking: Vec<Digest> = document
            .children()
            .map(|it| it.digest.clone())
            .filter(|it| named.contains(it))
            .collect();
        let page = self.inner().page(self.repository.registry()).await;
        if page.were_sent_at_once(&lacking) {
            self.learn(Fact::SinglePost(false));
        }
        let says = |code: &ErrorCode| *code == ErrorCode::ManifestBlobUnknown;
        let refused = !lacking.is_empty() || refusal.codes().any(says);
        if refused && self.validation(document).await != Validation::Lacking {
            self.learn(fact(document, true));
        }
    }
}

/// The fact about manifests of this one's kind.
fn fact(document: &Document, validates: bool) -> Fact {
    let Some(manifest) = document.as_manifest() else {
        return Fact::ValidatesIndexes(validates);
    };
    let is_image = manifest.config.media_type.is_config()
        && manifest.artifact_type.is_none()
        && document.subject().is_none();
    if is_image {
        Fact::ValidatesImages(validates)
    } else {
        Fact::ValidatesArtifacts(validates)
    }
}
