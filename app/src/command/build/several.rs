//! An image that was built into several repositories at once: the way of a copy to several places,
//! which reads what several need once.

use oci::Reference;
use push::State;
use registry::Client;

use super::{
    Building, FoundBases,
    named::InRepository,
    pushed::{bases_of, know_layers, registries},
    tell::built_json,
};
use crate::{
    command::{
        copy::{self, End, Job},
        push as pushing,
        transfer::TransferArgs,
    },
    error::AppError,
    interrupt,
    open::{self, Company, course::Course},
    settings::Settings,
};

/// Assembles, and pushes or shows what the pushes would do.
pub(super) async fn push(
    building: &Building<'_>,
    names: &[InRepository],
    state: State,
) -> Result<(), AppError> {
    let (args, environment) = (building.args, building.environment);
    let references: Vec<Reference> = names.iter().map(|it| it.first.clone()).collect();
    let course = Course::chart(&references, None, &args.connection, environment).await?;
    let company = Company {
        state: state.clone(),
        observer: building.progress.clone(),
    };
    let (client, settings) = course.client(&args.connection, environment, company)?;
    let deadline = interrupt::deadline(settings.timeout);
    let way = Way {
        building,
        names,
        course: &course,
        client: &client,
        settings: &settings,
        transfer: args.transfer(),
    };
    let preparing = interrupt::until_interrupted(deadline, Box::pin(way.prepared(state))).await;
    let mut job = open::unless_paused(preparing, &client)?;
    job.deadline = deadline;
    if args.plan {
        return copy::plan(&job, args.json).await;
    }
    copy::carry_out(&job, building.progress, args.json).await
}

/// Where it goes, and by what.
struct Way<'a> {
    building: &'a Building<'a>,
    names: &'a [InRepository],
    course: &'a Course,
    client: &'a Client,
    settings: &'a Settings,
    transfer: TransferArgs,
}

impl Way<'_> {
    async fn prepared(&self, state: State) -> Result<Job, AppError> {
        let (building, client) = (self.building, self.client);
        let args = building.args;
        let there = registries(self.course);
        let bases = FoundBases::new(
            &args.connection,
            building.environment,
            state.clone(),
            building.progress.clone(),
            Some((client, there.clone())),
        );
        let built = building.assemble(&bases).await?;
        let source = Box::new(built.clone());
        let source = self.transfer.with_foreign(source, client)?;
        let sessions = args.unfinished.sessions(&state);
        // One for all: what goes to several repositories of one registry is sent to it once.
        let engine = self
            .transfer
            .engine(self.settings, (state, sessions), false);
        know_layers(&engine, &there, &built);
        let mut ends = Vec::with_capacity(self.names.len());
        for (at, name) in self.names.iter().enumerate() {
            let reference = self.course.destination(at).unwrap_or(&name.first);
            let repository = reference.repository();
            let mount_from = self.course.siblings(at, &self.transfer.mount_from);
            pushing::warn_of_other_registries(repository.registry(), &mount_from);
            let pushed = (&*source, &engine);
            let destination =
                open::destination(reference, &name.other_tags, &mount_from, pushed).await?;
            ends.push(End {
                text: name.first.to_string(),
                engine: engine.clone(),
                target: Box::new(client.push_target(repository)),
                destination,
                layout: None,
                archive: None,
                routed: self.course.json(at),
            });
        }
        Ok(Job {
            client: client.clone(),
            source: source.into(),
            ends,
            subset: None,
            keeping: None,
            built: Some(built_json(&built)),
            bases: bases_of(&built),
            deadline: None,
        })
    }
}
