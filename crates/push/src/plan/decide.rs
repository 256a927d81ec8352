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
    /// Whether the registry refuses all mounts.
    pub(crate) refuses_mounts: bool,
    /// How many bytes an upload got acknowledged that was interrupted.
    pub(crate) interrupted: Option<u64>,
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
    let repositories = facts.siblings.clone();
    if !repositories.is_empty() && !facts.refuses_mounts {
        return (mount(false), Reason::KnownIn { repositories });
    }
    if let Some(at) = facts.interrupted {
        return (Action::Resume { acknowledged: at }, Reason::Interrupted);
    }
    if !repositories.is_empty() {
        return (Action::Upload, Reason::MountsRefused { repositories });
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
        plan::{Action, Reason, Step},
    };

    /// Facts in words, and the one answer to them. Nothing that is not named matters.
    const TABLE: [(&str, &str); 24] = [
        ("plain held sibling", "skip: held"),
        ("plain held required", "skip: held"),
        (
            "plain held-by-parent sibling required",
            "skip: held by parent",
        ),
        ("plain absent", "upload: absent"),
        ("plain unknown", "upload: unknown"),
        ("plain not-asked", "upload: unknown"),
        ("plain absent sibling", "mount 1: known"),
        ("plain absent interrupted", "resume 7: interrupted"),
        ("plain not-asked interrupted", "resume 7: interrupted"),
        ("plain held interrupted", "skip: held"),
        ("plain absent interrupted sibling", "mount 1: known"),
        (
            "plain absent interrupted required",
            "must mount 0: must mount",
        ),
        ("foreign absent interrupted", "point: foreign"),
        ("plain unknown sibling required", "must mount 1: must mount"),
        ("plain absent required", "must mount 0: must mount"),
        ("foreign not-asked sibling required", "point: foreign"),
        ("foreign absent", "point: foreign"),
        ("foreign absent include", "upload: absent"),
        ("foreign held include", "skip: held"),
        ("foreign absent include sibling", "mount 1: known"),
        ("plain absent sibling refuses", "upload: mounts refused"),
        ("plain absent refuses", "upload: absent"),
        (
            "plain absent sibling refuses interrupted",
            "resume 7: interrupted",
        ),
        (
            "plain absent sibling refuses required",
            "must mount 1: must mount",
        ),
    ];

    #[test]
    fn every_combination_of_facts_has_its_action_and_reason() {
        let plain = Descriptor::of(MediaType::OCI_LAYER, b"plain");
        let foreign = Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"foreign");
        let sibling: Repository = "r.test/base".parse().unwrap();
        for (words, expected) in TABLE {
            let is = |word: &str| words.split(' ').any(|it| it == word);
            let facts = Facts {
                blob: if is("foreign") { &foreign } else { &plain },
                standing: standing(words.split(' ').nth(1).unwrap()),
                foreign: if is("include") {
                    Foreign::Include
                } else {
                    Foreign::Keep
                },
                siblings: is("sibling").then(|| sibling.clone()).into_iter().collect(),
                refuses_mounts: is("refuses"),
                interrupted: is("interrupted").then_some(7),
                required: is("required"),
            };
            let step = decide(&facts);
            assert_eq!(answer(&step), expected, "{words}");
            assert_eq!(step.node, *facts.blob);
        }
    }

    fn standing(word: &str) -> Standing {
        match word {
            "held" => Standing::Held,
            "held-by-parent" => Standing::HeldByParent,
            "absent" => Standing::Absent,
            "unknown" => Standing::Unknown,
            "not-asked" => Standing::NotAsked,
            other => panic!("{other}"),
        }
    }

    fn answer(step: &Step) -> String {
        let action = match &step.action {
            Action::Skip => "skip".to_owned(),
            Action::Point => "point".to_owned(),
            Action::Mount { from, required } => {
                format!(
                    "{}mount {}",
                    if *required { "must " } else { "" },
                    from.len()
                )
            }
            Action::Upload => "upload".to_owned(),
            Action::Resume { acknowledged } => format!("resume {acknowledged}"),
            other => panic!("{other:?}"),
        };
        let because = match &step.because {
            Reason::Interrupted => "interrupted",
            Reason::Held => "held",
            Reason::HeldByParent => "held by parent",
            Reason::KnownIn { .. } => "known",
            Reason::MountsRefused { .. } => "mounts refused",
            Reason::MustMount => "must mount",
            Reason::Absent => "absent",
            Reason::Unknown => "unknown",
            Reason::Foreign => "foreign",
            other => panic!("{other:?}"),
        };
        format!("{action}: {because}")
    }
}
