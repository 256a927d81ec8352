//! Where pushes go, by the files that say so: the real binary, and every request compared.

use std::fs;

use serde_json::json;
use server::{Action, Answer, Auth, Endpoint, Rule, RunningServer, Server};

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, NOBODY, Stage, small},
};

/// The name that is written, and that no resolver knows.
const NAMED: &str = "registry.example.test/team/app";

async fn stage() -> (Stage, Image) {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    (stage, image)
}

fn write(stage: &Stage, path: &str, text: &str) {
    let path = stage.path(".config").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn settings(stage: &Stage, text: &str) {
    write(stage, "longshore/config.toml", text);
}

async fn push(stage: &Stage, image: &Image, reference: &str, flags: &[&str]) -> Run {
    let args = [&["push", image.path(), reference, "--json"], flags].concat();
    stage.longshore(&args).await
}

/// The paths of the requests so far, each once.
fn repositories(server: &RunningServer) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for line in server.log().lines() {
        let path = line.split(' ').nth(1).unwrap();
        let repository = path.trim_start_matches("/v2/");
        let end = ["/blobs/", "/manifests/"]
            .iter()
            .find_map(|it| repository.find(it));
        let repository = repository[..end.unwrap_or(0)].to_owned();
        if !repository.is_empty() && !seen.contains(&repository) {
            seen.push(repository);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_the_first_endpoint_that_is_healthy_takes_all_of_a_push() {
    let (stage, image) = stage().await;
    let broken = Server::builder().memory().start().await.unwrap();
    let answer = Action::Answer(Answer::new(503));
    broken.faults().add(Rule::on(Endpoint::Ping).act(answer));
    let spare = Server::builder().memory().start().await.unwrap();
    let gone = format!("http://{NOBODY}");
    settings(
        &stage,
        &format!(
            "[registry.\"registry.example.test\"]\nendpoint = [\"{gone}\", \"{}\", \"{}\", \"{}\"]\nrewrite = [{{ from = \"team\", to = \"lab/team\" }}]\n",
            broken.url(),
            stage.server.url(),
            spare.url(),
        ),
    );
    let run = push(&stage, &image, &format!("{NAMED}:1"), &[])
        .await
        .succeeded();
    assert_eq!(broken.log().lines(), ["GET /v2/ → 503"], "asked once");
    assert_eq!(spare.log().requests(), 0);
    assert_eq!(stage.server.log().lines()[0], "GET /v2/ → 200");
    assert_eq!(repositories(&stage.server), ["lab/team/app"]);
    for told in [
        "is passed over: could not connect",
        "is passed over: ",
        "registry.example.test/team/app is at ",
    ] {
        assert!(run.stderr.contains(told), "{run:#?}");
    }
    let at = stage.reference("lab/team/app");
    let config = stage.path(".config/longshore/config.toml");
    assert_eq!(
        run.json()["routed"],
        json!({
            "destination": { "named": NAMED, "at": at, "decided_by": config },
            "source": null,
        })
    );
    assert_eq!(run.json()["repository"], at);
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_a_single_endpoint_costs_no_request_and_is_no_place_for_another_hosts_credentials() {
    let auth = Auth::basic("alice", "canary-endpoint");
    let server = Server::builder().memory().auth(auth).start().await.unwrap();
    let stage = Stage::with(server);
    let image = stage.image(&small());
    settings(
        &stage,
        &format!(
            "[registry.\"registry.example.test\"]\nendpoint = \"{}\"\n",
            stage.server.url()
        ),
    );
    let auths = |host: &str, password: &str| {
        let auth = base64(&format!("alice:{password}"));
        json!({ "auths": { host: { "auth": auth } } }).to_string()
    };
    fs::create_dir_all(stage.path(".docker")).unwrap();
    let config = stage.path(".docker/config.json");
    fs::write(&config, auths("registry.example.test", "canary-named")).unwrap();
    let run = push(&stage, &image, &format!("{NAMED}:1"), &[]).await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert!(!stage.server.log().saw_secret("canary-named"));

    fs::write(
        &config,
        auths(&stage.server.registry().to_string(), "canary-endpoint"),
    )
    .unwrap();
    push(&stage, &image, &format!("{NAMED}:1"), &[])
        .await
        .succeeded();
    assert!(stage.server.log().saw_secret("canary-endpoint"));
    assert_eq!(stage.server.log().calls(Endpoint::Ping), 0);
}

/// Only the alphabet of these tests.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) & 63;
            encoded.push(if at <= chunk.len() {
                char::from(ALPHABET[index as usize])
            } else {
                '='
            });
        }
    }
    encoded
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_a_layer_is_mounted_from_the_repository_as_it_is_rewritten() {
    let (stage, image) = stage().await;
    let url = stage.server.url();
    settings(
        &stage,
        &format!(
            "[registry.\"registry.example.test\"]\nendpoint = \"{url}\"\nrewrite = [{{ from = \"team\", to = \"mirror/nested/team\" }}, {{ from = \"\", to = \"rest\" }}]\n"
        ),
    );
    push(&stage, &image, "registry.example.test/base/image:1", &[])
        .await
        .succeeded();
    assert_eq!(repositories(&stage.server), ["rest/base/image"]);
    let flags = [
        "--must-mount",
        "--mount-from",
        "registry.example.test/base/image",
    ];
    let run = push(&stage, &image, &format!("{NAMED}:1"), &flags)
        .await
        .succeeded();
    assert_eq!(repositories(&stage.server), ["mirror/nested/team/app"]);
    let lines = stage.server.log().lines();
    let mounts: Vec<_> = lines.iter().filter(|it| it.contains("mount=")).collect();
    assert_eq!(mounts.len(), image.blobs().len(), "{lines:#?}");
    for mount in mounts {
        assert!(
            mount.contains("from=rest/base/image") && mount.ends_with("201"),
            "{mount}"
        );
    }
    assert!(!run.stderr.contains("nothing can be mounted"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_only_hosts_of_hosts_toml_that_take_pushes_get_any() {
    let (stage, image) = stage().await;
    let mirror = Server::builder().memory().start().await.unwrap();
    let server = Server::builder().memory().start().await.unwrap();
    let hosts = format!(
        "server = \"{}\"\n[host.\"{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n[host.\"{}/v2/cache\"]\noverride_path = true\nunheard-of = 1\n",
        server.url(),
        mirror.url(),
        stage.server.url(),
    );
    write(
        &stage,
        "containerd/certs.d/registry.example.test/hosts.toml",
        &hosts,
    );
    let run = push(&stage, &image, &format!("{NAMED}:1"), &[])
        .await
        .succeeded();
    assert_eq!(repositories(&stage.server), ["cache/team/app"]);
    assert_eq!(mirror.log().requests() + server.log().requests(), 0);
    assert!(run.stderr.contains("the key \"unheard-of\""), "{run:#?}");

    // Nor is it read from where pushes do not go: the mirror may be old.
    let from = format!("docker://{NAMED}:1");
    let to = stage.reference("copy/app:1");
    stage.longshore(&["push", &from, &to]).await.succeeded();
    assert_eq!(repositories(&stage.server), ["cache/team/app", "copy/app"]);
    assert_eq!(mirror.log().requests() + server.log().requests(), 0);

    write(
        &stage,
        "containerd/certs.d/registry.example.test/hosts.toml",
        "server = \"http://127.0.0.1:1\"\ncapabilities = [\"pull\"]\n",
    );
    let run = push(&stage, &image, &format!("{NAMED}:1"), &[]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("takes pushes"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_locations_of_registries_conf_are_read_from_and_pushed_to_only_where_it_is_said_so() {
    let (stage, image) = stage().await;
    let conf = format!(
        "[[registry]]\nprefix = \"registry.example.test/team\"\nlocation = \"{}/mirror\"\n",
        stage.server.registry()
    );
    write(&stage, "containers/registries.conf", &conf);
    let run = push(
        &stage,
        &image,
        &format!("{NAMED}:1"),
        &["--connect-timeout", "1s"],
    )
    .await;
    assert_eq!(
        run.code,
        Some(7),
        "it is sent where it says, which nobody knows: {run:#?}"
    );
    assert_eq!(stage.server.log().requests(), 0);

    settings(&stage, "push-to-locations = true\n");
    push(&stage, &image, &format!("{NAMED}:1"), &[])
        .await
        .succeeded();
    assert_eq!(repositories(&stage.server), ["mirror/app"]);

    settings(&stage, "");
    let to = stage.reference("copy/app:1");
    let run = stage
        .longshore(&["push", &format!("docker://{NAMED}:1"), &to, "--json"])
        .await
        .succeeded();
    let seen = repositories(&stage.server);
    assert_eq!(seen, ["mirror/app", "copy/app"]);
    assert_eq!(run.json()["routed"]["source"]["named"], NAMED);
    // Its layers are mounted from where they are, not from where they are named.
    let lines = stage.server.log().lines();
    assert!(
        lines.iter().any(|it| it.contains("from=mirror/app")),
        "{lines:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_what_is_blocked_is_refused_by_its_file_and_nothing_is_sent() {
    let (stage, image) = stage().await;
    let host = stage.server.registry();
    write(
        &stage,
        "containers/registries.conf.d/no.conf",
        &format!("[[registry]]\nlocation = \"{host}\"\nblocked = true\n"),
    );
    write(&stage, "containers/registries.conf", "");
    let reference = stage.reference("app:1");
    let run = push(&stage, &image, &reference, &[]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("is blocked: ") && run.stderr.contains("no.conf says so"),
        "{run:#?}"
    );
    let run = stage
        .longshore(&[
            "push",
            &format!("docker://{reference}"),
            "registry.example.test/app",
        ])
        .await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_insecure_is_spoken_to_over_tls_first_and_without_where_there_is_none() {
    let (certificate, key) = crate::hosts::pair();
    let tls = Server::builder()
        .memory()
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let tls = Stage::with(tls.start().await.unwrap());
    let plain = Stage::new().await;
    for (stage, fallback) in [(&tls, false), (&plain, true)] {
        let image = stage.image(&small());
        let host = stage.server.registry();
        write(
            stage,
            "containers/registries.conf",
            &format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"),
        );
        let run = push(stage, &image, &stage.reference("app:1"), &[])
            .await
            .succeeded();
        assert_eq!(
            run.stderr.contains("is passed over: no TLS"),
            fallback,
            "{run:#?}"
        );
        assert_eq!(repositories(&stage.server), ["app"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_ca_of_hosts_toml_and_its_client_certificate_are_for_its_host() {
    let (certificate, key) = crate::hosts::pair();
    let server = Server::builder()
        .memory()
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let stage = Stage::with(server.start().await.unwrap());
    let image = stage.image(&small());
    let hosts = |more: &str| format!("[host.\"https://{}\"]\n{more}", stage.server.registry());
    let directory = "containerd/certs.d/registry.example.test";
    let file = format!("{directory}/hosts.toml");
    write(&stage, &format!("{directory}/ca.pem"), &certificate);
    write(
        &stage,
        &format!("{directory}/both.pem"),
        &(certificate.clone() + &key),
    );
    write(&stage, &file, "server = \"https://127.0.0.1:1\"");
    let named = format!("{NAMED}:1");
    for (more, code) in [
        ("capabilities = [\"push\"]", 7),
        ("ca = \"ca.pem\"", 0),
        ("ca = [\"ca.pem\"]\nclient = \"both.pem\"", 0),
        (
            "ca = \"ca.pem\"\nclient = [[\"both.pem\", \"both.pem\"]]",
            0,
        ),
        ("skip_verify = true", 0),
        // What is missing takes nothing away from the system's, and is told of.
        ("ca = \"gone.pem\"", 7),
        ("client = [[\"ca.pem\", \"ca.pem\"]]", 2),
    ] {
        write(
            &stage,
            &file,
            &format!("server = \"https://127.0.0.1:1\"\n{}", hosts(more)),
        );
        let run = push(&stage, &image, &named, &["--connect-timeout", "2s"]).await;
        assert_eq!(run.code, Some(code), "{more}: {run:#?}");
        assert_eq!(
            run.stderr.contains("gone.pem is not there"),
            more.contains("gone"),
            "{run:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_certificates_in_containerds_directory_count_without_a_hosts_toml() {
    let (certificate, key) = crate::hosts::pair();
    let server = Server::builder().memory();
    let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
    let stage = Stage::with(server.start().await.unwrap());
    let image = stage.image(&small());
    let reference = stage.reference("app:1");
    let run = push(&stage, &image, &reference, &[]).await;
    assert_ne!(run.code, Some(0), "{run:#?}");
    let host = stage.server.registry();
    let port = host.port().unwrap();
    let directory = format!("containerd/certs.d/127.0.0.1_{port}_");
    write(&stage, &format!("{directory}/ca.crt"), &certificate);
    push(&stage, &image, &reference, &[]).await.succeeded();
}

/// A CA for a registry without TLS would make no sense.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_ca_given_for_a_registry_on_this_machine_means_tls() {
    let (certificate, key) = crate::hosts::pair();
    let server = Server::builder()
        .memory()
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let stage = Stage::with(server.start().await.unwrap());
    let image = stage.image(&small());
    let ca = stage.path("ca.pem");
    fs::write(&ca, &certificate).unwrap();
    let ca = ["--ca", ca.to_str().unwrap()];
    push(&stage, &image, &stage.reference("app:1"), &ca)
        .await
        .succeeded();
    // One without TLS is not spoken to without it then, unless it is said so.
    let plain = Server::builder().memory().start().await.unwrap();
    let reference = format!("{}/app:1", plain.registry());
    let run = push(&stage, &image, &reference, &ca).await;
    assert_eq!(run.code, Some(7), "{run:#?}");
    assert!(run.stderr.contains("no TLS with"), "{run:#?}");
    assert_eq!(plain.log().requests(), 0);
    let said = [ca[0], ca[1], "--plain-http"];
    push(&stage, &image, &reference, &said).await.succeeded();
    push(&stage, &image, &format!("http://{reference}"), &ca)
        .await
        .succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_for_elsewhere_is_told_so() {
    let auth = Auth::basic("alice", "canary");
    let server = Server::builder().memory().auth(auth).start().await.unwrap();
    let stage = Stage::with(server);
    let host = stage.server.registry();
    settings(
        &stage,
        &format!("[registry.\"{host}\"]\nendpoint = \"https://in.example.test\"\n"),
    );
    let mut command = longshore(stage.home());
    command
        .args(["login", host.name(), "--username", "alice"])
        .env("LONGSHORE_PASSWORD", "canary");
    let mut command = tokio::process::Command::from(command);
    let run = finished(command.output().await.unwrap()).succeeded();
    let told = format!("pushes to {host} go to in.example.test");
    assert!(run.stderr.contains(&told), "{run:#?}");
}
