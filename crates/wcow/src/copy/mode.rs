//! `--chmod`: an octal number, or letters that say what becomes of the rights there are.
//!
//! The letters are those of [chmod](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/chmod.html),
//! with nothing masked: `u=rwX,go=rX`, `+x`, `g=u`. That is what the
//! [reference](https://docs.docker.com/reference/dockerfile/#copy---chmod) has them mean.

/// The bits of one class, and what sets its identity: user, group, others.
const CLASSES: [(char, u32, u32); 3] = [('u', 6, 0o4000), ('g', 3, 0o2000), ('o', 0, 0)];
const ALL: u32 = 0o777;
const SET_IDS: u32 = 0o6000;
const STICKY: u32 = 0o1000;

/// What becomes of a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is this one, whatever it was.
    Exact(u32),
    /// It is changed, in this order.
    Changes(Vec<Change>),
}

/// One change to a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Whose bits it is about.
    who: u32,
    /// Whether it is said whose.
    said: bool,
    action: Action,
    rights: Rights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    /// These, and where something can be executed the right to, if `x_where_any`.
    Bits { bits: u32, x_where_any: bool },
    /// Those that the class with its bits here has.
    OfClass(u32),
}

impl Mode {
    /// What `--chmod` says, if it says anything.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|it: char| it.is_ascii_digit()) {
            let exact = u32::from_str_radix(text, 8).ok();
            return exact.filter(|it| *it <= 0o7777).map(Self::Exact);
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let actions = clause.find(['+', '-', '='])?;
            let who = clause[..actions].chars().map(bits_of);
            let who = who.sum::<Option<Bits>>()?.0;
            let mut rest = &clause[actions..];
            while let Some(action) = rest.chars().next() {
                let action = match action {
                    '+' => Action::Add,
                    '-' => Action::Remove,
                    _ => Action::Set,
                };
                rest = &rest[1..];
                let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
                let said = actions > 0;
                changes.push(Change {
                    who: if said { who } else { ALL | SET_IDS },
                    said,
                    action,
                    rights: rights(&rest[..end])?,
                });
                rest = &rest[end..];
            }
        }
        Some(Self::Changes(changes))
    }

    /// The mode of something that has `mode`.
    pub(super) fn of(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Exact(exact) => *exact,
            Self::Changes(changes) => {
                let can_execute = is_directory || mode & 0o111 != 0;
                let change = |mode, it: &Change| it.of(mode, can_execute);
                changes.iter().fold(mode, change)
            }
        }
    }
}

impl Change {
    fn of(&self, mode: u32, can_execute: bool) -> u32 {
        let bits = match self.rights {
            Rights::OfClass(shift) => (mode >> shift & 0o7) * 0o111,
            Rights::Bits { bits, x_where_any } => {
                bits | if x_where_any && can_execute { 0o111 } else { 0 }
            }
        };
        // The sticky bit is nobody's, and others have no identity to set.
        let sticky = if !self.said || self.who & !0o7 != 0 {
            STICKY
        } else {
            0
        };
        let bits = bits & (self.who | sticky);
        match self.action {
            Action::Add => mode | bits,
            Action::Remove => mode & !bits,
            Action::Set => mode & !self.who | bits,
        }
    }
}

/// Bits, put together by adding.
struct Bits(u32);

impl std::iter::Sum for Bits {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        Self(all.fold(0, |sum, it| sum | it.0))
    }
}

/// Whose bits a letter means.
fn bits_of(who: char) -> Option<Bits> {
    if who == 'a' {
        return Some(Bits(ALL | SET_IDS));
    }
    let class = CLASSES.iter().find(|it| it.0 == who)?;
    Some(Bits(0o7 << class.1 | class.2))
}

/// What stands after `+`, `-` or `=`: rights, or one class whose rights are taken.
fn rights(text: &str) -> Option<Rights> {
    if let Some(class) = CLASSES
        .iter()
        .find(|it| text.len() == 1 && text.starts_with(it.0))
    {
        return Some(Rights::OfClass(class.1));
    }
    let (mut bits, mut x_where_any) = (0, false);
    for letter in text.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            's' => bits |= SET_IDS,
            't' => bits |= STICKY,
            'X' => x_where_any = true,
            _ => return None,
        }
    }
    Some(Rights::Bits { bits, x_where_any })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn file(text: &str, mode: u32) -> u32 {
        Mode::parse(text).unwrap().of(mode, false)
    }

    #[test]
    fn letters_mean_what_they_mean_to_chmod() {
        // Each as GNU chmod has it under a mask of nothing.
        for (text, before, after) in [
            ("755", 0o600, 0o755),
            ("04711", 0o600, 0o4711),
            ("+x", 0o644, 0o755),
            ("u+x", 0o644, 0o744),
            ("a-w", 0o666, 0o444),
            ("go=", 0o777, 0o700),
            ("=", 0o777, 0o000),
            ("g=u", 0o740, 0o770),
            ("o=g-w", 0o764, 0o764),
            ("u=rwX,go=rX", 0o600, 0o644),
            ("u=rwX,go=rX", 0o711, 0o755),
            ("u+w-x", 0o555, 0o655),
            ("u+s", 0o755, 0o4755),
            ("g+s,u-s", 0o4755, 0o2755),
            ("+t", 0o755, 0o1755),
            ("o+s", 0o755, 0o755),
            ("u=rwx", 0o4055, 0o0755),
            ("ug+rw", 0o005, 0o665),
        ] {
            assert_eq!(file(text, before), after, "{text} of {before:o}");
        }
        let directory = Mode::parse("u=rwX,go=rX").unwrap();
        assert_eq!(directory.of(0o700, true), 0o755);
        assert_eq!(directory.of(0o600, true), 0o755);
    }

    #[test]
    fn what_is_no_mode_is_none() {
        for text in [
            "",
            "8",
            "10000",
            "0o755",
            "u",
            "+q",
            "z+x",
            "+x,",
            "u+gx",
            "-rw é",
            "77777777777777",
        ] {
            assert_eq!(Mode::parse(text), None, "{text:?}");
        }
    }
}
