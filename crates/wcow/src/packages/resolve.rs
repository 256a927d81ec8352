//! What a package manager of Linux is told becomes what choco is told.

use super::{
    choco::{self, Installs},
    error::ProblemKind,
    manager::Family,
    map::{Found, PackageMap},
    note::NoteKind,
    pin,
    stage::Stage,
    told::Told,
};

/// Where a command stands, and what counts there.
pub(super) struct Resolver<'a> {
    pub(super) map: &'a PackageMap,
    pub(super) stage: &'a mut Stage,
    pub(super) told: &'a mut Told,
    pub(super) line: usize,
}

impl Resolver<'_> {
    /// The commands that install packages; none if none is left of them.
    pub(super) fn install(
        &mut self,
        family: Family,
        packages: &[String],
        group: Option<String>,
    ) -> Vec<Vec<String>> {
        let mut installs = Installs::default();
        for word in packages {
            self.add(family, word, &mut installs);
        }
        let ids: Vec<String> = installs.ids().map(str::to_owned).collect();
        self.stage.installed.extend(ids.iter().cloned());
        if let Some(group) = group {
            self.stage.groups.entry(group).or_default().extend(ids);
        }
        let commands = installs.commands();
        if !commands.is_empty() {
            self.refuse_nanoserver("choco");
        }
        commands
    }

    /// Says no to a package manager of Windows where it cannot run.
    pub(super) fn refuse_nanoserver(&mut self, command: &'static str) {
        if let Some(base) = self.stage.nanoserver() {
            let base = base.to_owned();
            let kind = ProblemKind::ChocoOnNanoserver { command, base };
            self.told.refuse(self.line, kind);
        }
    }

    fn add(&mut self, family: Family, word: &str, installs: &mut Installs) {
        let wanted = pin::wanted(family, word, |it| self.map.knows(family, it));
        let package = wanted.name;
        let (id, version) = match self.map.find(family, &package) {
            Some(Found::Choco { id, version }) => (id, version),
            Some(Found::Skipped(reason)) => {
                let kind = NoteKind::Skipped { package, reason };
                return self.told.note(self.line, kind);
            }
            None => {
                let kind = ProblemKind::ChocoResolutionFailed { package };
                return self.told.refuse(self.line, kind);
            }
        };
        // The map's own version comes first.
        let pin = wanted.pin.filter(|_| version.is_none());
        let asked = pin.as_ref().map(|it| pin::version(family, it));
        let version = match (pin, asked) {
            (Some(pinned), Some(None)) => {
                let kind = ProblemKind::VersionNotExact { package, pinned };
                return self.told.refuse(self.line, kind);
            }
            (Some(pinned), Some(Some(asked))) => {
                self.tell_pin(&id, &asked, &pinned);
                Some(asked)
            }
            _ => version,
        };
        if let Err(kind) = installs.add(&id, version) {
            self.told.refuse(self.line, kind);
        }
    }

    fn tell_pin(&mut self, id: &str, version: &str, pinned: &str) {
        if version != pinned {
            let kind = NoteKind::Pinned {
                id: id.to_owned(),
                version: version.to_owned(),
                pinned: pinned.to_owned(),
            };
            self.told.note(self.line, kind);
        }
    }

    /// The commands that remove packages: what was installed here alone, the rest is not there.
    pub(super) fn remove(&mut self, family: Family, packages: &[String]) -> Vec<Vec<String>> {
        let mut ids = Vec::new();
        for word in packages {
            if let Some(group) = self.stage.groups.remove(word) {
                ids.extend(group);
                continue;
            }
            let wanted = pin::wanted(family, word, |it| self.map.knows(family, it));
            if let Some(Found::Choco { id, .. }) = self.map.find(family, &wanted.name) {
                ids.push(id);
            }
        }
        // Each once, and what is there only.
        ids.retain(|it| self.stage.installed.remove(it));
        if ids.is_empty() {
            return Vec::new();
        }
        self.refuse_nanoserver("choco");
        vec![choco::uninstall(&ids)]
    }
}
