//! The list that clients keep where the registry keeps none: an index under a tag, changed by
//! reading, adding and putting it back.
//!
//! Several do so at once, and most of these registries look at no condition: whoever puts last wins.
//! So each looks again, twice and a while later each time, whether its entries are still there, and
//! adds them again if not. Somebody who has read the list before they were in it can take them out
//! only by putting it back after the second look: the looks are several times as far apart as our
//! own reading and putting took. A registry that has refused a put by its condition settles it at once.

use std::{collections::HashSet, time::Duration};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{IF_MATCH, IF_NONE_MATCH},
};
use oci::{
    Attachment, Descriptor, Digest, Document, DocumentError, Tag, TargetError, TargetErrorKind,
};
use tokio::time::Instant;

use super::{Listing, kept_under, list};
use crate::{
    RepositoryClient,
    error::{CallError, refusal},
    profile::Fact,
    transport::retry::Retry,
};

/// How often the list is looked at, at the most.
const MAX_LOOKS: u32 = 64;
/// How much longer than reading and putting the list took somebody else is given for it.
const PATIENCE: u32 = 4;
/// The longest wait before a look.
const LONGEST: Duration = Duration::from_secs(5);
/// Looks that have to find the entries after they were put.
const SETTLED: u32 = 2;

/// What came of putting a list.
enum Put {
    Taken,
    /// Somebody else was faster.
    Changed,
    /// The registry lacks these manifests of it.
    Lacks(Vec<Digest>),
    /// It did not work this time: to be done again after so long.
    Again(Duration),
}

/// How far the entries are on their way.
struct Settling {
    /// Looks that still have to find them.
    looks: u32,
    /// How long to wait before one.
    wait: Duration,
    /// Whether anything was put.
    put: bool,
    /// Whether the registry looks at conditions.
    is_careful: bool,
    random: fastrand::Rng,
}

impl RepositoryClient {
    /// Has `referrers` listed under their `subject`, by the registry or by the tag in its place.
    pub(crate) async fn attach_referrers(
        &self,
        subject: &Digest,
        referrers: &[Document],
    ) -> Result<Attachment, TargetError> {
        let lists = Fact::Referrers(true);
        match self.known(lists.key()) {
            Some(known) if known == lists => return Ok(Attachment::Listed),
            Some(_) => {}
            None => match self.listed(subject, None).await {
                Ok(Listing::All(_)) => {
                    self.learn(lists);
                    return Ok(Attachment::Listed);
                }
                Ok(Listing::Unavailable) => self.learn(Fact::Referrers(false)),
                Err(error) if is_forbidden(&error) => return Ok(Attachment::Unknown),
                Err(error) => return Err(error),
            },
        }
        let entries: Vec<Descriptor> = referrers.iter().map(list::entry).collect();
        self.keep_listed(subject, &entries).await
    }

    async fn keep_listed(
        &self,
        subject: &Digest,
        entries: &[Descriptor],
    ) -> Result<Attachment, TargetError> {
        let attempted = || format!("list what refers to {}@{subject}", self.repository);
        let unusable = |error: DocumentError| {
            TargetError::new(TargetErrorKind::Refused, attempted()).with_source(error)
        };
        let Some(tag) = kept_under(subject) else {
            return Ok(Attachment::Unknown);
        };
        let policy = self.inner().retry;
        let mut retry = policy.start();
        let mut settling = Settling::new(policy.base, policy.seed);
        let mut gone = HashSet::new();
        for _ in 0..MAX_LOOKS {
            settling.pause().await;
            let began = Instant::now();
            let found = self.kept_index(subject).await?;
            let (found, entity_tag) = found.map_or((None, None), |(it, tag)| (Some(it), tag));
            let list = list::added(found.as_ref(), entries, &gone).map_err(unusable)?;
            let Some(list) = list else {
                if settling.found() {
                    return Ok(settling.attachment(tag));
                }
                continue;
            };
            let condition = condition(found.is_some(), entity_tag);
            match self.put_list(&tag, &list, condition, &mut retry).await? {
                Put::Taken => settling.was_put(began.elapsed()),
                Put::Changed => settling.was_refused(),
                Put::Lacks(digests) => {
                    let ours = |it: &Digest| entries.iter().any(|entry| entry.digest == *it);
                    gone.extend(digests.into_iter().filter(|it| !ours(it)));
                }
                Put::Again(wait) => tokio::time::sleep(wait).await,
            }
        }
        Err(TargetError::new(TargetErrorKind::Contended, attempted()))
    }

    /// Puts a list once: if that is to be done again, then with what is there by then.
    async fn put_list(
        &self,
        tag: &Tag,
        list: &Document,
        condition: HeaderMap,
        retry: &mut Retry,
    ) -> Result<Put, TargetError> {
        let attempted = || format!("put the list {}:{tag}", self.repository);
        let fail = |error: CallError| error.into_target(attempted());
        let call = self.put_call(list, tag.as_str(), condition).map_err(fail)?;
        let outcome = match self.inner().attempt(&call).await {
            Ok(answer) => Ok(answer),
            Err(CallError::Transport(error)) => Err(error),
            Err(other) => return Err(fail(other)),
        };
        let transport = &self.inner().transport;
        if let Some(wait) = transport.patience(retry, &call.url, &outcome) {
            if let Ok(answer) = outcome {
                answer.finish().await;
            }
            return Ok(Put::Again(wait));
        }
        let answer = outcome.map_err(|error| fail(error.into()))?;
        match answer.status {
            StatusCode::CREATED => {
                answer.finish().await;
                Ok(Put::Taken)
            }
            StatusCode::PRECONDITION_FAILED => {
                answer.finish().await;
                Ok(Put::Changed)
            }
            _ => {
                let refusal = refusal(answer, attempted()).await;
                let listed = list.as_index().map(|it| &it.manifests[..]);
                let listed = listed.unwrap_or_default();
                let mut lacks = refusal.answer().mentioned_digests();
                lacks.retain(|it| listed.iter().any(|entry| entry.digest == *it));
                if lacks.is_empty() {
                    return Err(refusal);
                }
                Ok(Put::Lacks(lacks))
            }
        }
    }
}

/// On which condition a list is put back. A weak entity tag matches nothing in it.
fn condition(is_there: bool, entity_tag: Option<HeaderValue>) -> HeaderMap {
    let nothing = (IF_NONE_MATCH, HeaderValue::from_static("*"));
    let same = entity_tag.filter(|it| !it.as_bytes().starts_with(b"W/"));
    let condition = match (is_there, same) {
        (false, _) => Some(nothing),
        (true, same) => same.map(|it| (IF_MATCH, it)),
    };
    condition.into_iter().collect()
}

fn is_forbidden(error: &TargetError) -> bool {
    matches!(
        error.kind(),
        TargetErrorKind::Denied | TargetErrorKind::Unauthorized
    )
}

impl Settling {
    fn new(shortest: Duration, seed: Option<u64>) -> Self {
        Self {
            looks: 0,
            wait: shortest,
            put: false,
            is_careful: false,
            random: seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
        }
    }

    /// Waits before the next look, unless it is the first.
    async fn pause(&mut self) {
        if self.looks == 0 && !self.is_careful {
            return;
        }
        let jitter = 1.0 + self.random.f64();
        tokio::time::sleep(self.wait.min(LONGEST).mul_f64(jitter)).await;
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
    }

    /// The entries were put; reading and putting took so long.
    fn was_put(&mut self, took: Duration) {
        self.put = true;
        self.looks = if self.is_careful { 1 } else { SETTLED };
        self.wait = self.wait.max(took.saturating_mul(PATIENCE));
    }

    /// Somebody else was faster, and the registry has noticed.
    fn was_refused(&mut self) {
        self.is_careful = true;
        self.looks = 0;
    }

    /// The entries are there. Whether that is for good.
    fn found(&mut self) -> bool {
        self.looks = self.looks.saturating_sub(1);
        self.looks == 0
    }

    fn attachment(&self, tag: Tag) -> Attachment {
        if self.put {
            Attachment::Added(tag)
        } else {
            Attachment::Listed
        }
    }
}
