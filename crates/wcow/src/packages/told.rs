//! Notes and problems, gathered while a file is gone through.

use super::{
    error::{Problem, ProblemKind},
    note::{Note, NoteKind},
};

/// What there is to say of a file.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) file: String,
    pub(super) notes: Vec<Note>,
    pub(super) problems: Vec<Problem>,
    /// What is told once: whatever line it is of, or once for a line.
    once: Vec<(Option<usize>, NoteKind)>,
}

impl Told {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            notes: Vec::new(),
            problems: Vec::new(),
            once: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, line: usize, kind: NoteKind) {
        self.notes.push(Note {
            file: self.file.clone(),
            line,
            kind,
        });
    }

    /// Notes what is to be told once: for each line of it, or whatever line it is of.
    pub(super) fn once(&mut self, line: usize, kind: NoteKind, for_each_line: bool) {
        let key = (for_each_line.then_some(line), kind);
        if !self.once.contains(&key) {
            self.note(line, key.1.clone());
            self.once.push(key);
        }
    }

    pub(super) fn refuse(&mut self, line: usize, kind: ProblemKind) {
        self.problems.push(Problem {
            file: self.file.clone(),
            line,
            kind,
        });
    }
}

/// A command for a message: on one line, and not all of a long one.
pub(super) fn shown(command: &str) -> String {
    const MOST: usize = 72;
    let words: Vec<&str> = command
        .split_whitespace()
        .filter(|it| *it != "\\")
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= MOST {
        return line;
    }
    line.chars().take(MOST).chain(['…']).collect()
}
