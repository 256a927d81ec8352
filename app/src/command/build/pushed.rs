//! An image that was built into a registry: the way of every other push.

use oci::{PushTarget as _, Reference, Registry};
use push::Engine;

use super::{Building, FoundBases, Named, several, tell::built_json};
use crate::{
    command::{
        plan,
        push::{ImageArgs, Job, carry_out, prepare_from},
        transfer::TransferArgs,
    },
    error::AppError,
    open::course::Course,
};

/// Assembles, and pushes or shows what a push would do.
pub(super) async fn push(building: &Building<'_>, names: &Named) -> Result<(), AppError> {
    let args = building.args;
    let state = if args.plan {
        args.state.look(building.environment).await?
    } else {
        args.state.open(building.environment).await?
    };
    let all = names.by_repository();
    let name = match &all[..] {
        [] => return Err(AppError::Usage("--tag says where the image goes".into())),
        [one] => one,
        several => return Box::pin(several::push(building, several, state)).await,
    };
    let sessions = args.unfinished.sessions(&state);
    let image = ImageArgs {
        destination: name.first.to_string(),
        transfer: TransferArgs {
            tags: name.other_tags.clone(),
            ..args.transfer()
        },
        ..ImageArgs::default()
    };
    let mut kept = None;
    let open = async |course: &Course, client: &registry::Client| {
        let bases = FoundBases::new(
            &args.connection,
            building.environment,
            state.clone(),
            building.progress.clone(),
            Some((client, registries(course))),
        );
        let built = building.assemble(&bases).await?;
        kept = Some(built.clone());
        image.transfer.with_foreign(Box::new(built), client)
    };
    let preparing = prepare_from(
        &image,
        &args.connection,
        building.environment,
        (state.clone(), sessions),
        building.progress.clone(),
        open,
    );
    let mut job = preparing.await?;
    if let Some(built) = kept {
        know_bases(&mut job, &built);
        job.built = Some(built_json(&built));
    }
    if args.plan {
        return plan::show(&job, args.json.json).await;
    }
    carry_out(&job, building.progress, &args.json).await
}

/// The registries that are pushed to.
pub(super) fn registries(course: &Course) -> Vec<Registry> {
    let there = course.destinations().map(Reference::repository);
    there.map(|it| it.registry().clone()).collect()
}

/// Where the layers of bases are, if that is on the registry that is pushed to: they are mounted.
fn know_bases(job: &mut Job, built: &wcow::Built) {
    let here = [job.target.repository().registry().clone()];
    know_layers(&job.engine, &here, built);
    job.bases = bases_of(built);
}

/// The bases that are in a registry, each where it is read.
pub(super) fn bases_of(built: &wcow::Built) -> Vec<Reference> {
    let mut bases = Vec::new();
    for base in built.parts().iter().filter_map(|it| it.base()) {
        let Some(repository) = base.source().origin() else {
            continue;
        };
        if let Ok(reference) = base.reference().parse::<Reference>() {
            bases.push(reference.in_repository(repository.clone()));
        }
    }
    bases
}

/// Tells the engine where layers of bases are that are on one of these registries.
pub(super) fn know_layers(engine: &Engine, here: &[Registry], built: &wcow::Built) {
    for base in built.parts().iter().filter_map(|it| it.base()) {
        let origin = base.source().origin();
        if let Some(repository) = origin.filter(|it| here.contains(it.registry())) {
            for layer in base.layers() {
                engine.layers().add_source(&layer.digest, repository);
            }
        }
    }
}
