//! Processes that are killed: the server while clients push, and clients while they push.
//!
//! After every restart of the server each acknowledged blob, manifest, tag and upload session
//! is there, byte for byte, and nothing is that was neither acknowledged nor under way. 100
//! times here; `just crash` does it 1,000 times. A seed that is printed makes the same
//! requests again, though not at the same moments.
//!
//! A push that was killed is gone on with by the next process: at every durable step
//! (`steps`), and at any other instant (`instants`; `just kills` for many more). What it has learned
//! by then is known to the next (`facts`).

#[cfg(target_os = "linux")]
#[cfg(test)]
mod client;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod facts;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod gate;
#[cfg(test)]
mod http;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod instants;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod served;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod stage;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod steps;
#[cfg(test)]
mod worker;

/// A number that a run is told by its environment.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test is told how long to run")]
fn told(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[cfg(test)]
mod run {
    use std::{sync::mpsc, thread, time::Duration};

    use crate::{
        http::Http,
        layout,
        served::{self, Served},
        told,
        worker::{Contents, Worker},
    };

    /// How many times the server is killed, unless `LONGSHORE_CRASH_KILLS` says otherwise.
    const KILLS: u64 = 100;
    const WORKERS: usize = 3;
    /// How many requests are answered before a kill.
    const ANSWERS: std::ops::Range<usize> = 6..150;

    #[test]
    fn a_server_that_is_killed_again_and_again_loses_nothing_it_acknowledged() {
        let kills = told("LONGSHORE_CRASH_KILLS").unwrap_or(KILLS);
        let seed = told("LONGSHORE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
        println!("LONGSHORE_CRASH_SEED={seed} LONGSHORE_CRASH_KILLS={kills}");
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let contents = Contents::new(seed);
        let mut workers: Vec<Worker> = (0..WORKERS).map(|it| Worker::new(it, seed)).collect();
        let (mut answers, mut shown) = (0, 0);
        for kill in 0..kills {
            let collects = kill % 2 == 1;
            let served = Served::start(dir.path(), collects);
            let (verified, all_verified) = mpsc::channel();
            let (answered, all_answered) = mpsc::channel();
            answers += thread::scope(|scope| {
                let mut pushing = Vec::new();
                for worker in &mut workers {
                    let (address, contents) = (served.address.clone(), &contents);
                    let (verified, answered) = (verified.clone(), answered.clone());
                    pushing.push(scope.spawn(move || {
                        let mut http = Http::new(&address);
                        worker.verify(&mut http, contents, collects);
                        verified.send(()).unwrap();
                        drop(verified);
                        http.tell(answered);
                        worker.push(&mut http, contents, collects);
                        http.answers
                    }));
                }
                drop((verified, answered));
                // Fewer if one of them found something wrong: then its panic ends the test.
                all_verified.iter().take(WORKERS).for_each(drop);
                // As much is done on a busy machine as on an idle one, and the end comes while
                // two of three are in the middle of something.
                all_answered
                    .iter()
                    .take(random.usize(ANSWERS))
                    .for_each(drop);
                // Not for anything to happen: so that it need not come right after an answer.
                thread::sleep(Duration::from_micros(random.u64(0..3000)));
                served.kill();
                pushing
                    .into_iter()
                    .map(|it| it.join().unwrap())
                    .sum::<u64>()
            });
            if kill % 10 == 9 {
                served::collect(dir.path());
                for worker in &mut workers {
                    worker.collected();
                    shown += layout::check(dir.path(), worker.name());
                }
            }
        }
        println!("{kills} kills, {answers} answers");
        for worker in &workers {
            let done = worker.done();
            println!("{}: {done:?}", worker.name());
            // A run in which hardly anything is acknowledged would show nothing.
            for count in [done.blobs, done.mounts, done.chunks, done.manifests] {
                assert!(count > kills / 20, "{}: {done:?}", worker.name());
            }
            assert!(done.deletions > 0, "{}: {done:?}", worker.name());
        }
        assert!(shown as u64 > kills / 10, "layouts showed {shown} tags");
    }
}
