//! Logical lines become instructions, instructions become stages.

use super::{
    Argument, Command, Dockerfile, DockerfileErrorKind as Kind, Healthcheck, Instruction,
    MAX_STAGES, Pair, Stage, Step, Warning,
    error::At,
    flags::Flags,
    lines::{self, Body, Lines, Logical},
    words,
};

mod copied;

const KEYWORDS: &[&str] = &[
    "FROM",
    "ARG",
    "ENV",
    "COPY",
    "ADD",
    "WORKDIR",
    "ENTRYPOINT",
    "CMD",
    "USER",
    "LABEL",
    "EXPOSE",
    "VOLUME",
    "SHELL",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "ONBUILD",
    "MAINTAINER",
    "RUN",
];

/// Reads a whole file.
pub(super) fn file(source: Lines, name: &str) -> Result<Dockerfile, At> {
    let mut file = Dockerfile {
        name: name.to_owned(),
        escape: source.escape,
        globals: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
    };
    if source.lines.is_empty() {
        return Err(At::new(1, Kind::Empty));
    }
    for line in source.lines {
        let number = line.number;
        warn(&mut file, &line);
        let line = Line::new(&line, source.escape).map_err(|it| At::new(number, it))?;
        let done = if line.keyword == "FROM" {
            file.begin(&line)
        } else {
            file.continue_with(&line)
        };
        done.map_err(|it| At::new(number, it))?;
    }
    if file.stages.is_empty() {
        return Err(At::new(1, Kind::NoStage));
    }
    Ok(file)
}

/// Reads the one instruction that `ONBUILD` stored.
pub(super) fn trigger(source: Lines) -> Result<Step, At> {
    let mut lines = source.lines.into_iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        let kind = malformed("ONBUILD", "stores one instruction at a time");
        return Err(At::new(1, kind));
    };
    let number = line.number;
    let line = Line::new(&line, source.escape).map_err(|it| At::new(number, it))?;
    if matches!(line.keyword, "FROM" | "MAINTAINER" | "ONBUILD") {
        let kind = malformed("ONBUILD", format!("cannot store {}", line.keyword));
        return Err(At::new(number, kind));
    }
    line.step().map_err(|it| At::new(number, it))
}

fn malformed(instruction: &'static str, problem: impl Into<String>) -> Kind {
    Kind::Malformed {
        instruction,
        problem: problem.into(),
    }
}

impl Dockerfile {
    fn begin(&mut self, line: &Line<'_>) -> Result<(), Kind> {
        if self.stages.len() == MAX_STAGES {
            return Err(Kind::TooLarge {
                what: "the stages are",
                limit: MAX_STAGES,
            });
        }
        let stage = line.from()?;
        if let Some(name) = &stage.name {
            let same = |it: &&Stage| it.name.as_ref() == Some(name);
            if let Some(other) = self.stages.iter().find(same) {
                return Err(Kind::DuplicateStage {
                    name: name.clone(),
                    first: other.line,
                });
            }
        }
        self.stages.push(stage);
        Ok(())
    }

    fn continue_with(&mut self, line: &Line<'_>) -> Result<(), Kind> {
        let step = line.step()?;
        match self.stages.last_mut() {
            Some(stage) => stage.steps.push(step),
            None if line.keyword == "ARG" => self.globals.push(step),
            None => return Err(Kind::BeforeFrom(line.keyword)),
        }
        Ok(())
    }
}

/// Notes what is most likely not meant.
fn warn(file: &mut Dockerfile, line: &Logical) {
    let mut note = |text: String| {
        file.warnings.push(Warning {
            file: file.name.clone(),
            line: line.number,
            text,
        });
    };
    if line.has_gap {
        note("an empty line stands between continued lines: remove it".to_owned());
    }
    let keyword = words::first(&line.text).0.to_ascii_uppercase();
    if keyword == "MAINTAINER" {
        note("MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors".to_owned());
    }
    let reads_escapes = matches!(
        keyword.as_str(),
        "COPY" | "ADD" | "WORKDIR" | "ENV" | "ARG" | "VOLUME" | "LABEL" | "USER" | "FROM"
    );
    if file.escape == '\\'
        && reads_escapes
        && let Some(path) = windows_path(&line.text)
    {
        note(format!(
            "the backslashes of {path:?} escape what follows them and go: write / instead, or \
             put `# escape=`` in the file's first line"
        ));
    }
    let loses = |it: &Body| it.start.expand && it.content.contains('\\');
    if keyword != "RUN"
        && let Some(it) = line.heredocs.iter().find(|it| loses(it))
    {
        note(format!(
            "the backslashes in here-document <<{0} escape what follows them and go: write \
             <<\"{0}\" to keep its text as it is",
            it.start.name
        ));
    }
}

/// A word that looks like `C:\app` once JSON is read, its backslashes single.
fn windows_path(text: &str) -> Option<String> {
    let json = text.contains("[\"").then(|| text.replace(r"\\", r"\"));
    let text = json.as_deref().unwrap_or(text);
    let ends = |it: char| it.is_whitespace() || matches!(it, '=' | ';' | '[' | '"' | ',' | ']');
    let is_path = |word: &&str| {
        let mut letters = word.chars();
        letters.next().is_some_and(|it| it.is_ascii_alphabetic())
            && letters.next() == Some(':')
            && letters.next() == Some('\\')
            && !matches!(letters.next(), None | Some('\\'))
    };
    text.split(ends).find(is_path).map(str::to_owned)
}

/// A logical line, its keyword and flags split off.
struct Line<'a> {
    number: usize,
    keyword: &'static str,
    text: &'a str,
    flags: Vec<String>,
    rest: &'a str,
    heredocs: &'a [Body],
    escape: char,
}

impl<'a> Line<'a> {
    fn new(line: &'a Logical, escape: char) -> Result<Self, Kind> {
        let text = line.text.trim();
        let (word, rest) = words::first(text);
        let known = |it: &&&str| it.eq_ignore_ascii_case(word);
        let keyword = KEYWORDS.iter().find(known).ok_or_else(|| {
            let found: String = word.chars().take(40).collect();
            Kind::UnknownInstruction {
                nearest: words::nearest(&found, KEYWORDS),
                found,
            }
        })?;
        let (flags, rest) = match *keyword {
            // Their flags are those of what they hold.
            "ONBUILD" | "RUN" => (Vec::new(), rest),
            _ => words::flags(rest, escape),
        };
        Ok(Self {
            number: line.number,
            keyword,
            text,
            flags,
            rest: rest.trim(),
            heredocs: &line.heredocs,
            escape,
        })
    }

    fn bad(&self, problem: impl Into<String>) -> Kind {
        malformed(self.keyword, problem)
    }

    fn flags(&self, known: &[&'static str]) -> Result<Flags, Kind> {
        Flags::new(self.keyword, self.flags.clone(), known, &["exclude"])
    }

    fn step(&self) -> Result<Step, Kind> {
        Ok(Step {
            line: self.number,
            original: self.text.to_owned(),
            instruction: self.instruction()?,
        })
    }

    fn instruction(&self) -> Result<Instruction, Kind> {
        match self.keyword {
            "COPY" => return self.copy().map(Instruction::Copy),
            "ADD" => return self.add().map(Instruction::Add),
            "HEALTHCHECK" => return self.healthcheck().map(Instruction::Healthcheck),
            _ => self.flags(&[])?,
        };
        Ok(match self.keyword {
            "ARG" => Instruction::Arg(self.arguments()?),
            "ENV" => Instruction::Env(self.pairs()?),
            "LABEL" => Instruction::Label(self.pairs()?),
            "WORKDIR" => Instruction::Workdir(self.one("a directory")?),
            "USER" => Instruction::User(self.one("a user")?),
            "STOPSIGNAL" => Instruction::StopSignal(self.one("a signal")?),
            "MAINTAINER" => Instruction::Maintainer(self.one("a name")?),
            "ENTRYPOINT" => Instruction::Entrypoint(self.command()?),
            "CMD" => Instruction::Cmd(self.command()?),
            "EXPOSE" => Instruction::Expose(self.some(words::plain(self.rest), "a port")?),
            "VOLUME" => Instruction::Volume(self.some(self.list()?, "a directory")?),
            "SHELL" => Instruction::Shell(self.shell()?),
            "ONBUILD" => Instruction::OnBuild(self.stored()?),
            _ => Instruction::Run(self.rest.to_owned()),
        })
    }

    fn from(&self) -> Result<Stage, Kind> {
        let platform = self.flags(&["platform"])?.text("platform")?;
        let (base, name) = match words::plain(self.rest).as_slice() {
            [base] => (base.clone(), None),
            [base, between, name] if between.eq_ignore_ascii_case("as") => {
                (base.clone(), Some(self.stage_name(name)?))
            }
            _ => return Err(self.bad("is written FROM image, or FROM image AS name")),
        };
        Ok(Stage {
            line: self.number,
            name,
            base,
            platform,
            original: self.text.to_owned(),
            steps: Vec::new(),
        })
    }

    fn stage_name(&self, name: &str) -> Result<String, Kind> {
        let name = name.to_lowercase();
        let inside = |it: u8| {
            it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'-' | b'_' | b'.')
        };
        if name.starts_with(|it: char| it.is_ascii_lowercase()) && name.bytes().all(inside) {
            return Ok(name);
        }
        Err(self.bad(format!(
            "cannot name a stage {name:?}: a letter first, then letters, digits, - _ ."
        )))
    }

    /// The rest as it is, which must be something.
    fn one(&self, what: &str) -> Result<String, Kind> {
        if self.rest.is_empty() {
            return Err(self.bad(format!("needs {what}")));
        }
        Ok(self.rest.to_owned())
    }

    fn some(&self, words: Vec<String>, what: &str) -> Result<Vec<String>, Kind> {
        if words.is_empty() || words.iter().any(|it| it.trim().is_empty()) {
            return Err(self.bad(format!("needs {what}, and none may be empty")));
        }
        Ok(words)
    }

    fn json(&self, text: &str) -> Result<Option<Vec<String>>, Kind> {
        let problem = || self.bad("takes an array of strings: quote each element with \"");
        words::json(text).map_err(|()| problem())
    }

    fn list(&self) -> Result<Vec<String>, Kind> {
        Ok(match self.json(self.rest)? {
            Some(list) => list,
            None => words::plain(self.rest),
        })
    }

    fn command(&self) -> Result<Command, Kind> {
        self.command_in(self.rest)
    }

    fn command_in(&self, text: &str) -> Result<Command, Kind> {
        Ok(match self.json(text)? {
            Some(list) => Command::Exec(list),
            None => Command::Shell(text.to_owned()),
        })
    }

    fn shell(&self) -> Result<Vec<String>, Kind> {
        match self.json(self.rest)? {
            Some(shell) if !shell.is_empty() => Ok(shell),
            _ => Err(self.bad("takes a JSON array, for instance [\"powershell\", \"-Command\"]")),
        }
    }

    fn arguments(&self) -> Result<Vec<Argument>, Kind> {
        let words = self.some(words::quoted(self.rest, self.escape), "a name")?;
        let arguments = words.into_iter().map(|it| match it.split_once('=') {
            Some(("", _)) => Err(self.bad("has a value without a name")),
            Some((name, value)) => Ok(Argument {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            }),
            None => Ok(Argument {
                name: it,
                value: None,
            }),
        });
        arguments.collect()
    }

    /// `name=value …`, or the old `name value`.
    fn pairs(&self) -> Result<Vec<Pair>, Kind> {
        let words = self.some(words::quoted(self.rest, self.escape), "name=value")?;
        if !words[0].contains('=') {
            let (name, value) = words::first(self.rest);
            if value.is_empty() {
                return Err(self.bad(format!("gives {name} no value: write {name}=value")));
            }
            let (name, value) = (name.to_owned(), value.to_owned());
            return Ok(vec![Pair { name, value }]);
        }
        let pairs = words.into_iter().map(|it| match it.split_once('=') {
            Some(("", _)) => Err(self.bad("has a value without a name")),
            Some((name, value)) => Ok(Pair {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            None => Err(self.bad(format!(
                "has {it:?} where name=value should be: quote values with blanks in them"
            ))),
        });
        pairs.collect()
    }

    fn healthcheck(&self) -> Result<Healthcheck, Kind> {
        let known = [
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ];
        let mut flags = self.flags(&known)?;
        let (kind, rest) = words::first(self.rest);
        if kind.eq_ignore_ascii_case("NONE") {
            if !rest.is_empty() || !self.flags.is_empty() {
                return Err(self.bad("NONE takes nothing else"));
            }
            return Ok(Healthcheck::None);
        }
        if !kind.eq_ignore_ascii_case("CMD") || rest.is_empty() {
            return Err(self.bad("is written HEALTHCHECK CMD command, or HEALTHCHECK NONE"));
        }
        Ok(Healthcheck::Check {
            command: self.command_in(rest)?,
            interval: flags.duration("interval")?,
            timeout: flags.duration("timeout")?,
            start_period: flags.duration("start-period")?,
            start_interval: flags.duration("start-interval")?,
            retries: flags.number("retries")?,
        })
    }

    /// What `ONBUILD` stores, here-documents and all, once it proves to be an instruction.
    fn stored(&self) -> Result<String, Kind> {
        let mut text = self.one("an instruction")?;
        for body in self.heredocs {
            text.push('\n');
            text.push_str(&body.content);
            text.push_str(&body.start.name);
        }
        let lines = Lines {
            escape: self.escape,
            lines: vec![Logical {
                number: self.number,
                text: self.rest.to_owned(),
                heredocs: self.heredocs.to_vec(),
                has_gap: false,
                range: 0..0,
                places: lines::Places::default(),
            }],
        };
        trigger(lines).map_err(|it| it.kind)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
