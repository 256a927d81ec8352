//! Breaks pushes and prints what came of it. Ends with 1 if a promise was broken, or if
//! nothing was tried.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a command: printing is what it is for"
)]

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use chaos::{
    fault::Class,
    page::write_between,
    run::{Choice, Made, Plan},
    scenario::Scenario,
    trial::{End, Outcome, Promise},
    trouble::Trouble,
};
use clap::Parser;

/// Pushes a small image, over and over, through a proxy that breaks something each time.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Options {
    /// Decides which faults are tried; drawn anew, and printed, if it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// How many pushes; with --exhaustive, how many mixtures of faults beside everything else
    #[arg(long, default_value_t = 2000)]
    runs: usize,
    /// Every request with every fault, and a cut at every byte of the conversation
    #[arg(long)]
    exhaustive: bool,
    /// Only the trials whose name contains this; to repeat one
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many pushes at once
    #[arg(long, default_value = "32")]
    jobs: NonZeroUsize,
    /// Print the names of the trials, and make none
    #[arg(long)]
    list: bool,
    /// Push with this command, a process for each push, instead of with the library
    #[arg(long, value_name = "LONGSHORE")]
    command: Option<PathBuf>,
    /// Keep the figures on this page, between its markers
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let made = match runtime {
        Ok(runtime) => runtime.block_on(run(&options)),
        Err(error) => Err(Trouble::setting_up(error)),
    };
    match made {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<bool, Trouble> {
    let began = Instant::now();
    let seed = options.seed.unwrap_or_else(fresh);
    let choice = Choice {
        seed,
        runs: options.runs,
        exhaustive: options.exhaustive,
        only: options.only.clone(),
        program: options.command.clone(),
    };
    let plan = Plan::new(&choice).await?;
    if options.list {
        for name in plan.names() {
            println!("{name}");
        }
        return Ok(true);
    }
    println!("chaos: seed {seed}, {} pushes", plan.len());
    let mut slowest = Duration::ZERO;
    let made = plan
        .run(options.jobs, |outcome| {
            slowest = slowest.max(outcome.took);
            tell(outcome, &choice);
        })
        .await?;
    let took = began.elapsed();
    println!("\n{}", made.figures);
    println!("{}", summary(&made, &choice, took));
    println!("slowest push: {} ms", slowest.as_millis());
    let good = verdict(&made, options);
    if good && let Some(page) = &options.write {
        let text = format!("{}\n{}", summary(&made, &choice, took), made.figures);
        write_between(page, "faults", &text).map_err(Trouble::setting_up)?;
    }
    Ok(good)
}

/// Says at once what went wrong, and how to see it again.
fn tell(outcome: &Outcome, choice: &Choice) {
    if let End::Broken(promise, what) = &outcome.end {
        println!("BROKEN {promise:?}: {}: {what}", outcome.name);
        let all = if choice.exhaustive {
            " --exhaustive"
        } else {
            ""
        };
        println!(
            "  again: cargo run -p longshore-chaos -- --seed {} --runs {}{all} --only {}",
            choice.seed, choice.runs, outcome.name
        );
    }
}

fn summary(made: &Made, choice: &Choice, took: Duration) -> String {
    let figures = &made.figures;
    let total = figures.total();
    let errors: Vec<String> = figures
        .errors()
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!(
        "Seed {}: {} pushes of one image in {} scenarios, {} faults injected; {} converged, {} ended in a \
         typed error ({}) and were finished by a second push. Lost: {}. Corrupt: {}. False success: {}. \
         Hung: {}. Credentials seen elsewhere: {}. Other promises broken: {}. {} s.\n",
        choice.seed,
        total.runs,
        Scenario::ALL.len(),
        total.faults,
        total.converged,
        total.failed,
        errors.join(", "),
        figures.broken(Promise::NothingLost),
        figures.broken(Promise::NothingCorrupt),
        figures.broken(Promise::NoFalseSuccess),
        figures.broken(Promise::NoHang),
        made.leaked.len(),
        [
            Promise::Typed,
            Promise::AsExpected,
            Promise::Finishes,
            Promise::Frugal,
            Promise::Patient,
        ]
        .iter()
        .map(|it| figures.broken(*it))
        .sum::<u64>(),
        took.as_secs(),
    )
}

/// From so many pushes on every class of faults has to be among them. In fewer a rare one, of
/// which there are a handful in all requests together, may be missing by chance.
const EVERY_CLASS: u64 = 2000;

/// Whether it was good: nothing broken, nothing leaked, and something tried.
fn verdict(made: &Made, options: &Options) -> bool {
    let total = made.figures.total();
    for request in &made.leaked {
        println!("LEAKED: {request}");
    }
    if total.runs == 0 || total.faults == 0 {
        println!("chaos: nothing was tried");
        return false;
    }
    let missing: Vec<&str> = Class::ALL
        .iter()
        .filter(|it| made.figures.row(**it).is_none_or(|row| row.faults == 0))
        .map(|it| it.title())
        .collect();
    if options.only.is_none() && options.command.is_none() && !missing.is_empty() {
        println!("chaos: not tried: {}", missing.join("; "));
        if total.runs >= EVERY_CLASS {
            return false;
        }
    }
    if total.broken > 0 || !made.leaked.is_empty() {
        println!("chaos: FAILED: {} pushes broke a promise", total.broken);
        return false;
    }
    println!(
        "chaos: {} pushes, {} faults, no promise broken",
        total.runs, total.faults
    );
    true
}

/// A seed that nobody has chosen.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(1, |it| it.as_secs())
}
