//! A manifest as a question: what a registry that checks manifests names of what it lacks, and what
//! it costs where it names less.

use std::{collections::BTreeSet, time::Duration};

use longshore::{
    oci::MediaType,
    push::{AskFirst, compose::ManifestBuilder},
    registry::{Client, KeptFact, MemoryProfiles, ProfileStore},
};
use server::{Action, Endpoint, MissingStyle, Rule, Validation};

use super::{Image, Scene, asking, engine, image, open};

/// The four kinds of registries: which manifests are put, which blobs are sent.
async fn changed(scene: &Scene, there: &Image, layers: usize, known: bool) -> Vec<String> {
    let filler = (engine(), scene.client());
    scene
        .push((&filler.0, &filler.1), there, ("app", "1"))
        .await;
    scene.known("single-post", "false").await;
    if known {
        scene.known("validates-images", "true").await;
    }
    let mut source = there.source.clone();
    let (next, layer) = source.with_blob(MediaType::OCI_LAYER_GZIP, "a new layer");
    source = next;
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, "{\"new\":true}");
    let mut builder = ManifestBuilder::new(config.clone());
    for it in &there.blobs[..layers] {
        builder = builder.layer(it.clone());
    }
    let root = builder.layer(layer.clone()).build().unwrap();
    let image = Image {
        source: source.with_root(root.clone()),
        root,
        blobs: Vec::new(),
    };
    let report = scene
        .push((&engine(), &scene.client()), &image, ("app", "2"))
        .await;
    assert_eq!(report.bytes.uploaded, layer.size + config.size);
    let name = |line: String| {
        let names = [
            (image.root.digest(), "ROOT"),
            (&layer.digest, "LAYER"),
            (&config.digest, "CONFIG"),
        ];
        names.iter().fold(line, |line, (digest, name)| {
            line.replace(&digest.to_string(), name)
        })
    };
    let lines = scene.server.log().lines().into_iter();
    let lines = lines.map(|it| it.replace("%3A", ":").replace("%2F", "/"));
    lines.map(name).collect()
}

/// The requests that put manifests, in their order.
fn manifest_puts(said: &[String]) -> Vec<&str> {
    let puts = said
        .iter()
        .filter(|it| it.starts_with("PUT /v2/app/manifests/"));
    puts.map(String::as_str).collect()
}

#[tokio::test]
async fn p30_a_registry_that_lists_all_is_told_apart_by_one_manifest() {
    let scene = open(Validation::All).await;
    let said = changed(&scene, &image("a", 40), 40, true).await;
    assert_eq!(said.len(), 6, "{said:#?}");
    assert_eq!(said[0], "PUT /v2/app/manifests/ROOT → 400");
    let blobs: BTreeSet<&str> = said[1..5].iter().map(|it| &it[..4]).collect();
    assert_eq!(blobs, BTreeSet::from(["POST", "PUT "]));
    assert_eq!(said[5], "PUT /v2/app/manifests/2 → 201");
}

/// Whatever the status, the code and the place the digests stand in.
#[tokio::test]
async fn p30_the_list_is_read_in_whatever_form_it_comes() {
    for (code, in_message) in [("BLOB_UPLOAD_UNKNOWN", true), ("MANIFEST_INVALID", false)] {
        let scene = open(Validation::All).await;
        scene
            .server
            .faults()
            .add(
                Rule::on(Endpoint::ManifestPut).act(Action::NameMissing(MissingStyle {
                    code: code.to_owned(),
                    message: "do not exist: ".to_owned(),
                    named: Validation::All,
                    in_message,
                })),
            );
        let said = changed(&scene, &image("a", 40), 40, true).await;
        assert_eq!(said.len(), 6, "{code}: {said:#?}");
    }
}

#[tokio::test]
async fn p30_a_registry_that_lists_the_first_costs_one_more_wave_of_questions() {
    let scene = open(Validation::First).await;
    let said = changed(&scene, &image("a", 40), 40, true).await;
    assert_eq!(
        manifest_puts(&said),
        [
            "PUT /v2/app/manifests/ROOT → 400",
            "PUT /v2/app/manifests/2 → 400",
            "PUT /v2/app/manifests/2 → 201"
        ]
    );
    // The first is sent at once; each of the others is asked for, and one of them sent.
    assert_eq!(said.len(), 3 + 2 + 41 + 1, "{said:#?}");
    assert_eq!(scene.server.log().calls(Endpoint::BlobHead), 0);
}

#[tokio::test]
async fn p30_a_registry_that_lists_none_costs_one_request() {
    let scene = open(Validation::None).await;
    let said = changed(&scene, &image("a", 40), 40, true).await;
    assert_eq!(
        manifest_puts(&said),
        [
            "PUT /v2/app/manifests/ROOT → 400",
            "PUT /v2/app/manifests/2 → 201"
        ]
    );
    assert_eq!(said.len(), 2 + 42 + 2, "{said:#?}");
}

/// It refused once, and takes anything now. The fact is of another day.
#[tokio::test]
async fn p30_a_registry_that_accepts_all_is_found_out_before_a_tag_names_what_is_broken() {
    let scene = open(Validation::AcceptAll).await;
    let day = Duration::from_hours(48);
    let host = format!("http://{}", scene.server.registry());
    let aged = Aged(scene.profiles.clone(), day);
    let client = || Client::builder().profiles(aged.clone()).build().unwrap();
    let fact = vec![("validates-images".to_owned(), "true".to_owned())];
    scene.profiles.keep(&host, fact).await;
    scene.known("single-post", "false").await;
    let first = client();
    let engine = asking(AskFirst::Never);
    scene
        .push((&engine, &first), &image("a", 40), ("app", "1"))
        .await;
    let said = scene.server.log().lines();
    assert!(said[0].starts_with("PUT /v2/app/manifests/sha256:") && said[0].ends_with("201"));
    assert_eq!(said.last().unwrap(), "PUT /v2/app/manifests/1 → 201");
    assert_eq!(said.len(), 1 + 2 * 41 + 1, "every blob was asked for");
    first.close(Duration::from_mins(1)).await;

    // Never again: neither by this process nor by the next.
    for (client, name) in [(first, "b"), (client(), "c")] {
        let next = image(name, 40);
        scene.push((&engine, &client), &next, ("app", name)).await;
        assert_eq!(scene.server.log().calls(Endpoint::ManifestPut), 1);
    }
}

/// Nothing is believed of a registry that has shown nothing: blobs go first.
#[tokio::test]
async fn p30_a_registry_nothing_is_known_of_is_not_sent_a_manifest_first() {
    for validation in [Validation::All, Validation::AcceptAll] {
        let scene = open(validation).await;
        let said = changed(&scene, &image("a", 40), 40, false).await;
        let puts = manifest_puts(&said);
        assert_eq!(puts, ["PUT /v2/app/manifests/2 → 201"], "{said:#?}");
        assert_eq!(said.last().unwrap(), puts[0]);
    }
}

#[tokio::test]
async fn p30_an_unchanged_image_of_two_hundred_layers_under_a_new_tag_is_two_requests() {
    let scene = open(Validation::All).await;
    let image = image("a", 200);
    scene
        .push((&engine(), &scene.client()), &image, ("app", "1"))
        .await;
    scene.known("validates-images", "true").await;
    // Nobody here has seen the image before.
    scene
        .push((&engine(), &scene.client()), &image, ("app", "2"))
        .await;
    let root = image.root.digest();
    assert_eq!(
        scene.server.log().lines(),
        [
            format!("PUT /v2/app/manifests/{root} → 201"),
            "PUT /v2/app/manifests/2 → 201".to_owned()
        ]
    );
}

/// A store whose facts are older than they are.
#[derive(Clone, Debug)]
pub(super) struct Aged(pub(super) MemoryProfiles, pub(super) Duration);

#[async_trait::async_trait]
impl ProfileStore for Aged {
    async fn load(&self, host: &str) -> Vec<KeptFact> {
        let mut facts = self.0.load(host).await;
        for fact in &mut facts {
            fact.seen -= self.1;
        }
        facts
    }

    async fn keep(&self, host: &str, facts: Vec<(String, String)>) {
        self.0.keep(host, facts).await;
    }
}
