//! What one process learns of a registry, the next one knows.

use std::path::Path;

use longshore::push::{State, source::sample::SampleOptions};
use oci::wire::Action as May;
use server::{Auth, Bearer, Server, UploadOptions};

use crate::{
    longshore::{Run, run},
    stage::{Image, Stage},
};

const KIB: u64 = 1024;

/// Who gives tokens out, and takes no body over 256 KiB.
async fn narrow() -> Stage {
    let auth = Auth::Bearer(Bearer::new().anonymous(May::Pull).anonymous(May::Push));
    let uploads = UploadOptions {
        max_body_length: Some(256 * KIB),
        ..UploadOptions::default()
    };
    let server = Server::builder().memory().auth(auth).uploads(uploads);
    Stage::with(server.start().await.unwrap())
}

/// One layer of a MiB; another one for each seed.
fn image(stage: &Stage, seed: u64) -> Image {
    let options = SampleOptions {
        layers: 1,
        layer_bytes: 1024 * KIB,
        seed,
        ..SampleOptions::default()
    };
    let path = stage.path("image");
    let _ = std::fs::remove_dir_all(path);
    stage.image(&options)
}

/// Pushes it under a tag, one request at a time, and returns what was said.
async fn push(stage: &Stage, image: &Image, tag: &str, more: &[&str]) -> Vec<String> {
    let reference = stage.reference(&format!("team/app:{tag}"));
    let mut args = vec!["push", image.path(), &reference, "--quiet"];
    args.extend(["--concurrency", "1"]);
    args.extend(more);
    stage.longshore(&args).await.succeeded();
    stage.server.log().lines()
}

/// What a push says that knows the registry, from its first question on, with this many chunks for
/// the layer.
fn without_detours(image: &Image, tag: &str, chunks: usize) -> Vec<String> {
    let blobs = image.blobs();
    let probe = |at: usize| {
        let digest = &blobs[at].digest;
        format!("POST /v2/team/app/blobs/uploads/?mount={digest}&from=team/app → 202")
    };
    let put = |at: usize| {
        let (digest, session) = (&blobs[at].digest, at + 1);
        format!("PUT /v2/team/app/blobs/uploads/<{session}>?digest={digest} → 201")
    };
    let head = format!("HEAD /v2/team/app/manifests/{} → 404", image.digest());
    let mut lines = vec![TOKEN.to_owned(), head, probe(0)];
    let patch = "PATCH /v2/team/app/blobs/uploads/<1> → 202".to_owned();
    lines.extend(std::iter::repeat_n(patch, chunks));
    // The config is small, and the registry takes such blobs in one request.
    let digest = &blobs[1].digest;
    let config = format!("POST /v2/team/app/blobs/uploads/?digest={digest} → 201");
    lines.extend([put(0), config]);
    lines.push(format!("PUT /v2/team/app/manifests/{tag} → 201"));
    lines
}

const TOKEN: &str = "GET /token?service=longshore&scope=repository:team/app:pull,push → 200";

/// The name the state has for the registry.
fn host(stage: &Stage) -> String {
    format!("http://{}", stage.server.registry())
}

fn state(stage: &Stage) -> State {
    State::open(&stage.path("known.db")).0
}

fn detours(lines: &[String]) -> [usize; 2] {
    ["→ 401", "→ 413"].map(|end| lines.iter().filter(|it| it.ends_with(end)).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_the_second_process_knows_the_challenge_and_sees_no_413() {
    let stage = narrow().await;
    let one = image(&stage, 1);
    let first = push(&stage, &one, "1", &[]).await;
    assert_eq!(detours(&first), [1, 1], "{first:#?}");
    let two = image(&stage, 2);
    let second = push(&stage, &two, "2", &[]).await;
    assert_eq!(second, without_detours(&two, "2", 4));
    // Nothing is known where nothing is to be kept, and nothing is kept.
    let three = image(&stage, 3);
    let unknown = push(&stage, &three, "3", &["--no-state"]).await;
    assert_eq!(detours(&unknown), [1, 1], "{unknown:#?}");
    let host = stage.server.registry().to_string();
    let forgot = run(stage.home(), ["profile", "forget", &host]).succeeded();
    assert_eq!(forgot.stdout, format!("forgot 4 facts of {host}\n"));
    let four = image(&stage, 4);
    let again = push(&stage, &four, "4", &[]).await;
    assert_eq!(detours(&again), [1, 1], "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_fact_that_is_not_true_costs_a_request_and_is_corrected() {
    let stage = narrow().await;
    let known = ["--state", stage.path("known.db").to_str().unwrap()].map(str::to_owned);
    let known = known.each_ref().map(|it| &**it);
    let one = image(&stage, 1);
    push(&stage, &one, "1", &known).await;
    let two = image(&stage, 2);
    let unknown = push(&stage, &two, "2", &["--no-state"]).await.len();
    let url = stage.server.url();
    let realm = |it: &str| format!(r#"{{"scheme":"bearer","realm":"{it}"}}"#);
    let wrong = [
        ("challenge", realm(&format!("{url}/gone"))),
        ("challenge", realm("http://127.0.0.1:9/token")),
        ("challenge", r#"{"scheme":"open"}"#.to_owned()),
        ("challenge", r#"{"scheme":"basic"}"#.to_owned()),
        ("body-limit", (1024 * KIB).to_string()),
        ("keeps-sessions", "false".to_owned()),
        ("mounts", "false".to_owned()),
        ("mounts-from-itself", "false".to_owned()),
    ];
    for (at, (key, value)) in wrong.iter().enumerate() {
        state(&stage)
            .put_host_fact(&host(&stage), key, value)
            .await
            .unwrap();
        let tag = format!("wrong-{at}");
        let next = image(&stage, 10 + at as u64);
        let lines = push(&stage, &next, &tag, &known).await;
        assert!(lines.len() <= unknown + 1, "{key} {value}: {lines:#?}");
        let after = image(&stage, 100 + at as u64);
        let tag = format!("right-{at}");
        let lines = push(&stage, &after, &tag, &known).await;
        assert_eq!(lines, without_detours(&after, &tag, 4), "{key} {value}");
    }
}

/// The file is shared, and anybody may have written to it.
#[tokio::test(flavor = "multi_thread")]
async fn p9_what_cannot_be_read_of_a_profile_is_not_there() {
    let stage = narrow().await;
    let known = stage.path("known.db");
    let known = ["--state", known.to_str().unwrap()];
    let unreadable = state(&stage);
    for (key, value) in [
        (
            "challenge",
            r#"{"scheme":"bearer","realm":"\u0000://"}"#.to_owned(),
        ),
        ("body-limit", "0".to_owned()),
        ("chunk-minimum", "18446744073709551616".to_owned()),
        ("takes-chunks", "[".repeat(4000)),
        ("keeps-sessions", "\u{1b}[2J".to_owned()),
        ("of-a-later-version", "true".to_owned()),
    ] {
        let host = host(&stage);
        unreadable.put_host_fact(&host, key, &value).await.unwrap();
    }
    drop(unreadable);
    let one = image(&stage, 1);
    let first = push(&stage, &one, "1", &known).await;
    assert_eq!(detours(&first), [1, 1], "{first:#?}");
    let two = image(&stage, 2);
    let second = push(&stage, &two, "2", &known).await;
    assert_eq!(second, without_detours(&two, "2", 4));
}

fn profile(home: &Path, file: &str, args: &[&str]) -> Run {
    let mut all = vec!["profile", "--state", file];
    all.extend(args);
    run(home, all)
}

/// Facts as they are, of a later version, and of somebody who means ill.
async fn some_facts(path: &Path) {
    let (state, _) = State::open(path);
    let bearer =
        r#"{"scheme":"bearer","realm":"https://auth.test/token","service":"r\u001b[2J\u202e"}"#;
    for (host, key, value) in [
        ("one.test:5000", "challenge", bearer),
        ("one.test:5000", "body-limit", "1048576"),
        ("http://one.test:5000", "mounts", "true"),
        ("two.test", "of-a-later-version", "1"),
        ("\u{1b}]0;evil\u{7}\n.test", "takes-chunks", "false"),
    ] {
        state.put_host_fact(host, key, value).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_profiles_can_be_shown_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state.db");
    let file = path.to_str().unwrap();
    let profile = |args: &[&str]| profile(home.path(), file, args);
    let nothing = profile(&["show"]).succeeded();
    assert_eq!(nothing.stdout, "nothing is known of any registry\n");
    assert!(!path.exists());

    some_facts(&path).await;
    let all = profile(&["show"]).succeeded();
    assert_eq!(
        all.stdout,
        "\\u{1b}]0;evil\\u{7}\\n.test\n  takes no chunks (just now)\n\
         http://one.test:5000\n  mounts blobs (just now)\n\
         one.test:5000\n  takes bodies of at most 1048576 bytes (just now)\n  \
         wants a token from https://auth.test/token for r\\u{1b}[2J\\u{202e} (just now)\n\
         two.test\n  nothing that this version can read\n"
    );
    let one = profile(&["show", "https://one.test:5000", "--json"]).succeeded();
    let json = one.json();
    let hosts: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["host"])
        .collect();
    assert_eq!(hosts, ["http://one.test:5000", "one.test:5000"]);
    let limit = &json[1]["facts"][0];
    assert_eq!(
        (&limit["fact"], &limit["value"]),
        (&"body-limit".into(), &1_048_576.into())
    );
    assert_eq!(limit["believed"], true);

    let unknown = profile(&["show", "three.test"]).succeeded();
    assert_eq!(unknown.stdout, "nothing is known of three.test\n");
    let malformed = profile(&["forget", "no registry"]);
    assert_eq!(malformed.code, Some(2), "{malformed:#?}");
    assert!(
        malformed
            .stderr
            .contains("\"no registry\" is not a registry"),
        "{malformed:#?}"
    );
    assert_eq!(profile(&["forget"]).code, Some(2));
    let forgot = profile(&["forget", "one.test:5000"]).succeeded();
    assert_eq!(forgot.stdout, "forgot 3 facts of one.test:5000\n");
    let forgot = profile(&["forget", "one.test:5000"]).succeeded();
    assert_eq!(forgot.stdout, "nothing was known of one.test:5000\n");
    assert_eq!(
        profile(&["forget", "--all"]).succeeded().stdout,
        "forgot 2 facts\n"
    );
    assert_eq!(profile(&["show"]).succeeded().stdout, nothing.stdout);
}
