//! Against registries that are made up: whatever they do, an upload ends, and says the truth.

use proptest::prelude::*;

use super::*;

/// What a registry does with one request; a list of them is all that ever goes wrong.
#[derive(Clone, Copy, Debug)]
enum Whim {
    /// As it should.
    Good,
    /// So many thousandths of the body arrive, then the connection breaks.
    Breaks(u64),
    /// All of it arrives, and is done, and no answer comes.
    Silent,
    /// Refused before anything of it was read.
    Refuses(Trouble),
    /// The session is forgotten first.
    Forgets,
    /// It says another number of bytes.
    Lies(u64),
}

/// A registry with one blob and one session at most, and what was sent to it.
#[derive(Debug)]
struct Model {
    size: u64,
    session: Option<u64>,
    committed: bool,
    received: u64,
    /// Bytes that were acknowledged, in a session that is still there, and came again.
    again: u64,
    /// What the client was truly told is held.
    told: u64,
}

impl Model {
    fn send(&mut self, part: Part, whim: Whim) -> Event {
        let unknown = Event::Trouble(Trouble::Lost, part.length);
        let Some(held) = self.session else {
            return unknown;
        };
        let arrived = match whim {
            Whim::Refuses(trouble) => return Event::Trouble(trouble, 0),
            Whim::Forgets => {
                self.session = None;
                return unknown;
            }
            Whim::Breaks(thousandths) => part.length / 1000 * thousandths,
            _ => part.length,
        };
        if part.from != held {
            return Event::Trouble(Trouble::OutOfRange, part.length);
        }
        self.again += self.told.saturating_sub(part.from).min(arrived);
        self.received += arrived;
        self.session = Some(held + arrived);
        if matches!(whim, Whim::Breaks(_)) {
            return Event::Trouble(Trouble::Broken, part.length);
        }
        if part.closing {
            assert_eq!(held + arrived, self.size, "closed before its end");
            self.committed = true;
            self.session = None;
        }
        match whim {
            Whim::Silent => Event::Trouble(Trouble::Silent, part.length),
            _ if part.closing => Event::Committed,
            Whim::Lies(held) => Event::Taken(Some(held % (self.size + 2))),
            _ => {
                self.told = held + arrived;
                Event::Taken(Some(self.told))
            }
        }
    }

    fn status(&mut self, whim: Whim) -> Event {
        match (self.session, whim) {
            (Some(_), Whim::Lies(held)) => Event::Held(held % (self.size + 2)),
            (Some(held), _) => {
                self.told = held;
                Event::Held(held)
            }
            (None, _) => Event::Gone,
        }
    }

    fn do_it(&mut self, effect: Effect, whim: Whim) -> Event {
        match effect {
            Effect::Open { .. } => {
                self.session = Some(0);
                self.told = 0;
                Event::Opened {
                    minimum: 0,
                    maximum: None,
                }
            }
            Effect::Send(part) => {
                assert!(part.from + part.length <= self.size, "{part:?}");
                assert!(part.length > 0 || part.closing, "{part:?}");
                self.send(part, whim)
            }
            Effect::Look { .. } | Effect::LookAndAsk if self.committed => Event::There,
            Effect::Look { .. } => Event::NotThere,
            Effect::Ask | Effect::LookAndAsk => self.status(whim),
            Effect::Pause => Event::Paused,
            Effect::Done | Effect::Fail => unreachable!("an end"),
        }
    }
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop::sample::select(vec![
        Trouble::Unsent,
        Trouble::Broken,
        Trouble::Silent,
        Trouble::Unsure,
        Trouble::Busy,
        Trouble::Renewed,
        Trouble::TooLong(None),
        Trouble::OutOfRange,
        Trouble::Unwanted,
        Trouble::WrongDigest,
        Trouble::Final,
    ])
}

fn honest() -> impl Strategy<Value = Whim> {
    prop_oneof![
        4 => Just(Whim::Good),
        2 => (0..1000_u64).prop_map(Whim::Breaks),
        1 => Just(Whim::Silent),
        1 => Just(Whim::Forgets),
        1 => prop::sample::select(vec![Trouble::Unsent, Trouble::Unsure, Trouble::Busy])
            .prop_map(Whim::Refuses),
    ]
}

fn any_whim() -> impl Strategy<Value = Whim> {
    prop_oneof![
        3 => honest(),
        1 => any::<u64>().prop_map(Whim::Lies),
        1 => trouble().prop_map(Whim::Refuses),
    ]
}

/// Runs an upload to its end; the whims used up, everything is good.
fn run(size: u64, setting: ChunkSize, whims: &[Whim]) -> (Effect, Model) {
    let mut machine = Machine::new(size, setting, UploadProfile::default());
    let mut model = Model {
        size,
        session: None,
        committed: false,
        received: 0,
        again: 0,
        told: 0,
    };
    let mut whims = whims.iter().copied();
    let mut effect = machine.step(Event::Begin);
    for _ in 0..10_000 {
        if matches!(effect, Effect::Done | Effect::Fail) {
            return (effect, model);
        }
        let whim = match effect {
            Effect::Send(_) | Effect::Ask => whims.next().unwrap_or(Whim::Good),
            _ => Whim::Good,
        };
        let event = model.do_it(effect, whim);
        effect = machine.step(event);
    }
    panic!("no end: {machine:?} {model:?}");
}

proptest! {
    /// A registry that tells the truth gets its blob, and no acknowledged byte twice while its
    /// session lives.
    #[test]
    fn p24_an_honest_registry_gets_the_blob_and_no_acknowledged_byte_again(
        size in 1..100_000_000_u64,
        chunk in prop::option::of(1_000_000..50_000_000_u64),
        whims in prop::collection::vec(honest(), 0..20),
    ) {
        let setting = chunk.map_or(ChunkSize::Auto, ChunkSize::of);
        let (end, model) = run(size, setting, &whims);
        prop_assert_eq!(end, Effect::Done, "{:?}", model);
        prop_assert!(model.committed);
        prop_assert_eq!(model.again, 0);
    }

    /// Whatever a registry says, an upload ends; and it is done only if the blob is there.
    #[test]
    fn n2_no_lie_makes_an_upload_endless_or_a_false_success(
        size in 0..100_000_000_u64,
        chunk in prop::option::of(1_000_000..50_000_000_u64),
        whims in prop::collection::vec(any_whim(), 0..40),
    ) {
        let setting = chunk.map_or(ChunkSize::Auto, ChunkSize::of);
        let (end, model) = run(size, setting, &whims);
        prop_assert!(end != Effect::Done || model.committed);
    }
}
