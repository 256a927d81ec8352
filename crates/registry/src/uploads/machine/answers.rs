//! What the answers mean: to a part that was sent, and to a question how much is held.

use std::num::NonZeroU64;

use super::{
    After, BREAK_CHUNK, ChunkSize, DOUBTS, Doubt, Effect, Event, FIRST_CHUNK, LAST_CHUNK, Machine,
    Missing, NOT_MUCH, PATIENT, Part, Pieces, Trouble,
};

impl Machine {
    pub(super) fn sent(&mut self, part: Part, event: Event) -> Effect {
        let end = part.from + part.length;
        match event {
            Event::Committed if part.closing => self.end(Effect::Done),
            Event::OddlyCommitted if part.closing => self.look(Missing::Fail),
            Event::Taken(None) if !part.closing => self.taken(end),
            Event::Taken(Some(held)) | Event::OddlyTaken(Some(held))
                if held == end && !part.closing =>
            {
                self.taken(end)
            }
            Event::Taken(_) | Event::OddlyTaken(_) if !part.closing => {
                let exactly = Some(end);
                let doubt = Doubt {
                    exactly,
                    ..doubt(end)
                };
                self.ask(doubt)
            }
            Event::Trouble(trouble, handed) => self.trouble(part, trouble, handed),
            _ => self.end(Effect::Fail),
        }
    }

    fn taken(&mut self, end: u64) -> Effect {
        self.pieces = Pieces::Several;
        self.at = end;
        self.sure = end;
        self.send()
    }

    fn trouble(&mut self, part: Part, trouble: Trouble, handed: u64) -> Effect {
        let reached = (part.from + handed).min(self.size);
        let complete = part.closing && handed == part.length;
        let doubt = Doubt {
            complete,
            ..doubt(reached)
        };
        match trouble {
            Trouble::Unsent => self.pause(After::Send(part)),
            Trouble::Busy => self.pause(After::Ask(doubt)),
            Trouble::Broken | Trouble::Silent => {
                self.broke(handed);
                let broken = handed > 0;
                let silent = broken && trouble == Trouble::Silent;
                let doubt = Doubt {
                    broken,
                    silent_from: silent.then_some(part.from),
                    ..doubt
                };
                if broken && self.keeps_too_little(handed) {
                    return self.pause(After::Look(Missing::Open));
                }
                self.pause(After::Look(Missing::Ask(doubt)))
            }
            Trouble::Unsure => self.pause(After::Look(Missing::Ask(doubt))),
            Trouble::Lost if complete => self.pause(After::Look(Missing::OpenAnew)),
            Trouble::Renewed => self.renewed(doubt),
            Trouble::TooLong(maximum) => self.too_long(part, maximum, doubt),
            Trouble::OutOfRange | Trouble::Unwanted if !part.closing => {
                self.unwanted(part, trouble, doubt)
            }
            Trouble::OutOfRange if part.from > 0 => self.refused(part, doubt),
            Trouble::Lost | Trouble::OutOfRange => self.pause(After::Look(Missing::Open)),
            Trouble::Unwanted if part.from > 0 && part.length > 0 && !self.profile.closes_empty => {
                self.profile.closes_empty = true;
                self.ask(doubt)
            }
            Trouble::WrongDigest if self.pieces != Pieces::One && !self.restarted => self.restart(),
            Trouble::Unwanted | Trouble::WrongDigest | Trouble::Final => self.end(Effect::Fail),
        }
    }

    /// Whether a broken session is not worth a question: this registry has kept none before, and so
    /// little would have to go again.
    fn keeps_too_little(&self, handed: u64) -> bool {
        self.profile.keeps_sessions == Some(false) && self.at == 0 && handed <= NOT_MUCH
    }

    /// A chunk that the registry does not take: it takes none, or none from there.
    fn unwanted(&mut self, part: Part, trouble: Trouble, doubt: Doubt) -> Effect {
        if part.from > 0 && trouble == Trouble::OutOfRange {
            return self.refused(part, doubt);
        }
        if self.pieces == Pieces::NoneOrOneByte {
            return self.open(true);
        }
        self.profile.refuses_chunks = true;
        self.profile.closes_empty = false;
        // Refused as such, and so nothing of it was kept.
        self.send()
    }

    /// What goes on in a session is refused for where it begins.
    fn refused(&mut self, part: Part, doubt: Doubt) -> Effect {
        let refused = Some(part.from);
        if self.doubted() {
            return self.end(Effect::Fail);
        }
        self.ask(Doubt { refused, ..doubt })
    }

    /// Whether there were too many doubts, with this one.
    fn doubted(&mut self) -> bool {
        self.doubts += 1;
        self.doubts >= DOUBTS
    }

    fn renewed(&mut self, doubt: Doubt) -> Effect {
        if self.renewed_at.is_some_and(|before| self.at <= before) {
            return self.end(Effect::Fail);
        }
        self.renewed_at = Some(self.at);
        if doubt.complete {
            return self.look(Missing::Ask(doubt));
        }
        self.ask(doubt)
    }

    fn too_long(&mut self, part: Part, maximum: Option<u64>, doubt: Doubt) -> Effect {
        let unwilling = matches!(self.setting, ChunkSize::Whole) || self.profile.refuses_chunks;
        let guess = (part.length / 4)
            .checked_ilog2()
            .map_or(0, |bits| 1 << bits)
            .min(FIRST_CHUNK);
        let limit = maximum.filter(|it| *it < part.length).unwrap_or(guess);
        match NonZeroU64::new(limit) {
            Some(limit)
                if !self.doubted()
                    && !unwilling
                    && (maximum.is_some() || limit.get() >= LAST_CHUNK) =>
            {
                self.profile.body_limit = Some(limit);
                self.whole = false;
                self.ask(doubt)
            }
            _ => self.end(Effect::Fail),
        }
    }

    /// Two breaks at the same place of a request are evidence of a limit.
    fn broke(&mut self, handed: u64) {
        let before = self.broke_at.replace(handed);
        let alike = before.is_some_and(|before| before.abs_diff(handed) <= handed / 4);
        let half = (handed / 2).checked_ilog2().map_or(0, |bits| 1 << bits);
        if alike && half >= BREAK_CHUNK && self.size > half {
            let half = NonZeroU64::new(half);
            let limit = self.profile.body_limit.into_iter().chain(half).min();
            self.profile.body_limit = limit;
        }
    }

    /// From the start in a new session and, unless bodies are limited, in one body.
    fn restart(&mut self) -> Effect {
        self.restarted = true;
        self.whole = self.profile.body_limit.is_none() && self.setting == ChunkSize::Auto;
        self.open(true)
    }

    pub(super) fn told(&mut self, doubt: Doubt, event: Event) -> Effect {
        match event {
            Event::Held(0) if doubt.broken && self.at == 0 => self.nearly_nothing(),
            Event::Held(held) => {
                if doubt.broken && held > 0 {
                    self.profile.keeps_sessions = Some(true);
                }
                self.held(doubt, held)
            }
            // It has taken every chunk so far: its word is as good as its count.
            Event::Gone | Event::Mute if doubt.exactly.is_some() => self.contradicted(doubt),
            Event::Gone | Event::Mute => {
                if doubt.broken && event == Event::Gone {
                    self.profile.keeps_sessions = Some(false);
                }
                if doubt.complete && self.size >= PATIENT {
                    self.look(Missing::OpenAnew)
                } else {
                    self.open(event == Event::Mute)
                }
            }
            _ => self.end(Effect::Fail),
        }
    }

    /// None or one: `0-0` stands for both. A chunk says where it begins, so that a registry that
    /// holds one byte refuses it. A whole blob does not say that, and goes where nothing can be.
    fn nearly_nothing(&mut self) -> Effect {
        if self.pieces == Pieces::NoneOrOneByte
            || self.chunk().is_none_or(|chunk| chunk >= self.size)
        {
            return self.open(true);
        }
        self.pieces = Pieces::NoneOrOneByte;
        self.send()
    }

    fn held(&mut self, doubt: Doubt, held: u64) -> Effect {
        let counted = held.saturating_sub(u64::from(self.profile.counts_one_more));
        if counted == doubt.reached + 1 && !self.profile.counts_one_more {
            // More than there ever was: this registry counts so.
            self.profile.counts_one_more = true;
            return self.held(doubt, held);
        }
        if doubt.refused == Some(counted) && counted > 0 {
            return self.refused_where_it_ends(doubt, counted);
        }
        let expected = doubt.exactly.is_none_or(|exactly| exactly == counted);
        if expected && (self.at..=doubt.reached).contains(&counted) {
            let stuck = doubt.silent_from.filter(|from| *from == counted);
            if stuck.is_some() && stuck == self.stuck_at {
                // Something else holds it: a connection that the registry alone takes for alive.
                return self.open(false);
            }
            self.stuck_at = stuck;
            self.at = counted;
            self.pieces = Pieces::Several;
            return self.send();
        }
        if doubt.again {
            return self.contradicted(doubt);
        }
        self.ask(Doubt {
            again: true,
            ..doubt
        })
    }

    /// It says that it goes on at an offset, and refuses what goes on there.
    fn refused_where_it_ends(&mut self, doubt: Doubt, counted: u64) -> Effect {
        if !self.profile.counts_one_more && counted > self.sure {
            self.profile.counts_one_more = true;
            self.at = counted - 1;
            self.pieces = Pieces::Several;
            return self.send();
        }
        self.contradicted(doubt)
    }

    /// What the session says of itself cannot be true.
    fn contradicted(&mut self, doubt: Doubt) -> Effect {
        if self.doubted() {
            return self.end(Effect::Fail);
        }
        let limited = self.profile.body_limit.is_some();
        if let Some(exactly) = doubt.exactly.filter(|_| limited && self.restarted) {
            // There is no other way: it took the chunk, and the digest decides.
            return self.taken(exactly);
        }
        self.restart()
    }
}

/// What is to be asked of a session that holds no more than this.
fn doubt(reached: u64) -> Doubt {
    Doubt {
        reached,
        exactly: None,
        refused: None,
        complete: false,
        broken: false,
        silent_from: None,
        again: false,
    }
}
