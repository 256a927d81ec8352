//! What a plan would send that is layers of a base: what seeding that base would save.
//!
//! Which base that is, the image says itself, in its annotations, or it is read from another
//! registry. What its layers are is read from where it is and not guessed: if that cannot be done,
//! nothing is claimed. Nothing of it stops a plan.

use std::time::Duration;

use oci::{Descriptor, Platform, PushTarget as _, Reference, Registry, Source};
use push::{
    ByteSize, Plan,
    source::{
        OpenError,
        seed::{base_layers, platforms_of},
    },
};
use registry::Client;
use serde_json::{Value, json};

use crate::command::push::Job;

/// How many bases are looked at.
const MOST: usize = 4;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a plan would send of one base.
#[derive(Debug)]
pub(crate) struct Saving {
    name: String,
    /// The repository it is in, if that is on the registry pushed to.
    here: Option<String>,
    /// The bytes of its layers among those to upload, or why they are not known.
    bytes: Result<u64, String>,
    /// The registry that is pushed to.
    to: Registry,
}

/// What the plan would send of bases.
pub(super) async fn savings(job: &Job, plan: &Plan) -> Vec<Saving> {
    if plan.totals().bytes.uploaded == 0 {
        return Vec::new();
    }
    let here = job.target.repository().registry();
    let mut savings = Vec::new();
    for (reference, at) in bases(job, plan).into_iter().take(MOST) {
        let layers = layers(&*job.source, &job.client, &at).await;
        savings.push(saving(here, &reference, layers, plan));
    }
    let from = job.from.as_ref();
    let from = from.filter(|it| it.repository().registry() != here);
    if let (Some(from), true) = (from, savings.is_empty()) {
        let layers = plan.layers().cloned().collect();
        savings.push(saving(here, from, Ok(layers), plan));
    }
    savings.retain(|it| it.bytes != Ok(0));
    savings
}

/// The bases, each as it is called, and where it is read: what the image was built on just now, or
/// what it says itself.
fn bases(job: &Job, plan: &Plan) -> Vec<(Reference, Reference)> {
    if !job.bases.is_empty() {
        return job
            .bases
            .iter()
            .map(|it| (it.clone(), it.clone()))
            .collect();
    }
    let said = plan.bases().into_iter().filter_map(|base| {
        let reference: Reference = base.name.parse().ok()?;
        let at = match base.digest {
            Some(digest) => format!("{}@{digest}", reference.repository())
                .parse()
                .ok()?,
            None => reference.clone(),
        };
        Some((reference, at))
    });
    said.collect()
}

/// What plans for several registries would send of what was built on just now: each base is read
/// once.
pub(crate) async fn savings_of_several(
    source: &dyn Source,
    client: &Client,
    bases: &[Reference],
    plans: &[(&Registry, &Plan)],
) -> Vec<Vec<Saving>> {
    let mut savings: Vec<Vec<Saving>> = plans.iter().map(|_| Vec::new()).collect();
    if plans.iter().all(|it| it.1.totals().bytes.uploaded == 0) {
        return savings;
    }
    for base in bases.iter().take(MOST) {
        let layers = layers(source, client, base).await;
        for (saved, (here, plan)) in savings.iter_mut().zip(plans) {
            let saving = saving(here, base, layers.clone(), plan);
            if plan.totals().bytes.uploaded > 0 && saving.bytes != Ok(0) {
                saved.push(saving);
            }
        }
    }
    savings
}

fn saving(
    here: &Registry,
    base: &Reference,
    layers: Result<Vec<Descriptor>, String>,
    plan: &Plan,
) -> Saving {
    let repository = base.repository();
    Saving {
        name: base.to_string(),
        here: (repository.registry() == here).then(|| repository.to_string()),
        bytes: layers.map(|layers| plan.bytes_to_send(&layers)),
        to: here.clone(),
    }
}

/// The layers of a base, for the platforms that the image is for.
async fn layers(
    source: &dyn Source,
    client: &Client,
    base: &Reference,
) -> Result<Vec<Descriptor>, String> {
    let reading = read(source, client, base);
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(layers) => layers.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it took longer than {} s", PATIENCE.as_secs())),
    }
}

async fn read(
    source: &dyn Source,
    client: &Client,
    base: &Reference,
) -> Result<Vec<Descriptor>, OpenError> {
    let platforms = platforms_of(source).await?;
    let platforms: Vec<Platform> = platforms.into_iter().map(without_revision).collect();
    base_layers(&client.source(base, None), &platforms).await
}

/// The base may have got a new revision since: of a version, as Windows has it, only the build
/// counts.
fn without_revision(mut platform: Platform) -> Platform {
    if let Some(version) = &mut platform.os_version {
        *version = version.split('.').take(3).collect::<Vec<_>>().join(".");
    }
    platform
}

impl Saving {
    /// For a person, a line.
    pub(crate) fn text(&self) -> String {
        let Self { name, to, .. } = self;
        match (&self.bytes, &self.here) {
            (Ok(bytes), Some(repository)) => format!(
                "{} of the upload are layers of {name}, which is on this registry: --mount-from {repository} has them mounted",
                ByteSize(*bytes)
            ),
            (Ok(bytes), None) => format!(
                "{} of the upload are layers of {name}: after longshore seed {name} --to {to}/REPOSITORY they are mounted and not sent",
                ByteSize(*bytes)
            ),
            (Err(error), _) => format!(
                "the base {name} could not be looked at, so what seeding it would save is not known: {error}"
            ),
        }
    }

    /// For a program.
    pub(crate) fn json(&self) -> Value {
        match &self.bytes {
            Ok(bytes) => json!({
                "name": self.name,
                "on_this_registry": self.here.is_some(),
                "bytes_to_upload": bytes,
            }),
            Err(error) => json!({ "name": self.name, "error": error }),
        }
    }
}
