//! One push with faults, and what came of it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use push::{PushError, Report, State};
use registry::Client;
use tokio::net::TcpListener;

use crate::{
    elsewhere::Elsewhere,
    expect::Expected,
    fault::{Class, Cut, Fault, Oddity},
    image::Image,
    inspect::{Standing, inspect},
    process::{Ended, Program},
    proxy::{Injection, Proxy, Purpose, Record, Setup},
    scenario::{Scenario, left_open},
    trouble::Trouble,
};

/// No push takes longer than this, whatever happens to it: it hangs.
const WATCHDOG: Duration = Duration::from_secs(40);
/// More requests than this, beyond those of a push without faults, are a client that does not
/// know when to stop.
const MOST_REQUESTS: u64 = 150;
/// How long a client gets to close what it has open.
const FAREWELL: Duration = Duration::from_millis(200);

/// A push to be, and what goes wrong with it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Names it among all trials of a plan.
    pub name: String,
    /// Client and registry.
    pub scenario: Scenario,
    /// What goes wrong with requests.
    pub injections: Vec<Injection>,
    /// Where the conversation is cut.
    pub cut: Option<Cut>,
    /// Seeds the client's jitter.
    pub seed: u64,
    /// How many blobs go at once; 1 makes the conversation the same every time.
    pub at_once: usize,
    /// What must come of it.
    pub expected: Expected,
    /// How many bytes of blobs may be sent again, at the most.
    pub most_again: Option<u64>,
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The trial's name.
    pub name: String,
    /// The class of its faults.
    pub class: Class,
    /// To how many requests something was done.
    pub injected: u64,
    /// How it ended.
    pub end: End,
    /// Bytes of blobs sent beyond those of a push without faults, until the image was there.
    pub extra_bytes: u64,
    /// The same of requests.
    pub extra_requests: u64,
    /// Sessions left open in the registry.
    pub sessions: usize,
    /// How long it took, both pushes together.
    pub took: Duration,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The image is there.
    Converged,
    /// An error said that it is not; a second push got it there.
    Failed(String),
    /// A promise was broken, and how.
    Broken(Promise, String),
}

/// What was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// A push that says it is done has the image in the registry.
    NothingLost,
    /// What is in the registry is right, and a tag names what is whole.
    NothingCorrupt,
    /// A push that says it is done is.
    NoFalseSuccess,
    /// A push ends.
    NoHang,
    /// A push does not panic, and its errors say what the registry or the network did.
    Typed,
    /// What must converge does; what must fail says why.
    AsExpected,
    /// A second push without faults gets the image there.
    Finishes,
    /// No more is sent again, and asked again, than has to be.
    Frugal,
    /// A registry that asks for a pause gets it.
    Patient,
}

/// What all trials stand on.
#[derive(Debug)]
pub struct Ground {
    /// What is pushed.
    pub image: Image,
    /// Another host.
    pub elsewhere: Elsewhere,
    /// The command, where it is the client, and not the library.
    pub program: Option<Program>,
}

/// Without faults: what a trial is compared with.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The conversation.
    pub record: Record,
    /// Bytes of blobs sent.
    pub bytes: u64,
    /// Requests made.
    pub requests: u64,
}

/// A registry, and the proxy before it.
struct Stage {
    registry: Arc<server::RunningServer>,
    proxy: Proxy,
    address: SocketAddr,
    journal: State,
}

/// One push: how it ended, and what it sent.
struct Push {
    end: Result<Result<Report, PushError>, tokio::time::error::Elapsed>,
    bytes: u64,
    requests: u64,
}

impl Trial {
    /// A push without faults.
    pub fn calm(scenario: Scenario) -> Self {
        Self {
            name: scenario.name().to_owned(),
            scenario,
            injections: Vec::new(),
            cut: None,
            seed: 0,
            at_once: 1,
            expected: Expected::Converges,
            most_again: Some(0),
        }
    }

    /// The class of what goes wrong.
    pub fn class(&self) -> Class {
        match (&self.injections[..], self.cut) {
            ([one], None) => one.fault.class(),
            ([], Some(cut)) => cut.class(),
            _ => Class::Mixed,
        }
    }

    fn hurried(&self) -> bool {
        self.injections.iter().any(|it| it.fault.takes_patience())
    }

    async fn stage(&self, ground: &Ground) -> Result<Stage, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(Trouble::setting_up)?;
        let address = listener.local_addr().map_err(Trouble::setting_up)?;
        let registry = self.scenario.server(address).start().await;
        let registry = Arc::new(registry.map_err(Trouble::setting_up)?);
        let setup = Setup {
            scenario: self.scenario,
            injections: &self.injections,
            cut: self.cut,
            elsewhere: ground.elsewhere.address(),
            patience: Scenario::patience(self.hurried()),
        };
        let proxy = Proxy::start(listener, Arc::clone(&registry), setup);
        Ok(Stage {
            registry,
            proxy: proxy.map_err(Trouble::setting_up)?,
            address,
            journal: State::memory(),
        })
    }

    async fn push(&self, stage: &Stage, ground: &Ground) -> Result<Push, Trouble> {
        let (repository, destination) = Scenario::destination(stage.address)?;
        let client: Client =
            self.scenario
                .client(repository.registry(), self.seed, self.hurried())?;
        let engine = self.scenario.engine(self.at_once, &stage.journal);
        let target = client.push_target(&repository);
        let pushing = engine.push(&ground.image.source, &target, &destination, &());
        let end = tokio::time::timeout(WATCHDOG, Box::pin(pushing)).await;
        client.close(FAREWELL).await;
        let traffic = client.traffic();
        Ok(Push {
            end,
            bytes: traffic.total.body_bytes,
            requests: traffic.requests() + traffic.total.token_requests,
        })
    }

    /// Pushes without faults, and says what there is to be compared with.
    pub async fn baseline(scenario: Scenario, ground: &Ground) -> Result<Baseline, Trouble> {
        let wrong = |what: String| Trouble::Baseline(format!("{}: {what}", scenario.name()));
        let trial = Self::calm(scenario);
        let stage = trial.stage(ground).await?;
        let push = trial.push(&stage, ground).await?;
        match push.end {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(wrong(chain(&error))),
            Err(_) => return Err(wrong("it hangs".to_owned())),
        }
        let standing = inspect(stage.registry.addr(), scenario, &ground.image).await?;
        if standing != Standing::Complete {
            return Err(wrong(format!("{standing:?}")));
        }
        let record = stage.proxy.record();
        if push.bytes != ground.image.blob_bytes() || record.seen.len() as u64 != push.requests {
            return Err(wrong(format!("{} bytes, {record:?}", push.bytes)));
        }
        Ok(Baseline {
            record,
            bytes: push.bytes,
            requests: push.requests,
        })
    }

    /// The conversation with this trial's faults.
    pub async fn conversation(&self, ground: &Ground) -> Result<Record, Trouble> {
        let stage = self.stage(ground).await?;
        self.push(&stage, ground).await?;
        Ok(stage.proxy.record())
    }

    /// The same by the command: how it ends, how it ends without faults after an error, and
    /// what the registry holds then. Its bytes are not counted, but its requests are.
    async fn run_program(
        &self,
        ground: &Ground,
        program: &Program,
        baseline: &Baseline,
    ) -> Result<Outcome, Trouble> {
        let began = Instant::now();
        let stage = self.stage(ground).await?;
        let registry = stage.registry.addr();
        let push = async || {
            let pushing = program.push(self.scenario, stage.address, self.hurried());
            let ended = match tokio::time::timeout(WATCHDOG, pushing).await {
                Ok(ended) => ended?,
                Err(_) => Ended::Oddly("it hangs".to_owned()),
            };
            let standing = inspect(registry, self.scenario, &ground.image).await?;
            Ok::<_, Trouble>((ended, standing))
        };
        let broken = |promise, what: String| End::Broken(promise, what);
        let mut end = match push().await? {
            (_, Standing::Wrong(what)) => broken(Promise::NothingCorrupt, what),
            (Ended::Done, Standing::Complete) => End::Converged,
            (Ended::Done, _) => broken(Promise::NothingLost, "it says that it is done".to_owned()),
            (Ended::Failed(code), _) if self.expected == Expected::Converges => {
                broken(Promise::AsExpected, format!("it failed with {code}"))
            }
            (Ended::Failed(code), _) => End::Failed(format!("exit-{code}")),
            (Ended::Oddly(what), _) => broken(Promise::Typed, what),
        };
        let injected = stage.proxy.record().injected;
        if let End::Failed(_) = end {
            stage.proxy.relent();
            end = match push().await? {
                (Ended::Done, Standing::Complete) => end,
                (ended, standing) => broken(Promise::Finishes, format!("{ended:?}, {standing:?}")),
            };
        }
        let requests = stage.proxy.record().seen.len() as u64;
        Ok(Outcome {
            name: self.name.clone(),
            class: self.class(),
            injected,
            end,
            extra_bytes: 0,
            extra_requests: requests.saturating_sub(baseline.requests),
            sessions: left_open(&stage.registry),
            took: began.elapsed(),
        })
    }

    /// Makes the trial.
    pub async fn run(&self, ground: &Ground, baseline: &Baseline) -> Result<Outcome, Trouble> {
        if let Some(program) = &ground.program {
            return self.run_program(ground, program, baseline).await;
        }
        let began = Instant::now();
        let stage = self.stage(ground).await?;
        let first = self.push(&stage, ground).await?;
        let record = stage.proxy.record();
        let registry = stage.registry.addr();
        let standing = inspect(registry, self.scenario, &ground.image).await?;
        let (mut bytes, mut requests) = (first.bytes, first.requests);
        let mut end = self.judge(&first, &standing, ground);
        if let End::Broken(_, what) = &mut end {
            *what = format!("{what}; {}", self.told(&record));
        }
        if let End::Failed(_) = end {
            stage.proxy.relent();
            let second = self.push(&stage, ground).await?;
            bytes += second.bytes;
            requests += second.requests;
            let standing = inspect(registry, self.scenario, &ground.image).await?;
            end = finished(end, &second, &standing);
        }
        let extra_bytes = bytes.saturating_sub(baseline.bytes);
        let extra_requests = requests.saturating_sub(baseline.requests);
        if !matches!(end, End::Broken(..))
            && let Some((promise, what)) = self.excess(extra_bytes, extra_requests, &record)
        {
            end = End::Broken(promise, format!("{what}; {}", self.told(&record)));
        }
        Ok(Outcome {
            name: self.name.clone(),
            class: self.class(),
            injected: record.injected,
            end,
            extra_bytes,
            extra_requests,
            sessions: left_open(&stage.registry),
            took: began.elapsed(),
        })
    }

    /// What was done, and what the client asked for: all that is known of a broken promise.
    fn told(&self, record: &Record) -> String {
        let faults: Vec<String> = self
            .injections
            .iter()
            .map(|it| format!("{} x{} at {}", it.fault, it.times, it.request))
            .chain(self.cut.map(|it| it.to_string()))
            .collect();
        let asked: Vec<&str> = record.seen.iter().map(|it| it.purpose.name()).collect();
        format!(
            "{} at once; faults: {}; requests: {}",
            self.at_once,
            faults.join(", "),
            asked.join(" ")
        )
    }

    /// How the push with faults ended.
    fn judge(&self, push: &Push, standing: &Standing, ground: &Ground) -> End {
        let broken = |promise, what: String| End::Broken(promise, what);
        if let Standing::Wrong(what) = standing {
            return broken(Promise::NothingCorrupt, what.clone());
        }
        let error = match &push.end {
            Err(_) => return broken(Promise::NoHang, format!("{WATCHDOG:?} and no end")),
            Ok(Ok(report)) => {
                if report.digest != *ground.image.index.digest() {
                    let what = format!("it says that it pushed {}", report.digest);
                    return broken(Promise::NoFalseSuccess, what);
                }
                if *standing != Standing::Complete {
                    let what = "it says that it is done".to_owned();
                    return broken(Promise::NothingLost, what);
                }
                if let Expected::Fails(kind) = self.expected {
                    let what = format!("it is done, and should have failed: {kind:?}");
                    return broken(Promise::AsExpected, what);
                }
                return End::Converged;
            }
            Ok(Err(error)) => error,
        };
        let Some(cause) = error.target_error() else {
            return broken(Promise::Typed, chain(error));
        };
        match self.expected {
            Expected::Converges => broken(Promise::AsExpected, chain(error)),
            Expected::Fails(kind) if !kind.is(cause.kind()) => broken(
                Promise::AsExpected,
                format!("it should be {kind:?}: {}", chain(error)),
            ),
            _ => End::Failed(format!("{:?}", cause.kind())),
        }
    }

    /// What was too much, if something was.
    fn excess(&self, bytes: u64, requests: u64, record: &Record) -> Option<(Promise, String)> {
        let broken = |promise, what: String| Some((promise, what));
        if self.most_again.is_some_and(|most| bytes > most) {
            let most = self.most_again.unwrap_or(0);
            let what = format!("{bytes} bytes were sent again, of {most} at the most");
            return broken(Promise::Frugal, what);
        }
        if requests > MOST_REQUESTS {
            return broken(
                Promise::Frugal,
                format!("{requests} requests more than usual"),
            );
        }
        // Who takes another's answer for its own has never heard of the pause. And whoever gives
        // up says goodbye at once, whatever was asked for.
        let confused = self.injections.iter().any(|it| {
            matches!(
                it.fault,
                Fault::Odd(Oddity::Twice | Oddity::AgainLater | Oddity::Longer)
            )
        });
        let early = record
            .seen
            .iter()
            .find(|it| it.too_early && it.purpose != Purpose::DeleteSession);
        if let Some(early) = early.filter(|_| self.at_once == 1 && !confused) {
            let what = format!("a {} in the pause that was asked for", early.purpose.name());
            return broken(Promise::Patient, what);
        }
        None
    }
}

/// How the push without faults ended that came after one with.
fn finished(first: End, second: &Push, standing: &Standing) -> End {
    match (&second.end, standing) {
        (Ok(Ok(_)), Standing::Complete) => first,
        (_, Standing::Wrong(what)) => End::Broken(Promise::NothingCorrupt, what.clone()),
        (Ok(Ok(_)), Standing::Untagged) => End::Broken(
            Promise::NothingLost,
            "the second push says that it is done".to_owned(),
        ),
        (Ok(Err(error)), _) => End::Broken(Promise::Finishes, chain(error)),
        (Err(_), _) => End::Broken(Promise::Finishes, "it hangs".to_owned()),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
