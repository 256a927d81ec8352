//! What it costs that processes share their pauses: `state_cost [directory] [rounds]`.
//!
//! Every request looks for a pause of its host; with a quota it takes a turn too. Prints what one of
//! either takes on the average, alone and while another state writes to the same file.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use longshore_push::State;

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
    Ok(())
}
