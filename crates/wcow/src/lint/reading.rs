//! From bytes to entries: a tar that is read as it comes, whoever wrote it.

use super::{
    Finding, LayerFault, LintOptions, LintReport, MAX_LINTED_ENTRIES,
    rules::{Item, ItemKind, Rules},
};
use crate::{
    header::{BLOCK, RawHeader},
    pax::{self, key},
};

/// The most bytes of records before one entry, inclusive. A security descriptor has at
/// most 64 KiB, and a path a few times that.
const MAX_RECORDS: u64 = 1024 * 1024;

/// Looks at a layer as its tar goes by.
pub(crate) struct Linter {
    options: LintOptions,
    state: State,
    block: [u8; BLOCK],
    filled: usize,
    /// The records for the next entry, as they were read.
    records: Option<Vec<u8>>,
    rules: Rules,
    bytes: u64,
}

/// What the next bytes are.
enum State {
    /// A header, or a block of the end.
    Header,
    /// The second block of the end.
    Ending,
    /// Records: so many bytes, and then so many of padding.
    Records { left: u64, padding: u64 },
    /// Content and padding that nobody looks at.
    Skip(u64),
    /// What follows the end.
    After { seen: bool },
    /// Nothing more can be said.
    Stopped,
}

// === impl Linter ===

impl Linter {
    pub(crate) fn new(options: LintOptions) -> Self {
        Self {
            options,
            state: State::Header,
            block: [0; BLOCK],
            filled: 0,
            records: None,
            rules: Rules::default(),
            bytes: 0,
        }
    }

    /// How much of the tar went by.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the rest does not matter.
    pub(super) fn has_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Takes what comes next.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Header | State::Ending => self.block(bytes),
                State::Records { .. } => self.record_bytes(bytes),
                State::Skip(left) => {
                    let taken = at_most(bytes, *left);
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Header;
                    }
                    taken
                }
                State::After { seen } => {
                    if !*seen && bytes.iter().any(|it| *it != 0) {
                        *seen = true;
                        self.whole(LayerFault::AfterEnd, false);
                    }
                    return;
                }
                State::Stopped => return,
            };
            bytes = &bytes[taken..];
        }
    }

    /// What was found, the layer being at its end.
    pub(crate) fn finish(mut self) -> LintReport {
        let between = matches!(self.state, State::Header) && self.filled == 0;
        match self.state {
            State::After { .. } | State::Stopped => {}
            State::Header | State::Ending if between && self.records.is_none() => {
                if self.rules.entries() == 0 {
                    self.whole(LayerFault::NotATar("it is empty".to_owned()), true);
                } else {
                    self.whole(LayerFault::Unterminated, false);
                }
            }
            State::Ending if self.filled == 0 => self.whole(LayerFault::Unterminated, false),
            _ => self.whole(LayerFault::Truncated, true),
        }
        let complete = !matches!(self.state, State::Stopped);
        self.rules.finish(self.bytes, complete)
    }

    fn block(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(BLOCK - self.filled);
        self.block[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        if self.filled == BLOCK {
            self.filled = 0;
            self.whole_block();
        }
        taken
    }

    fn whole_block(&mut self) {
        let zero = self.block.iter().all(|it| *it == 0);
        match (&self.state, zero) {
            (State::Header, true) if self.records.is_none() => self.state = State::Ending,
            (State::Ending, true) => self.state = State::After { seen: false },
            (State::Header, false) => self.header(),
            _ => self.stop(LayerFault::NotATar(
                "a zero block stands between entries".to_owned(),
            )),
        }
    }

    fn header(&mut self) {
        let header = match RawHeader::parse(&self.block) {
            Ok(header) => header,
            Err(error) => return self.stop(LayerFault::NotATar(error.to_string())),
        };
        match header.flag {
            b'x' => self.begin_records(header.size),
            b'g' | b'L' | b'K' => {
                let fault = match header.flag {
                    b'g' => LayerFault::EntryType(header.flag),
                    _ => LayerFault::GnuLongName,
                };
                self.rules.aside(&header.name, fault);
                self.skip(header.size);
            }
            _ => self.entry(&header),
        }
    }

    fn begin_records(&mut self, size: u64) {
        if self.records.is_some() {
            let twice = "there are two sets of records for one entry".to_owned();
            return self.stop(LayerFault::Record(twice));
        }
        if size > MAX_RECORDS {
            return self.stop(LayerFault::RecordsTooLong(size));
        }
        self.records = Some(Vec::new());
        let padding = padding(size);
        self.state = match (size, padding) {
            (0, 0) => State::Header,
            (left, padding) => State::Records { left, padding },
        };
    }

    fn record_bytes(&mut self, bytes: &[u8]) -> usize {
        let State::Records { left, padding } = &mut self.state else {
            return bytes.len();
        };
        let taken = if *left > 0 {
            let taken = at_most(bytes, *left);
            *left -= taken as u64;
            self.records
                .get_or_insert_default()
                .extend_from_slice(&bytes[..taken]);
            taken
        } else {
            let taken = at_most(bytes, *padding);
            *padding -= taken as u64;
            taken
        };
        if *left == 0 && *padding == 0 {
            self.state = State::Header;
        }
        taken
    }

    fn entry(&mut self, header: &RawHeader) {
        if self.rules.entries() >= MAX_LINTED_ENTRIES {
            return self.stop(LayerFault::TooMuch);
        }
        let bytes = self.records.take().unwrap_or_default();
        let records = pax::parse(&bytes);
        let known = records.as_deref().unwrap_or_default();
        // The last one counts, and an empty one takes back what was before.
        let last = |key: &str| {
            let found = known.iter().rev().find(|it| it.0 == key);
            found.map(|it| it.1).filter(|it| !it.is_empty())
        };
        let kind = ItemKind::of(header.flag);
        let size = match last(key::SIZE).map(str::parse::<u64>) {
            None => header.size,
            Some(Ok(size)) => size,
            Some(Err(_)) => {
                let why = "the size is no number".to_owned();
                return self.stop(LayerFault::Record(why));
            }
        };
        let item = Item {
            name: last(key::PATH).map_or(&*header.name, str::as_bytes),
            link: last(key::LINK_PATH).map_or(&*header.link, str::as_bytes),
            kind,
            size,
            mtime: header.mtime,
            records: known,
            record_error: records.as_ref().err().map(ToString::to_string),
        };
        let kept = self.rules.entry(&item, &self.options);
        if !kept {
            return self.stop(LayerFault::TooMuch);
        }
        // What has no content is not followed by any, whatever its size says: so do the
        // readers that matter here.
        self.skip(if kind.has_content() { size } else { 0 });
    }

    /// Goes over `size` bytes and their padding.
    fn skip(&mut self, size: u64) {
        self.state = match size.checked_add(padding(size)) {
            Some(0) => State::Header,
            Some(all) => State::Skip(all),
            None => return self.stop(LayerFault::NotATar("a size is too large".to_owned())),
        };
    }

    fn stop(&mut self, fault: LayerFault) {
        self.whole(fault, true);
        self.state = State::Stopped;
    }

    /// Something about the layer as a whole.
    fn whole(&mut self, fault: LayerFault, error: bool) {
        let finding = Finding {
            entry: 0,
            name: String::new(),
            fault,
        };
        self.rules.add(finding, error);
    }
}

fn at_most(bytes: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(bytes.len(), |it| it.min(bytes.len()))
}

fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}
