//! One exit code per cause, and the same cause in the JSON.

use longshore::oci::Tag;
use server::{Action, Answer, Auth, Bearer, Endpoint, Rule, Server};

use crate::{
    longshore::Run,
    stage::{Image, Stage, small},
};

#[track_caller]
fn ended(run: &Run, code: i32, cause: &str) {
    assert_eq!(run.code, Some(code), "{run:#?}");
    let error = &run.json()["error"];
    assert_eq!(error["cause"], cause, "{run:#?}");
    assert_eq!(error["exit_code"], code, "{run:#?}");
    assert!(
        run.stderr.lines().any(|it| it.starts_with("error: ")),
        "{run:#?}"
    );
}

async fn push(stage: &Stage, image: &Image, reference: &str) -> Run {
    let reference = stage.reference(reference);
    stage
        .longshore(&["push", image.path(), &reference, "--json"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_0_done() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let run = push(&stage, &image, "team/app:1").await;
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.json().get("error").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_1_internal() {
    let stage = Stage::new().await;
    let taken = stage.server.addr().to_string();
    let run = stage.longshore(&["serve", "--listen", &taken]).await;
    assert_eq!(run.code, Some(1), "{run:#?}");
    let told = format!("error: could not listen on {taken}\n  because ");
    assert!(run.stderr.starts_with(&told), "{run:#?}");
    assert!(
        run.stderr.contains("another program listens there"),
        "{run:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_2_usage() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let run = stage
        .longshore(&["push", image.path(), "UPPER/Case:1", "--json"])
        .await;
    ended(&run, 2, "usage");
    for (flag, told) in [
        ("--concurrency=0", "1 or more"),
        ("--must-mount=sha256", "longshore plan shows the digests"),
    ] {
        let run = stage
            .longshore(&["push", image.path(), "r.test/app:1", flag])
            .await;
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains(told), "{run:#?}");
    }
    let unknown_flag = stage.longshore(&["push", "--no-such-flag"]).await;
    assert_eq!(unknown_flag.code, Some(2));
    assert_eq!(stage.server.log().requests(), 0);
}

/// A failure of each command that prints JSON is JSON too, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn p14_every_command_with_json_tells_its_failure_as_json() {
    let stage = Stage::new().await;
    let settings = stage.path(".config/longshore/config.toml");
    std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
    std::fs::write(settings, "concurency = 3\n").unwrap();
    for command in [
        "push /no/image r.test/a:1",
        "push /no/image r.test/a:1 --dry-run",
        "plan /no/image r.test/a:1",
        "artifact push /no/file r.test/a:1 --artifact-type a/b",
        "artifact pull r.test/a:1",
        "seed r.test/a:1 --to r.test/b",
        "session list",
        "profile show",
        "host show r.test",
    ] {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.push("--json");
        let run = stage.longshore(&args).await;
        ended(&run, 2, "usage");
        assert!(run.stdout.contains("concurency"), "{run:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_3_credentials() {
    for auth in [
        Auth::basic("user", "right"),
        Auth::Bearer(Bearer::new().user("user", "right")),
    ] {
        let server = Server::builder().memory().auth(auth).start().await.unwrap();
        let stage = Stage::with(server);
        let image = stage.image(&small());
        let run = push(&stage, &image, "team/app:1").await;
        ended(&run, 3, "credentials");
        assert!(run.stderr.contains("--password-stdin"), "{run:#?}");
        assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 0);
        assert_eq!(stage.server.log().body_bytes(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_4_source_not_found() {
    let stage = Stage::new().await;
    let missing = stage.path("missing");
    let missing = missing.to_str().unwrap();
    for args in [
        &["index", "import", missing][..],
        &["translate-packages", "-f", missing],
        &["lint-windows-layer", missing],
        &["build", "-f", missing, "--output", "out.tar", "."],
    ] {
        let run = stage.longshore(args).await;
        assert_eq!(run.code, Some(4), "{args:?}: {run:#?}");
        assert_eq!(
            run.stderr,
            format!("error: there is nothing at {missing}\n")
        );
    }
    let reference = stage.reference("team/app:1");
    let run = stage
        .longshore(&["push", "/no/such/image", &reference, "--json"])
        .await;
    ended(&run, 4, "source-not-found");
    assert_eq!(stage.server.log().requests(), 0);
}

/// Whoever reads from a registry is told what to do where that fails, as who writes to one is.
#[tokio::test(flavor = "multi_thread")]
async fn p14_a_source_in_a_registry_that_gives_nothing_is_told_with_what_to_do() {
    let stage = Stage::new().await;
    let absent = stage.reference("absent/repository:1");
    let here = stage.reference("team/app:1");
    let down = "127.0.0.1:1/team/app:1";
    let manifest = || Rule::on(Endpoint::ManifestGet);
    let read = async |source: &str, code: i32, hint: &str| {
        let bases = stage.reference("bases");
        for args in [
            &["copy", source, &here][..],
            &["seed", source, "--to", &bases],
            &["push", &format!("docker://{source}"), &here],
        ] {
            let run = stage.longshore(args).await;
            assert_eq!(run.code, Some(code), "{args:?}: {run:#?}");
            let hints = run.stderr.lines().filter(|it| it.starts_with("  hint: "));
            let hints: Vec<_> = hints.collect();
            assert!(matches!(hints[..], [one] if one.contains(hint)), "{run:#?}");
        }
    };
    read(&absent, 4, "check its name and its tag").await;
    read(down, 7, "check the registry's name and port").await;
    for (status, hint) in [(401, "longshore login"), (403, "the right to pull")] {
        let answer = Answer::error(status, "DENIED", "not for you");
        let rule = manifest().act(Action::Answer(answer));
        let fault = stage.server.faults().add(rule);
        read(&absent, 3, hint).await;
        fault.remove();
    }
    assert_eq!(stage.server.log().body_bytes(), 0);
    let run = stage.longshore(&["push", "no/such/path", &here]).await;
    assert_eq!(run.code, Some(4), "{run:#?}");
    assert!(run.stderr.contains("docker://"), "{run:#?}");
}

/// A layer that its registry does not give is nothing local, and ends as any other failure of that
/// registry does, wherever the layer was to go.
#[tokio::test(flavor = "multi_thread")]
async fn p14_a_layer_that_its_registry_does_not_give_ends_as_that_registry_failed() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    push(&stage, &image, "team/app:1").await.succeeded();
    let there = Stage::new().await;
    let (from, to) = (stage.reference("team/app:1"), there.reference("app:1"));
    let layout = format!("oci:{}", stage.path("out").display());
    let bases = there.reference("bases");
    let out = stage.path("files").display().to_string();
    let (file, files) = (stage.path("a.txt"), stage.reference("team/files:1"));
    std::fs::write(&file, "a file").unwrap();
    let file = file.to_str().unwrap();
    let args = ["artifact", "push", file, &files, "--artifact-type", "a/b"];
    stage.longshore(&args).await.succeeded();
    let busy = Answer::error(429, "TOOMANYREQUESTS", "later").header("retry-after", "3600");
    let cases = [
        (Answer::error(403, "DENIED", "no"), 3, "the right to pull"),
        (busy, 8, "try again later"),
        (Answer::html(), 6, "is there a registry"),
    ];
    for (answer, code, hint) in cases {
        let rule = Rule::on(Endpoint::BlobGet).act(Action::Answer(answer));
        let fault = stage.server.faults().add(rule);
        for args in [
            &["copy", &from, &to, "--no-store"][..],
            &["copy", &from, &layout, "--no-store"],
            &["copy", &from, &to, &layout, "--no-store"],
            &["copy", &from, &layout],
            &["artifact", "pull", &files, "--output", &out],
            &["seed", &from, "--to", &bases],
        ] {
            let options = ["--json", "--no-state"];
            let run = stage.longshore(&[args, &options].concat()).await;
            assert_eq!(run.code, Some(code), "{args:?}: {run:#?}");
            assert!(run.stdout.contains(hint), "{run:#?}");
        }
        fault.remove();
    }
    assert_eq!(there.server.log().calls(Endpoint::ManifestPut), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_5_local_data() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    std::fs::remove_file(image.file(&image.blobs()[0].digest)).unwrap();
    let run = push(&stage, &image, "team/app:1").await;
    ended(&run, 5, "local-data");
    assert_eq!(stage.server.log().requests(), 0);
    // And of what is not blobs, likewise with what to do.
    for (content, told) in [(None, "incomplete"), (Some("no manifest"), "damaged")] {
        let manifest = image.file(image.digest());
        match content {
            None => std::fs::remove_file(&manifest).unwrap(),
            Some(content) => std::fs::write(&manifest, content).unwrap(),
        }
        let run = push(&stage, &image, "team/app:1").await;
        ended(&run, 5, "local-data");
        let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
        assert!(
            hint.contains(told) && hint.contains("fetch or build"),
            "{run:#?}"
        );
    }
    assert_eq!(stage.server.log().requests(), 0);
}

/// What this machine does not let be read or written is no bug of ours, whichever command it is.
#[tokio::test(flavor = "multi_thread")]
async fn p14_5_what_cannot_be_read_or_written_here_is_told_by_its_place() {
    let stage = Stage::new().await;
    let at = |name: &str| stage.path(name).to_str().unwrap().to_owned();
    let (file, within) = (at("file"), at("file/within"));
    std::fs::write(&file, "a file").unwrap();
    let reference = stage.reference("team/report:1");
    let artifact = ["artifact", "push", &file, &reference];
    let of_a_type = ["--artifact-type", "application/vnd.example.report.v1"];
    stage
        .longshore(&[&artifact[..], &of_a_type].concat())
        .await
        .succeeded();
    for (args, told) in [
        (
            &["index", "import", stage.home().to_str().unwrap()][..],
            &at(""),
        ),
        (
            &["index", "export", &at("missing/export")],
            &at("missing/export"),
        ),
        (&["store", "show", "--store", &file], &file),
        (
            &["artifact", "pull", &reference, "--output", &within],
            &within,
        ),
        (&["serve", "--store", &within], &within),
        (&["serve", "--access-log", &within], &within),
    ] {
        let run = stage.longshore(args).await;
        assert_eq!(run.code, Some(5), "{args:?}: {run:#?}");
        let told = told.trim_end_matches('/');
        assert!(run.stderr.starts_with("error: "), "{run:#?}");
        assert!(run.stderr.contains(told), "{args:?}: {run:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_6_refused() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let refusal = Answer::error(405, "UNSUPPORTED", "this repository is read-only");
    stage.server.faults().add(
        Rule::on(Endpoint::UploadPost)
            .or(Endpoint::Mount)
            .act(Action::Answer(refusal)),
    );
    let run = push(&stage, &image, "team/app:1").await;
    ended(&run, 6, "refused");
    assert!(
        run.stderr.contains("this repository is read-only"),
        "{run:#?}"
    );
    assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_7_network() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    // Bound and not listening: nobody else gets the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap();
    let reference = format!("{closed}/team/app:1");
    let run = stage
        .longshore(&["push", image.path(), &reference, "--json"])
        .await;
    ended(&run, 7, "network");
    assert!(run.stderr.contains(&closed.to_string()), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_8_rate_limited() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let wait =
        Answer::error(429, "TOOMANYREQUESTS", "come back tomorrow").header("retry-after", "86400");
    stage
        .server
        .faults()
        .add(Rule::any().act(Action::Answer(wait)));
    let run = push(&stage, &image, "team/app:1").await;
    ended(&run, 8, "rate-limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_9_gate() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let args = [
        "push",
        image.path(),
        &reference,
        "--json",
        "--max-upload-bytes",
        "1",
    ];
    ended(&stage.longshore(&args).await, 9, "gate");
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_9_a_blob_that_must_be_mounted_is_not_sent() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let (here, there) = (
        stage.reference("team/app:1"),
        stage.reference("team/other:1"),
    );
    let (from, must) = (stage.reference("team/app"), "--must-mount");
    let run = stage
        .longshore(&["push", image.path(), &here, must, "--json"])
        .await;
    ended(&run, 9, "gate");
    let log = stage.server.log();
    assert_eq!(log.blob_bytes(), 0);
    assert_eq!(log.calls(Endpoint::ManifestPut), 0);

    stage
        .longshore(&["push", image.path(), &here])
        .await
        .succeeded();
    let args = ["push", image.path(), &there, must, "--mount-from", &from];
    stage.longshore(&args).await.succeeded();
    assert_eq!(stage.server.log().blob_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_9_a_tag_that_must_not_be_moved_is_not() {
    let stage = Stage::new().await;
    let (image, reference) = (stage.image(&small()), stage.reference("team/app:1"));
    stage
        .longshore(&["push", image.path(), &reference])
        .await
        .succeeded();
    let other = stage.other_image();
    let args = ["push", other.path(), &reference, "--no-overwrite", "--json"];
    ended(&stage.longshore(&args).await, 9, "gate");
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_10_partly() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let refusal = Answer::error(403, "DENIED", "tag is immutable");
    let put = || Rule::on(Endpoint::ManifestPut);
    for rule in [
        put().path_contains("/manifests/fixed"),
        put().query_contains("tag=fixed"),
    ] {
        stage
            .server
            .faults()
            .add(rule.act(Action::Answer(refusal.clone())));
    }
    let reference = stage.reference("team/app:1");
    let args = ["push", image.path(), &reference, "-t", "fixed", "--json"];
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(10), "{run:#?}");
    let report = run.json();
    assert_eq!(report["cause"], "partly");
    let tags: Vec<Tag> = serde_json::from_value(report["tags"].clone()).unwrap();
    assert_eq!(tags, ["1".parse().unwrap()]);
    assert!(run.stderr.contains("fixed"), "{run:#?}");
}
