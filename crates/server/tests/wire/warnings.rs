//! `Warning` headers: on every answer of the API, or of one repository, and nowhere else.

use longshore_server::{Auth, Server, Warning};

use crate::client::{Reply, TestReg};

fn said(reply: &Reply) -> Vec<String> {
    reply.headers.get("warning").cloned().unwrap_or_default()
}

#[tokio::test]
async fn every_answer_of_the_api_says_it_refusals_too() {
    let warning = Warning::new(r#"moves to "b.example" soon"#).unwrap();
    let reg = TestReg::with(Server::builder().warning(warning)).await;
    let text = r#"299 - "moves to \"b.example\" soon""#;
    for (method, target, status) in [
        ("GET", "/v2/", 200),
        ("POST", "/v2/app/blobs/uploads/", 202),
        ("GET", "/v2/app/manifests/none", 404),
        ("GET", "/v2/No/tags/list", 400),
    ] {
        let reply = reg.ask(method, target).send().await;
        assert_eq!(
            (reply.status, said(&reply)),
            (status, vec![text.to_owned()])
        );
    }
    for target in ["/", "/healthz", "/metrics"] {
        assert_eq!(said(&reg.get(target).await), [""; 0], "{target}");
    }
}

#[tokio::test]
async fn a_warning_for_one_repository_is_for_nobody_else() {
    let here = Warning::new("frozen").unwrap().in_repository("team/app");
    let builder = Server::builder()
        .auth(Auth::basic("ann", "secret"))
        .warning(Warning::new("everywhere").unwrap())
        .warning(here.unwrap());
    let reg = TestReg::with(builder).await;
    let both = [r#"299 - "everywhere""#, r#"299 - "frozen""#];
    for (target, expected) in [
        ("/v2/team/app/tags/list", &both[..]),
        ("/v2/team/app2/tags/list", &both[..1]),
        ("/v2/", &both[..1]),
    ] {
        let reply = reg.get(target).await;
        assert_eq!(reply.status, 401);
        assert_eq!(said(&reply), expected, "{target}");
    }
}
