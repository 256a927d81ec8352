//! What is done with a store on a disk that fails, and what may be seen of it.

use std::{collections::BTreeMap, fmt, io, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use oci::{Algorithm, Digest, MediaType};

use super::{Directory, Shown};
use crate::{
    route::Name,
    store::{
        Collected, Condition, Content, NewManifest, Put, Rules, Staged, Store as _, Ticket,
        children::{Child, Kind},
        collect,
    },
};

/// Something that may be in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    Blob(Name, Digest),
    Manifest(Name, Digest),
    Tag(Name, &'static str),
}

type Doing = Box<dyn FnMut(&Directory) -> io::Result<()>>;

/// One thing that a client asks for, until it gets it.
pub(super) struct Action {
    what: &'static str,
    doing: Doing,
    /// What is so afterwards; before, it is as it was.
    effects: Vec<(Fact, Option<Vec<u8>>)>,
}

/// What clients were told is there.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<Fact, Vec<u8>>);

/// Makes actions.
pub(super) struct Scenario;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn large() -> Vec<u8> {
    (0..4000_u32).flat_map(u32::to_le_bytes).collect()
}

fn first() -> Vec<u8> {
    manifest("")
}

fn second() -> Vec<u8> {
    let subject = Digest::of(&first());
    manifest(&format!(
        ",\"subject\":{{\"mediaType\":\"b\",\"digest\":\"{subject}\",\"size\":1}}"
    ))
}

/// Refers to `{}` as its config, and to nothing else.
fn manifest(more: &str) -> Vec<u8> {
    let config = Digest::of(b"{}");
    format!(
        "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\"a\",\"digest\":\"{config}\",\"size\":2}},\
         \"layers\":[]{more}}}"
    )
    .into_bytes()
}

fn whole(mut content: Box<dyn Content>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let piece = content.read(1 << 20).unwrap();
        if piece.is_empty() {
            return all;
        }
        all.extend_from_slice(&piece);
    }
}

impl Scenario {
    /// Blobs, a mount, manifests, tags that move, deletions and garbage.
    pub(super) fn actions() -> Vec<Action> {
        let (app, other) = (name("team/app"), name("other"));
        let (config, layer) = (Digest::of(b"{}"), Digest::of(&large()));
        let (one, two) = (Digest::of(&first()), Digest::of(&second()));
        let pointer = |it: &Digest| Some(it.to_string().into_bytes());
        vec![
            upload(&app, large()),
            upload(&app, b"{}".to_vec()),
            upload(&app, b"nobody refers to this".to_vec()),
            mount(&app, &other, large()),
            put(&app, first(), &["v1"], &[&config, &layer], None),
            put(&app, second(), &["v1", "v2"], &[&config], Some(&one)),
            Action {
                what: "remove a tag",
                doing: Box::new(|store| {
                    store.remove_tag(&name("team/app"), &"v2".parse().unwrap())?;
                    Ok(())
                }),
                effects: vec![(Fact::Tag(app.clone(), "v2"), None)],
            },
            collect_garbage(&app, &other),
            upload(&app, large()),
            Action {
                what: "remove a manifest",
                doing: Box::new(move |store| {
                    store.remove_manifest(&name("team/app"), &Digest::of(&second()))?;
                    Ok(())
                }),
                effects: vec![
                    (Fact::Manifest(app.clone(), two), None),
                    (Fact::Tag(app.clone(), "v1"), None),
                ],
            },
            put(&app, first(), &["v2"], &[&layer], None),
            Action {
                what: "remove a blob",
                doing: Box::new(move |store| {
                    store.remove_blob(&name("team/app"), &config)?;
                    Ok(())
                }),
                effects: vec![(Fact::Blob(app.clone(), Digest::of(b"{}")), None)],
            },
            Action {
                what: "renew the layouts",
                doing: Box::new(Directory::renew_views),
                effects: vec![(Fact::Tag(app, "v2"), pointer(&one))],
            },
        ]
    }
}

/// An upload in three pieces, that goes on where it was after a failure.
fn upload(to: &Name, content: Vec<u8>) -> Action {
    let digest = Digest::of(&content);
    let effects = vec![(
        Fact::Blob(to.clone(), digest.clone()),
        Some(content.clone()),
    )];
    let (to, mut staged) = (to.clone(), None::<Box<dyn Staged>>);
    let id = crate::secret::random_hex().unwrap();
    let doing = move |store: &Directory| {
        let ticket = Ticket {
            name: to.clone(),
            owner: None,
            algorithm: Algorithm::Sha256,
        };
        let staged = match &mut staged {
            Some(staged) => staged,
            none => none.insert(store.stage(&id, &ticket)?),
        };
        while staged.length() < content.len() as u64 {
            let before = usize::try_from(staged.length()).unwrap();
            assert_eq!(whole(staged.read()?), content[..before]);
            let end = content.len().min(before + 6000);
            staged.append(&content[before..end])?;
        }
        staged.commit(&to, &digest).map(drop)
    };
    Action {
        what: "upload",
        doing: Box::new(doing),
        effects,
    }
}

/// Nothing refers to what `other` mounted, nor, by the manifests' own words, to `large`.
fn collect_garbage(app: &Name, other: &Name) -> Action {
    let gone = |from: &Name, content: &[u8]| (Fact::Blob(from.clone(), Digest::of(content)), None);
    Action {
        what: "collect garbage",
        doing: Box::new(|store| {
            let rules = Rules {
                untagged: false,
                dry_run: false,
                idle: Duration::ZERO,
            };
            let unhurried = &mut || ControlFlow::Continue(());
            collect(store, &rules, &mut Collected::default(), unhurried)
        }),
        effects: vec![
            gone(app, &large()),
            gone(other, &large()),
            gone(app, b"nobody refers to this"),
        ],
    }
}

fn mount(from: &Name, to: &Name, content: Vec<u8>) -> Action {
    let digest = Digest::of(&content);
    let effects = vec![(Fact::Blob(to.clone(), digest.clone()), Some(content))];
    let (from, to) = (from.clone(), to.clone());
    Action {
        what: "mount",
        doing: Box::new(move |store| {
            assert!(store.mount(&from, &to, &digest)?);
            Ok(())
        }),
        effects,
    }
}

fn put(
    to: &Name,
    content: Vec<u8>,
    tags: &[&'static str],
    children: &[&Digest],
    subject: Option<&Digest>,
) -> Action {
    let digest = Digest::of(&content);
    let mut effects = vec![(
        Fact::Manifest(to.clone(), digest.clone()),
        Some(content.clone()),
    )];
    for tag in tags {
        let pointer = digest.to_string().into_bytes();
        effects.push((Fact::Tag(to.clone(), tag), Some(pointer)));
    }
    let child = |it: &&Digest| Child {
        digest: (*it).clone(),
        kind: Kind::Blob,
    };
    let new = NewManifest {
        digest,
        media_type: MediaType::OCI_MANIFEST,
        bytes: Bytes::from(content),
        tags: tags.iter().map(|it| it.parse().unwrap()).collect(),
        subject: subject.cloned(),
        children: children.iter().map(child).collect(),
        is_sparse: false,
        condition: Condition::None,
    };
    let to = to.clone();
    Action {
        what: "put a manifest",
        doing: Box::new(move |store| {
            assert_eq!(store.put_manifest(&to, &new)?, Put::Stored);
            Ok(())
        }),
        effects,
    }
}

// === impl Action ===

impl Action {
    pub(super) fn run(&mut self, store: &Directory) -> io::Result<()> {
        (self.doing)(store)
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

// === impl Told ===

impl Told {
    /// A client was told that an action is done.
    pub(super) fn done(&mut self, action: &Action) {
        for (fact, content) in &action.effects {
            match content {
                Some(content) => self.0.insert(fact.clone(), content.clone()),
                None => self.0.remove(fact),
            };
        }
    }

    /// Everything that was told is so; what is under way is so or not; nothing else is.
    #[track_caller]
    pub(super) fn check(&self, store: &Directory, under_way: Option<&Action>) {
        let shown = shown(store);
        let changing: BTreeMap<_, _> = under_way
            .into_iter()
            .flat_map(|it| it.effects.iter().map(|(fact, after)| (fact, after)))
            .collect();
        for fact in facts() {
            let (now, before) = (shown.get(&fact), self.0.get(&fact));
            let may_be = changing.get(&fact).map(|it| it.as_ref());
            assert!(
                now == before || may_be == Some(now),
                "{fact:?} while {under_way:?}: {} bytes shown, {} told",
                now.map_or(-1, |it| i64::try_from(it.len()).unwrap()),
                before.map_or(-1, |it| i64::try_from(it.len()).unwrap()),
            );
            if let (Fact::Tag(name, _), Some(pointer)) = (&fact, now) {
                let digest = String::from_utf8(pointer.clone()).unwrap().parse().unwrap();
                let manifest = store.manifest(name, &digest).unwrap();
                assert!(manifest.is_some(), "{fact:?} points to nothing");
            }
        }
    }
}

/// Everything that the scenario could bring about, and some that it does not.
fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    for repository in ["team/app", "other", "team"] {
        let it = name(repository);
        for content in [large(), b"{}".to_vec(), b"nobody refers to this".to_vec()] {
            facts.push(Fact::Blob(it.clone(), Digest::of(&content)));
        }
        for content in [first(), second()] {
            facts.push(Fact::Manifest(it.clone(), Digest::of(&content)));
        }
        for tag in ["v1", "v2"] {
            facts.push(Fact::Tag(it.clone(), tag));
        }
    }
    facts
}

fn shown(store: &Directory) -> Shown {
    let mut shown = Shown::new();
    for fact in facts() {
        let content = match &fact {
            Fact::Blob(name, digest) => store.open(name, digest).unwrap().map(whole),
            Fact::Manifest(name, digest) => store
                .manifest(name, digest)
                .unwrap()
                .map(|it| it.bytes.to_vec()),
            Fact::Tag(name, tag) => store
                .tag(name, &tag.parse().unwrap())
                .unwrap()
                .map(|it| it.to_string().into_bytes()),
        };
        if let Some(content) = content {
            shown.insert(fact, content);
        }
    }
    shown
}
