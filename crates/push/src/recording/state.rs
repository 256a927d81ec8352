//! What a recording target knows, holds and has been told to do.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use oci::{
    Digest, Document, ManifestReceipt, Mounting, Repository, Tag, TagOrDigest, TargetError,
    TargetErrorKind, UploadSession, Validation,
    wire::{ErrorBody, ErrorCode, ErrorEntry},
};

use super::Call;

/// Everything behind one double and its siblings.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says how one thing is answered, and any can go with any"
)]
pub(super) struct State {
    pub(super) calls: Vec<Call>,
    /// Calls ever, cleared ones included.
    counted: usize,
    pub(super) faults: Vec<Fault>,
    blobs: HashSet<(Repository, Digest)>,
    pub(super) pretended: HashSet<(Repository, Digest)>,
    manifests: HashMap<(Repository, Digest), Bytes>,
    tagged: HashMap<(Repository, Tag), Digest>,
    /// What is listed under a digest, by repository.
    attached: HashMap<(Repository, Digest), Vec<Digest>>,
    pub(super) tags: Tags,
    pub(super) no_referrers: bool,
    pub(super) validates: bool,
    pub(super) names_first: bool,
    pub(super) validation: Validation,
    /// It has not shown yet that it finds by a mount what it holds.
    pub(super) unproven_mounts: bool,
    pub(super) mute: bool,
    pub(super) refuses_mounts: bool,
    /// What it is known to do with mounts.
    pub(super) mounting: Mounting,
    /// The blobs whose mounts were refused where they could have been given.
    pub(super) refused: Vec<Digest>,
    pub(super) no_sessions: bool,
    pub(super) breaks: (usize, u64),
    pub(super) time: Duration,
    pub(super) sessions: BTreeSet<String>,
    opened: usize,
    pub(super) going: usize,
    pub(super) peak: usize,
    pub(super) expected: Vec<Repository>,
    pub(super) expected_blobs: Vec<(usize, usize, usize)>,
}

/// How many tags go into one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Tags {
    #[default]
    OneByOne,
    Taken(usize),
    Ignored(usize),
}

/// Something to go wrong.
pub(super) struct Fault {
    left: usize,
    when: When,
    error: Box<dyn FnMut() -> Option<TargetError> + Send>,
}

enum When {
    Nth(usize),
    Call(Box<dyn Fn(&Call) -> bool + Send>),
}

impl Fault {
    pub(super) fn nth(nth: usize, error: TargetError) -> Self {
        let mut error = Some(error);
        Self {
            left: 1,
            when: When::Nth(nth),
            error: Box::new(move || error.take()),
        }
    }

    pub(super) fn when(
        times: usize,
        when: impl Fn(&Call) -> bool + Send + 'static,
        error: impl Fn() -> TargetError + Send + 'static,
    ) -> Self {
        Self {
            left: times,
            when: When::Call(Box::new(when)),
            error: Box::new(move || Some(error())),
        }
    }

    fn strikes(&mut self, number: usize, call: &Call) -> Option<TargetError> {
        let meant = match &self.when {
            When::Nth(nth) => *nth == number,
            When::Call(when) => when(call),
        };
        if !meant || self.left == 0 {
            return None;
        }
        self.left -= 1;
        (self.error)()
    }
}

impl State {
    /// Notes a call; says where in the record it is, and the error it is to end with.
    pub(super) fn begin(&mut self, call: Call) -> (usize, Option<TargetError>) {
        self.counted += 1;
        let number = self.counted;
        let mut faults = self.faults.iter_mut();
        let error = faults.find_map(|it| it.strikes(number, &call));
        self.calls.push(call);
        (self.calls.len() - 1, error)
    }

    pub(super) fn open_session(&mut self) -> String {
        self.opened += 1;
        let name = format!("session-{}", self.opened);
        self.sessions.insert(name.clone());
        name
    }

    /// The session a refusal opens, if refusals do.
    pub(super) fn refusal(&mut self) -> Option<UploadSession> {
        if self.mute || self.no_sessions {
            return None;
        }
        Some(UploadSession::new(self.open_session()))
    }

    pub(super) fn hold_blob(&mut self, repository: &Repository, digest: &Digest) {
        self.blobs.insert((repository.clone(), digest.clone()));
    }

    pub(super) fn holds_blob(&self, repository: &Repository, digest: &Digest) -> bool {
        self.blobs.contains(&(repository.clone(), digest.clone()))
    }

    /// Whether it says that it holds the blob.
    pub(super) fn claims_blob(&self, repository: &Repository, digest: &Digest) -> bool {
        let key = (repository.clone(), digest.clone());
        self.blobs.contains(&key) || self.pretended.contains(&key)
    }

    pub(super) fn hold_manifest(
        &mut self,
        repository: &Repository,
        document: &Document,
        tag: Option<&Tag>,
    ) {
        let digest = document.digest().clone();
        if let Some(tag) = tag {
            self.tagged
                .insert((repository.clone(), tag.clone()), digest.clone());
        }
        let key = (repository.clone(), digest);
        self.manifests.insert(key, document.bytes().clone());
    }

    /// What it says of a manifest that it took.
    pub(super) fn receipt(&self, document: &Document) -> ManifestReceipt {
        let lists = !self.no_referrers && document.subject().is_some();
        ManifestReceipt::verified().with_subject(lists)
    }

    /// Lists `referrers` under `subject`; whether any of them was not there.
    pub(super) fn attach(
        &mut self,
        repository: &Repository,
        subject: &Digest,
        referrers: &[Digest],
    ) -> bool {
        let key = (repository.clone(), subject.clone());
        let listed = self.attached.entry(key).or_default();
        let before = listed.len();
        for referrer in referrers {
            if !listed.contains(referrer) {
                listed.push(referrer.clone());
            }
        }
        listed.len() != before
    }

    pub(super) fn attached(&self, repository: &Repository, subject: &Digest) -> Vec<Digest> {
        let key = (repository.clone(), subject.clone());
        self.attached.get(&key).cloned().unwrap_or_default()
    }

    pub(super) fn digest_at(&self, repository: &Repository, at: &TagOrDigest) -> Option<Digest> {
        match at {
            TagOrDigest::Tag(tag) => self.tagged.get(&(repository.clone(), tag.clone())).cloned(),
            TagOrDigest::Digest(digest) => {
                let key = (repository.clone(), digest.clone());
                self.manifests.contains_key(&key).then(|| digest.clone())
            }
        }
    }

    pub(super) fn manifest(&self, repository: &Repository, at: &TagOrDigest) -> Option<Bytes> {
        let digest = self.digest_at(repository, at)?;
        self.manifests.get(&(repository.clone(), digest)).cloned()
    }

    /// The refusal of a manifest that names what is not there, each missing part by itself.
    pub(super) fn refusal_of(
        &self,
        repository: &Repository,
        document: &Document,
    ) -> Option<TargetError> {
        let is_index = document.as_index().is_some();
        let missing = document.children().filter(|child| {
            let at = TagOrDigest::Digest(child.digest.clone());
            let held = if is_index && child.is_document() {
                self.digest_at(repository, &at).is_some()
            } else {
                child.is_foreign() || self.holds_blob(repository, &child.digest)
            };
            !held
        });
        let named = if self.names_first { 1 } else { usize::MAX };
        let errors: Vec<ErrorEntry> = missing
            .take(named)
            .map(|it| ErrorEntry::new(ErrorCode::ManifestBlobUnknown).detail(it.digest.to_string()))
            .collect();
        if errors.is_empty() || !self.validates {
            return None;
        }
        let error = TargetError::new(TargetErrorKind::Refused, "put the manifest");
        Some(error.with_status(404).with_answer(ErrorBody { errors }))
    }
}
