//! Many trials at once, in the order of no importance: each stands alone.

use std::{collections::BTreeSet, num::NonZeroUsize, path::PathBuf, sync::Arc};

use futures_util::{StreamExt, stream};

use crate::{
    elsewhere::Elsewhere,
    fault::{Class, Ending},
    figures::Figures,
    image::Image,
    plan,
    process::Program,
    scenario::Scenario,
    trial::{Baseline, End, Ground, Outcome, Promise, Trial},
    trouble::Trouble,
};

/// Which trials to make.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Decides what is chosen and how the client's waits fall.
    pub seed: u64,
    /// How many, unless all places are cut.
    pub runs: usize,
    /// Every request with every fault, and a cut at every place.
    pub exhaustive: bool,
    /// Only those whose name contains this.
    pub only: Option<String>,
    /// The command, to push with it instead of with the library.
    pub program: Option<PathBuf>,
}

/// All trials, and what they are compared with.
#[derive(Debug)]
pub struct Plan {
    ground: Arc<Ground>,
    baselines: Arc<Vec<(Scenario, Baseline)>>,
    trials: Vec<Trial>,
}

/// What came of it.
#[derive(Debug)]
pub struct Made {
    /// Counted.
    pub figures: Figures,
    /// Requests with credentials that another host has seen.
    pub leaked: Vec<String>,
}

impl Plan {
    /// Pushes without faults to see what there is to break, then chooses.
    pub async fn new(choice: &Choice) -> Result<Self, Trouble> {
        let image = Image::new().map_err(Trouble::setting_up)?;
        let program = choice.program.clone();
        let program = program.map(|path| Program::new(path, &image)).transpose()?;
        let ground = Ground {
            image,
            elsewhere: Elsewhere::start().await.map_err(Trouble::setting_up)?,
            program,
        };
        let mut baselines = Vec::new();
        for scenario in Scenario::ALL {
            let baseline = Trial::baseline(scenario, &ground).await?;
            let again = Trial::baseline(scenario, &ground).await?;
            let shape = |it: &Baseline| (it.record.up, it.record.down, it.requests);
            if shape(&baseline) != shape(&again) {
                let what = format!("{}: not the same twice", scenario.name());
                return Err(Trouble::Baseline(what));
            }
            baselines.push((scenario, baseline));
        }
        let mut trials = choose(choice, &ground, &baselines).await?;
        if let Some(only) = &choice.only {
            trials.retain(|it| it.name.contains(only));
        }
        Ok(Self {
            ground: Arc::new(ground),
            baselines: Arc::new(baselines),
            trials,
        })
    }

    /// How many trials there are.
    pub fn len(&self) -> usize {
        self.trials.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trials.iter().map(|it| it.name.as_str())
    }

    /// The classes of fault among them.
    pub fn classes(&self) -> BTreeSet<Class> {
        self.trials.iter().map(Trial::class).collect()
    }

    /// Makes them, so many at once; `each` hears of every outcome.
    pub async fn run(
        self,
        jobs: NonZeroUsize,
        mut each: impl FnMut(&Outcome),
    ) -> Result<Made, Trouble> {
        let Self {
            ground,
            baselines,
            trials,
        } = self;
        let made = stream::iter(trials).map(|trial| {
            let (ground, baselines) = (Arc::clone(&ground), Arc::clone(&baselines));
            async move { make(trial, ground, baselines).await }
        });
        let mut made = made.buffer_unordered(jobs.get());
        let mut figures = Figures::default();
        while let Some(outcome) = made.next().await {
            let outcome = outcome?;
            each(&outcome);
            figures.count(outcome);
        }
        drop(made);
        Ok(Made {
            figures,
            leaked: ground.elsewhere.leaked(),
        })
    }
}

/// One trial, in a task of its own: a panic in it is an outcome.
async fn make(
    trial: Trial,
    ground: Arc<Ground>,
    baselines: Arc<Vec<(Scenario, Baseline)>>,
) -> Result<Outcome, Trouble> {
    let panicked = Outcome {
        name: trial.name.clone(),
        class: trial.class(),
        injected: 0,
        end: End::Broken(Promise::Typed, "it panicked".to_owned()),
        extra_bytes: 0,
        extra_requests: 0,
        sessions: 0,
        took: std::time::Duration::ZERO,
    };
    let running = tokio::spawn(async move {
        let baseline = baselines.iter().find(|(it, _)| *it == trial.scenario);
        match baseline {
            Some((_, baseline)) => trial.run(&ground, baseline).await,
            None => Err(Trouble::Baseline("there is none".to_owned())),
        }
    });
    match running.await {
        Ok(outcome) => outcome,
        Err(_) => Ok(panicked),
    }
}

async fn choose(
    choice: &Choice,
    ground: &Ground,
    baselines: &[(Scenario, Baseline)],
) -> Result<Vec<Trial>, Trouble> {
    let mut trials = Vec::new();
    let mut random = fastrand::Rng::with_seed(choice.seed);
    for (scenario, baseline) in baselines {
        trials.extend(plan::matrix(*scenario, baseline));
        let firsts = plan::first_faults(baseline);
        let Some(first) = random.choice(&firsts).copied() else {
            continue;
        };
        let broken = Trial {
            injections: vec![first],
            ..Trial::calm(*scenario)
        };
        let conversation = broken.conversation(ground).await?;
        trials.extend(plan::recovery(*scenario, first, &conversation));
    }
    if choice.exhaustive {
        for (scenario, baseline) in baselines {
            for place in 0..plan::places(baseline) {
                let how = if place % 2 == 0 {
                    Ending::Reset
                } else {
                    Ending::Close
                };
                trials.push(plan::cut(*scenario, baseline, place, how));
            }
        }
        let mixtures = (0..choice.runs as u64)
            .filter_map(|number| plan::mixture(choice.seed, number, baselines));
        trials.extend(mixtures);
        return Ok(trials);
    }
    // Half of the table, if there is so much of it; the rest are cuts and mixtures.
    random.shuffle(&mut trials);
    trials.truncate(choice.runs.div_ceil(2));
    let mut number = 0;
    while trials.len() < choice.runs {
        number += 1;
        let trial = if number % 2 == 0 {
            plan::mixture(choice.seed, number, baselines)
        } else {
            random.choice(baselines).map(|(scenario, baseline)| {
                let place = random_place(&mut random.clone(), baseline, number);
                let how = if number % 4 == 1 {
                    Ending::Reset
                } else {
                    Ending::Close
                };
                plan::cut(*scenario, baseline, place, how)
            })
        };
        trials.extend(trial);
    }
    Ok(trials)
}

/// A place to cut at: as often in an answer as in a request, for all that those are longer.
fn random_place(random: &mut fastrand::Rng, baseline: &Baseline, number: u64) -> u64 {
    let up = baseline.record.up;
    if number % 8 < 4 {
        random.u64(0..up.max(1))
    } else {
        up + random.u64(0..baseline.record.down.max(1))
    }
}
