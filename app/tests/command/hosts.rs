//! Certificates of registries, where Docker and podman look for them, and by flags.

use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use server::Server;

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, Stage, small},
};

/// A registry with TLS, an image, and the certificate to trust it by.
async fn stage() -> (Stage, Image, String) {
    let (certificate, key) = pair();
    let server = Server::builder()
        .memory()
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let stage = Stage::with(server.start().await.unwrap());
    let image = stage.image(&small());
    (stage, image, certificate)
}

pub(crate) fn pair() -> (String, String) {
    let names = vec!["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Where podman keeps what is known of the stage's registry.
fn of_host(stage: &Stage, name: &str) -> std::path::PathBuf {
    let directory = format!(".config/containers/certs.d/{}", stage.server.registry());
    stage.path(&directory).join(name)
}

/// Pushes over TLS; the system's certificates are those in `system`.
async fn push(stage: &Stage, image: &Image, system: &str, flags: &[&str]) -> Run {
    let roots = stage.path("system.pem");
    write(&roots, system);
    let mut command = longshore(stage.home());
    let reference = format!("https://{}", stage.reference("team/app:1"));
    command
        .args(["push", image.path(), &reference])
        .args(flags)
        .env("SSL_CERT_FILE", &roots);
    let mut command = tokio::process::Command::from(command);
    finished(command.output().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_directory_of_certificates_and_the_systems_are_both_trusted() {
    let (stage, image, own) = stage().await;
    let (other, _) = pair();
    let run = push(&stage, &image, &other, &[]).await;
    assert_eq!(run.code, Some(7), "{run:#?}");
    let refused = format!("no TLS with {}: its certificate", stage.server.registry());
    assert!(run.stderr.contains(&refused), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);

    // The directory vouches, and then the system does, beside what the directory says.
    write(&of_host(&stage, "ca.crt"), &own);
    push(&stage, &image, &other, &[]).await.succeeded();
    write(&of_host(&stage, "ca.crt"), &other);
    push(&stage, &image, &own, &[]).await.succeeded();
    fs::remove_file(of_host(&stage, "ca.crt")).unwrap();
    push(&stage, &image, &own, &[]).await.succeeded();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_missing_ca_file_keeps_the_systems_and_is_told_of() {
    let (stage, image, own) = stage().await;
    write(&of_host(&stage, "there"), "");
    std::os::unix::fs::symlink("/not/there", of_host(&stage, "gone.crt")).unwrap();
    let settings = format!(
        "[registry.\"{}\"]\nca = \"/not/there/either\"\n",
        stage.server.registry()
    );
    write(&stage.path(".config/longshore/config.toml"), &settings);
    let run = push(&stage, &image, &own, &[]).await.succeeded();
    for told in ["gone.crt is not there", "/not/there/either is not there"] {
        assert!(run.stderr.contains(told), "{run:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_client_certificate_without_its_key_stops_before_anything_is_sent() {
    let (stage, image, own) = stage().await;
    write(&of_host(&stage, "client.cert"), &own);
    let run = push(&stage, &image, &own, &[]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("client.key that belongs to it"),
        "{run:#?}"
    );
    let run = push(&stage, &image, &own, &["--cert", image.path()]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("--key <FILE>"), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}

/// PEM around bytes that are no certificate.
const GARBAGE: &str = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n";
/// No PEM at all.
const GARBAGE_PEM: &str = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";

#[tokio::test(flavor = "multi_thread")]
async fn r5_what_is_no_certificate_is_told_of_by_file_and_place_before_anything_is_sent() {
    let (stage, image, own) = stage().await;
    let file = stage.path("ca.pem");
    write(&file, &format!("{own}{GARBAGE}"));
    let by_flag = ["--ca", file.to_str().unwrap()];
    let run = push(&stage, &image, &own, &by_flag).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    let place = format!("{} cannot be used", file.display());
    assert!(run.stderr.contains(&place), "{run:#?}");
    assert!(run.stderr.contains("certificate 2 of it"), "{run:#?}");
    write(&file, "nonsense");
    let run = push(&stage, &image, &own, &by_flag).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains(&place), "{run:#?}");

    write(&of_host(&stage, "ca.crt"), GARBAGE);
    let run = push(&stage, &image, &own, &[]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("ca.crt cannot be used"), "{run:#?}");
    assert!(run.stderr.contains("certificate 1 of it"), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_the_system_has_no_certificates_is_told_where_nothing_else_vouches() {
    let (stage, image, own) = stage().await;
    let run = push(&stage, &image, GARBAGE_PEM, &[]).await;
    assert_eq!(run.code, Some(7), "{run:#?}");
    assert!(
        run.stderr
            .contains("the system has no trusted certificates ("),
        "{run:#?}"
    );
    assert!(run.stderr.contains("failed to read PEM"), "{run:#?}");
    // One that was given will do.
    write(&of_host(&stage, "ca.crt"), &own);
    push(&stage, &image, GARBAGE_PEM, &[]).await.succeeded();
}
