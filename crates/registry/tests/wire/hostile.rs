//! Registries that are none, or mean harm: typed errors, bounds, and nothing tried for ever.

use std::time::Duration;

use longshore_registry::Timeouts;
use oci::{PushTarget, Source, TagOrDigest, TargetErrorKind};
use server::{Action, Answer, Endpoint, Rule, Server, Validation};
use tokio::net::TcpSocket;

use crate::{
    fixture::{Blobs, blob, client, manifest, quick, registry, repository, start, upload},
    scripted::{Reply, Scripted, reply},
};

fn latest() -> TagOrDigest {
    TagOrDigest::Tag(oci::Tag::latest())
}

#[tokio::test]
async fn an_html_page_is_no_registrys_answer() {
    let server = registry().await;
    server
        .faults()
        .add(Rule::any().act(Action::Answer(Answer::html())));
    let client = client();
    let here = repository(&server, "app");
    let (target, reader) = (client.push_target(&here), client.repository(&here));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let document = manifest(&[]);
    let session = oci::UploadSession::new(format!("{}/v2/app/blobs/uploads/1", server.url()));
    let in_session = upload(&layer, &source).in_session(Some(session));
    let errors = [
        ("has_blob", target.has_blob(&layer).await.unwrap_err()),
        (
            "has_manifest",
            target.has_manifest(&latest()).await.unwrap_err(),
        ),
        ("mount", target.mount_blob(&layer, &here).await.unwrap_err()),
        (
            "post",
            target
                .upload_blob(upload(&layer, &source))
                .await
                .unwrap_err(),
        ),
        ("put", target.upload_blob(in_session).await.unwrap_err()),
        (
            "manifest",
            target.put_manifest(&document, None).await.unwrap_err(),
        ),
        ("get", reader.manifest(&latest()).await.unwrap_err()),
        ("tags", reader.tags().await.unwrap_err()),
    ];
    for (what, error) in errors {
        assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{what}: {error}");
        assert!(!error.retryable());
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("HTML"), "{what}: {cause}");
    }
    assert!(reader.open_blob(&layer, 0).await.is_err());
    assert_eq!(server.log().requests(), 9);
}

#[tokio::test]
async fn a_202_without_a_location_opens_no_session() {
    let server = registry().await;
    let omit = Rule::on(Endpoint::UploadPost).act(Action::OmitHeader("location".to_owned()));
    server.faults().add(omit);
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol);
    assert_eq!(server.log().requests(), 1);
}

#[tokio::test]
async fn a_location_that_leads_nowhere_good_is_not_gone_to() {
    let (layer, content) = blob(1, 1000);
    for location in [
        "ftp://x.test/1",
        "https://[::1",
        "http://u:p@127.0.0.1/1",
        "javascript:1",
    ] {
        let server = registry().await;
        let set = Action::SetHeader("location".to_owned(), location.to_owned());
        server.faults().add(Rule::on(Endpoint::UploadPost).act(set));
        let target = client().push_target(&repository(&server, "app"));
        let source = Blobs::one(&layer, &content);
        let error = target
            .upload_blob(upload(&layer, &source))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Unsafe, "{location}");
        assert_eq!(server.log().requests(), 1, "{location}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_asked_for_is_refused() {
    let server = start(Server::builder().memory().validation(Validation::AcceptAll)).await;
    let client = client();
    let here = repository(&server, "app");
    let (document, other) = (manifest(&[]), manifest(&[blob(1, 10).0]));
    let other = Answer::new(200)
        .header("content-type", other.media_type().as_str())
        .body(other.bytes().clone());
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestGet).act(Action::Answer(other)));
    let at = TagOrDigest::Digest(document.digest().clone());
    let error = client.repository(&here).manifest(&at).await.unwrap_err();
    assert!(
        matches!(error.kind(), TargetErrorKind::DigestMismatch { .. }),
        "{error}"
    );

    let reference = here.with_digest(document.digest().clone());
    let source = client.source(&reference, None);
    assert!(source.root().await.is_err());
    assert!(source.document(document.descriptor()).await.is_err());
}

#[tokio::test]
async fn what_is_no_manifest_is_no_manifest() {
    let server = registry().await;
    let here = client().repository(&repository(&server, "app"));
    let json = |body: &str| {
        let answer = Answer::new(200).header("content-type", "application/json");
        Action::Answer(answer.body(body.to_owned()))
    };
    for body in [
        "{}",
        "[]",
        "not json",
        r#"{"manifests":[],"layers":[],"schemaVersion":2}"#,
    ] {
        server.faults().clear();
        server
            .faults()
            .add(Rule::on(Endpoint::ManifestGet).act(json(body)));
        let error = here.manifest(&latest()).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{body}: {error}");
    }
}

#[tokio::test]
async fn endless_bodies_are_cut() {
    let server = registry().await;
    let here = repository(&server, "app");
    let reader = client().repository(&here);
    server.faults().add(Rule::any().act(Action::EndlessBody));
    let error = reader.manifest(&latest()).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{error}");
    assert!(reader.tags().await.is_err());
    let (layer, _) = blob(1, 1000);
    let opened = reader.open_blob(&layer, 0).await;
    let read: Vec<_> = futures_util::StreamExt::collect(opened.unwrap()).await;
    assert!(matches!(
        read.last(),
        Some(Err(oci::SourceError::WrongSize { .. }))
    ));

    // An error without end is an error all the same.
    let endless = Scripted::start(|_| {
        Reply::raw("HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n")
            .endless(b"10\r\n0123456789abcdef\r\n")
    })
    .await;
    let target = client().push_target(&endless.repository("app"));
    let error = target.put_manifest(&manifest(&[]), None).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&TargetErrorKind::Refused, Some(400))
    );
}

/// A body that drips may not hold a request for longer than one that does not come at all.
#[tokio::test]
async fn a_dripping_error_body_is_not_waited_for() {
    let dripping = Scripted::start(|_| {
        Reply::raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 60000\r\n\r\n{\"err")
    })
    .await;
    let timeouts = Timeouts::default().with_idle(Duration::from_millis(200));
    let client = quick().timeouts(timeouts).build().unwrap();
    let target = client.push_target(&dripping.repository("app"));
    let error = target.put_manifest(&manifest(&[]), None).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&TargetErrorKind::Refused, Some(400))
    );
}

#[tokio::test]
async fn endless_headers_are_cut() {
    let many = Scripted::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\n").endless(b"X-More: and more and more and more\r\n")
    })
    .await;
    let long =
        Scripted::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nX-Long: ").endless(b"xxxxxxxx")).await;
    for repository in [many.repository("app"), long.repository("app")] {
        let target = client().push_target(&repository);
        let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{error}");
        assert!(!error.retryable());
    }
    assert_eq!((many.lines().len(), long.lines().len()), (1, 1));
}

#[tokio::test]
async fn a_huge_header_is_no_answer() {
    let server = registry().await;
    let huge = Rule::any().act(Action::HugeHeader(1024 * 1024));
    server.faults().add(huge);
    let target = client().push_target(&repository(&server, "app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{error:?}");
    assert!(!error.retryable());
    assert_eq!(server.log().requests(), 1);
}

#[tokio::test]
async fn what_does_not_speak_http_is_no_registry() {
    let ssh = Scripted::start(|_| Reply::raw("SSH-2.0-OpenSSH_9.9\r\n").slam()).await;
    let target = client().push_target(&ssh.repository("app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{error}");
    assert_eq!(ssh.lines().len(), 1);
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_no_body() {
    let short =
        Scripted::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").slam())
            .await;
    let reader = client().repository(&short.repository("app"));
    let error = reader.manifest(&latest()).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_network_error_and_nothing_else() {
    // Bound and not listening: nobody else gets the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let repository = format!("{address}/app").parse::<oci::Repository>().unwrap();
    let client = client();
    let target = client.push_target(&repository);
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
    assert!(error.retryable());
    assert_eq!(error.sent(), 0);
    assert_eq!(source.opened(), []);
    assert_eq!(client.traffic().total.connections, 0);
    assert_eq!(client.traffic().total.retries, 4);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_network_error() {
    let repository = "registry.invalid/app".parse::<oci::Repository>().unwrap();
    let target = client().push_target(&repository);
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
}

#[tokio::test]
async fn a_blob_of_another_length_is_not_held() {
    let (layer, _) = blob(1, 1000);
    for (head, expected) in [
        ("200 OK", oci::Presence::Unknown),
        ("404 Not Found", oci::Presence::Absent),
        ("405 Method Not Allowed", oci::Presence::Unknown),
    ] {
        let server = Scripted::start(move |_| reply(head, "")).await;
        let target = client().push_target(&server.repository("app"));
        assert_eq!(target.has_blob(&layer).await.unwrap(), expected, "{head}");
    }
}
