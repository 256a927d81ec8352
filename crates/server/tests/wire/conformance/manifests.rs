//! Manifests: each kind of content the suite pushes, over each store.

use longshore_server::{Server, Validation};
use oci::{Algorithm, Digest};
use serde_json::{Value, json};

use super::ALGORITHMS;
use crate::client::{INDEX, MANIFEST, Reply, TestReg};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EXAMPLE: &str = "application/vnd.example+type";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A manifest under test: its bytes and what it says it is.
struct Manifest {
    kind: &'static str,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Manifest {
    fn new(document: &Value) -> Self {
        Self::with(Algorithm::Sha256, document)
    }

    fn with(algorithm: Algorithm, document: &Value) -> Self {
        let bytes = document.to_string().into_bytes();
        Self {
            kind: if document.get("manifests").is_some() {
                INDEX
            } else {
                MANIFEST
            },
            digest: Digest::of_with(algorithm, &bytes),
            bytes,
        }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.kind, "digest": self.digest.to_string(), "size": self.bytes.len()})
    }

    fn path(&self) -> String {
        format!("/v2/app/manifests/{}", self.digest)
    }

    /// Puts it, its length unsaid, as many clients do.
    async fn put(&self, reg: &TestReg, which: &str) -> Reply {
        let ask = reg.ask("PUT", format!("/v2/app/manifests/{which}"));
        let ask = ask.header("content-type", self.kind);
        ask.chunked().body(&self.bytes).send().await
    }

    /// It is at `path`, whole, and HEAD says the same of it.
    async fn is_at(&self, reg: &TestReg, path: &str) {
        let (head, got) = (reg.head(path).await, reg.get(path).await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert!(got.status == 200 && got.body == self.bytes, "{path}");
        for reply in [head, got] {
            assert_eq!(reply.header("content-type"), self.kind);
            let digest = self.digest.to_string();
            assert_eq!(reply.header("docker-content-digest"), digest);
            let length = self.bytes.len().to_string();
            assert_eq!(reply.header("content-length"), length);
        }
    }

    /// It was taken, and is where the answer says.
    async fn arrived(&self, reg: &TestReg, reply: &Reply) {
        assert_eq!(reply.status, 201, "{reply:?}");
        let digest = self.digest.to_string();
        assert_eq!(reply.header("docker-content-digest"), digest);
        self.is_at(reg, reply.header("location")).await;
    }

    /// Its whole life: by digest, by tag, in the list of tags, deleted.
    async fn lives(&self, reg: &TestReg, tag: &str) {
        self.arrived(reg, &self.put(reg, &self.digest.to_string()).await)
            .await;
        self.arrived(reg, &self.put(reg, tag).await).await;
        self.is_at(reg, &self.path()).await;
        assert!(tags(reg, "").await.contains(&tag.to_owned()));

        let tagged = format!("/v2/app/manifests/{tag}");
        assert_eq!(reg.delete(&tagged).await.status, 202);
        is_unknown(reg, &tagged).await;
        assert!(!tags(reg, "").await.contains(&tag.to_owned()));
        self.is_at(reg, &self.path()).await;
        assert_eq!(reg.delete(self.path()).await.status, 202);
        is_unknown(reg, &self.path()).await;
    }
}

async fn is_unknown(reg: &TestReg, path: &str) {
    let head = reg.head(path).await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    for method in ["GET", "DELETE"] {
        let reply = reg.ask(method, path).send().await;
        let codes = vec!["MANIFEST_UNKNOWN".to_owned()];
        assert_eq!((reply.status, reply.codes()), (404, codes), "{method}");
    }
}

async fn tags(reg: &TestReg, query: &str) -> Vec<String> {
    let reply = reg.get(format!("/v2/app/tags/list{query}")).await;
    assert_eq!(reply.status, 200);
    let list = reply.json();
    assert_eq!(list["name"], "app");
    serde_json::from_value(list["tags"].clone()).unwrap()
}

/// Pushes a blob; its descriptor.
async fn blob(reg: &TestReg, algorithm: Algorithm, kind: &str, content: &[u8]) -> Value {
    let digest = Digest::of_with(algorithm, content);
    let location = reg.open("app").await;
    let reply = reg.put_blob(&location, &digest, content).await;
    assert_eq!(reply.status, 201);
    descriptor(kind, &digest, content.len())
}

fn descriptor(kind: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": kind, "digest": digest.to_string(), "size": size})
}

/// An image that tells itself from others by its name; its blobs are there.
async fn image(reg: &TestReg, algorithm: Algorithm, name: &str) -> Value {
    let config = blob(
        reg,
        algorithm,
        CONFIG,
        format!("{{\"author\":\"{name}\"}}").as_bytes(),
    )
    .await;
    let layers = [
        blob(reg, algorithm, LAYER, name.as_bytes()).await,
        blob(reg, algorithm, &format!("{LAYER}+gzip"), b"\x1f\x8b").await,
    ];
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
}

async fn artifact(reg: &TestReg, note: &str) -> Value {
    let empty = blob(reg, Algorithm::Sha256, EMPTY, b"{}").await;
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": EXAMPLE, "config": empty,
        "layers": [empty], "annotations": {"note": note}})
}

fn index(children: &[&Manifest]) -> Value {
    let children: Vec<Value> = children.iter().map(|it| it.descriptor()).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
}

#[tokio::test]
async fn images_of_every_kind_are_kept_as_they_are() {
    for reg in TestReg::each().await {
        let plain = image(&reg, Algorithm::Sha256, "plain").await;
        Manifest::new(&plain).lives(&reg, "image").await;

        // As large as a manifest can be expected to be.
        let mut large = plain.clone();
        large["annotations"] = json!({"large": "x".repeat(3_900_000)});
        Manifest::new(&large).lives(&reg, "large-manifest").await;

        let mut custom = plain.clone();
        custom["org.example.field"] = json!({"of": ["nobody's", 1.0, null]});
        custom["config"]["org.example.field"] = json!(true);
        Manifest::new(&custom).lives(&reg, "custom-fields").await;

        let mut inline = plain.clone();
        inline["config"]["data"] = json!("eyJhdXRob3IiOiJwbGFpbiJ9");
        Manifest::new(&inline).lives(&reg, "data-field").await;

        let mut no_layers = plain.clone();
        no_layers["layers"] = json!([]);
        Manifest::new(&no_layers).lives(&reg, "no-layers").await;

        let mut unknown_config = plain.clone();
        unknown_config["config"]["mediaType"] = json!(EXAMPLE);
        Manifest::new(&unknown_config)
            .lives(&reg, "unknown-config")
            .await;

        // Layers that are elsewhere need not be here.
        let mut foreign = plain.clone();
        for kind in ["tar", "tar+gzip", "tar+zstd"] {
            let kind = format!("application/vnd.oci.image.layer.nondistributable.v1.{kind}");
            let mut layer = descriptor(&kind, &Digest::of(kind.as_bytes()), 123_456);
            layer["urls"] = json!(["https://store.example.com/layer"]);
            foreign["layers"].as_array_mut().unwrap().push(layer);
        }
        Manifest::new(&foreign)
            .lives(&reg, "non-distributable-layers")
            .await;
        assert_eq!(tags(&reg, "").await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn indexes_of_every_kind_are_kept_as_they_are() {
    for reg in TestReg::each().await {
        let mut children = Vec::new();
        for name in ["amd64", "arm64"] {
            let child = Manifest::new(&image(&reg, Algorithm::Sha256, name).await);
            child
                .arrived(&reg, &child.put(&reg, &child.digest.to_string()).await)
                .await;
            children.push(child);
        }
        let children: Vec<&Manifest> = children.iter().collect();
        Manifest::new(&index(&[])).lives(&reg, "empty-index").await;
        Manifest::new(&index(&children)).lives(&reg, "index").await;

        let inner = Manifest::new(&index(&children[..1]));
        assert_eq!(inner.put(&reg, &inner.digest.to_string()).await.status, 201);
        Manifest::new(&index(&[&inner, children[1]]))
            .lives(&reg, "nested-index")
            .await;

        let of_artifacts = Manifest::new(&artifact(&reg, "listed").await);
        assert_eq!(of_artifacts.put(&reg, "listed").await.status, 201);
        let mut typed = index(&[&of_artifacts]);
        typed["artifactType"] = json!(EXAMPLE);
        Manifest::new(&typed).lives(&reg, "artifact-index").await;
        // What an index lists stays when the index goes.
        children[0].is_at(&reg, &children[0].path()).await;
    }
}

#[tokio::test]
async fn artifacts_with_and_without_content_are_kept_as_they_are() {
    for reg in TestReg::each().await {
        Manifest::new(&artifact(&reg, "without layers").await)
            .lives(&reg, "bare")
            .await;
        let mut with_content = artifact(&reg, "with one").await;
        with_content["layers"] = json!([blob(&reg, Algorithm::Sha256, EXAMPLE, b"content").await]);
        Manifest::new(&with_content).lives(&reg, "artifact").await;
    }
}

/// What a list of referrers says of one: its type, and its annotations.
fn listed(document: &Value, kind: Option<&str>) -> Value {
    let mut expected = Manifest::new(document).descriptor();
    if let Some(kind) = kind {
        expected["artifactType"] = json!(kind);
    }
    if let Some(annotations) = document.get("annotations") {
        expected["annotations"] = annotations.clone();
    }
    expected
}

/// A subject with three referrers, one of them an index, one without a type of its own.
#[tokio::test]
async fn r7_whoever_names_a_subject_is_in_its_list_until_it_is_deleted() {
    for reg in TestReg::each().await {
        for is_there in [true, false] {
            let subject = image(&reg, Algorithm::Sha256, &format!("subject {is_there}")).await;
            let subject = Manifest::new(&subject);
            if is_there {
                assert_eq!(subject.put(&reg, "subject").await.status, 201);
            }
            let mut signature = artifact(&reg, "signature").await;
            let mut untyped = image(&reg, Algorithm::Sha256, "untyped").await;
            let mut listing = index(&[]);
            listing["annotations"] = json!({"note": "index"});
            for document in [&mut signature, &mut untyped, &mut listing] {
                document["subject"] = subject.descriptor();
            }
            let types = [Some(EXAMPLE), Some(CONFIG), None];
            let referrers = [signature, untyped, listing];
            for (n, document) in referrers.iter().enumerate() {
                let it = Manifest::new(document);
                let reply = match n {
                    0 => it.put(&reg, "signature").await,
                    _ => it.put(&reg, &it.digest.to_string()).await,
                };
                assert_eq!(reply.header("oci-subject"), subject.digest.to_string());
                it.arrived(&reg, &reply).await;
            }

            let path = format!("/v2/app/referrers/{}", subject.digest);
            let mut all: Vec<Value> = referrers
                .iter()
                .zip(types)
                .map(|(it, kind)| listed(it, kind))
                .collect();
            all.sort_by_key(|it| it["digest"].to_string());
            let reply = reg.get(&path).await;
            assert_eq!(reply.json()["manifests"], json!(all));
            assert_eq!(reply.find("oci-filters-applied"), None);

            for (document, kind) in referrers.iter().zip(types) {
                let Some(kind) = kind else { continue };
                let reply = reg.get(format!("{path}?artifactType={kind}")).await;
                assert_eq!(reply.header("oci-filters-applied"), "artifactType");
                assert_eq!(
                    reply.json()["manifests"],
                    json!([listed(document, Some(kind))])
                );
            }
            let none = reg.get(format!("{path}?artifactType=application/x")).await;
            assert_eq!(none.header("oci-filters-applied"), "artifactType");
            assert_eq!(none.json()["manifests"], json!([]));

            for left in (0..referrers.len()).rev() {
                let gone = Manifest::new(&referrers[left]).path();
                assert_eq!(reg.delete(gone).await.status, 202);
                let list = reg.get(&path).await.json();
                assert_eq!(list["manifests"].as_array().unwrap().len(), left);
            }
        }
    }
}

#[tokio::test]
async fn a_sparse_manifest_is_taken_only_by_a_registry_told_to() {
    let sparse = |reg| async move {
        let there = image(&reg, Algorithm::Sha256, "there").await;
        let mut lacking = there.clone();
        let missing = descriptor(LAYER, &Digest::of(b"missing"), 7);
        lacking["layers"].as_array_mut().unwrap().push(missing);
        let there = Manifest::new(&there);
        assert_eq!(there.put(&reg, "there").await.status, 201);
        let absent = Manifest::new(&json!({"schemaVersion": 2}));
        let documents = [lacking, index(&[&there, &absent])];
        (reg, documents.map(|it| Manifest::new(&it)))
    };
    for reg in TestReg::each().await {
        let (reg, manifests) = sparse(reg).await;
        for it in manifests {
            for which in ["sparse", &it.digest.to_string()] {
                let reply = it.put(&reg, which).await;
                let codes = vec!["MANIFEST_BLOB_UNKNOWN".to_owned()];
                assert_eq!((reply.status, reply.codes()), (400, codes));
                is_unknown(&reg, &format!("/v2/app/manifests/{which}")).await;
            }
        }
    }
    let told = Server::builder().validation(Validation::AcceptAll);
    for reg in TestReg::each_with(told).await {
        let (reg, manifests) = sparse(reg).await;
        for it in manifests {
            it.lives(&reg, "sparse").await;
        }
    }
}

#[tokio::test]
async fn manifests_and_their_blobs_may_be_of_sha512() {
    for reg in TestReg::each().await {
        let document = image(&reg, Algorithm::Sha512, "long").await;
        let it = Manifest::with(Algorithm::Sha512, &document);
        it.arrived(&reg, &it.put(&reg, &it.digest.to_string()).await)
            .await;
        it.is_at(&reg, &it.path()).await;
        // Its list of referrers goes by the digest that is named.
        let mut about = artifact(&reg, "about").await;
        about["subject"] = it.descriptor();
        let about = Manifest::with(Algorithm::Sha512, &about);
        let reply = about.put(&reg, &about.digest.to_string()).await;
        assert_eq!(reply.header("oci-subject"), it.digest.to_string());
        let list = reg
            .get(format!("/v2/app/referrers/{}", it.digest))
            .await
            .json();
        assert_eq!(list["manifests"][0]["digest"], about.digest.to_string());
        assert_eq!(reg.delete(it.path()).await.status, 202);
        is_unknown(&reg, &it.path()).await;
    }
}

#[tokio::test]
async fn p5_one_request_moves_many_tags_and_confirms_each() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            let document = image(&reg, algorithm, "many").await;
            let it = Manifest::with(algorithm, &document);
            let names: Vec<String> = (0..64).map(|n| format!("{algorithm}-{n:02}")).collect();
            let reply = it
                .put(&reg, &format!("{}?tag={}", it.digest, names.join("&tag=")))
                .await;
            assert_eq!(reply.headers["oci-tag"], names);
            it.arrived(&reg, &reply).await;
            assert_eq!(
                tags(&reg, &format!("?last={algorithm}-")).await[..64],
                names
            );
            for name in &names {
                it.is_at(&reg, &format!("/v2/app/manifests/{name}")).await;
            }
            // One too many, and one that is none: nothing is moved, nothing is confirmed.
            let mut new = document.clone();
            new["annotations"] = json!({"new": "yes"});
            let new = Manifest::with(algorithm, &new);
            let too_many = format!("{}?tag={}&tag=more", new.digest, names.join("&tag="));
            let malformed = format!("{}?tag={}&tag=-", new.digest, names[0]);
            for (which, status) in [(too_many, 414), (malformed, 400)] {
                let reply = new.put(&reg, &which).await;
                assert_eq!(
                    (reply.status, reply.codes()),
                    (status, vec!["TAG_INVALID".into()])
                );
                assert_eq!(reply.find("oci-tag"), None);
                is_unknown(&reg, &new.path()).await;
                it.is_at(&reg, &format!("/v2/app/manifests/{}", names[0]))
                    .await;
            }
            assert_eq!(reg.delete(it.path()).await.status, 202);
        }
        assert_eq!(tags(&reg, "").await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn tags_are_listed_in_order_and_from_where_one_left_off() {
    for reg in TestReg::each().await {
        let it = Manifest::new(&image(&reg, Algorithm::Sha256, "listed").await);
        // ASCII's order: digits, upper case, `_`, lower case.
        let all = ["0.1", "1", "A", "_", "a", "a-b", "b"];
        let shuffled = [4, 0, 6, 2, 1, 5, 3].map(|n| all[n]).join("&tag=");
        let which = format!("{}?tag={shuffled}", it.digest);
        assert_eq!(it.put(&reg, &which).await.status, 201);
        assert_eq!(tags(&reg, "").await, all);
        assert_eq!(tags(&reg, "?last=A").await, all[3..]);
        // A name that is no tag is a place in the order all the same.
        assert_eq!(tags(&reg, "?last=a.").await, all[6..]);
        assert_eq!(tags(&reg, "?last=b").await, Vec::<String>::new());

        // Followed by their links, the pages are the list.
        let (mut pages, mut next) = (Vec::new(), Some("/v2/app/tags/list?n=3".to_owned()));
        while let Some(path) = next {
            let page = reg.get(&path).await;
            let part: Vec<String> = serde_json::from_value(page.json()["tags"].clone()).unwrap();
            pages.push(part);
            next = page.find("link").map(|it| {
                let path = it.strip_prefix('<').unwrap();
                path.strip_suffix(">; rel=\"next\"").unwrap().to_owned()
            });
        }
        assert_eq!(pages, [&all[..3], &all[3..6], &all[6..]]);
        let none = reg.get("/v2/app/tags/list?n=0").await;
        assert_eq!(
            (none.json()["tags"].clone(), none.find("link")),
            (json!([]), None)
        );
    }
}

#[tokio::test]
async fn a_manifest_under_another_digest_is_refused_and_not_kept() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            let document = image(&reg, algorithm, "other").await;
            let mut it = Manifest::with(algorithm, &document);
            it.bytes.extend_from_slice(b"  ");
            let reply = it.put(&reg, &format!("{}?tag=no", it.digest)).await;
            let codes = vec!["DIGEST_INVALID".to_owned()];
            assert_eq!((reply.status, reply.codes()), (400, codes));
            is_unknown(&reg, &it.path()).await;
            is_unknown(&reg, "/v2/app/manifests/no").await;
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_unknown_by_tag_and_by_digest() {
    for reg in TestReg::each().await {
        let absent = Manifest::new(&json!({"schemaVersion": 2}));
        // Neither in a repository that is not there nor in one that is.
        for _ in 0..2 {
            is_unknown(&reg, &absent.path()).await;
            is_unknown(&reg, "/v2/app/manifests/absent").await;
            reg.push("app", b"something").await;
        }
    }
}
