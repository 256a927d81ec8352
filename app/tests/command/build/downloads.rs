//! What `ADD` downloads: only what it was promised, and no error tells its secrets.

use std::{fs, path::PathBuf};

use oci::{Descriptor, Digest};
use server::{Action, Answer, Endpoint, Rule, RunningServer, Server};

use super::{OLD, Yard};
use crate::longshore::{finished, longshore};

/// A server with TLS that has one file, under a digest.
async fn file_server(yard: &Yard) -> (RunningServer, PathBuf, Descriptor) {
    let (certificate, key) = crate::hosts::pair();
    let server = Server::builder()
        .memory()
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let server = server.start().await.unwrap();
    let roots = yard.stage.path("roots.pem");
    fs::write(&roots, certificate).unwrap();
    let image = yard.stage.image(&crate::stage::small());
    let mut command = longshore(yard.stage.home());
    let reference = format!("https://{}/files:1", server.registry());
    command
        .args(["push", image.path(), &reference, "--no-state"])
        .env("SSL_CERT_FILE", &roots);
    let mut command = tokio::process::Command::from(command);
    finished(command.output().await.unwrap()).succeeded();
    server.log().clear();
    (server, roots, image.blobs().remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_add_downloads_what_it_was_promised_and_nothing_else() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let (server, roots, blob) = file_server(&yard).await;
    let host = server.addr().to_string();
    let from = format!("FROM {}:ltsc2022", yard.nanoserver());
    let url = format!("https://{host}/v2/files/blobs/{}", blob.digest);
    let build = async |add: &str, flags: &[&str]| {
        yard.dockerfile(&format!("{from}\n{add}\n"));
        let mut command = longshore(yard.stage.home());
        let to = yard.stage.reference("team/app:1");
        let context = yard.context();
        command
            .args([
                "build",
                context.to_str().unwrap(),
                "-t",
                &to,
                "--push",
                "--json",
            ])
            .args(flags)
            .env("SSL_CERT_FILE", &roots);
        let mut command = tokio::process::Command::from(command);
        finished(command.output().await.unwrap())
    };
    let trusted = ["--download-host", host.as_str()];
    let add = format!("ADD --checksum={} {url} C:/tool.bin", blob.digest);

    // Nobody said that the host may be gone to; nobody said what it should have.
    let refused = build(&add, &[]).await;
    assert!(refused.stderr.contains("private"), "{refused:#?}");
    let unsaid = build(&format!("ADD {url} C:/tool.bin"), &trusted).await;
    assert!(
        unsaid.stderr.contains("needs --checksum=sha256:"),
        "{unsaid:#?}"
    );
    assert_eq!(server.log().requests(), 0);

    let run = build(&add, &trusted).await.succeeded().json();
    let layers = run["build"]["images"][0]["layers"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(layers, 1, "{run:#}");
    assert_eq!(server.log().requests(), 1);

    let other = Digest::of(b"other");
    let wrong = format!("ADD --checksum={other} {url} C:/tool.bin");
    let wrong = build(&wrong, &trusted).await;
    assert!(
        wrong.stderr.contains(&format!("expected {other}")),
        "{wrong:#?}"
    );
    let gone = add.replace("/files/", "/gone/");
    let gone = build(&gone, &trusted).await;
    let told = "Dockerfile:2";
    assert!(
        gone.stderr.contains(told) && gone.stderr.contains("answered 404"),
        "{gone:#?}"
    );
}

/// A query may be a signature, and where a redirect leads may be anything.
#[tokio::test(flavor = "multi_thread")]
async fn b8_no_error_of_a_download_shows_what_may_be_secret() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let (server, roots, blob) = file_server(&yard).await;
    let host = server.addr().to_string();
    let from = format!("FROM {}:ltsc2022", yard.nanoserver());
    let secret = "s3cr3t-of-somebody";
    let to = |location: String| Action::Answer(Answer::new(302).header("location", location));
    for (name, action, told) in [
        ("answered", Action::Answer(Answer::new(403)), "answered 403"),
        (
            "user in a redirect",
            to(format!("https://{secret}:{secret}@{host}/x")),
            "user name in it",
        ),
        (
            "downgrade",
            to(format!("http://plain.test/x?signature={secret}")),
            "http",
        ),
        (
            "nowhere",
            to(format!("https://127.0.0.1:1/x?signature={secret}")),
            "127.0.0.1",
        ),
        (
            "scheme",
            to(format!("ftp://files.test/x?signature={secret}")),
            "ftp",
        ),
    ] {
        server
            .faults()
            .add(Rule::on(Endpoint::BlobGet).act(action).first(1));
        yard.dockerfile(&format!(
            "{from}\nADD --checksum={digest} https://{host}/v2/files/blobs/{digest}?token={secret} C:/tool.bin\n",
            digest = blob.digest
        ));
        let (context, events) = (yard.context(), yard.stage.path("events"));
        let mut command = longshore(yard.stage.home());
        command.args(["build", context.to_str().unwrap(), "-t"]);
        command.arg(yard.stage.reference("team/app:1"));
        command.args([
            "--push",
            "--json",
            "-vv",
            "--download-host",
            &host,
            "--events",
        ]);
        command.arg(&events).env("SSL_CERT_FILE", &roots);
        let mut command = tokio::process::Command::from(command);
        let run = finished(command.output().await.unwrap());
        assert_ne!(run.code, Some(0), "{name}: {run:#?}");
        assert!(run.stderr.contains(told), "{name}: {run:#?}");
        let events = fs::read_to_string(events).unwrap();
        assert!(events.contains("\"failed\""), "{events}");
        for text in [&run.stderr, &run.stdout, &events] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
    }
}
