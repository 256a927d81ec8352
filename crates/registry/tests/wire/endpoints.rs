//! Endpoints of their own kind: an API at another path, headers of one registry, whether one is
//! there at all.

use longshore_registry::{BuildError, CredentialStore, Credentials};
use oci::{MountOutcome, PushTarget, TargetErrorKind};
use server::{Action, Answer, Auth, Endpoint, Rule, Server};

use crate::{
    fixture::{Blobs, blob, client, manifest, quick, registry, repository, start, upload},
    scripted::{Scripted, reply},
};

#[tokio::test]
async fn r4_an_api_at_another_path_is_spoken_to_there_alone_mounts_included() {
    let (layer, content) = blob(1, 1000);
    let document = manifest(std::slice::from_ref(&layer));
    let taken = format!("200 OK\r\nDocker-Content-Digest: {}", document.digest());
    let endpoint = Scripted::start(move |head| {
        let here = "/odd/registry/v2/mirror/app";
        match head.split(' ').collect::<Vec<_>>()[..] {
            ["POST", path, ..] if path.contains("mount=") => {
                reply("202 Accepted\r\nLocation: 1", "")
            }
            ["POST", ..] => {
                let location = format!("202 Accepted\r\nLocation: {here}/blobs/uploads/2");
                reply(&location, "")
            }
            ["PUT", ..] => reply("201 Created", ""),
            ["HEAD", path, ..] if path.contains("/manifests/") => reply(&taken, ""),
            _ => reply("404 Not Found", ""),
        }
    })
    .await;
    let client = quick().api_path(endpoint.registry(), "/odd/registry/v2/");
    let client = client.build().unwrap();
    let target = client.push_target(&endpoint.repository("mirror/app"));
    let from = endpoint.repository("mirror/base/deep");
    let mounted = target.mount_blob(&layer, &from).await.unwrap();
    assert!(matches!(mounted, MountOutcome::Refused(Some(_))));
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let tag = "1".parse().unwrap();
    target.put_manifest(&document, Some(&tag)).await.unwrap();

    let api = "/odd/registry/v2/mirror/app";
    let digest = layer.digest.to_string().replace(':', "%3A");
    assert_eq!(
        endpoint.lines(),
        [
            format!("POST {api}/blobs/uploads/?mount={digest}&from=mirror%2Fbase%2Fdeep"),
            format!("POST {api}/blobs/uploads/"),
            format!("PUT {api}/blobs/uploads/2?digest={digest}"),
            format!("PUT {api}/manifests/1"),
            format!("HEAD {api}/manifests/1"),
        ]
    );
}

#[tokio::test]
async fn r4_headers_of_one_registry_go_to_it_and_to_no_other_and_are_not_shown() {
    let elsewhere = Scripted::start(|_| reply("201 Created", "")).await;
    let away = format!("202 Accepted\r\nLocation: {}/session", elsewhere.url());
    let own = Scripted::start(move |_| reply(&away, "")).await;
    let other = registry().await;
    let builder = quick().header_for(&own.registry(), "X-Team", "canary");
    assert!(!format!("{builder:?}").contains("canary"));
    let client = builder.build().unwrap();
    assert!(!format!("{client:?}").contains("canary"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let target = client.push_target(&own.repository("app"));
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let target = client.push_target(&repository(&other, "app"));
    target.upload_blob(upload(&layer, &source)).await.unwrap();

    assert_eq!(own.lines().len(), 1);
    assert!(own.heads().contains("x-team: canary"), "{}", own.heads());
    assert_eq!(
        elsewhere.lines(),
        [format!(
            "PUT /session?digest={}",
            layer.digest.to_string().replace(':', "%3A")
        )]
    );
    assert!(!elsewhere.heads().contains("canary"));
    assert!(!other.log().saw_secret("canary"));
}

#[tokio::test]
async fn r4_whether_an_endpoint_is_there_is_asked_once_and_without_credentials() {
    let auth = Auth::basic("alice", "canary");
    let server = start(Server::builder().memory().auth(auth)).await;
    let login = Credentials::password("alice", "canary");
    let login = CredentialStore::new().with(server.registry(), login);
    let client = quick().credentials(login).build().unwrap();
    // That it wants credentials is an answer, and one that is there.
    client.reachable(&server.registry()).await.unwrap();
    assert_eq!(server.log().lines(), ["GET /v2/ → 401"]);
    assert!(!server.log().saw_secret("canary"));

    let broken = Rule::on(Endpoint::Ping).act(Action::Answer(Answer::new(503)));
    server.faults().add(broken);
    server.log().clear();
    client.reachable(&server.registry()).await.unwrap_err();
    assert_eq!(server.log().requests(), 1, "it is not asked again");
}

#[tokio::test]
async fn r4_an_endpoint_that_is_gone_is_unreachable() {
    // Nobody listens there: a port that was free a moment ago may be another test's by now.
    let name: oci::Registry = "127.0.0.1:1".parse().unwrap();
    let error = client().reachable(&name).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network);
    assert!(
        error.to_string().contains(&format!("reach {name}")),
        "{error}"
    );
}

#[test]
fn what_cannot_be_a_path_or_a_header_is_refused_and_its_value_not_told() {
    let own: oci::Registry = "r.test".parse().unwrap();
    for path in ["v2", "/a/../v2", "/v2?x", "/a b"] {
        let error = quick().api_path(own.clone(), path).build().unwrap_err();
        assert!(matches!(error, BuildError::ApiPath(told) if told == path));
    }
    for (name, value) in [("X-Team", "canary\r\nX: y"), ("not a name", "canary")] {
        let error = quick().header_for(&own, name, value).build().unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"));
        assert!(error.to_string().contains(name));
    }
}
