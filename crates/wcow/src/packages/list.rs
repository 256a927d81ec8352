//! A list of commands, `a && b; c`: what becomes of each, and the list that is left.
//!
//! ```text
//! apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/* && app --setup
//!   left out          choco install -y curl      left out                     stays
//! ```
//!
//! What stays keeps its text, and so does what stands between two commands that stay: blanks,
//! continued lines and comments. In `cmd` a semicolon is a blank, so there it becomes `&`, which goes
//! on whatever happens, or `&&` where the shell was told to end with the first failure (`set -e`).

use std::ops::Range;

use super::{
    error::ProblemKind,
    line_ends::LineEnds,
    manager::{self, Order},
    mention,
    note::NoteKind,
    resolve::Resolver,
    script::{Joint, Piece, Redirected, Word},
    stage::Shell,
    told::shown,
};
use crate::dockerfile::Places;

/// What becomes of a command, or of several that belong together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Kept,
    /// It goes.
    Gone,
    /// It tells the shell something: it stays where that shell does.
    Set,
    /// These commands stand for it.
    Now(Vec<Vec<String>>),
}

/// One command, or several that `|` and `||` hold together.
#[derive(Debug)]
pub(super) struct Unit {
    /// Which pieces, by their numbers.
    pub(super) pieces: Range<usize>,
    pub(super) fate: Fate,
    /// Whether it is a package manager's.
    is_order: bool,
    /// Whether the shell ends with the first failure when it comes to it.
    errexit: bool,
}

/// A text, where it stands in the file, and what it is made of.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    /// What the places are of: the file.
    pub(super) source: &'a str,
    pub(super) ends: &'a LineEnds,
    pub(super) places: &'a Places,
    pub(super) text: &'a str,
    pub(super) pieces: &'a [Piece],
}

/// A list, decided upon. There is a package manager's command in it.
pub(super) struct Decided<'a> {
    listed: Listed<'a>,
    units: Vec<Unit>,
    shell: Shell,
}

impl<'a> Listed<'a> {
    /// A piece as it stands in the file.
    fn piece(&self, pieces: &Range<usize>) -> &'a str {
        let (first, last) = (&self.pieces[pieces.start], &self.pieces[pieces.end - 1]);
        let range = first.range.start..last.range.end;
        &self.source[self.places.range(&range)]
    }

    /// Which line of the file a piece begins in.
    pub(super) fn line(&self, piece: usize) -> usize {
        let at = self.places.of(self.pieces[piece].range.start);
        self.ends.line(at)
    }

    /// Decides what becomes of each command. Nothing if no package manager is among them, or if
    /// there is a problem, which is told.
    pub(super) fn decide(self, resolver: &mut Resolver<'_>, errexit: bool) -> Option<Decided<'a>> {
        let problems = resolver.told.problems.len();
        let mut units = Vec::new();
        let (mut start, mut errexit) = (0, errexit);
        while start < self.pieces.len() {
            let holds = |it: &&Piece| {
                let joint = it.joint.as_ref().map(|it| it.0);
                matches!(joint, Some(Joint::Pipe | Joint::Or))
            };
            let more = self.pieces[start + 1..].iter().take_while(holds).count();
            let end = start + 1 + more;
            resolver.line = self.line(start);
            units.push(self.unit(start..end, errexit, resolver));
            if more == 0
                && let Ok(Order::Set(Some(said))) = manager::order(&self.pieces[start].words)
            {
                errexit = said;
            }
            start = end;
        }
        let is_concerned = units.iter().any(|it| it.is_order);
        if !is_concerned || resolver.told.problems.len() > problems {
            return None;
        }
        let decided = Decided {
            listed: self,
            units,
            shell: resolver.stage.shell.clone(),
        };
        decided.checked(resolver)
    }

    fn unit(&self, pieces: Range<usize>, errexit: bool, resolver: &mut Resolver<'_>) -> Unit {
        if pieces.len() == 1 {
            let piece = &self.pieces[pieces.start];
            let (fate, is_order) = self.fate(piece, resolver);
            return Unit {
                pieces,
                fate,
                is_order,
                errexit,
            };
        }
        let them = &self.pieces[pieces.clone()];
        let goes = |it: &Piece| {
            let order = manager::order(&it.words);
            matches!(order, Ok(Order::Clean | Order::Tidy))
        };
        let cleans = |it: &Piece| manager::order(&it.words) == Ok(Order::Clean);
        // What its parts would be by themselves does not count: they stand in something larger.
        let text = self.piece(&pieces);
        let all_go = them.iter().all(goes);
        let is_order = all_go && them.iter().any(cleans);
        if is_order {
            let kind = NoteKind::Dropped(shown(text));
            resolver.told.note(resolver.line, kind);
        } else if !them.iter().all(is_shown) {
            refuse_hidden(text, "a pipe or an alternative", resolver);
        }
        Unit {
            pieces,
            fate: if all_go { Fate::Gone } else { Fate::Kept },
            is_order,
            errexit,
        }
    }

    /// What becomes of one command, and whether it is a package manager's.
    fn fate(&self, piece: &Piece, resolver: &mut Resolver<'_>) -> (Fate, bool) {
        let text = &self.text[piece.range.clone()];
        let order = match manager::order(&piece.words) {
            Ok(order) => order,
            Err(kind) => {
                resolver.told.refuse(resolver.line, kind);
                return (Fate::Kept, true);
            }
        };
        let goes_to_file = matches!(piece.redirected, Redirected::File | Redirected::Heredoc);
        let commands = match order {
            Order::Other => {
                if !is_shown(piece) {
                    refuse_hidden(text, "another command", resolver);
                }
                return (Fate::Kept, false);
            }
            Order::Tidy => return (Fate::Gone, false),
            Order::Set(_) => return (Fate::Set, false),
            Order::Clean => {
                let kind = NoteKind::Dropped(shown(text));
                resolver.told.note(resolver.line, kind);
                return (Fate::Gone, true);
            }
            Order::Install { .. } | Order::Remove { .. } if goes_to_file => {
                refuse_hidden(text, "a redirection", resolver);
                return (Fate::Kept, true);
            }
            Order::Install {
                family,
                packages,
                group,
            } => resolver.install(family, &packages, group),
            Order::Remove { family, packages } => resolver.remove(family, &packages),
        };
        let kind = match shell_text(&commands) {
            to if to.is_empty() => NoteKind::Emptied(shown(text)),
            to => NoteKind::Replaced {
                from: shown(text),
                to,
            },
        };
        resolver.told.note(resolver.line, kind);
        if commands.is_empty() {
            return (Fate::Gone, true);
        }
        (Fate::Now(commands), true)
    }
}

/// Says no to a package manager within something that is not taken apart.
fn refuse_hidden(text: &str, around: &str, resolver: &mut Resolver<'_>) {
    if let Some(command) = mention::mentioned(text) {
        let around = around.to_owned();
        let kind = ProblemKind::NotSeparable { command, around };
        resolver.told.refuse(resolver.line, kind);
    }
}

/// Whether a command only shows its words, none of which is what another command prints.
fn is_shown(piece: &Piece) -> bool {
    let first = piece.words.first().map(|it| it.text.as_str());
    let runs = |it: &Word| it.is_dynamic && it.text.contains(['(', '`']);
    matches!(first, Some("echo" | "printf")) && !piece.words.iter().any(runs)
}

/// Commands as a shell takes them. Names and versions need no quotes.
fn shell_text(commands: &[Vec<String>]) -> String {
    let lines: Vec<String> = commands.iter().map(|it| it.join(" ")).collect();
    lines.join(" && ")
}

impl Decided<'_> {
    /// The same, if the shell can read what is left; else the problem is told. What stays is told,
    /// too.
    fn checked(mut self, resolver: &mut Resolver<'_>) -> Option<Self> {
        let stays = |it: &Unit| matches!(it.fate, Fate::Kept | Fate::Now(_));
        let count = self.units.iter().filter(|it| stays(it)).count();
        // Where nothing is left for `set` it goes, and where the shell has another one.
        let sets = matches!(self.shell, Shell::Posix(_)) && count > 0;
        for unit in self.units.iter_mut().filter(|it| it.fate == Fate::Set) {
            unit.fate = if sets { Fate::Kept } else { Fate::Gone };
        }
        let problems = resolver.told.problems.len();
        if self.shell == Shell::Cmd {
            for unit in self.units.iter().filter(|it| it.fate == Fate::Kept) {
                resolver.line = self.listed.line(unit.pieces.start);
                let text = shown(self.listed.piece(&unit.pieces));
                resolver.told.note(resolver.line, NoteKind::Kept(text));
                if self.has_alternative(unit) {
                    self.refuse_around("`||`, which cmd reads in another order", resolver);
                    break;
                }
            }
        }
        let commands: usize = self.units.iter().map(Unit::commands).sum();
        if self.shell == Shell::Power && commands > 1 {
            let around = "several commands, which SHELL has PowerShell read";
            self.refuse_around(around, resolver);
        }
        (resolver.told.problems.len() == problems).then_some(self)
    }

    /// `a && b || c && d` is `(a && b || c) && d` in shells of Linux, and in `cmd` it is
    /// `(a && b) || (c && d)`.
    fn has_alternative(&self, unit: &Unit) -> bool {
        let pieces = &self.listed.pieces[unit.pieces.clone()];
        let joints = pieces.iter().skip(1).filter_map(|it| it.joint.as_ref());
        joints.map(|it| it.0).any(|it| it == Joint::Or)
    }

    fn refuse_around(&self, around: &str, resolver: &mut Resolver<'_>) {
        let order = self.units.iter().find(|it| it.is_order);
        if let Some(order) = order {
            let kind = ProblemKind::NotSeparable {
                command: shown(self.listed.piece(&order.pieces)),
                around: around.to_owned(),
            };
            let line = self.listed.line(order.pieces.start);
            resolver.told.refuse(line, kind);
        }
    }

    /// The units that stay, by their numbers.
    fn staying(&self) -> Vec<usize> {
        let numbered = self.units.iter().enumerate();
        let stays = numbered.filter(|it| it.1.commands() > 0);
        stays.map(|it| it.0).collect()
    }

    /// The commands of the whole list, if it is nothing but new ones.
    pub(super) fn only_new(&self) -> Option<Vec<Vec<String>>> {
        let mut commands = Vec::new();
        for unit in &self.units {
            match &unit.fate {
                Fate::Now(them) => commands.extend(them.iter().cloned()),
                Fate::Kept => return None,
                Fate::Gone | Fate::Set => {}
            }
        }
        Some(commands)
    }

    fn text_of(&self, unit: &Unit) -> String {
        match &unit.fate {
            Fate::Now(commands) => shell_text(commands),
            _ => self.listed.piece(&unit.pieces).to_owned(),
        }
    }

    /// What stands between two units that stay, where those between them are gone: where one of them
    /// went on whatever had happened, so does the whole.
    fn between(&self, before: usize, after: usize) -> (usize, Joint) {
        let joint = |unit: usize| {
            let first = &self.listed.pieces[self.units[unit].pieces.start];
            first.joint.as_ref().map_or(Joint::And, |it| it.0)
        };
        let loose = |it: &usize| matches!(joint(*it), Joint::Then | Joint::Line);
        let unit = (before + 1..=after).find(loose).unwrap_or(after);
        (unit, joint(unit))
    }

    /// What `cmd` has in the place of a joint before a unit.
    fn in_cmd(&self, unit: usize, joint: Joint) -> &'static str {
        match joint {
            Joint::Then | Joint::Line if !self.units[unit].errexit => "&",
            _ => "&&",
        }
    }

    /// The list that is left, laid out as it was; nothing if nothing is left.
    pub(super) fn text(&self) -> Option<String> {
        let staying = self.staying();
        let mut text = self.text_of(&self.units[*staying.first()?]);
        for pair in staying.windows(2) {
            let (unit, joint) = self.between(pair[0], pair[1]);
            text.push_str(&self.gap(unit, joint));
            text.push_str(&self.text_of(&self.units[pair[1]]));
        }
        Some(text)
    }

    /// What stands before a unit in the file: an operator, and blanks, continued lines and comments
    /// around it.
    fn gap(&self, unit: usize, joint: Joint) -> String {
        let Listed { source, places, .. } = self.listed;
        let number = self.units[unit].pieces.start;
        let piece = &self.listed.pieces[number];
        let previous = &self.listed.pieces[number - 1].range;
        let range = places.range(previous).end..places.of(piece.range.start);
        let operator = piece.joint.as_ref().map(|it| places.range(&it.1));
        let Some(operator) = operator.filter(|_| self.shell == Shell::Cmd) else {
            return source[range].to_owned();
        };
        let (before, after) = (
            &source[range.start..operator.start],
            &source[operator.end..range.end],
        );
        let blank = |is_needed: bool| if is_needed { " " } else { "" };
        let word = self.in_cmd(unit, joint);
        let before_blank = blank(!before.ends_with(char::is_whitespace));
        let after_blank = blank(!after.starts_with(char::is_whitespace));
        format!("{before}{before_blank}{word}{after_blank}{after}")
    }

    /// The list that is left, for `cmd`, which reads one line, with `lead` before each operator. An
    /// error if a command has several lines itself: which it is.
    pub(super) fn flat(&self, lead: &str) -> Result<Option<String>, Range<usize>> {
        let staying = self.staying();
        let mut text = String::new();
        for (number, unit) in staying.iter().enumerate() {
            if let Some(before) = number.checked_sub(1) {
                let (first, joint) = self.between(staying[before], *unit);
                let word = self.in_cmd(first, joint);
                text.extend([lead, word, " "]);
            }
            let unit = &self.units[*unit];
            let command = self.text_of(unit).replace("\\\n", " ");
            if command.contains('\n') {
                return Err(unit.pieces.clone());
            }
            text.push_str(&command);
        }
        Ok((!text.is_empty()).then_some(text))
    }

    /// The piece of the list that stands for it in messages.
    pub(super) fn shown(&self, pieces: &Range<usize>) -> (usize, String) {
        let line = self.listed.line(pieces.start);
        (line, shown(self.listed.piece(pieces)))
    }
}

impl Unit {
    /// How many commands are left of it.
    fn commands(&self) -> usize {
        match &self.fate {
            Fate::Kept => 1,
            Fate::Now(commands) => commands.len(),
            Fate::Gone | Fate::Set => 0,
        }
    }
}
