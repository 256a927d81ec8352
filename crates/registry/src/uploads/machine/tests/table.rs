//! Whole uploads as lists: what happened, and what was done about it.

use super::*;

const MIB: u64 = 1024 * 1024;

fn put(from: u64, length: u64) -> Effect {
    let closing = true;
    Effect::Send(Part {
        from,
        length,
        closing,
    })
}

fn patch(from: u64, length: u64) -> Effect {
    let closing = false;
    Effect::Send(Part {
        from,
        length,
        closing,
    })
}

fn opened() -> Event {
    Event::Opened {
        minimum: 0,
        maximum: None,
    }
}

fn trouble(trouble: Trouble, handed: u64) -> Event {
    Event::Trouble(trouble, handed)
}

const OPEN: Effect = Effect::Open { giving_up: false };
const AFRESH: Effect = Effect::Open { giving_up: true };
const LOOK: Effect = Effect::Look { patiently: false };

/// Plays a list of events against a machine, and compares each effect.
fn play(machine: &mut Machine, script: impl IntoIterator<Item = (Event, Effect)>) {
    for (n, (event, expected)) in script.into_iter().enumerate() {
        let effect = machine.step(event);
        assert_eq!(effect, expected, "step {n}: {event:?}: {machine:?}");
    }
}

fn machine(size: u64) -> Machine {
    Machine::new(size, ChunkSize::Auto, UploadProfile::default())
}

fn chunks_of(size: u64, chunk: u64) -> Machine {
    Machine::new(size, ChunkSize::of(chunk), UploadProfile::default())
}

#[test]
fn p26_one_body_at_any_size() {
    for size in [0, 1, MIB, 20_000_000_000, u64::MAX / 2] {
        play(
            &mut machine(size),
            [
                (Event::Begin, OPEN),
                (opened(), put(0, size)),
                (Event::Committed, Effect::Done),
            ],
        );
    }
}

#[test]
fn v6_no_body_is_longer_than_set_and_a_registrys_minimum_goes_first() {
    play(
        &mut chunks_of(25, 10),
        [
            (Event::Begin, OPEN),
            (opened(), patch(0, 10)),
            (Event::Taken(Some(10)), patch(10, 10)),
            (Event::Taken(None), put(20, 5)),
            (Event::Committed, Effect::Done),
        ],
    );
    play(
        &mut chunks_of(25, 10),
        [
            (Event::BeginIn { minimum: 12 }, patch(0, 12)),
            (Event::Taken(Some(12)), patch(12, 12)),
            (Event::Taken(Some(24)), put(24, 1)),
        ],
    );
    play(
        &mut chunks_of(20, 10),
        [
            (Event::BeginIn { minimum: 0 }, patch(0, 10)),
            (Event::Taken(Some(10)), put(10, 10)),
        ],
    );
}

#[test]
fn n2_what_arrived_before_a_break_is_not_sent_again() {
    play(
        &mut machine(100),
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 100)),
            (trouble(Trouble::Broken, 70), Effect::Pause),
            (Event::Paused, LOOK),
            (Event::NotThere, Effect::Ask),
            (Event::Held(60), put(60, 40)),
            (trouble(Trouble::Broken, 40), Effect::Pause),
            (Event::Paused, LOOK),
            (Event::NotThere, Effect::Ask),
            (Event::Held(100), put(100, 0)),
            (Event::Committed, Effect::Done),
        ],
    );
}

#[test]
fn n2_a_session_that_says_nothing_twice_and_keeps_nothing_is_left_for_another() {
    let mut it = chunks_of(30, 10);
    let silence = [
        (trouble(Trouble::Silent, 10), Effect::Pause),
        (Event::Paused, LOOK),
        (Event::NotThere, Effect::Ask),
    ];
    let begin = [
        (Event::Begin, OPEN),
        (opened(), patch(0, 10)),
        (Event::Taken(Some(10)), patch(10, 10)),
    ];
    play(&mut it, begin);
    // It goes on in between: that is slow, and not stuck.
    play(&mut it, silence);
    play(&mut it, [(Event::Held(20), put(20, 10))]);
    play(&mut it, silence);
    play(&mut it, [(Event::Held(20), put(20, 10))]);
    play(&mut it, silence);
    play(&mut it, [(Event::Held(20), OPEN), (opened(), patch(0, 10))]);
}

#[test]
fn n2_a_session_that_is_slow_to_commit_what_it_holds_is_not_left() {
    let mut it = machine(100);
    play(&mut it, [(Event::Begin, OPEN), (opened(), put(0, 100))]);
    let mut sent = 100;
    for _ in 0..4 {
        play(
            &mut it,
            [
                (trouble(Trouble::Silent, sent), Effect::Pause),
                (Event::Paused, LOOK),
                (Event::NotThere, Effect::Ask),
                (Event::Held(100), put(100, 0)),
            ],
        );
        sent = 0;
    }
}

#[test]
fn n2_a_count_that_cannot_be_is_asked_for_again_and_then_the_session_is_given_up() {
    for wrong in [0, 9, 200] {
        let mut it = chunks_of(100, 10);
        play(
            &mut it,
            [
                (Event::Begin, OPEN),
                (opened(), patch(0, 10)),
                (Event::Taken(Some(10)), patch(10, 10)),
                (trouble(Trouble::Broken, 5), Effect::Pause),
                (Event::Paused, LOOK),
                (Event::NotThere, Effect::Ask),
                (Event::Held(wrong), Effect::Ask),
                (Event::Held(wrong), AFRESH),
                (opened(), patch(0, 10)),
            ],
        );
    }
}

#[test]
fn n2_a_chunk_that_was_taken_is_believed_only_with_the_right_range() {
    // The first answer was wrong, the second is right.
    play(
        &mut chunks_of(100, 10),
        [
            (Event::BeginIn { minimum: 0 }, patch(0, 10)),
            (Event::Taken(Some(5)), Effect::Ask),
            (Event::Held(10), patch(10, 10)),
        ],
    );
    play(
        &mut chunks_of(100, 10),
        [
            (Event::BeginIn { minimum: 0 }, patch(0, 10)),
            (Event::Taken(Some(5)), Effect::Ask),
            (Event::Held(5), Effect::Ask),
            (Event::Held(5), AFRESH),
        ],
    );
}

#[test]
fn a_session_that_was_left_behind_goes_on_where_it_is() {
    let resume = |acknowledged| Event::Resume {
        acknowledged,
        minimum: 0,
    };
    let cases: [(&[Event], Effect); 6] = [
        (&[Event::There], Effect::Done),
        (&[Event::Held(70)], put(70, 30)),
        (&[Event::Held(100)], put(100, 0)),
        (&[Event::Gone], OPEN),
        (&[Event::Held(10), Event::Held(10)], AFRESH),
        (&[Event::Held(170), Event::Held(170)], AFRESH),
    ];
    for (events, expected) in cases {
        let mut it = machine(100);
        assert_eq!(it.step(resume(50)), Effect::LookAndAsk);
        let last = events.iter().map(|event| it.step(*event)).last();
        assert_eq!(last, Some(expected), "{events:?}");
    }
}

#[test]
fn quay_counts_one_more_and_that_is_learned() {
    // It shows at the end, where there cannot be more.
    let mut it = machine(100);
    play(
        &mut it,
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 100)),
            (trouble(Trouble::Unsure, 100), Effect::Pause),
            (Event::Paused, LOOK),
            (Event::NotThere, Effect::Ask),
            (Event::Held(101), put(100, 0)),
        ],
    );
    assert!(it.profile.counts_one_more);
    // Or when what it says is refused.
    let mut it = machine(100);
    play(
        &mut it,
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 100)),
            (trouble(Trouble::Broken, 80), Effect::Pause),
            (Event::Paused, LOOK),
            (Event::NotThere, Effect::Ask),
            (Event::Held(61), put(61, 39)),
            (trouble(Trouble::OutOfRange, 39), Effect::Ask),
            (Event::Held(61), put(60, 40)),
            (Event::Committed, Effect::Done),
        ],
    );
    assert!(it.profile.counts_one_more);
}

#[test]
fn p10_a_commit_without_an_answer_is_looked_for_and_made_again_without_bytes() {
    for what in [Trouble::Broken, Trouble::Silent, Trouble::Unsure] {
        play(
            &mut machine(100),
            [
                (Event::Begin, OPEN),
                (opened(), put(0, 100)),
                (trouble(what, 100), Effect::Pause),
                (Event::Paused, LOOK),
                (Event::There, Effect::Done),
            ],
        );
        play(
            &mut machine(100),
            [
                (Event::Begin, OPEN),
                (opened(), put(0, 100)),
                (trouble(what, 100), Effect::Pause),
                (Event::Paused, LOOK),
                (Event::NotThere, Effect::Ask),
                (Event::Held(100), put(100, 0)),
                (trouble(what, 0), Effect::Pause),
                (Event::Spent, LOOK),
                (Event::There, Effect::Done),
            ],
        );
    }
}

#[test]
fn p10_a_large_blob_whose_session_is_gone_is_looked_for_a_while() {
    let size = PATIENT;
    let patiently = Effect::Look { patiently: true };
    play(
        &mut machine(size),
        [
            (Event::Begin, OPEN),
            (opened(), put(0, size)),
            (trouble(Trouble::Lost, size), Effect::Pause),
            (Event::Paused, patiently),
            (Event::NotThere, OPEN),
            (opened(), put(0, size)),
            (trouble(Trouble::Unsure, size), Effect::Pause),
            (Event::Paused, LOOK),
            (Event::NotThere, Effect::Ask),
            (Event::Gone, patiently),
            (Event::There, Effect::Done),
        ],
    );
}

#[test]
fn z12_a_new_token_goes_on_and_a_second_refusal_at_the_same_place_stands() {
    play(
        &mut chunks_of(30, 10),
        [
            (Event::BeginIn { minimum: 0 }, patch(0, 10)),
            (Event::Taken(Some(10)), patch(10, 10)),
            (trouble(Trouble::Renewed, 10), Effect::Ask),
            (Event::Held(10), patch(10, 10)),
            (Event::Taken(Some(20)), put(20, 10)),
            (trouble(Trouble::Renewed, 10), LOOK),
            (Event::NotThere, Effect::Ask),
            (Event::Held(20), put(20, 10)),
            (trouble(Trouble::Renewed, 10), Effect::Fail),
        ],
    );
}

#[test]
fn a_body_that_is_too_long_is_cut_and_the_limit_learned() {
    let mut it = machine(300 * MIB);
    play(
        &mut it,
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 300 * MIB)),
            (trouble(Trouble::TooLong(None), 8 * MIB), Effect::Ask),
            (Event::Held(0), patch(0, 64 * MIB)),
            (trouble(Trouble::TooLong(None), 8 * MIB), Effect::Ask),
            (Event::Held(0), patch(0, 16 * MIB)),
            (Event::Taken(Some(16 * MIB)), patch(16 * MIB, 16 * MIB)),
        ],
    );
    assert_eq!(it.profile.body_limit, NonZeroU64::new(16 * MIB));
    // It may say how much it takes, before or with its refusal.
    let mut it = machine(100);
    play(
        &mut it,
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 100)),
            (trouble(Trouble::TooLong(Some(40)), 0), Effect::Ask),
            (Event::Held(0), patch(0, 40)),
        ],
    );
    let announced = Event::Opened {
        minimum: 0,
        maximum: Some(60),
    };
    play(
        &mut machine(100),
        [(Event::Begin, OPEN), (announced, patch(0, 60))],
    );
    // Who wants one body has one, or nothing.
    play(
        &mut chunks_of(100, 0),
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 100)),
            (trouble(Trouble::TooLong(Some(40)), 0), Effect::Fail),
        ],
    );
}

#[test]
fn a_limit_that_sinks_for_ever_is_an_error() {
    let mut it = machine(u64::MAX / 2);
    assert_eq!(it.step(Event::Begin), OPEN);
    let mut effect = it.step(opened());
    for n in 0.. {
        assert!(n < 100, "no end");
        effect = match effect {
            Effect::Send(part) => it.step(trouble(Trouble::TooLong(Some(part.length - 1)), 0)),
            Effect::Ask => it.step(Event::Held(0)),
            Effect::Fail => return,
            other => panic!("{other:?}"),
        };
    }
}

#[test]
fn p9_two_breaks_at_the_same_place_make_chunks_and_two_at_others_do_not() {
    let broken = |at| {
        [
            (trouble(Trouble::Broken, at), Effect::Pause),
            (Event::Paused, LOOK),
            (Event::NotThere, Effect::Ask),
        ]
    };
    let size = 100 * MIB;
    for (second, expected) in [(31 * MIB, patch(0, 8 * MIB)), (9 * MIB, put(0, size))] {
        let mut it = machine(size);
        play(&mut it, [(Event::Begin, OPEN), (opened(), put(0, size))]);
        play(&mut it, broken(30 * MIB));
        play(&mut it, [(Event::Gone, OPEN), (opened(), put(0, size))]);
        assert_eq!(it.profile.keeps_sessions, Some(false));
        play(&mut it, broken(second));
        play(&mut it, [(Event::Gone, OPEN), (opened(), expected)]);
    }
}

/// What has to go again is worth a question, unless it is next to nothing and the answer is known.
#[test]
fn p9_a_registry_that_keeps_no_sessions_is_not_asked_for_a_few_bytes() {
    let cases = [
        (Some(false), 1000, OPEN),
        (Some(false), MIB, Effect::Ask),
        (Some(true), 1000, Effect::Ask),
        (None, 1000, Effect::Ask),
    ];
    for (keeps_sessions, handed, expected) in cases {
        let profile = UploadProfile {
            keeps_sessions,
            ..UploadProfile::default()
        };
        let mut it = Machine::new(2 * MIB, ChunkSize::Auto, profile);
        play(
            &mut it,
            [
                (Event::Begin, OPEN),
                (opened(), put(0, 2 * MIB)),
                (trouble(Trouble::Broken, handed), Effect::Pause),
                (Event::Paused, LOOK),
                (Event::NotThere, expected),
            ],
        );
    }
}

#[test]
fn z13_a_registry_without_chunks_gets_the_rest_in_one_body() {
    for what in [Trouble::Unwanted, Trouble::OutOfRange] {
        let mut it = chunks_of(100, 10);
        play(
            &mut it,
            [
                (Event::Begin, OPEN),
                (opened(), patch(0, 10)),
                (trouble(what, 10), put(0, 100)),
                (Event::Committed, Effect::Done),
            ],
        );
        assert!(it.profile.refuses_chunks);
    }
    // What it has taken before is not sent again.
    play(
        &mut chunks_of(100, 10),
        [
            (Event::Begin, OPEN),
            (opened(), patch(0, 10)),
            (Event::Taken(Some(10)), patch(10, 10)),
            (trouble(Trouble::Unwanted, 10), put(10, 90)),
        ],
    );
}

#[test]
fn z13_a_closing_put_that_takes_no_bytes_gets_none() {
    let mut it = chunks_of(25, 10);
    play(
        &mut it,
        [
            (Event::Begin, OPEN),
            (opened(), patch(0, 10)),
            (Event::Taken(Some(10)), patch(10, 10)),
            (Event::Taken(Some(20)), put(20, 5)),
            (trouble(Trouble::Unwanted, 5), Effect::Ask),
            (Event::Held(20), patch(20, 5)),
            (Event::Taken(Some(25)), put(25, 0)),
            (Event::Committed, Effect::Done),
        ],
    );
    assert!(it.profile.closes_empty);
}

#[test]
fn z13_another_success_of_a_patch_is_checked() {
    play(
        &mut chunks_of(30, 10),
        [
            (Event::BeginIn { minimum: 0 }, patch(0, 10)),
            (Event::OddlyTaken(None), Effect::Ask),
            (Event::Held(10), patch(10, 10)),
            (Event::OddlyTaken(Some(20)), put(20, 10)),
        ],
    );
}

#[test]
fn wrong_bytes_after_a_resume_cost_one_new_session_and_wrong_bytes_in_one_body_are_an_error() {
    play(
        &mut machine(100),
        [
            (
                Event::Resume {
                    acknowledged: 50,
                    minimum: 0,
                },
                Effect::LookAndAsk,
            ),
            (Event::Held(50), put(50, 50)),
            (trouble(Trouble::WrongDigest, 50), AFRESH),
            (opened(), put(0, 100)),
            (trouble(Trouble::WrongDigest, 100), Effect::Fail),
        ],
    );
}

#[test]
fn p24_nothing_is_sent_again_before_the_blob_was_looked_for() {
    for what in [
        Trouble::Broken,
        Trouble::Silent,
        Trouble::Unsure,
        Trouble::Lost,
    ] {
        let mut it = machine(100);
        play(
            &mut it,
            [
                (Event::Begin, OPEN),
                (opened(), put(0, 100)),
                (trouble(what, 50), Effect::Pause),
                (Event::Paused, LOOK),
            ],
        );
    }
    // What never left is no reason to look.
    play(
        &mut machine(100),
        [
            (Event::Begin, OPEN),
            (opened(), put(0, 100)),
            (trouble(Trouble::Unsent, 0), Effect::Pause),
            (Event::Paused, put(0, 100)),
        ],
    );
}
