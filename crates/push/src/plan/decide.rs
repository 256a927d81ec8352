//! What to do with a blob, given what is known of it. Pure.

use oci::{Descriptor, Presence, Repository};

use super::{Action, Reason, Step};
use crate::options::Foreign;

/// Whether the repository holds something, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody was asked.
    NotAsked,
    /// It said so.
    Held,
    /// It holds a document that has this as a part.
    HeldByParent,
    /// It said that it does not.
    Absent,
    /// It cannot say.
    Unknown,
}

/// All that matters for what is done with a blob.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) blob: &'a Descriptor,
    pub(crate) standing: Standing,
    pub(crate) foreign: Foreign,
    /// Repositories of the registry that may hold it.
    pub(crate) siblings: Vec<Repository>,
    /// Whether it must not be sent.
    pub(crate) required: bool,
}

/// What to do, and why. What is not known is treated as absent, and never taken as held.
pub(crate) fn decide(facts: &Facts<'_>) -> Step {
    let (action, because) = match facts.standing {
        _ if facts.foreign.keeps(facts.blob) => (Action::Point, Reason::Foreign),
        Standing::Held => (Action::Skip, Reason::Held),
        Standing::HeldByParent => (Action::Skip, Reason::HeldByParent),
        Standing::NotAsked | Standing::Absent | Standing::Unknown => missing(facts),
    };
    Step {
        node: facts.blob.clone(),
        action,
        because,
    }
}

fn missing(facts: &Facts<'_>) -> (Action, Reason) {
    let mount = |required| Action::Mount {
        from: facts.siblings.clone(),
        required,
    };
    if facts.required {
        return (mount(true), Reason::MustMount);
    }
    if !facts.siblings.is_empty() {
        let repositories = facts.siblings.clone();
        return (mount(false), Reason::KnownIn { repositories });
    }
    let because = match facts.standing {
        Standing::Absent => Reason::Absent,
        _ => Reason::Unknown,
    };
    (Action::Upload, because)
}

impl Standing {
    /// Whether it is there, by the repository's own word.
    pub(crate) fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::HeldByParent)
    }
}

impl From<&Presence> for Standing {
    fn from(presence: &Presence) -> Self {
        match presence {
            Presence::Held(_) => Self::Held,
            Presence::Absent => Self::Absent,
            Presence::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use oci::{Descriptor, MediaType, Repository};

    use super::{Facts, Standing, decide};
    use crate::{
        options::Foreign,
        plan::{Action, Reason},
    };

    /// Every fact that can differ, and the one answer to each combination.
    #[test]
    fn every_combination_of_facts_has_its_action_and_reason() {
        let plain = Descriptor::of(MediaType::OCI_LAYER, b"plain");
        let foreign = Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"foreign");
        let sibling: Repository = "r.test/base".parse().unwrap();
        let some = || vec![sibling.clone()];
        let mount = |from: Vec<Repository>, required| Action::Mount { from, required };
        let known = Reason::KnownIn {
            repositories: some(),
        };
        let rows = [
            (
                &plain,
                Standing::Held,
                Foreign::Keep,
                some(),
                false,
                Action::Skip,
                Reason::Held,
            ),
            (
                &plain,
                Standing::Held,
                Foreign::Keep,
                vec![],
                true,
                Action::Skip,
                Reason::Held,
            ),
            (
                &plain,
                Standing::HeldByParent,
                Foreign::Keep,
                some(),
                true,
                Action::Skip,
                Reason::HeldByParent,
            ),
            (
                &plain,
                Standing::Absent,
                Foreign::Keep,
                vec![],
                false,
                Action::Upload,
                Reason::Absent,
            ),
            (
                &plain,
                Standing::Unknown,
                Foreign::Keep,
                vec![],
                false,
                Action::Upload,
                Reason::Unknown,
            ),
            (
                &plain,
                Standing::NotAsked,
                Foreign::Keep,
                vec![],
                false,
                Action::Upload,
                Reason::Unknown,
            ),
            (
                &plain,
                Standing::Absent,
                Foreign::Keep,
                some(),
                false,
                mount(some(), false),
                known.clone(),
            ),
            (
                &plain,
                Standing::Unknown,
                Foreign::Keep,
                some(),
                true,
                mount(some(), true),
                Reason::MustMount,
            ),
            (
                &plain,
                Standing::Absent,
                Foreign::Keep,
                vec![],
                true,
                mount(vec![], true),
                Reason::MustMount,
            ),
            (
                &foreign,
                Standing::NotAsked,
                Foreign::Keep,
                some(),
                true,
                Action::Point,
                Reason::Foreign,
            ),
            (
                &foreign,
                Standing::Absent,
                Foreign::Keep,
                vec![],
                false,
                Action::Point,
                Reason::Foreign,
            ),
            (
                &foreign,
                Standing::Absent,
                Foreign::Include,
                vec![],
                false,
                Action::Upload,
                Reason::Absent,
            ),
            (
                &foreign,
                Standing::Held,
                Foreign::Include,
                vec![],
                false,
                Action::Skip,
                Reason::Held,
            ),
            (
                &foreign,
                Standing::Absent,
                Foreign::Include,
                some(),
                false,
                mount(some(), false),
                known,
            ),
        ];
        for (blob, standing, foreign, siblings, required, action, because) in rows {
            let facts = Facts {
                blob,
                standing,
                foreign,
                siblings,
                required,
            };
            let step = decide(&facts);
            assert_eq!((step.action, step.because), (action, because), "{facts:?}");
            assert_eq!(step.node, *blob);
        }
    }
}
