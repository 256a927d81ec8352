//! A push is killed at instants nobody chose.
//!
//! Half of them are drawn from the same seed every time, half from one that is printed and
//! draws the same instants again, though what they meet is the scheduler's. `LONGSHORE_CRASH_KILLS`, `LONGSHORE_CRASH_SEED` and `LONGSHORE_CRASH_MIB` say
//! how many, which and of how many MiB; `just kills` is the long run.

use std::{
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::{
    gate::At,
    stage::{Cost, MIB, Stage},
    told,
};

/// Kills one push after another, so often in all. Each kill costs at most so many bytes. Says
/// whether it cost no more than three requests, too.
fn kill(stage: &Stage, seed: u64, kills: u64, most: u64) -> bool {
    println!("LONGSHORE_CRASH_SEED={seed} LONGSHORE_CRASH_KILLS={kills}");
    let began = Instant::now();
    let undisturbed = stage.undisturbed(&format!("undisturbed-{seed}"));
    let longest = began.elapsed() / 2;
    let mut random = Rng::with_seed(seed);
    let (mut killed, mut allowed, mut more) = (0, 0, Cost::default());
    for push in 0.. {
        let (mut here, name) = (0, format!("app-{seed}-{push}"));
        while life(stage, &name, &mut random, longest, killed + here < kills) {
            here += 1;
            stage.is_tagged(&name);
        }
        stage.is_whole(&name);
        let log = stage.gate.take_log();
        let cost = stage.cost(&log);
        let bytes = cost.bytes - undisturbed.bytes;
        let layer = cost.layer.saturating_sub(undisturbed.layer);
        // A whole blob is not sent into a session that may hold a byte: that is given up.
        let given_up = log.iter().filter(|it| it.method == "DELETE").count() as u64;
        // What a killed process has sent may still be coming in while the next one asks: then it is
        // refused where it begins, and asks once more.
        let count = |method, part| log.iter().filter(|it| it.is(method, part)).count() as u64;
        let refused = count("GET", "/blobs/uploads/").saturating_sub(count("HEAD", "/blobs/"));
        assert!(bytes <= here * most, "{bytes} more, {here} kills: {log:#?}");
        assert!(
            layer <= 3 * here + 2 * (given_up + refused),
            "{layer} requests more, {here} kills: {log:#?}"
        );
        killed += here;
        more.bytes += bytes;
        more.layer += layer;
        more.requests += cost.requests.saturating_sub(undisturbed.requests);
        allowed += 3 * here + 2 * (given_up + refused);
        if killed >= kills {
            break;
        }
    }
    let Cost {
        bytes,
        requests,
        layer,
    } = more;
    println!(
        "{killed} kills: {bytes} bytes and {requests} requests more, {layer} of them for the layer"
    );
    requests <= allowed
}

/// One process: killed at its instant, or at its end before; false for the end.
fn life(stage: &Stage, name: &str, random: &mut Rng, longest: Duration, mortal: bool) -> bool {
    let instant = longest.mul_f64(random.f64());
    let began = Instant::now();
    let mut client = stage.push(name);
    while !client.is_over() {
        if mortal && began.elapsed() >= instant {
            client.kill();
            stage.gate.cut();
            return true;
        }
        // Not for anything to happen: so that the end may come at any time.
        thread::sleep(Duration::from_micros(200));
    }
    stage.gate.cut();
    false
}

fn seeds() -> Vec<u64> {
    told("LONGSHORE_CRASH_SEED").map_or_else(|| vec![1, fastrand::u64(..1 << 32)], |it| vec![it])
}

#[test]
fn p1_killed_at_a_hundred_instants_nobody_chose() {
    let stage = Stage::new(64, &["--chunk-size", "1048576"]);
    for seed in seeds() {
        let kills = told("LONGSHORE_CRASH_KILLS").unwrap_or(50);
        assert!(kill(&stage, seed, kills, MIB), "more requests: see above");
    }
}

/// As it comes: one body for all of the blob.
#[test]
fn p1_killed_in_the_middle_of_one_large_body() {
    let stage = Stage::new(told("LONGSHORE_CRASH_MIB").unwrap_or(192), &[]);
    for seed in seeds() {
        kill(
            &stage,
            seed,
            told("LONGSHORE_CRASH_KILLS").unwrap_or(10),
            16 * MIB,
        );
    }
}

/// A body that is cut at a byte, and a process that is killed there: the next one sends the rest.
#[test]
fn n2_another_process_sends_what_the_session_lacks_and_nothing_else() {
    let stage = Stage::new(24, &[]);
    let size = stage.layer().size;
    let undisturbed = stage.undisturbed("undisturbed");
    for byte in [1, 2, 1000, MIB, 9 * MIB + 7, size - 1, size] {
        let (name, layer) = (format!("app{byte}"), stage.layer().digest.clone());
        let wanted = move |it: &crate::gate::Request| it.is("PUT", layer.encoded());
        let at = if byte == size {
            At::Unanswered
        } else {
            At::Byte(byte)
        };
        stage.gate.stop_at(at, Box::new(wanted));
        let mut client = stage.push(&name);
        stage.gate.stopped(&mut client).unwrap();
        client.kill();
        stage.gate.cut();
        assert!(!stage.is_tagged(&name));
        stage.gate.take_log();

        let mut client = stage.push(&name);
        assert_eq!(stage.gate.stopped(&mut client), None);
        stage.gate.cut();
        stage.is_whole(&name);
        let log = stage.gate.take_log();
        let cost = stage.cost(&log);
        // A session with one byte or none is not worth a doubt.
        let lacks = if byte < 2 { size } else { size - byte };
        let sent = log
            .iter()
            .filter(|it| it.is("PUT", stage.layer().digest.encoded()));
        assert_eq!(
            sent.map(|it| it.sent).sum::<u64>(),
            lacks,
            "{byte}: {log:#?}"
        );
        assert!(cost.layer <= undisturbed.layer + 3, "{byte}: {log:#?}");
    }
}
