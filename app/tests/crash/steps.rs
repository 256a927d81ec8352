//! A push is killed at every durable step: its own, and the registry's.
//!
//! A step is where something has just come to be on a disk, or just not: nothing of a request
//! has arrived, half of it has, it is done and not answered, it is answered and the journal not
//! yet written. At each of these places a push of 64 MiB in chunks of 1 MiB is killed over and
//! over: when its session is opened, at one chunk after the other, at the commit; and others
//! at the config and at the manifest.

use std::collections::BTreeSet;

use crate::{
    client::{Locked, kept},
    gate::{At, Request},
    stage::{Cost, MIB, Stage},
};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    Chunk,
    Commit,
    Config,
    Manifest,
}

/// How requests name the blobs.
#[derive(Clone)]
struct Names {
    layer: String,
    config: String,
}

/// A push that is killed at one place over and over.
struct Walk<'a> {
    stage: &'a Stage,
    /// Its repository.
    name: &'a str,
    at: At,
    names: Names,
    /// The steps it is still to be killed at: at chunks again and again, at others once.
    steps: BTreeSet<Step>,
    /// Where the next bytes begin, if that is known.
    next: Option<u64>,
    chunks: u64,
    kills: u64,
    /// Whether a process got to the end of the push before it was killed over its commit, so
    /// that no other asks what became of that.
    overtook: bool,
    cost: Cost,
}

impl Names {
    /// The step that a request is, if it is one.
    fn step(&self, request: &Request) -> Option<Step> {
        let is = |method, part: &str| request.is(method, part);
        match () {
            () if request.method == "PATCH" => Some(Step::Chunk),
            () if is("POST", &self.layer) => Some(Step::Open),
            () if is("PUT", &self.layer) => Some(Step::Commit),
            // In two requests, or in one.
            () if is("PUT", &self.config) => Some(Step::Config),
            () if is("POST", &self.config) && !is("POST", "mount=") => Some(Step::Config),
            () if is("PUT", "/manifests/") => Some(Step::Manifest),
            () => None,
        }
    }
}

impl<'a> Walk<'a> {
    fn new(stage: &'a Stage, at: At, (name, steps): (&'a str, &[Step])) -> Self {
        // There is no half of a request without a body.
        let has_half = |it: &&Step| at != At::Half || **it != Step::Open;
        Self {
            stage,
            name,
            at,
            names: Names {
                layer: stage.layer().digest.encoded().to_owned(),
                config: stage.config().digest.encoded().to_owned(),
            },
            steps: steps.iter().filter(has_half).copied().collect(),
            next: None,
            chunks: 0,
            kills: 0,
            overtook: false,
            cost: Cost::default(),
        }
    }

    /// One process, to its next step or to the end; false for the end.
    fn life(&mut self) -> bool {
        // A process that gets nothing done before it is killed gets one chunk further first.
        let wanted = if self.at == At::Unsent { 2 } else { 1 };
        let (names, steps, mut chunks) = (self.names.clone(), self.steps.clone(), 0);
        let is_wanted = move |request: &Request| match names.step(request) {
            Some(step) if !steps.contains(&step) => false,
            Some(Step::Chunk) => {
                chunks += 1;
                chunks == wanted
            }
            step => step.is_some(),
        };
        self.stage.gate.stop_at(self.at, Box::new(is_wanted));
        let mut client = self.stage.push(self.name);
        let stopped = self.stage.gate.stopped(&mut client);
        if stopped.is_some() {
            let locked = (self.at == At::Answered).then(|| Locked::state(self.stage.home()));
            if locked.is_some() {
                self.stage.gate.answer();
            }
            client.kill();
            drop(locked);
        }
        self.stage.gate.cut();
        self.went_on_where_it_was();
        if let Some(request) = &stopped {
            self.killed_at(request);
        }
        stopped.is_some()
    }

    /// What was sent begins where the registry was left.
    fn went_on_where_it_was(&mut self) {
        let log = self.stage.gate.take_log();
        let cost = self.stage.cost(&log);
        self.cost.bytes += cost.bytes;
        self.cost.requests += cost.requests;
        self.cost.layer += cost.layer;
        let first = log.iter().find_map(|it| it.from);
        if let (Some(next), Some(first)) = (self.next, first) {
            assert_eq!(first, next, "{:?}: {log:#?}", self.at);
        }
    }

    /// What is to be found after the kill, and by the next process.
    fn killed_at(&mut self, request: &Request) {
        let (at, step) = (self.at, self.names.step(request).unwrap());
        self.kills += 1;
        if step == Step::Chunk {
            self.chunks += 1;
        } else {
            self.steps.remove(&step);
        }
        let arrived = match at {
            At::Unsent => 0,
            At::Half => request.length / 2,
            _ => request.length,
        };
        self.next = request.from.map(|from| from + arrived);
        let kept = kept(self.stage.home());
        match step {
            // On the disk before it is relied on: where the request begins, and no further.
            Step::Chunk | Step::Commit => assert_eq!(kept, [request.from.unwrap()], "{at:?}"),
            Step::Open => assert_eq!(kept, [0; 0], "{at:?}"),
            Step::Config | Step::Manifest => {}
        }
        let tagged = self.stage.is_tagged(self.name);
        let done = matches!(at, At::Unanswered | At::Answered);
        match step {
            Step::Manifest => assert_eq!(tagged, done, "{at:?}"),
            // Between this answer and the kill there is time for the manifest.
            Step::Commit if at == At::Answered => self.overtook = tagged,
            _ => assert!(!tagged, "{at:?} of {step:?}"),
        }
    }

    /// A chunk for each kill, and three requests.
    fn cost_no_more_than(&self, undisturbed: Cost) {
        let Self {
            at,
            name,
            kills,
            chunks,
            cost,
            ..
        } = self;
        let bytes = cost.bytes - undisturbed.bytes;
        let layer = cost.layer - undisturbed.layer;
        let requests = cost.requests - undisturbed.requests;
        println!(
            "{at:?} {name}: {kills} kills, {chunks} at chunks: {bytes} bytes more, \
             {layer} requests for the layer, {requests} in all"
        );
        assert!(bytes <= kills * MIB, "{bytes} bytes more, {kills} kills");
        assert!(layer <= 3 * kills, "{layer} requests more, {kills} kills");
        // A session in the journal says that the image is not there, and its config can wait. Without
        // one the next process asks for the image, and for each of the two blobs.
        assert!(
            requests <= 3 * kills,
            "{at:?} {name}: {requests} requests more, {kills} kills"
        );
        assert!(*name != "app" || *chunks > 60, "{chunks}");
    }
}

/// Kills at this place until a process comes to its end, and counts.
fn every_step(at: At) {
    let stage = Stage::new(64, &["--chunk-size", "1048576"]);
    let undisturbed = stage.undisturbed("undisturbed");
    let walks: [(&str, &[Step]); 3] = [
        ("app", &[Step::Open, Step::Chunk, Step::Commit]),
        ("config", &[Step::Config]),
        ("manifest", &[Step::Manifest]),
    ];
    for walk in walks {
        let mut walk = Walk::new(&stage, at, walk);
        while walk.life() {
            assert!(walk.kills < 200, "it does not come to an end");
        }
        stage.is_whole(walk.name);
        walk.steps.remove(&Step::Chunk);
        assert_eq!(walk.steps, BTreeSet::new(), "it was not killed at these");
        assert!(walk.overtook || kept(stage.home()).is_empty());
        walk.cost_no_more_than(undisturbed);
    }
}

#[test]
fn p1_killed_wherever_nothing_of_a_request_has_arrived() {
    every_step(At::Unsent);
}

#[test]
fn p1_killed_wherever_half_of_a_request_has_arrived() {
    every_step(At::Half);
}

#[test]
fn p1_killed_wherever_a_request_is_done_and_not_answered() {
    every_step(At::Unanswered);
}

#[test]
fn p1_killed_wherever_a_request_is_answered_and_the_journal_not_written() {
    every_step(At::Answered);
}
