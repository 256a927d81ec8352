//! Which trials there are: every request with every fault, every byte, and mixtures.

use crate::{
    expect::{Expected, expected, most_again},
    fault::{Change, Cut, Direction, Ending, Fault, Memory, Oddity, Point, Wait, When},
    proxy::{Injection, Purpose, Record, Seen, applies},
    scenario::Scenario,
    trial::{Baseline, Trial},
};

/// A fault that does not end.
const ALWAYS: u32 = 1_000_000;

const POINTS: [Point; 5] = [
    Point::BeforeRequest,
    Point::AfterHead,
    Point::InBody,
    Point::BeforeAnswer,
    Point::InAnswer,
];

const ODDITIES: [Oddity; 15] = [
    Oddity::Twice,
    Oddity::AgainLater,
    Oddity::RequestTwice,
    Oddity::Late,
    Oddity::Slow,
    Oddity::Trickle,
    Oddity::Interim,
    Oddity::Granted,
    Oddity::Longer,
    Oddity::Html,
    Oddity::Garbage,
    Oddity::Endless,
    Oddity::HugeHead,
    Oddity::RedirectElsewhere,
    Oddity::RedirectLoop,
];

/// Every fault that can be done to this request.
pub fn faults_for(seen: &Seen, scenario: Scenario) -> Vec<Fault> {
    let mut faults = Vec::new();
    let has_body = seen.body > 0;
    for at in POINTS {
        if at == Point::InBody && !has_body {
            continue;
        }
        faults.push(Fault::Stall(at));
        for how in [Ending::Reset, Ending::Close] {
            faults.push(Fault::Break { at, how });
        }
    }
    faults.extend(statuses(has_body));
    faults.extend(changes(seen));
    faults.extend(ODDITIES.map(Fault::Odd));
    faults.push(Fault::Forgets(Memory::Sessions));
    if scenario == Scenario::Token {
        faults.push(Fault::Forgets(Memory::Tokens));
    }
    faults.retain(|fault| applies(*fault, seen.purpose, scenario));
    faults
}

fn statuses(has_body: bool) -> impl Iterator<Item = Fault> {
    let unsaid = Wait::Unsaid;
    let mut all = vec![
        (429, When::Instead, Wait::Seconds(1)),
        (429, When::Instead, Wait::Date(2)),
        (429, When::Instead, Wait::Seconds(3600)),
        (503, When::Instead, Wait::Seconds(1)),
    ];
    for code in [500, 502, 503, 504, 429, 401, 403, 404, 416] {
        all.push((code, When::Instead, unsaid));
        all.push((code, When::Afterwards, unsaid));
        if has_body {
            all.push((code, When::Early, unsaid));
            all.push((code, When::EarlyAndGone, unsaid));
        }
    }
    all.into_iter()
        .map(|(code, when, wait)| Fault::Status { code, when, wait })
}

fn changes(seen: &Seen) -> impl Iterator<Item = Fault> {
    let of = |there: bool, changes: &[Change]| if there { changes.to_vec() } else { Vec::new() };
    let location = [
        Change::LocationElsewhere,
        Change::LocationMissing,
        Change::LocationMalformed,
    ];
    let range = [
        Change::RangeLess,
        Change::RangeMore,
        Change::RangeHuge,
        Change::RangeMissing,
    ];
    let head = matches!(seen.purpose, Purpose::HeadBlob | Purpose::HeadManifest);
    [
        of(seen.has.location, &location),
        of(seen.has.range, &range),
        of(
            seen.has.digest,
            &[Change::DigestOther, Change::DigestMissing],
        ),
        of(head && seen.status == 200, &[Change::LengthMore]),
    ]
    .into_iter()
    .flatten()
    .map(Fault::Header)
}

/// Every request of a push, with every fault: once, and some without end.
pub fn matrix(scenario: Scenario, baseline: &Baseline) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (request, seen) in baseline.record.seen.iter().enumerate() {
        for fault in faults_for(seen, scenario) {
            for times in [1, 2, ALWAYS] {
                let lasting = matches!(
                    fault,
                    Fault::Break { .. }
                        | Fault::Stall(Point::BeforeRequest | Point::BeforeAnswer)
                        | Fault::Status {
                            when: When::Instead,
                            wait: Wait::Unsaid,
                            ..
                        }
                        | Fault::Header(_)
                );
                if times == 1 || lasting {
                    let injection = Injection {
                        request,
                        fault,
                        times,
                    };
                    trials.push(single(scenario, &baseline.record.seen, seen, injection));
                }
            }
        }
    }
    trials
}

/// The same for the requests by which a client recovers: after a first fault, every request
/// that follows, with every fault.
pub fn recovery(scenario: Scenario, first: Injection, conversation: &Record) -> Vec<Trial> {
    let mut trials = Vec::new();
    let after = conversation.seen.iter().enumerate();
    for (request, seen) in after.skip(first.request + 1).take(3) {
        for fault in faults_for(seen, scenario) {
            let then = Injection {
                request,
                fault,
                times: 1,
            };
            trials.push(Trial {
                name: format!(
                    "{}/{}+{}",
                    scenario.name(),
                    name(&first, conversation.seen.get(first.request)),
                    name(&then, Some(seen)),
                ),
                injections: vec![first, then],
                expected: match expected(scenario, &conversation.seen, &then) {
                    Expected::Fails(_) => Expected::Ends,
                    other => other,
                },
                most_again: None,
                seed: request as u64,
                ..Trial::calm(scenario)
            });
        }
    }
    trials
}

/// First faults that make a client recover: one in each body of a blob.
pub fn first_faults(baseline: &Baseline) -> Vec<Injection> {
    let bodies = baseline.record.seen.iter().enumerate();
    let bodies = bodies.filter(|(_, seen)| {
        matches!(seen.purpose, Purpose::Patch | Purpose::PutBlob) && seen.body > 0
    });
    bodies
        .map(|(request, _)| Injection {
            request,
            fault: Fault::Break {
                at: Point::InBody,
                how: Ending::Reset,
            },
            times: 1,
        })
        .collect()
}

fn single(scenario: Scenario, conversation: &[Seen], seen: &Seen, injection: Injection) -> Trial {
    Trial {
        name: format!("{}/{}", scenario.name(), name(&injection, Some(seen))),
        injections: vec![injection],
        expected: expected(scenario, conversation, &injection),
        most_again: most_again(seen, &injection),
        seed: injection.request as u64,
        ..Trial::calm(scenario)
    }
}

fn name(injection: &Injection, seen: Option<&Seen>) -> String {
    let purpose = seen.map_or("request", |it| it.purpose.name());
    let times = match injection.times {
        1 => String::new(),
        ALWAYS => "-always".to_owned(),
        times => format!("-{times}x"),
    };
    format!(
        "{:02}-{purpose}-{}{times}",
        injection.request, injection.fault
    )
}

/// How many places there are to cut a push at.
pub fn places(baseline: &Baseline) -> u64 {
    baseline.record.up + baseline.record.down
}

/// A push that is cut at one place, counted from 0: first those after bytes from the client.
pub fn cut(scenario: Scenario, baseline: &Baseline, place: u64, how: Ending) -> Trial {
    let up = baseline.record.up;
    let (direction, after) = if place < up {
        (Direction::Up, place)
    } else {
        (Direction::Down, place - up)
    };
    let cut = Cut {
        direction,
        after,
        how,
    };
    let bodies = baseline
        .record
        .seen
        .iter()
        .filter(|it| matches!(it.purpose, Purpose::Patch | Purpose::PutBlob));
    Trial {
        name: format!("{}/{cut}", scenario.name()),
        cut: Some(cut),
        // What the registry has answered it has got; else one body may go again, and once more
        // where the registry is asked before it has noticed that the first connection ended.
        most_again: Some(match direction {
            Direction::Up => 2 * bodies.map(|it| it.body).max().unwrap_or(0),
            Direction::Down => 0,
        }),
        seed: place,
        ..Trial::calm(scenario)
    }
}

/// Up to four faults at once, from a seed: the same seed is the same trial.
pub fn mixture(seed: u64, number: u64, baselines: &[(Scenario, Baseline)]) -> Option<Trial> {
    let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (scenario, baseline) = random.choice(baselines)?;
    let requests = baseline.record.seen.len();
    let mut injections = Vec::new();
    for _ in 0..random.usize(1..=4) {
        let like = random.choice(&baseline.record.seen)?;
        let faults = faults_for(like, *scenario);
        injections.push(Injection {
            request: random.usize(0..requests + 4),
            fault: *random.choice(&faults)?,
            times: random.u32(1..=2),
        });
    }
    let ending = if random.bool() {
        Ending::Reset
    } else {
        Ending::Close
    };
    let place = random.u64(0..places(baseline));
    let cut = cut(*scenario, baseline, place, ending).cut;
    Some(Trial {
        name: format!("mixture-{seed}-{number}"),
        injections,
        cut: cut.filter(|_| random.bool()),
        seed: random.u64(..),
        at_once: if random.bool() { 1 } else { 8 },
        expected: Expected::Ends,
        most_again: None,
        ..Trial::calm(*scenario)
    })
}
