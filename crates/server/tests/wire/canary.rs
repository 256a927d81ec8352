//! Secrets: sent in every way there is, and then looked for everywhere.

use longshore_server::{
    AccessLog, AccessLogFormat, Auth, Bearer, SelfSigned, Server, ServerBuilder, Users,
};

use crate::{
    access_log::Sink,
    auth::basic,
    client::{Reply, TestReg},
};

const PASSWORD: &str = "canary-password";
const WRONG: &str = "canary-wrong-password";

fn users() -> (Users, String) {
    let hash = bcrypt::hash_with_salt(PASSWORD, 4, [9; 16])
        .unwrap()
        .to_string();
    let users = Users::from_htpasswd(&format!("ann:{hash}\n"), "users").unwrap();
    (users.with("bob", PASSWORD), hash)
}

fn shown(reply: &Reply) -> String {
    format!("{reply:?} {}", String::from_utf8_lossy(&reply.body))
}

/// Everything that a server can print, with what was answered where the answer is no token.
async fn said(auth: Auth, secrets: &mut Vec<String>) -> String {
    let sink = Sink::default();
    let log = AccessLog::new(AccessLogFormat::Json, sink.clone()).unwrap();
    let one = SelfSigned::generate([""; 0]).unwrap();
    let builder: ServerBuilder = Server::builder().auth(auth).access_log(log);
    let with_tls = builder.clone();
    let with_tls = with_tls.tls(one.certificate_pem().as_bytes(), one.key_pem().as_bytes());
    let mut said = vec![format!("{builder:?} {with_tls:?} {one:?}")];
    let reg = TestReg::with(builder).await;
    for password in [PASSWORD, WRONG] {
        for target in [
            "/v2/",
            "/v2/app/tags/list",
            "/token?scope=repository:app:pull",
        ] {
            let ask = reg
                .ask("GET", target)
                .header("authorization", basic("ann", password));
            let reply = ask.send().await;
            if target.starts_with("/token") && reply.status == 200 {
                secrets.push(reply.json()["token"].as_str().unwrap().to_owned());
            } else {
                said.push(shown(&reply));
            }
        }
        let form =
            format!("grant_type=password&username=ann&password={password}&access_type=offline");
        let ask = reg.ask("POST", "/token").body(form.as_bytes());
        let reply = ask
            .header("content-type", "application/x-www-form-urlencoded")
            .send()
            .await;
        if reply.status == 200 {
            for key in ["token", "refresh_token"] {
                secrets.push(reply.json()[key].as_str().unwrap().to_owned());
            }
        } else {
            said.push(shown(&reply));
        }
    }
    for token in secrets.clone() {
        let ask = reg.ask("GET", "/v2/app/tags/list");
        let ask = ask.header("authorization", format!("Bearer {token}"));
        said.push(format!("{:?}", ask.send().await));
    }
    let requests = reg.server.log();
    said.push(format!(
        "{requests:?} {:?} {:?}",
        requests.entries(),
        requests.lines()
    ));
    said.push(format!("{:?} {:?}", reg.server, reg.server.faults()));
    reg.server.shutdown().await;
    said.push(sink.text());
    said.join("\n")
}

#[tokio::test]
async fn no_secret_is_ever_printed() {
    let (users, hash) = users();
    let mut secrets = Vec::new();
    let mut all = format!("{users:?} {:?}", Bearer::new().users(users.clone()));
    all += &said(Auth::Basic(users.clone()), &mut secrets).await;
    assert!(secrets.is_empty());
    let bearer = Bearer::new().users(users);
    all += &said(Auth::Bearer(bearer), &mut secrets).await;
    // A token by GET, and a token and a refresh token by POST.
    assert_eq!(secrets.len(), 3);
    secrets.extend([PASSWORD, WRONG, &hash, &hash[7..29], &hash[29..]].map(str::to_owned));
    secrets.extend([basic("ann", PASSWORD), basic("ann", WRONG)].map(|it| it[6..].to_owned()));
    secrets.push("PRIVATE KEY".to_owned());
    // The look is a good one: what is no secret is there.
    for shown in ["ann", "/token", "GET /v2/app/tags/list", "401"] {
        assert!(all.contains(shown), "{shown}");
    }
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} in {all}");
    }
}
