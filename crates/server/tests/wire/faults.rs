//! Faults, as a client sees them.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod differences;
#[cfg(test)]
mod profiles;

use std::{io::ErrorKind, time::Duration};

use longshore_server::{Action, Answer, Endpoint, Installation, Outcome, Rule, Server};
use oci::Digest;
use tokio::io::AsyncReadExt as _;

use crate::client::{Reply, TestReg, with_digest};

async fn with(rule: Rule, action: Action) -> (TestReg, Installation) {
    let reg = TestReg::new().await;
    let installed = reg.server.faults().add(rule.act(action));
    (reg, installed)
}

fn last_outcome(reg: &TestReg) -> Outcome {
    reg.server.log().entries().last().unwrap().outcome
}

#[tokio::test]
async fn a_scripted_answer_comes_instead_and_nothing_is_done() {
    let busy = Answer::error(503, "TOOMANYREQUESTS", "later").header("retry-after", "7");
    let rule = Rule::on(Endpoint::UploadPut).nth(2);
    let (reg, fault) = with(rule, Action::Answer(busy)).await;
    reg.push("app", b"first").await;
    let location = reg.open("app").await;
    let digest = Digest::of(b"second");
    let refused = reg.put_blob(&location, &digest, b"second").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "7"));
    assert_eq!(refused.codes(), ["TOOMANYREQUESTS"]);
    assert_eq!((fault.hits(), reg.server.log().blob_bytes()), (1, 5));
    assert_eq!(
        reg.put_blob(&location, &digest, b"second").await.status,
        201
    );
    assert_eq!(fault.hits(), 1);
}

#[tokio::test]
async fn a_reset_at_a_byte_keeps_exactly_the_bytes_before_it() {
    for at in [0, 1, 1000, 1_048_576, 1_999_999, 2_000_000] {
        let rule = Rule::on(Endpoint::UploadPatch).nth(1);
        let (reg, fault) = with(rule, Action::ResetAtByte(at)).await;
        let location = reg.open("app").await;
        let content = vec![3; 2_000_000];
        let ask = reg.ask("PATCH", &location).body(&content);
        let error = ask.try_send().await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ),
            "{error}"
        );
        assert_eq!(fault.hits(), 1);
        assert_eq!(last_outcome(&reg), Outcome::Reset);
        assert_eq!(reg.server.log().blob_bytes(), at);
        let expected = oci::wire::UploadedRange::of(at).to_string();
        assert_eq!(reg.get(&location).await.header("range"), expected, "{at}");
        let done = usize::try_from(at).unwrap();
        let target = with_digest(&location, &Digest::of(&content));
        let reply = reg.ask("PUT", target).body(&content[done..]).send().await;
        assert_eq!(reply.status, 201, "{at}");
    }
}

#[tokio::test]
async fn a_reset_before_a_request_does_nothing() {
    let rule = Rule::on(Endpoint::UploadPost).nth(1);
    let (reg, _) = with(rule, Action::ResetBefore).await;
    let post = async || reg.ask("POST", "/v2/app/blobs/uploads/").try_send().await;
    assert_eq!(post().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(reg.server.open_sessions(), 0);
    assert_eq!(post().await.unwrap().status, 202);
    assert_eq!(
        reg.lines(),
        [
            "POST /v2/app/blobs/uploads/ → reset",
            "POST /v2/app/blobs/uploads/ → 202"
        ]
    );
}

/// The worst moment: all was done, and nobody was told.
#[tokio::test]
async fn a_reset_before_the_answer_leaves_the_blob_there() {
    let rule = Rule::on(Endpoint::UploadPut);
    let (reg, _) = with(rule, Action::ResetBeforeAnswer).await;
    let location = reg.open("app").await;
    let digest = Digest::of(b"content");
    let ask = reg
        .ask("PUT", with_digest(&location, &digest))
        .body(b"content");
    assert_eq!(
        ask.try_send().await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(
        reg.head(format!("/v2/app/blobs/{digest}")).await.status,
        200
    );
    assert_eq!(reg.get(&location).await.status, 404);
}

#[tokio::test]
async fn an_answer_after_the_work_hides_it() {
    let rule = Rule::on(Endpoint::UploadPut);
    let (reg, _) = with(rule, Action::AnswerAfter(Answer::new(502))).await;
    let location = reg.open("app").await;
    let digest = Digest::of(b"content");
    assert_eq!(
        reg.put_blob(&location, &digest, b"content").await.status,
        502
    );
    assert_eq!(
        reg.head(format!("/v2/app/blobs/{digest}")).await.status,
        200
    );
}

#[tokio::test]
async fn an_answer_in_the_middle_of_a_body() {
    let rule = Rule::on(Endpoint::UploadPatch).nth(1);
    let action = Action::AnswerAtByte(500_000, Answer::new(413));
    let (reg, _) = with(rule, action).await;
    let location = reg.open("app").await;
    let ask = reg.ask("PATCH", &location).body(&vec![1; 3_000_000]);
    assert_eq!(ask.send().await.status, 413);
    assert_eq!(reg.get(&location).await.header("range"), "0-499999");
}

#[tokio::test]
async fn stalls_answer_nothing() {
    for action in [Action::Stall, Action::StallAtByte(3), Action::StallAnswer] {
        let rule = Rule::on(Endpoint::UploadPatch);
        let (reg, fault) = with(rule, action.clone()).await;
        let location = reg.open("app").await;
        let ask = reg.ask("PATCH", &location).body(b"123456");
        let waiting = async {
            while fault.hits() == 0 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        tokio::select! {
            biased;
            answer = ask.try_send() => panic!("{action:?}: {answer:?}"),
            () = waiting => {}
        }
        assert_eq!(fault.hits(), 1);
        // A server with a stalled request stops all the same.
        reg.server.faults().clear();
        drop(reg);
    }
}

#[tokio::test]
async fn delays_delay() {
    let delay = Duration::from_millis(120);
    for action in [Action::Delay(delay), Action::DelayAnswer(delay)] {
        let (reg, _) = with(Rule::on(Endpoint::Ping), action).await;
        let before = std::time::Instant::now();
        assert_eq!(reg.get("/v2/").await.status, 200);
        assert!(before.elapsed() >= delay);
    }
}

#[tokio::test]
async fn an_answer_breaks_off_at_its_byte() {
    for bytes in [0, 1, 40, 300, 5000] {
        let rule = Rule::on(Endpoint::BlobGet);
        let (reg, _) = with(rule, Action::TruncateAnswer(bytes)).await;
        let digest = reg.push("app", &vec![9; 10_000]).await;
        let ask = reg.ask("GET", format!("/v2/app/blobs/{digest}"));
        let mut stream = ask.begin(0).await;
        let mut raw = Vec::new();
        // Whether the end is orderly depends on what was still on its way.
        let _ = stream.read_to_end(&mut raw).await;
        assert_eq!(raw.len() as u64, bytes);
    }
}

#[tokio::test]
async fn headers_are_changed() {
    let get = || Rule::on(Endpoint::ManifestGet);
    let answer = async |action: Action| {
        let (reg, _) = with(get(), action).await;
        reg.push_image("app", "v1").await;
        reg.get("/v2/app/manifests/v1").await
    };
    let wrong = answer(Action::WrongDigestHeader).await;
    let digest = Digest::of(&wrong.body).to_string();
    assert_ne!(wrong.header("docker-content-digest"), digest);
    let omitted = answer(Action::OmitHeader("Docker-Content-Digest".to_owned())).await;
    assert_eq!(omitted.find("docker-content-digest"), None);
    assert_eq!(omitted.status, 200);
    let set = answer(Action::SetHeader("content-type".into(), "text/html".into())).await;
    assert_eq!(set.headers["content-type"], ["text/html"]);
    let huge = answer(Action::HugeHeader(1_000_000)).await;
    assert_eq!(huge.header("x-padding").len(), 1_000_000);
}

#[tokio::test]
async fn a_location_moves_to_another_host() {
    let rule = Rule::on(Endpoint::UploadPost);
    let action = Action::MoveLocation("http://127.0.0.1:9".to_owned());
    let (reg, _) = with(rule, action).await;
    let location = reg.open("app").await;
    assert!(location.starts_with("http://127.0.0.1:9/v2/app/blobs/uploads/"));
}

#[tokio::test]
async fn other_answers_in_place_of_the_registry() {
    let rule = || {
        Rule::any()
            .method(axum::http::Method::GET)
            .path_contains("/tags/")
    };
    let (reg, _) = with(rule(), Action::Answer(Answer::html())).await;
    let html = reg.get("/v2/app/tags/list").await;
    assert_eq!(
        (html.status, html.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert_eq!(reg.get("/v2/").await.status, 200);

    let away = Answer::redirect(307, "http://127.0.0.1:9/elsewhere");
    let (reg, _) = with(rule(), Action::Answer(away)).await;
    let reply = reg.get("/v2/app/tags/list").await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, "http://127.0.0.1:9/elsewhere")
    );

    let (reg, _) = with(rule(), Action::EndlessBody).await;
    let mut stream = reg.ask("GET", "/v2/app/tags/list").begin(0).await;
    let mut taken = vec![0; 2_000_000];
    stream.read_exact(&mut taken).await.unwrap();
    assert!(taken.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_mount_is_refused_with_a_session() {
    let (reg, _) = with(Rule::on(Endpoint::Mount).nth(1), Action::RefuseMount).await;
    let digest = reg.push("base", b"layer").await;
    let target = format!("/v2/app/blobs/uploads/?mount={digest}&from=base");
    let refused = reg.ask("POST", &target).send().await;
    assert_eq!(refused.status, 202);
    assert_eq!(reg.get(refused.header("location")).await.status, 204);
    assert_eq!(reg.ask("POST", &target).send().await.status, 201);
}

#[tokio::test]
async fn a_session_is_lost() {
    let rule = Rule::on(Endpoint::UploadPatch).nth(2);
    let (reg, _) = with(rule, Action::LoseSession).await;
    let location = reg.open("app").await;
    let patch = async || reg.ask("PATCH", &location).body(b"x").send().await.status;
    assert_eq!(patch().await, 202);
    assert_eq!(patch().await, 404);
    assert_eq!(reg.server.open_sessions(), 0);

    let another = reg.open("app").await;
    reg.server.lose_sessions().await;
    assert_eq!(reg.get(another).await.status, 404);
}

#[tokio::test]
async fn rules_are_narrowed_added_and_taken_back_while_the_server_runs() {
    let reg = TestReg::with(Server::builder()).await;
    let faults = reg.server.faults();
    let gone = || Action::Answer(Answer::new(410));
    let by_query = faults.add(Rule::any().query_contains("from=base").act(gone()));
    let status = async |target: &str| reg.get(target).await.status;
    assert_eq!(status("/v2/?from=base").await, 410);
    assert_eq!(status("/v2/?from=other").await, 200);
    by_query.remove();
    assert_eq!(status("/v2/?from=base").await, 200);
    let some = faults.add(Rule::on(Endpoint::Ping).numbers(2..=3).act(gone()));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(status("/v2/").await);
    }
    assert_eq!(seen, [200, 410, 410, 200]);
    assert_eq!(some.hits(), 2);
}

#[tokio::test]
async fn a_reset_of_one_connection_leaves_others_alone() {
    let rule = Rule::on(Endpoint::Ping).nth(1);
    let (reg, _) = with(rule, Action::ResetBefore).await;
    let location = reg.open("app").await;
    let content = vec![1; 100_000];
    let mut upload = reg
        .ask("PATCH", &location)
        .body(&content)
        .begin(50_000)
        .await;
    assert!(reg.ask("GET", "/v2/").try_send().await.is_err());
    tokio::io::AsyncWriteExt::write_all(&mut upload, &content[50_000..])
        .await
        .unwrap();
    let mut raw = Vec::new();
    upload.read_to_end(&mut raw).await.unwrap();
    assert_eq!(Reply::parse(&raw, false).unwrap().status, 202);
}
