//! Registries that want no requests for a while, and runs that know of each other.

use std::{
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use longshore::push::{State, source::sample::SampleOptions};
use server::{Action, Answer, Rule};

use crate::{
    longshore::{finished, longshore},
    stage::{Image, Stage, small},
};

fn busy(seconds: u64) -> Action {
    Action::Answer(Answer::new(429).header("retry-after", seconds.to_string()))
}

fn start(stage: &Stage, image: &Image, tag: &str, more: &[&str]) -> Child {
    let file = stage.home().join("state.db");
    longshore(stage.home())
        .args(["push", image.path(), &stage.reference(tag), "--json"])
        .args(more)
        .arg("--state")
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The end of the pause as it is in the state file, as soon as it is there.
async fn pause_of(stage: &Stage) -> SystemTime {
    let (shared, _) = State::open(&stage.home().join("state.db"));
    loop {
        if let Some(until) = shared.pause_until(&stage.server.url()).await.unwrap() {
            return until;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_no_process_sends_anything_before_the_pause_of_another_is_over() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    // Long enough for the second to begin, also where it has to wait for a processor.
    let fault = stage.server.faults().add(Rule::any().first(1).act(busy(8)));
    let one = start(&stage, &image, "team/app:1", &[]);
    let until = pause_of(&stage).await;
    let (now, clock) = (Instant::now(), SystemTime::now());
    let over = now + until.duration_since(clock).unwrap();
    let other = start(&stage, &image, "team/other:1", &[]);

    let wait = tokio::task::spawn_blocking(move || [one, other].map(Child::wait_with_output));
    let runs = wait
        .await
        .unwrap()
        .map(|it| finished(it.unwrap()).succeeded());

    assert_eq!(fault.hits(), 1);
    let entries = stage.server.log().entries();
    assert_eq!(entries[0].status(), Some(429));
    assert!(entries.len() > 3);
    for entry in &entries[1..] {
        assert!(
            entry.started >= over,
            "{:?} too early",
            over - entry.started
        );
    }
    // Both say what they wait for, once.
    let line = format!(" s: {} wants no requests", stage.server.url());
    for run in runs {
        assert_eq!(run.stderr.matches(&line).count(), 1, "{run:#?}");
        let (before, _) = run.stderr.split_once(&line).unwrap();
        let (_, seconds) = before.rsplit_once("waiting ").unwrap();
        assert!(
            (1..=8).contains(&seconds.parse::<u64>().unwrap()),
            "{run:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_past_the_deadline_it_is_rate_limited_and_so_is_whoever_comes_next() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    stage.server.faults().add(Rule::any().act(busy(60)));
    let reference = stage.reference("team/app:1");
    let push = ["push", image.path(), &reference, "--json"];
    let late = stage
        .longshore(&[&push[..], &["--timeout=30s"]].concat())
        .await;
    assert_eq!(late.code, Some(8), "{late:#?}");
    assert_eq!(late.json()["error"]["cause"], "rate-limited");
    assert!(
        late.stderr.contains("wants no requests for another "),
        "{late:#?}"
    );

    let capped = stage
        .longshore(&[&push[..], &["--max-retry-after=10s"]].concat())
        .await;
    assert_eq!(capped.code, Some(8), "{capped:#?}");
    assert!(capped.stderr.contains("--max-retry-after"), "{capped:#?}");
    // The second has asked nobody.
    assert_eq!(stage.server.log().requests(), 0);

    stage.server.faults().clear();
    let alone = stage
        .longshore(&[&push[..], &["--no-state"]].concat())
        .await;
    alone.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_processes_that_share_a_state_share_the_quota_of_a_registry() {
    const QUOTA: usize = 20;
    let stage = Stage::new().await;
    let image = stage.image(&SampleOptions {
        layers: 40,
        layer_bytes: 1024,
        ..SampleOptions::default()
    });
    let limit = format!("--limit-requests={QUOTA}/s");
    let lateness = Lateness::watched();
    let runs = ["team/one:1", "team/two:1"].map(|it| start(&stage, &image, it, &[&limit]));
    let wait = tokio::task::spawn_blocking(move || runs.map(Child::wait_with_output));
    for run in wait.await.unwrap() {
        finished(run.unwrap()).succeeded();
    }

    let mut entries = stage.server.log().entries();
    entries.sort_by_key(|it| it.started);
    // Both were under way at the same time.
    let turn = |path: &str| entries.iter().position(|it| it.path.contains(path));
    let last = |path: &str| entries.iter().rposition(|it| it.path.contains(path));
    assert!(turn("team/one") < last("team/two") && turn("team/two") < last("team/one"));
    assert!(entries.len() > 2 * QUOTA, "{}", entries.len());
    // A request that was sent in time arrives late where the processors are busy, and the next
    // ones may not: the second that is looked at is shorter by what it was late at most. It waits
    // for one when it is sent, when it is taken in and when it is looked at.
    let late = 3 * lateness.worst();
    for first in &entries {
        let end = first.started + Duration::from_secs(1).saturating_sub(late);
        let within = entries
            .iter()
            .filter(|it| (first.started..end).contains(&it.started));
        let within = within.count();
        assert!(within <= QUOTA + QUOTA / 20, "{within}, {late:?} late");
    }
}

/// How late a thread of this process wakes up.
struct Lateness {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Lateness {
    fn watched() -> Self {
        const NAP: Duration = Duration::from_millis(2);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let before = Instant::now();
                std::thread::sleep(NAP);
                worst = worst.max(before.elapsed().saturating_sub(NAP));
            }
            worst
        });
        Self { is_over, thread }
    }

    /// The most since it is watched.
    fn worst(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A login does what every command does: it waits for others, and they for it.
#[tokio::test(flavor = "multi_thread")]
async fn p11_a_login_heeds_and_tells_what_others_were_asked() {
    let stage = Stage::new().await;
    let file = stage.home().join("state.db");
    let as_alice = async |args: &[&str]| {
        let mut command = tokio::process::Command::from(longshore(stage.home()));
        command.args(args).arg("--username=alice");
        command.args(["--max-retry-after=1s", "--state"]).arg(&file);
        let command = command.env("LONGSHORE_PASSWORD", "canary");
        finished(command.output().await.unwrap())
    };
    let registry = stage.server.registry().to_string();
    let fault = stage.server.faults().add(Rule::any().act(busy(60)));
    let refused = as_alice(&["login", &registry]).await;
    assert_eq!((refused.code, fault.hits()), (Some(8), 1), "{refused:#?}");
    // Neither the same again nor a push asks.
    let image = stage.image(&small());
    let push = ["push", image.path(), &stage.reference("team/app:1")];
    for later in [&["login", &registry][..], &push] {
        let run = as_alice(later).await;
        assert_eq!((run.code, fault.hits()), (Some(8), 1), "{run:#?}");
    }
}
