//! Bad input: a message a person understands, and no request that writes.

use std::{fs, path::Path};

use longshore::push::source::sample::{self, SampleOptions};
use oci::Platform;
use server::{Action, Answer, Endpoint, Rule};

use crate::{
    longshore::Run,
    stage::{Stage, small},
};

/// Pushes `source` and expects `code`, `words` in the message, and not one request.
async fn refused(stage: &Stage, source: &Path, code: i32, words: &[&str]) -> Run {
    let reference = stage.reference("team/app:1");
    let run = stage
        .longshore(&["push", source.to_str().unwrap(), &reference])
        .await;
    assert_eq!(run.code, Some(code), "{run:#?}");
    for word in words {
        assert!(
            run.stderr.contains(word),
            "{word:?} is not in {}",
            run.stderr
        );
    }
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert_eq!(stage.server.log().requests(), 0);
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_neither_layout_nor_archive_is_said_to_be_what_it_is() {
    let stage = Stage::new().await;
    let (directory, text) = (stage.path("directory"), stage.path("text"));
    fs::create_dir(&directory).unwrap();
    fs::write(&text, "hello").unwrap();
    refused(&stage, &directory, 5, &["oci-layout", "docker save"]).await;
    refused(&stage, &text, 5, &["is no image", "docker save"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z7_a_missing_truncated_or_unreadable_blob_is_found_before_the_first_request() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let blob = image.blobs()[1].clone();
    let file = image.file(&blob.digest);
    let content = fs::read(&file).unwrap();
    fs::write(&file, &content[..content.len() - 1]).unwrap();
    let words = [
        &blob.digest.to_string()[..],
        "bytes long",
        "fetch or build it again",
    ];
    refused(&stage, &image.path, 5, &words).await;
    fs::remove_file(&file).unwrap();
    let words = [&blob.digest.to_string()[..], "is missing"];
    refused(&stage, &image.path, 5, &words).await;
    // There, and nothing that can be read: who runs the tests may read any file.
    fs::create_dir(&file).unwrap();
    let words = [&blob.digest.to_string()[..], "could not read"];
    refused(&stage, &image.path, 5, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n3_an_altered_blob_is_never_committed_and_no_manifest_is_put() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let blob = image.blobs()[0].clone();
    let mut content = fs::read(image.file(&blob.digest)).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(image.file(&blob.digest), content).unwrap();
    let reference = stage.reference("team/app:1");
    let run = stage.longshore(&["push", image.path(), &reference]).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert!(run.stderr.contains("is altered"), "{run:#?}");
    let log = stage.server.log();
    assert_eq!(log.calls(Endpoint::ManifestPut), 0);
    let committed = format!("digest={} → 201", blob.digest).replace(':', "%3A");
    assert!(!log.lines().iter().any(|it| it.contains(&committed)));
    assert_eq!(stage.server.open_sessions(), 0, "{:#?}", log.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_images_without_a_choice_are_listed() {
    let stage = Stage::new().await;
    let path = stage.path("image");
    for (seed, name) in [(1, "one"), (2, "two")] {
        let options = SampleOptions {
            seed,
            name: Some(name.to_owned()),
            ..small()
        };
        let root = sample::write_layout(&path, &options).unwrap();
        fs::write(stage.path(name), serde_json::to_vec(&root).unwrap()).unwrap();
    }
    let entry = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(stage.path(name)).unwrap()).unwrap()
    };
    let index = serde_json::json!({
        "schemaVersion": 2, "manifests": [entry("one"), entry("two")],
    });
    fs::write(path.join("index.json"), index.to_string()).unwrap();
    refused(&stage, &path, 2, &["one", "two", "--image NAME"]).await;

    let reference = stage.reference("team/app:1");
    let args = [
        "push",
        path.to_str().unwrap(),
        &reference,
        "--image",
        "two",
        "--json",
    ];
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["digest"], entry("two")["digest"]);
    let args = [
        "push",
        path.to_str().unwrap(),
        &reference,
        "--image",
        "three",
    ];
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(4), "{run:#?}");
    assert!(run.stderr.contains("one") && run.stderr.contains("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_platform_is_answered_with_those_there_are() {
    let stage = Stage::new().await;
    let image = stage.image(&SampleOptions {
        platforms: vec![
            Platform::new("linux", "amd64"),
            Platform::new("linux", "arm64"),
        ],
        ..small()
    });
    let reference = stage.reference("team/app:1");
    let args = [
        "push",
        image.path(),
        &reference,
        "--platform",
        "windows/amd64",
    ];
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(4), "{run:#?}");
    assert!(run.stderr.contains("linux/amd64, linux/arm64"), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_archives_are_refused_by_name() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let archive = stage.path("image.tar");
    let tar = std::process::Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .args(["-C", image.path(), "."])
        .status();
    assert!(tar.unwrap().success());
    let whole = fs::read(&archive).unwrap();

    let cut = stage.path("cut.tar");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    refused(&stage, &cut, 5, &["cut.tar"]).await;

    for (name, magic) in [
        ("broken.tar.gz", &b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..]),
        ("broken.tar.zst", &b"\x28\xb5\x2f\xfd"[..]),
    ] {
        let path = stage.path(name);
        fs::write(&path, [magic, &[0xff; 4096]].concat()).unwrap();
        refused(&stage, &path, 5, &[name]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_over_4_mib_is_refused_before_it_is_read() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let size = 4 * 1024 * 1024 + 1;
    let file = image.file(image.digest());
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(size)
        .unwrap();
    let index = image.path.join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    let was = format!("\"size\":{}", image.document.bytes().len());
    assert!(text.contains(&was));
    fs::write(&index, text.replace(&was, &format!("\"size\":{size}"))).unwrap();
    refused(&stage, &image.path, 5, &["4 MiB"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z11_malformed_references_are_refused_with_nothing_sent() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let host = stage.server.registry().to_string();
    let cases = [
        (String::new(), "empty"),
        ("::x".to_owned(), "::x"),
        (format!("{host}/Team/App:1"), "upper-case"),
        (format!("{host}/team/app:bad tag"), "bad tag"),
        (
            format!("{host}/team/app@sha256:123"),
            "64 lower-case hex digits",
        ),
    ];
    for (reference, word) in cases {
        let run = stage.longshore(&["push", image.path(), &reference]).await;
        assert_eq!(run.code, Some(2), "{reference}: {run:#?}");
        assert!(run.stderr.contains(word), "{reference}: {run:#?}");
        assert_eq!(stage.server.log().requests(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_with_another_digest_is_refused_with_nothing_sent() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let other = oci::Digest::of(b"other");
    let reference = stage.reference(&format!("team/app@{other}"));
    let run = stage.longshore(&["push", image.path(), &reference]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains(&image.digest().to_string()), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_is_not_a_registry() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    stage
        .server
        .faults()
        .add(Rule::any().act(Action::Answer(Answer::html())));
    let reference = stage.reference("team/app:1");
    let run = stage.longshore(&["push", image.path(), &reference]).await;
    assert_eq!(run.code, Some(6), "{run:#?}");
    assert!(
        run.stderr.contains("is there a registry at this address"),
        "{run:#?}"
    );
    assert_eq!(stage.server.log().body_bytes(), 0);
}

/// What no registry answers, from the first request on: an error, and not one write.
#[tokio::test(flavor = "multi_thread")]
async fn endless_answers_and_redirects_in_circles_end_with_nothing_written() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let circle = Answer::redirect(307, "/v2/team/app/manifests/1");
    let cases = [
        (Action::HugeHeader(1 << 20), "head is too long"),
        (Action::EndlessBody, "is over 4194304 bytes"),
        (Action::Answer(circle), "more than 5 redirects"),
    ];
    for (action, words) in cases {
        let fault = stage.server.faults().add(Rule::any().act(action));
        // Without state the first request is a question.
        let run = stage
            .longshore(&["push", image.path(), &reference, "--json", "--no-state"])
            .await;
        fault.remove();
        assert_eq!(run.code, Some(6), "{run:#?}");
        assert_eq!(run.json()["error"]["cause"], "refused");
        assert!(run.stderr.contains(words), "{words}: {run:#?}");
        assert!(!run.stderr.contains("token service"), "{run:#?}");
        let log = stage.server.log();
        let methods = log.by_method();
        assert!(
            methods.keys().all(|it| it == "HEAD" || it == "GET"),
            "{words}: {methods:?}"
        );
    }
}

/// The one way out of where a registry must not lead to that is a user's to take.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_service_of_another_domain_is_told_with_how_it_would_be_trusted() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let challenge = r#"Bearer realm="https://tokens.other.test/token",service="r""#;
    let answer = Answer::error(401, "UNAUTHORIZED", "who?").header("www-authenticate", challenge);
    stage
        .server
        .faults()
        .add(Rule::any().act(Action::Answer(answer)));
    let reference = stage.reference("team/app:1");
    let mut command = tokio::process::Command::from(crate::longshore::longshore(stage.home()));
    command
        .args(["push", image.path(), &reference])
        .env("LONGSHORE_USERNAME", "user")
        .env("LONGSHORE_PASSWORD", "canary");
    let run = crate::longshore::finished(command.output().await.unwrap());
    assert_eq!(run.code, Some(6), "{run:#?}");
    assert!(run.stderr.contains("--trust-token-service"), "{run:#?}");
    assert!(!run.stderr.contains("canary"), "{run:#?}");
    assert_eq!(stage.server.log().body_bytes(), 0);
}

/// A registry that repeats what it was sent does so to who sent it, not to who reads the log.
#[tokio::test(flavor = "multi_thread")]
async fn r10_an_error_that_repeats_the_credentials_is_told_without_them() {
    let auth = server::Auth::basic("user", "canary-4711");
    let server = server::Server::builder().memory().auth(auth);
    let stage = Stage::with(server.start().await.unwrap());
    let image = stage.image(&small());
    // `user:canary-4711`
    let sent = "dXNlcjpjYW5hcnktNDcxMQ==";
    let answer = Answer::error(
        400,
        "MANIFEST_INVALID",
        &format!("authorization: Basic {sent}"),
    );
    let rule = Rule::on(Endpoint::ManifestPut).act(Action::Answer(answer));
    stage.server.faults().add(rule);
    let reference = stage.reference("team/app:1");
    for form in ["--quiet", "--json"] {
        let mut command = tokio::process::Command::from(crate::longshore::longshore(stage.home()));
        command
            .args(["push", image.path(), &reference, "-vv", form])
            .env("LONGSHORE_USERNAME", "user")
            .env("LONGSHORE_PASSWORD", "canary-4711");
        let run = crate::longshore::finished(command.output().await.unwrap());
        assert_eq!(run.code, Some(6), "{run:#?}");
        assert!(run.stderr.contains("MANIFEST_INVALID"), "{run:#?}");
        assert!(run.stderr.contains("not shown"), "{run:#?}");
        for secret in [sent, "canary-4711"] {
            assert!(!run.stderr.contains(secret) && !run.stdout.contains(secret));
        }
    }
}

/// The bytes go where the registry says, the password does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_location_on_another_host_gets_no_credentials() {
    let server = server::Server::builder()
        .memory()
        .auth(server::Auth::basic("user", "canary"))
        .start()
        .await
        .unwrap();
    let stage = Stage::with(server);
    let other = Stage::new().await;
    let image = stage.image(&small());
    let elsewhere = format!("http://{}", other.server.addr());
    stage.server.faults().add(
        Rule::on(Endpoint::UploadPost)
            .or(Endpoint::Mount)
            .act(Action::MoveLocation(elsewhere)),
    );
    let reference = stage.reference("team/app:1");
    let mut command = tokio::process::Command::from(crate::longshore::longshore(stage.home()));
    command
        .args(["push", image.path(), &reference, "-vv"])
        .env("LONGSHORE_USERNAME", "user")
        .env("LONGSHORE_PASSWORD", "canary");
    let run = crate::longshore::finished(command.output().await.unwrap());
    // The other host knows of no such session.
    assert_eq!(run.code, Some(6), "{run:#?}");
    assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"));
    let moved = other.server.log().entries();
    assert!(!moved.is_empty());
    for entry in moved {
        assert_eq!(entry.headers.authorization, server::Authorization::None);
    }
    assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 0);
}

/// Such an entry is written by hand: no `tar` puts one into an archive.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_entry_that_leads_out_of_it_is_refused_by_name() {
    let stage = Stage::new().await;
    let archive = stage.path("image.tar");
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..9].copy_from_slice(b"../escape");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    fs::write(&archive, bytes).unwrap();
    refused(&stage, &archive, 5, &["image.tar", "../escape"]).await;
}

/// The parser's own text would show the line it stumbled over.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_settings_file_that_is_malformed_is_not_shown() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let settings = stage.path("settings.toml");
    let reference = stage.reference("team/app:1");
    let cases = [
        ("proxy = \"http://me:canary@p.test\n", "line 2, column 33: "),
        (
            "proxy = [\"http://me:canary@p.test\"]\n",
            "line 2, column 9: ",
        ),
        ("plain-http = \"canary\"\n", "line 2, column 14: "),
    ];
    for (line, place) in cases {
        fs::write(&settings, format!("[registry.\"r.test\"]\n{line}")).unwrap();
        for more in [&["--json"][..], &["-vv"]] {
            let mut command =
                tokio::process::Command::from(crate::longshore::longshore(stage.home()));
            command
                .args(["push", image.path(), &reference])
                .args(more)
                .env("LONGSHORE_CONFIG", &settings);
            let run = crate::longshore::finished(command.output().await.unwrap());
            assert_eq!(run.code, Some(2), "{run:#?}");
            assert!(run.stderr.contains(place), "{run:#?}");
            assert!(run.stderr.contains("settings.toml"), "{run:#?}");
            assert_eq!(run.stdout.contains(place), more == ["--json"], "{run:#?}");
            let told = run.stderr + &run.stdout;
            assert!(!told.contains("canary"), "{told}");
        }
    }
    assert_eq!(stage.server.log().requests(), 0);
}

/// What was written is not dropped on the quiet: neither a demand for TLS nor one to do without.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_in_a_registry_has_no_scheme_of_its_own() {
    let stage = Stage::new().await;
    for scheme in ["https://", "http://"] {
        let source = format!("docker://{scheme}{}", stage.reference("team/app:1"));
        let words = [&source, "leave it out", "plain-http = true"];
        refused(&stage, Path::new(&source), 2, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_for_a_registry_is_an_error_that_says_what_to_do() {
    let stage = Stage::new().await;
    let image = stage.image(&SampleOptions {
        layers: 1,
        layer_bytes: 1 << 20,
        ..SampleOptions::default()
    });
    let too_long = Action::LimitBody(256 << 10, Answer::new(413));
    stage.server.faults().add(Rule::any().act(too_long));
    let reference = stage.reference("team/app:1");
    let push = ["push", image.path(), &reference, "--chunk-size"];
    let run = stage.longshore(&[&push[..], &["0"]].concat()).await;
    assert_eq!(run.code, Some(6), "{run:#?}");
    assert!(run.stderr.contains("--chunk-size auto"), "{run:#?}");
    // And so it is.
    let run = stage.longshore(&[&push[..], &["auto"]].concat()).await;
    run.succeeded();
}
