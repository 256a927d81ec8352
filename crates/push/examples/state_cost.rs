//! What it costs that processes share their pauses: `state_cost [directory] [rounds]`.
//!
//! Every request looks for a pause of its host; with a quota it takes a turn too. Prints what one of
//! either takes on the average, alone and while another state writes to the same file; and what a push
//! pays that keeps each second where its blobs are: how long that takes, and how long requests then wait.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use longshore_push::{
    BlobIndex, State,
    index::{Evidence, Sight, Sighting},
    journal::StateError,
};

const HOST: &str = "https://registry.example.com";

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "a program that measures says what it measured"
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds: u32 = arguments.next().map_or(Ok(2000), |it| it.parse())?;
    let file = directory.join(format!("state-cost-{}.db", std::process::id()));
    let (state, _) = State::open(&file);
    for company in ["alone", "beside a writer"] {
        let stop = Arc::new(AtomicBool::new(company == "alone"));
        let writer = {
            let (stop, (other, _)) = (stop.clone(), State::open(&file));
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    let _ = other.put_host_fact(HOST, "key", "value").await;
                }
            })
        };
        let begun = Instant::now();
        for _ in 0..rounds {
            state.pause_until(HOST).await?;
        }
        let look = begun.elapsed() / rounds;
        let begun = Instant::now();
        for _ in 0..rounds {
            state.take_turns(HOST, Duration::from_millis(1)).await?;
        }
        let turn = begun.elapsed() / rounds;
        stop.store(true, Relaxed);
        writer.await?;
        println!("{company}: looking for a pause {look:?}, taking a turn {turn:?}");
    }
    keeping(&state, rounds).await
}

/// What it costs to keep where so many blobs are, and who looks for a pause right after.
#[expect(
    clippy::print_stdout,
    reason = "a program that measures says what it measured"
)]
async fn keeping(state: &State, rounds: u32) -> Result<(), Box<dyn std::error::Error>> {
    let repository = "registry.example.com/team/app".parse()?;
    for blobs in [1, 16, 64] {
        let (mut kept, mut looked) = (Duration::ZERO, Duration::ZERO);
        let batches = (rounds / 20).max(1);
        for batch in 0..batches {
            let fact = |blob| {
                let content = format!("{blobs} {batch} {blob}");
                let digest = oci::Digest::of(content.as_bytes());
                let (size, by) = (1, Evidence::Pushed);
                Sighting::now(&repository, Sight::Present { digest, size, by })
            };
            let facts: Vec<Sighting> = (0..blobs).map(fact).collect();
            let begun = Instant::now();
            let keep = async {
                state.record(facts).await?;
                Ok::<_, StateError>(begun.elapsed())
            };
            let look = async {
                state.pause_until(HOST).await?;
                Ok(begun.elapsed())
            };
            let (keep, look) = tokio::try_join!(keep, look)?;
            kept += keep;
            looked += look;
        }
        let (kept, looked) = (kept / batches, looked / batches);
        println!("{blobs} facts: keeping them {kept:?}, looking for a pause meanwhile {looked:?}");
    }
    Ok(())
}
