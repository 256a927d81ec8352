//! An image's config: the base's, overlaid by what instructions say.
//!
//! ```text
//!   config of the base ──of_base──▶ Configuration ──apply(Instruction)*──▶ finish ──▶ bytes
//!                                    └ a JSON object: what is not known is kept as it came
//! ```
//!
//! - **The config stays JSON.** Keys that this version has never heard of, and `null`s, come out as
//!   they went in; an instruction writes the keys of Docker's schema
//!   ([image-spec](https://github.com/opencontainers/image-spec/blob/main/config.md)) that it is
//!   about, and no others.
//! - **Commands on Windows are as the classic builder makes them**: a text for a shell is one
//!   word, the shell's words before it, with `ArgsEscaped`; a list stays a list, without. To make a
//!   list of a text breaks its quotes at run time
//!   ([moby/buildkit#4723](https://github.com/moby/buildkit/issues/4723)).

use oci::Digest;
use serde_json::{Map, Value, json};

mod error;
mod ports;
mod search_path;
pub(crate) mod working_dir;

pub use error::{ConfigureError, ConfigureWarning};

use crate::dockerfile::{Command, Healthcheck, Instruction, Pair, TargetOs};
use search_path::hides_system;

/// Where the time stands in a config and in each step of its history.
const CREATED: &str = "created";

/// A config that is being made.
#[derive(Clone, Debug)]
pub struct Configuration {
    os: TargetOs,
    /// What stands beside the parts below.
    root: Map<String, Value>,
    /// What is run and how; none if the base says nothing of it.
    config: Option<Map<String, Value>>,
    /// The layers, and what stands beside them.
    rootfs: Map<String, Value>,
    diff_ids: Vec<Value>,
    history: Vec<Value>,
    /// Whether `CMD` was said since the base.
    cmd_said: bool,
    /// What each command of ours is written as, `ENTRYPOINT` and `CMD`.
    forms: [Option<Form>; 2],
}

/// How a command is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Shell,
    Exec,
}

impl Configuration {
    /// The config of a base, which is overlaid. An error names the key that is not what it should be.
    pub fn of_base(os: TargetOs, mut root: Map<String, Value>) -> Result<Self, ConfigureError> {
        let config = match root.remove("config") {
            None | Some(Value::Null) => None,
            Some(Value::Object(config)) => Some(config),
            Some(_) => return Err(not("config", "an object")),
        };
        let Some(Value::Object(mut rootfs)) = root.remove("rootfs") else {
            return Err(not("rootfs", "an object"));
        };
        let list = |value: Option<Value>, key| match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(not(key, "a list")),
        };
        Ok(Self {
            os,
            diff_ids: list(rootfs.remove("diff_ids"), "rootfs.diff_ids")?,
            history: list(root.remove("history"), "history")?,
            root,
            config,
            rootfs,
            cmd_said: false,
            forms: [None, None],
        })
    }

    /// The config of an image with nothing in it.
    pub fn scratch(os: TargetOs, architecture: &str, variant: Option<&str>) -> Self {
        let mut root = Map::new();
        root.insert("architecture".into(), architecture.into());
        root.insert("os".into(), os.name().to_lowercase().into());
        if let Some(variant) = variant {
            root.insert("variant".into(), variant.into());
        }
        let mut rootfs = Map::new();
        rootfs.insert("type".into(), "layers".into());
        Self {
            os,
            root,
            config: None,
            rootfs,
            diff_ids: Vec::new(),
            history: Vec::new(),
            cmd_said: false,
            forms: [None, None],
        }
    }

    /// Follows an instruction whose variables are expanded. Those that say nothing of the config,
    /// such as `COPY`, change nothing. What is odd and does not stand in the way is returned.
    pub fn apply(&mut self, it: &Instruction) -> Result<Vec<ConfigureWarning>, ConfigureError> {
        match it {
            Instruction::Env(pairs) => self.set_env(pairs)?,
            Instruction::Label(pairs) => {
                let labels = self.object("Labels")?;
                for Pair { name, value } in pairs {
                    labels.insert(name.clone(), value.clone().into());
                }
            }
            Instruction::Workdir(path) => {
                let path = working_dir::joined(self.os, self.working_dir(), path)?;
                self.set("WorkingDir", path.into());
            }
            Instruction::Entrypoint(command) => return Ok(self.entrypoint(command)),
            Instruction::Cmd(command) => return Ok(self.cmd(command)),
            Instruction::User(user) if user.is_empty() => {
                return Err(ConfigureError::Empty("USER"));
            }
            Instruction::User(user) => self.set("User", user.clone().into()),
            Instruction::Expose(ports) => {
                for port in ports {
                    self.mark("ExposedPorts", ports::exposed(port)?)?;
                }
            }
            Instruction::Volume(paths) if paths.iter().any(String::is_empty) => {
                return Err(ConfigureError::Empty("VOLUME"));
            }
            Instruction::Volume(paths) => self.mark("Volumes", paths.clone())?,
            Instruction::Shell(words) if words.is_empty() => {
                return Err(ConfigureError::Empty("SHELL"));
            }
            Instruction::Shell(words) => self.set("Shell", words.clone().into()),
            Instruction::StopSignal(signal) => self.stop_signal(signal)?,
            Instruction::Healthcheck(check) => self.set("Healthcheck", health(check)),
            Instruction::OnBuild(text) => self.list("OnBuild")?.push(text.clone().into()),
            Instruction::Maintainer(who) => {
                self.root.insert("author".into(), who.clone().into());
                return Ok(vec![ConfigureWarning::Maintainer]);
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    /// The working directory; empty if none was said.
    pub fn working_dir(&self) -> &str {
        self.value("WorkingDir")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The variables, in their order.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        let list = self.value("Env").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|it| it.as_str()?.split_once('='))
    }

    /// The variables of a command that is run with these below them, each name once, in its first
    /// spelling.
    pub(crate) fn env_over(&self, arguments: &[(String, String)]) -> Vec<(String, String)> {
        let said: Vec<(&str, &str)> = self.env().collect();
        let hidden = |name: &str| said.iter().any(|it| same_variable(self.os, it.0, name));
        let arguments = arguments.iter().filter(|it| !hidden(&it.0)).cloned();
        let said = said.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        arguments.chain(said).collect()
    }

    /// Who runs what is run; empty if nobody was said.
    pub(crate) fn user(&self) -> &str {
        let user = self.value("User").and_then(Value::as_str);
        user.unwrap_or_default()
    }

    /// What the instructions of a child's build begin with: the base's `ONBUILD`, in order.
    pub fn triggers(&self) -> impl Iterator<Item = &str> {
        let list = self.value("OnBuild").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Takes the base's `ONBUILD` away: a child carries it out and does not hand it on.
    pub fn forget_triggers(&mut self) {
        if self.triggers().next().is_some() {
            self.set("OnBuild", Value::Null);
        }
    }

    /// Begins a stage that is built on this one: what it says of commands is said of a base.
    pub(crate) fn begin_stage(&mut self) {
        self.cmd_said = false;
        self.forms = [None, None];
    }

    /// What `PATH` is on Windows before a config says anything of it.
    pub fn path_in_registry(&self) -> &'static str {
        let features = self.root.get("os.features").and_then(Value::as_array);
        let features = features.into_iter().flatten().filter_map(Value::as_str);
        search_path::in_registry(&features.map(str::to_owned).collect::<Vec<_>>())
    }

    /// The layers, uncompressed, base first.
    pub(crate) fn diff_ids(&self) -> &[Value] {
        &self.diff_ids
    }

    /// How many steps of the history made a layer.
    pub(crate) fn steps_with_layer(&self) -> usize {
        let empty = |it: &&Value| it.get("empty_layer").and_then(Value::as_bool) == Some(true);
        self.history.len() - self.history.iter().filter(empty).count()
    }

    /// Sets a key beside `config`: `os.version`.
    pub(crate) fn insert(&mut self, key: &str, value: Value) {
        self.root.insert(key.into(), value);
    }

    /// Takes a key beside `config` away.
    pub(crate) fn remove(&mut self, key: &str) {
        self.root.remove(key);
    }

    /// Adds a step without a layer: when, RFC 3339, and the instruction.
    pub fn step(&mut self, created: &str, by: &str) {
        self.history
            .push(json!({ CREATED: created, "created_by": by, "empty_layer": true }));
    }

    /// Adds a step that made a layer, and its layer: the digest of what is uncompressed.
    pub fn step_with_layer(&mut self, created: &str, by: &str, diff_id: &Digest) {
        self.diff_ids.push(diff_id.to_string().into());
        self.history
            .push(json!({ CREATED: created, "created_by": by }));
    }

    /// Says of a layer of the base, whose history says nothing of it, that it is there.
    pub(crate) fn step_of_base(&mut self) {
        self.history
            .push(json!({ "created_by": "a layer of the base" }));
    }

    /// The config's bytes; when it was made, RFC 3339.
    pub fn finish(mut self, created: &str) -> Vec<u8> {
        self.rootfs.insert("diff_ids".into(), self.diff_ids.into());
        let config = self.config.map_or(Value::Null, Value::Object);
        for (key, value) in [
            ("config", config),
            ("rootfs", self.rootfs.into()),
            ("history", self.history.into()),
            (CREATED, created.into()),
        ] {
            self.root.insert(key.into(), value);
        }
        Value::Object(self.root).to_string().into_bytes()
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.config.as_ref()?.get(key)
    }

    fn config(&mut self) -> &mut Map<String, Value> {
        self.config.get_or_insert_default()
    }

    fn set(&mut self, key: &str, value: Value) {
        self.config().insert(key.into(), value);
    }

    fn object(&mut self, key: &'static str) -> Result<&mut Map<String, Value>, ConfigureError> {
        let value = self.config().entry(key).or_insert(Value::Null);
        if value.is_null() {
            *value = json!({});
        }
        value.as_object_mut().ok_or(not(key, "an object"))
    }

    fn list(&mut self, key: &'static str) -> Result<&mut Vec<Value>, ConfigureError> {
        let value = self.config().entry(key).or_insert(Value::Null);
        if value.is_null() {
            *value = json!([]);
        }
        value.as_array_mut().ok_or(not(key, "a list"))
    }

    /// Adds members to a set, which Docker's schema writes as an object of empty objects.
    fn mark(&mut self, key: &'static str, members: Vec<String>) -> Result<(), ConfigureError> {
        let set = self.object(key)?;
        for member in members {
            set.entry(member).or_insert_with(|| json!({}));
        }
        Ok(())
    }

    fn set_env(&mut self, pairs: &[Pair]) -> Result<(), ConfigureError> {
        let os = self.os;
        for Pair { name, value } in pairs {
            if name.is_empty() || name.contains('=') {
                return Err(ConfigureError::Variable(name.clone()));
            }
            let list = self.list("Env")?;
            let spelling = |it: &Value| Some(it.as_str()?.split_once('=')?.0.to_owned());
            let at = list.iter().position(|it| {
                spelling(it).is_some_and(|existing| same_variable(os, &existing, name))
            });
            match at {
                Some(at) => {
                    let name = spelling(&list[at]).unwrap_or_else(|| name.clone());
                    list[at] = format!("{name}={value}").into();
                }
                None => list.push(format!("{name}={value}").into()),
            }
            if os == TargetOs::Windows && same_variable(os, name, "PATH") && hides_system(value) {
                return Err(ConfigureError::PathHidesSystem {
                    path: value.clone(),
                });
            }
        }
        Ok(())
    }

    fn entrypoint(&mut self, command: &Command) -> Vec<ConfigureWarning> {
        self.command("Entrypoint", 0, command);
        if !self.cmd_said {
            // A base's arguments are not for this one.
            self.set("Cmd", Value::Null);
        }
        self.odd_forms()
    }

    fn cmd(&mut self, command: &Command) -> Vec<ConfigureWarning> {
        self.command("Cmd", 1, command);
        self.cmd_said = true;
        self.odd_forms()
    }

    fn command(&mut self, key: &str, at: usize, command: &Command) {
        let (words, form) = self.words(command);
        let says_nothing = words.is_empty();
        self.set(key, words.into());
        self.forms[at] = (!says_nothing).then_some(form);
        if self.os == TargetOs::Windows && !says_nothing {
            let config = self.config();
            match form {
                Form::Shell => drop(config.insert("ArgsEscaped".into(), true.into())),
                Form::Exec => drop(config.remove("ArgsEscaped")),
            }
        }
    }

    fn words(&self, command: &Command) -> (Vec<String>, Form) {
        match (command, self.os) {
            (Command::Exec(words), _) => (words.clone(), Form::Exec),
            (Command::Shell(text), TargetOs::Windows) => {
                let line = format!("{} {text}", self.shell().join(" "));
                (vec![line], Form::Shell)
            }
            (Command::Shell(text), TargetOs::Linux) => {
                let mut words = self.shell();
                words.push(text.clone());
                (words, Form::Shell)
            }
        }
    }

    /// The words before a command that is written as a text.
    pub(crate) fn shell(&self) -> Vec<String> {
        let said = self.value("Shell").and_then(Value::as_array);
        let said = said.into_iter().flatten().filter_map(Value::as_str);
        let said: Vec<String> = said.map(str::to_owned).collect();
        if said.is_empty() {
            default_shell(self.os)
        } else {
            said
        }
    }

    fn odd_forms(&self) -> Vec<ConfigureWarning> {
        match (self.os, self.forms) {
            (TargetOs::Windows, [Some(entrypoint), Some(cmd)]) if entrypoint != cmd => {
                vec![ConfigureWarning::TwoForms]
            }
            _ => Vec::new(),
        }
    }

    fn stop_signal(&mut self, signal: &str) -> Result<(), ConfigureError> {
        if self.os == TargetOs::Windows {
            return Err(ConfigureError::StopSignalOnWindows);
        }
        let name = signal.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let is_name = name.starts_with(|it: char| it.is_ascii_uppercase())
            && name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"+-".contains(&it));
        let is_number = signal.parse::<u8>().is_ok_and(|it| (1..=64).contains(&it));
        if !is_name && !is_number {
            return Err(ConfigureError::Signal(signal.to_owned()));
        }
        self.set("StopSignal", signal.into());
        Ok(())
    }
}

/// A health check as Docker's schema has it: durations are whole nanoseconds.
fn health(check: &Healthcheck) -> Value {
    let Healthcheck::Check {
        command,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    } = check
    else {
        return json!({ "Test": ["NONE"] });
    };
    let test = match command {
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
        Command::Exec(words) => {
            let words = words.iter().cloned();
            std::iter::once("CMD".to_owned()).chain(words).collect()
        }
    };
    let mut health = Map::new();
    health.insert("Test".into(), test.into());
    for (key, duration) in [
        ("Interval", interval),
        ("Timeout", timeout),
        ("StartPeriod", start_period),
        ("StartInterval", start_interval),
    ] {
        let nanoseconds = duration.map(|it| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX));
        if let Some(nanoseconds) = nanoseconds.filter(|&it| it > 0) {
            health.insert(key.into(), nanoseconds.into());
        }
    }
    if let Some(retries) = retries.filter(|&it| it > 0) {
        health.insert("Retries".into(), retries.into());
    }
    health.into()
}

/// What runs a command that is written as a text, unless `SHELL` says otherwise
/// ([reference](https://docs.docker.com/reference/dockerfile/#shell)).
fn default_shell(os: TargetOs) -> Vec<String> {
    let words: &[&str] = match os {
        TargetOs::Windows => &["cmd", "/S", "/C"],
        TargetOs::Linux => &["/bin/sh", "-c"],
    };
    words.iter().map(|&it| it.to_owned()).collect()
}

/// Whether two names of variables are one.
fn same_variable(os: TargetOs, one: &str, other: &str) -> bool {
    match os {
        TargetOs::Windows => one.to_lowercase() == other.to_lowercase(),
        TargetOs::Linux => one == other,
    }
}

fn not(key: &'static str, expected: &'static str) -> ConfigureError {
    ConfigureError::Base { key, expected }
}

#[cfg(test)]
mod tests;
