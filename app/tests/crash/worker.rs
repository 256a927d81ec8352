//! A client that pushes at random, and remembers what it was told.
//!
//! Each has a repository of its own, so that it knows what is in it; contents are common
//! to all, so that they meet in the store. One request is under way at a time: what that
//! would bring about may be so or not when the server dies over it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use fastrand::Rng;
use oci::Digest;
use serde_json::json;

use crate::http::{Http, Reply};

/// How many contents there are.
const CONTENTS: usize = 16;
/// So many manifests stay; twice as many are the most.
const MANIFESTS: usize = 8;
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

/// What clients push.
pub(crate) struct Contents(Vec<(Digest, Vec<u8>)>);

/// What one client knows.
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    random: Rng,
    /// Contents that the repository holds, by number; true if they may not be collected.
    blobs: BTreeMap<usize, bool>,
    /// Each with its bytes and the contents it refers to.
    manifests: BTreeMap<Digest, Image>,
    tags: BTreeMap<String, Digest>,
    session: Option<Session>,
    under_way: UnderWay,
    done: Done,
}

/// How much of each was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) blobs: u64,
    pub(crate) mounts: u64,
    pub(crate) chunks: u64,
    pub(crate) manifests: u64,
    pub(crate) deletions: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    bytes: Vec<u8>,
    layers: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Session {
    location: String,
    content: usize,
    acknowledged: usize,
    /// Bytes that were sent and not acknowledged may be there too.
    sent: usize,
    /// It may be a blob by now.
    is_closing: bool,
}

/// What may have become so.
#[derive(Debug, Default)]
struct UnderWay {
    blobs: BTreeSet<usize>,
    manifests: BTreeMap<Digest, Image>,
    tags: BTreeMap<String, Vec<Option<Digest>>>,
}

impl Contents {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let content = |_| {
            let length = [0, 1, 1000, 70_000, 300_000][random.usize(..5)] + random.usize(..100);
            let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                .take(length)
                .collect();
            (Digest::of(&content), content)
        };
        Self((0..CONTENTS).map(content).collect())
    }
}

impl Worker {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        Self {
            name: format!("team/worker{number}"),
            random: Rng::with_seed(seed + 1 + number as u64),
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            session: None,
            under_way: UnderWay::default(),
            done: Done::default(),
        }
    }

    pub(crate) fn done(&self) -> Done {
        self.done
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Pushes until the server dies.
    pub(crate) fn push(&mut self, http: &mut Http, contents: &Contents, collects: bool) {
        if collects {
            self.collected();
        }
        while self.act(http, contents, collects).is_ok() {
            self.under_way = UnderWay::default();
        }
    }

    /// What nothing refers to may have been collected.
    pub(crate) fn collected(&mut self) {
        self.blobs.values_mut().for_each(|it| *it = false);
    }

    fn act(&mut self, http: &mut Http, contents: &Contents, collects: bool) -> io::Result<()> {
        if self.manifests.len() > 2 * MANIFESTS {
            return self.delete_manifest(http);
        }
        match self.random.u8(..20) {
            0..5 => self.put_whole(http, contents, collects),
            5..9 => self.go_on_with_session(http, contents, collects),
            9..11 => self.mount(http, contents, collects),
            11..16 => self.put_manifest(http, contents, collects),
            16 => self.move_tag(http),
            17 => self.delete_tag(http),
            18 => self.delete_manifest(http),
            _ => self.delete_blob(http, contents),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.name)
    }

    fn put_whole(&mut self, http: &mut Http, all: &Contents, collects: bool) -> io::Result<()> {
        let number = self.random.usize(..CONTENTS);
        let (digest, content) = &all.0[number];
        let uploads = self.path("blobs/uploads/");
        let is_single = self.random.bool();
        self.under_way.blobs.insert(number);
        let reply = if is_single {
            http.send("POST", &format!("{uploads}?digest={digest}"), "", content)?
        } else {
            let opened = http.send("POST", &uploads, "", b"")?;
            let target = format!("{}?digest={digest}", opened.location());
            http.send("PUT", &target, "", content)?
        };
        assert_eq!(reply.status, 201, "{reply:?}");
        self.blobs.insert(number, !collects);
        self.done.blobs += 1;
        Ok(())
    }

    /// A chunk, or the end, of an upload that lives across crashes.
    fn go_on_with_session(
        &mut self,
        http: &mut Http,
        all: &Contents,
        collects: bool,
    ) -> io::Result<()> {
        let Some(mut session) = self.session.clone() else {
            let opened = http.send("POST", &self.path("blobs/uploads/"), "", b"")?;
            assert_eq!(opened.status, 202, "{opened:?}");
            self.session = Some(Session {
                location: opened.location().to_owned(),
                content: self.random.usize(..CONTENTS),
                acknowledged: 0,
                sent: 0,
                is_closing: false,
            });
            return Ok(());
        };
        let (digest, content) = &all.0[session.content];
        let from = session.acknowledged;
        if from == content.len() {
            session.is_closing = true;
            self.session = Some(session.clone());
            self.under_way.blobs.insert(session.content);
            let target = format!("{}?digest={digest}", session.location);
            let reply = http.send("PUT", &target, "", b"")?;
            assert_eq!(reply.status, 201, "{reply:?}");
            self.blobs.insert(session.content, !collects);
            self.session = None;
            return Ok(());
        }
        let to = content.len().min(from + 1 + self.random.usize(..100_000));
        session.sent = to;
        self.session = Some(session.clone());
        let head = format!("content-range: {from}-{}\r\n", to - 1);
        let reply = http.send("PATCH", &session.location, &head, &content[from..to])?;
        assert_eq!(reply.status, 202, "{reply:?}");
        session.acknowledged = to;
        self.done.chunks += 1;
        self.session = Some(session);
        Ok(())
    }

    fn mount(&mut self, http: &mut Http, all: &Contents, collects: bool) -> io::Result<()> {
        let number = self.random.usize(..CONTENTS);
        let digest = &all.0[number].0;
        let from = ["", "&from=team/worker0", "&from=team/worker1"][self.random.usize(..3)];
        let target = self.path(&format!("blobs/uploads/?mount={digest}{from}"));
        self.under_way.blobs.insert(number);
        let reply = http.send("POST", &target, "", b"")?;
        if reply.status == 201 {
            self.blobs.insert(number, !collects);
            self.done.mounts += 1;
        } else {
            assert_eq!(reply.status, 202, "{reply:?}");
            http.send("DELETE", reply.location(), "", b"")?;
        }
        Ok(())
    }

    fn put_manifest(&mut self, http: &mut Http, all: &Contents, collects: bool) -> io::Result<()> {
        let mut layers: Vec<usize> = self.blobs.keys().copied().collect();
        self.random.shuffle(&mut layers);
        layers.truncate(1 + self.random.usize(..3));
        if layers.is_empty() {
            return Ok(());
        }
        let descriptor = |number: &usize| {
            let (digest, content) = &all.0[*number];
            json!({"mediaType": "application/octet-stream", "digest": digest.to_string(),
                "size": content.len()})
        };
        let image = json!({"schemaVersion": 2, "mediaType": KIND,
            "config": descriptor(&layers[0]),
            "layers": layers.iter().map(descriptor).collect::<Vec<_>>(),
            "annotations": {"number": self.random.u32(..).to_string()}});
        let bytes = image.to_string().into_bytes();
        let image = Image { bytes, layers };
        let (digest, tag) = (Digest::of(&image.bytes), self.any_tag());
        let reply = self.put(http, &tag, &digest, &image)?;
        if reply.status == 400 && collects {
            return Ok(());
        }
        assert_eq!(reply.status, 201, "{reply:?}");
        self.manifests.insert(digest.clone(), image);
        self.tags.insert(tag, digest);
        self.done.manifests += 1;
        Ok(())
    }

    fn any_tag(&mut self) -> String {
        format!("v{}", self.random.u8(..5))
    }

    fn put(
        &mut self,
        http: &mut Http,
        tag: &str,
        digest: &Digest,
        image: &Image,
    ) -> io::Result<Reply> {
        let now = self.tags.get(tag).cloned();
        let either = vec![now, Some(digest.clone())];
        self.under_way.tags.insert(tag.to_owned(), either);
        self.under_way
            .manifests
            .insert(digest.clone(), image.clone());
        let target = self.path(&format!("manifests/{tag}"));
        let head = format!("content-type: {KIND}\r\n");
        http.send("PUT", &target, &head, &image.bytes)
    }

    fn move_tag(&mut self, http: &mut Http) -> io::Result<()> {
        let which = self.random.usize(..MANIFESTS);
        let Some((digest, image)) = self.manifests.iter().nth(which) else {
            return Ok(());
        };
        let (digest, image) = (digest.clone(), image.clone());
        let tag = self.any_tag();
        let reply = self.put(http, &tag, &digest, &image)?;
        assert_eq!(reply.status, 201, "{reply:?}");
        self.tags.insert(tag, digest);
        Ok(())
    }

    fn delete_tag(&mut self, http: &mut Http) -> io::Result<()> {
        let tag = self.any_tag();
        let now = self.tags.get(&tag).cloned();
        let status = if now.is_some() { 202 } else { 404 };
        self.under_way.tags.insert(tag.clone(), vec![now, None]);
        let target = self.path(&format!("manifests/{tag}"));
        let reply = http.send("DELETE", &target, "", b"")?;
        assert_eq!(reply.status, status, "{reply:?}");
        self.tags.remove(&tag);
        Ok(())
    }

    fn delete_manifest(&mut self, http: &mut Http) -> io::Result<()> {
        if self.manifests.len() < MANIFESTS {
            return Ok(());
        }
        let which = self.random.usize(..self.manifests.len());
        let (digest, image) = self.manifests.iter().nth(which).unwrap();
        let (digest, image) = (digest.clone(), image.clone());
        self.under_way.manifests.insert(digest.clone(), image);
        for (tag, _) in self.tags.iter().filter(|it| *it.1 == digest) {
            let either = vec![Some(digest.clone()), None];
            self.under_way.tags.insert(tag.clone(), either);
        }
        let target = self.path(&format!("manifests/{digest}"));
        let reply = http.send("DELETE", &target, "", b"")?;
        assert_eq!(reply.status, 202, "{reply:?}");
        self.manifests.remove(&digest);
        self.tags.retain(|_, it| *it != digest);
        self.done.deletions += 1;
        Ok(())
    }

    /// One that no manifest refers to.
    fn delete_blob(&mut self, http: &mut Http, all: &Contents) -> io::Result<()> {
        let number = self.random.usize(..CONTENTS);
        if self.is_referred_to(number) {
            return Ok(());
        }
        self.under_way.blobs.insert(number);
        let target = self.path(&format!("blobs/{}", all.0[number].0));
        let reply = http.send("DELETE", &target, "", b"")?;
        let is_sure = self.blobs.get(&number).copied();
        match is_sure {
            Some(true) => assert_eq!(reply.status, 202, "{reply:?}"),
            Some(false) => assert!([202, 404].contains(&reply.status), "{reply:?}"),
            None => assert_eq!(reply.status, 404, "{reply:?}"),
        }
        self.blobs.remove(&number);
        Ok(())
    }

    fn is_referred_to(&self, number: usize) -> bool {
        let mut images = self.manifests.values();
        images.any(|it| it.layers.contains(&number))
    }

    // === after a crash ===

    /// Everything that was acknowledged is there, byte for byte; what was under way is there
    /// whole or not at all; nothing else is there. What is there now is known from here on.
    pub(crate) fn verify(&mut self, http: &mut Http, all: &Contents, collects: bool) {
        if collects {
            self.collected();
        }
        let under_way = std::mem::take(&mut self.under_way);
        self.verify_tags(http, &under_way);
        self.verify_manifests(http, &under_way);
        for (number, (digest, content)) in all.0.iter().enumerate() {
            let reply = http.get(&self.path(&format!("blobs/{digest}"))).unwrap();
            let is_there = reply.status == 200;
            assert!(is_there || reply.status == 404, "{reply:?}");
            assert!(
                !is_there || reply.body == *content,
                "blob {number} is damaged"
            );
            let is_sure = self.blobs.get(&number).copied();
            let must = is_sure == Some(true) && !under_way.blobs.contains(&number)
                || self.is_referred_to(number);
            let may = is_sure.is_some() || under_way.blobs.contains(&number);
            assert!(is_there || !must, "blob {number} of {} is lost", self.name);
            assert!(
                !is_there || may,
                "blob {number} of {} came from nowhere",
                self.name
            );
            if is_there {
                self.blobs.insert(number, true);
            } else {
                self.blobs.remove(&number);
            }
        }
        self.verify_session(http, all, collects);
    }

    fn verify_tags(&mut self, http: &mut Http, under_way: &UnderWay) {
        for number in 0..5 {
            let tag = format!("v{number}");
            let known = vec![self.tags.get(&tag).cloned()];
            let may_be = under_way.tags.get(&tag).unwrap_or(&known);
            let reply = http.get(&self.path(&format!("manifests/{tag}"))).unwrap();
            assert!([200, 404].contains(&reply.status), "{reply:?}");
            let found = (reply.status == 200).then(|| Digest::of(&reply.body));
            assert!(
                may_be.contains(&found),
                "{tag} is {found:?}, not {may_be:?}"
            );
            match found {
                Some(digest) => self.tags.insert(tag, digest),
                None => self.tags.remove(&tag),
            };
        }
    }

    fn verify_manifests(&mut self, http: &mut Http, under_way: &UnderWay) {
        let mut all = self.manifests.clone();
        all.extend(under_way.manifests.clone());
        for (digest, image) in all {
            let target = self.path(&format!("manifests/{digest}"));
            let reply = http.get(&target).unwrap();
            let must = !under_way.manifests.contains_key(&digest)
                || self.tags.values().any(|it| *it == digest);
            if reply.status == 404 && !must {
                self.manifests.remove(&digest);
                continue;
            }
            assert_eq!(
                reply.status, 200,
                "manifest {digest} of {}: {reply:?}",
                self.name
            );
            assert!(reply.body == image.bytes, "manifest {digest} is damaged");
            self.manifests.insert(digest, image);
        }
    }

    fn verify_session(&mut self, http: &mut Http, all: &Contents, collects: bool) {
        let Some(session) = &mut self.session else {
            return;
        };
        let reply = http.get(&session.location).unwrap();
        let is_blob = self.blobs.contains_key(&session.content);
        if reply.status == 404 && session.is_closing && (is_blob || collects) {
            self.session = None;
            return;
        }
        session.is_closing = false;
        assert_eq!(reply.status, 204, "{session:?}: {reply:?}");
        let range = reply.headers.get("range").map_or("", String::as_str);
        let last: usize = range.trim_start_matches("0-").parse().unwrap();
        if last == 0 && session.acknowledged == 0 {
            // `0-0` says one byte, and also none.
            let location = session.location.clone();
            assert_eq!(http.send("DELETE", &location, "", b"").unwrap().status, 204);
            self.session = None;
            return;
        }
        let there = last + 1;
        let length = all.0[session.content].1.len();
        let most = session.sent.min(length);
        assert!(
            (session.acknowledged..=most).contains(&there),
            "{session:?}: {range}"
        );
        session.acknowledged = there;
        session.sent = there;
    }
}
