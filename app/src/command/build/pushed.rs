//! An image that was built into a registry: the way of every other push.

use oci::{PushTarget as _, Reference, Source};

use super::{Building, FoundBases, Named, tell::built_json};
use crate::{
    command::{
        plan,
        push::{ImageArgs, Job, carry_out, prepare_from},
        transfer::TransferArgs,
    },
    error::AppError,
};

/// Assembles, and pushes or shows what a push would do.
pub(super) async fn push(building: &Building<'_>, names: &Named) -> Result<(), AppError> {
    let args = building.args;
    let Some(to) = names.first() else {
        return Err(AppError::Usage("--tag says where the image goes".into()));
    };
    let state = if args.plan {
        args.state.look(building.environment).await?
    } else {
        args.state.open(building.environment).await?
    };
    let sessions = args.unfinished.sessions(&state);
    let image = ImageArgs {
        destination: to.to_string(),
        transfer: TransferArgs {
            tags: names.other_tags(),
            mount_from: args.mount_from.clone(),
            must_mount: args.must_mount.clone(),
            foreign: args.foreign,
            no_overwrite: args.no_overwrite,
            max_upload_bytes: args.max_upload_bytes,
            ..TransferArgs::default()
        },
        ..ImageArgs::default()
    };
    let mut kept = None;
    let open = async |course: &crate::open::course::Course, client: &registry::Client| {
        let at = course.destination(0).map(Reference::repository).cloned();
        let bases = FoundBases::new(
            &args.connection,
            building.environment,
            state.clone(),
            building.progress.clone(),
            at.map(|at| (client, at)),
        );
        let built = building.assemble(&bases).await?;
        kept = Some(built.clone());
        Ok(Box::new(built) as Box<dyn Source>)
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

/// Where the layers of bases are, if that is on the registry that is pushed to: they are mounted.
fn know_bases(job: &mut Job, built: &wcow::Built) {
    let here = job.target.repository().registry().clone();
    for base in built.parts().iter().filter_map(|it| it.base()) {
        let Some(repository) = base.source().origin() else {
            continue;
        };
        if *repository.registry() == here {
            for layer in base.layers() {
                let layers = job.engine.layers();
                layers.add_source(&layer.digest, repository);
            }
        }
        if let Ok(reference) = base.reference().parse::<Reference>() {
            job.bases.push(reference.in_repository(repository.clone()));
        }
    }
}
