//! Rules: what each user reaches of each repository, with Basic and with Bearer alike.

use longshore_server::{Auth, Bearer, Endpoint, Rules, Server, ServerBuilder, Users};
use oci::Digest;
use serde_json::json;

use crate::{
    auth::basic,
    client::{MANIFEST, Reply, TestReg, manifest, with_digest},
};

/// Ann has team/…, Bob reads team/shared and has bob/…, everybody reads public/….
const RULES: &str = r#"
    [groups]
    team = ["ann"]

    [[rule]]
    repositories = ["team/**"]
    groups = ["team"]
    actions = ["pull", "push", "delete"]

    [[rule]]
    repositories = ["public/**"]
    groups = ["team"]
    actions = ["push"]

    [[rule]]
    repositories = ["team/shared"]
    users = ["bob"]
    actions = ["pull"]

    [[rule]]
    repositories = ["team/both"]
    users = ["bob"]
    actions = ["push"]

    [[rule]]
    repositories = ["bob/*"]
    users = ["bob"]
    actions = ["pull", "push"]

    [[rule]]
    repositories = ["public/**"]
    anonymous = true
    actions = ["pull"]
"#;

pub(crate) const ANN: Option<&str> = Some("ann");
pub(crate) const BOB: Option<&str> = Some("bob");

/// `name`'s password is the name backwards.
fn password(name: &str) -> String {
    name.chars().rev().collect()
}

/// A registry with users and rules, and how its clients say who they are.
pub(crate) struct Ruled {
    pub(crate) reg: TestReg,
    has_tokens: bool,
}

/// The same registry, with Basic and with Bearer.
pub(crate) async fn both() -> [Ruled; 2] {
    both_with(Server::builder).await
}

pub(crate) async fn both_with(builder: impl Fn() -> ServerBuilder) -> [Ruled; 2] {
    let rules = Rules::from_toml(RULES, "access.toml").unwrap();
    let named = ["ann", "bob", "dan"].map(|name| (name, password(name)));
    let users = named
        .into_iter()
        .fold(Users::new(), |users, (name, password)| {
            users.with(name, password)
        });
    let start = async |auth, has_tokens| Ruled {
        reg: TestReg::with(builder().auth(auth).rules(rules.clone())).await,
        has_tokens,
    };
    let bearer = Bearer::new().users(users.clone());
    [
        start(Auth::Basic(users), false).await,
        start(Auth::Bearer(bearer), true).await,
    ]
}

impl Ruled {
    /// What a client sends as `Authorization` that asked for all it could need: every
    /// repository of the path and of the query.
    async fn authorization(&self, user: Option<&str>, target: &str) -> Option<String> {
        let credentials = user.map(|user| basic(user, &password(user)));
        if !self.has_tokens {
            return credentials;
        }
        let path = target.split('?').next().unwrap().trim_start_matches("/v2/");
        let parts: Vec<&str> = path.split('/').collect();
        let is_fixed = |it: &&str| ["blobs", "manifests", "tags", "referrers"].contains(it);
        let end = parts.iter().position(is_fixed).unwrap_or(0);
        let mut scopes = Vec::new();
        if end > 0 {
            scopes.push(format!("repository:{}:*", parts[..end].join("/")));
        }
        if let Some((_, from)) = target.split_once("from=") {
            scopes.push(format!("repository:{from}:pull"));
        }
        scopes.push("registry:catalog:*".to_owned());
        let scopes = scopes.join("&scope=");
        let mut ask = self.reg.ask("GET", format!("/token?scope={scopes}"));
        if let Some(credentials) = credentials {
            ask = ask.header("authorization", credentials);
        }
        let reply = ask.send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Some(format!(
            "Bearer {}",
            reply.json()["token"].as_str().unwrap()
        ))
    }

    pub(crate) async fn ask(&self, user: Option<&str>, method: &str, target: &str) -> Reply {
        self.send(user, method, target, b"").await
    }

    pub(crate) async fn send(
        &self,
        user: Option<&str>,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Reply {
        let mut ask = self.reg.ask(method, target).body(body);
        if let Some(authorization) = self.authorization(user, target).await {
            ask = ask.header("authorization", authorization);
        }
        if method == "PUT" && target.contains("/manifests/") {
            ask = ask.header("content-type", MANIFEST);
        }
        ask.send().await
    }

    /// Ann pushes a blob.
    pub(crate) async fn push(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let target = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let reply = self.send(ANN, "POST", &target, content).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    /// Ann pushes an image; the digests of its manifest and of its config.
    pub(crate) async fn push_image(&self, name: &str) -> (Digest, Digest) {
        let config = self.push(name, b"{}").await;
        let manifest = manifest(&config, 2, &[]);
        let target = format!("/v2/{name}/manifests/v1");
        let reply = self.send(ANN, "PUT", &target, &manifest).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        (Digest::of(&manifest), config)
    }

    /// The status of a refusal by the rules: with Basic the credentials are right and others
    /// would not help (403); with Bearer the token covers too little (401).
    fn refusal(&self, user: Option<&str>) -> u16 {
        if self.has_tokens || user.is_none() {
            401
        } else {
            403
        }
    }
}

/// All there is of an answer but what differs every time: dates, and a session's random name.
pub(crate) fn essence(reply: &Reply) -> String {
    let mut text = format!("{}\n", reply.status);
    for (name, values) in &reply.headers {
        let values = values.join(", ");
        let shown = match name.as_str() {
            "date" | "docker-upload-uuid" => "…",
            "location" if reply.status == 202 => values.rsplit_once('/').unwrap().0,
            _ => &values,
        };
        text.extend([name, ": ", shown, "\n"]);
    }
    text + &String::from_utf8(reply.body.clone()).unwrap()
}

#[tokio::test]
async fn who_has_a_rule_does_what_it_gives() {
    for it in both().await {
        let (manifest, config) = it.push_image("team/shared").await;
        let tag = "/v2/team/shared/manifests/v1";
        assert_eq!(it.ask(ANN, "GET", tag).await.status, 200);
        assert_eq!(it.ask(BOB, "GET", tag).await.status, 200);
        let blob = format!("/v2/team/shared/blobs/{config}");
        assert_eq!(it.ask(BOB, "GET", &blob).await.status, 200);
        assert_eq!(
            it.ask(BOB, "GET", "/v2/team/shared/tags/list").await.status,
            200
        );
        let referrers = format!("/v2/team/shared/referrers/{manifest}");
        assert_eq!(it.ask(BOB, "GET", &referrers).await.status, 200);
        assert_eq!(
            it.ask(BOB, "POST", "/v2/bob/app/blobs/uploads/")
                .await
                .status,
            202
        );
        it.push_image("public/tool").await;
        assert_eq!(
            it.ask(None, "GET", "/v2/public/tool/manifests/v1")
                .await
                .status,
            200
        );
        assert_eq!(it.ask(ANN, "DELETE", tag).await.status, 202);
    }
}

/// Every way into a repository, for everybody who has no rule for it; and the answer is the
/// same for a repository that is not there.
#[tokio::test]
async fn who_has_no_rule_reaches_nothing_and_cannot_tell_what_is_there() {
    for it in both().await {
        let (manifest, config) = it.push_image("team/app").await;
        let opened = it.ask(ANN, "POST", "/v2/team/app/blobs/uploads/").await;
        let session = opened.header("location").to_owned();
        let session = session.strip_prefix("/v2/team/app").unwrap();
        for (method, rest) in [
            ("HEAD", format!("/blobs/{config}")),
            ("GET", format!("/blobs/{config}")),
            ("DELETE", format!("/blobs/{config}")),
            ("POST", "/blobs/uploads/".to_owned()),
            ("POST", format!("/blobs/uploads/?digest={config}")),
            (
                "POST",
                format!("/blobs/uploads/?mount={config}&from=bob/app"),
            ),
            ("GET", session.to_owned()),
            ("PATCH", session.to_owned()),
            ("PUT", format!("{session}?digest={config}")),
            ("DELETE", session.to_owned()),
            ("HEAD", "/manifests/v1".to_owned()),
            ("GET", "/manifests/v1".to_owned()),
            ("GET", format!("/manifests/{manifest}")),
            ("PUT", "/manifests/v1".to_owned()),
            ("DELETE", "/manifests/v1".to_owned()),
            ("DELETE", format!("/manifests/{manifest}")),
            ("GET", "/tags/list".to_owned()),
            ("GET", format!("/referrers/{manifest}")),
        ] {
            for user in [BOB, Some("dan"), None] {
                let there = it.ask(user, method, &format!("/v2/team/app{rest}")).await;
                let absent = it.ask(user, method, &format!("/v2/team/not{rest}")).await;
                assert_eq!(there.status, it.refusal(user), "{user:?} {method} {rest}");
                let there = essence(&there).replace("team/app", "team/not");
                assert_eq!(there, essence(&absent), "{user:?} {method} {rest}");
            }
        }
        // Nothing of it happened, and nothing was opened.
        assert_eq!(it.reg.server.open_sessions(), 1);
        assert_eq!(
            it.ask(ANN, "GET", opened.header("location")).await.status,
            204
        );
        assert_eq!(
            it.ask(ANN, "GET", "/v2/team/app/manifests/v1").await.status,
            200
        );
    }
}

#[tokio::test]
async fn who_may_only_read_writes_and_deletes_nothing() {
    for it in both().await {
        let (manifest, config) = it.push_image("team/shared").await;
        for (method, rest) in [
            ("POST", "blobs/uploads/".to_owned()),
            ("PUT", "manifests/v2".to_owned()),
            ("DELETE", "manifests/v1".to_owned()),
            ("DELETE", format!("manifests/{manifest}")),
            ("DELETE", format!("blobs/{config}")),
        ] {
            let reply = it
                .ask(BOB, method, &format!("/v2/team/shared/{rest}"))
                .await;
            assert_eq!(reply.status, it.refusal(BOB), "{method} {rest}");
        }
        // Who may push need not be allowed to delete.
        let delete = it.ask(ANN, "DELETE", "/v2/public/tool/manifests/v1").await;
        assert_eq!(delete.status, it.refusal(ANN));
        assert_eq!(
            it.ask(BOB, "GET", "/v2/team/shared/manifests/v1")
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn the_catalog_lists_what_its_reader_may_pull() {
    for it in both().await {
        for name in ["team/app", "team/shared", "public/tool"] {
            it.push_image(name).await;
        }
        for (user, names) in [
            (ANN, vec!["public/tool", "team/app", "team/shared"]),
            (BOB, vec!["public/tool", "team/shared"]),
            (None, vec!["public/tool"]),
        ] {
            let reply = it.ask(user, "GET", "/v2/_catalog").await;
            assert_eq!(reply.json(), json!({"repositories": names}), "{user:?}");
        }
        // A page ends where the reader's list ends, not where the whole one does.
        let page = it
            .ask(BOB, "GET", "/v2/_catalog?n=1&last=public/tool")
            .await;
        assert_eq!(page.json(), json!({"repositories": ["team/shared"]}));
        assert_eq!(page.find("link"), None);
        let page = it.ask(BOB, "GET", "/v2/_catalog?n=1").await;
        assert!(page.header("link").contains("last=public%2Ftool"));
    }
}

#[tokio::test]
async fn credentials_that_are_wrong_do_not_become_nobody() {
    let [basic_one, bearer] = both().await;
    basic_one.push_image("public/tool").await;
    for value in [
        basic("ann", "wrong"),
        basic("eve", "x"),
        "Basic ???".into(),
        "Bearer x".into(),
    ] {
        let ask = basic_one.reg.ask("GET", "/v2/public/tool/manifests/v1");
        let reply = ask.header("authorization", &*value).send().await;
        assert_eq!(reply.status, 401, "{value}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, "Basic realm=\"longshore\"", "{value}");
    }
    let ask = bearer
        .reg
        .ask("GET", "/token?scope=repository:public/tool:pull");
    let reply = ask
        .header("authorization", basic("ann", "wrong"))
        .send()
        .await;
    assert_eq!(reply.status, 401);
    // An empty name and password is how some clients say that they have none.
    let ask = basic_one.reg.ask("GET", "/v2/public/tool/manifests/v1");
    assert_eq!(
        ask.header("authorization", basic("", ""))
            .send()
            .await
            .status,
        200
    );
}

/// Clients learn from `GET /v2/` whether to send credentials at all.
#[tokio::test]
async fn the_base_of_a_registry_with_users_asks_for_credentials() {
    for it in both().await {
        let base = it.reg.get("/v2/").await;
        assert_eq!(base.status, 401);
        assert!(base.find("www-authenticate").is_some());
        assert_eq!(it.ask(Some("dan"), "GET", "/v2/").await.status, 200);
    }
}

/// Without users there is nobody to ask: what the rules do not give is refused for good.
#[tokio::test]
async fn a_registry_without_users_can_be_read_only() {
    let reg = TestReg::with(Server::builder().rules(Rules::new().anonymous_pull())).await;
    assert_eq!(reg.get("/v2/").await.status, 200);
    assert_eq!(reg.get("/v2/app/tags/list").await.status, 404);
    assert_eq!(
        reg.get("/v2/_catalog").await.json(),
        json!({"repositories": []})
    );
    for (method, target) in [
        ("POST", "/v2/app/blobs/uploads/"),
        ("PUT", "/v2/app/manifests/v1"),
        ("DELETE", "/v2/app/manifests/v1"),
    ] {
        let reply = reg.ask(method, target).body(b"{}").send().await;
        assert_eq!(
            (reply.status, reply.codes()),
            (403, vec!["DENIED".to_owned()])
        );
        assert_eq!(reply.find("www-authenticate"), None);
    }
    assert_eq!(reg.server.open_sessions(), 0);
}

/// Passwords from a file of bcrypt hashes; many requests cost one hash.
#[tokio::test]
async fn users_of_an_htpasswd_file_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    let hash = bcrypt::hash_with_salt("räksmörgås", 4, [3; 16]).unwrap();
    std::fs::write(&path, format!("ann:{hash}\n")).unwrap();
    let users = Users::htpasswd(&path).unwrap();
    let reg = TestReg::with(Server::builder().auth(Auth::Basic(users))).await;
    let ask = async |user: &str, password: &str| {
        let ask = reg.ask("GET", "/v2/_catalog");
        ask.header("authorization", basic(user, password))
            .send()
            .await
            .status
    };
    for _ in 0..3 {
        assert_eq!(ask("ann", "räksmörgås").await, 200);
        assert_eq!(ask("ann", "raksmorgas").await, 401);
        assert_eq!(ask("eve", "räksmörgås").await, 401);
        assert_eq!(ask("ann", "").await, 401);
    }
    assert_eq!(reg.server.log().calls(Endpoint::Catalog), 12);
}

/// What an upload session got stays when another user tries to use it.
#[tokio::test]
async fn a_session_is_its_owners_and_its_repositorys() {
    for it in both().await {
        let opened = it.ask(BOB, "POST", "/v2/bob/app/blobs/uploads/").await;
        let location = opened.header("location").to_owned();
        assert_eq!(it.send(BOB, "PATCH", &location, b"abc").await.status, 202);
        let elsewhere = location.replace("bob/app", "bob/other");
        let digest = Digest::of(b"abc");
        for method in ["GET", "PATCH", "DELETE"] {
            assert_eq!(
                it.ask(BOB, method, &elsewhere).await.status,
                404,
                "{method}"
            );
        }
        let put = with_digest(&elsewhere, &digest);
        assert_eq!(it.ask(BOB, "PUT", &put).await.status, 404);
        let put = with_digest(&location, &digest);
        assert_eq!(it.ask(BOB, "PUT", &put).await.status, 201);
    }
}

/// The page shows a browser what the catalog would, by password also where clients have tokens.
#[tokio::test]
async fn the_page_shows_what_its_reader_may_pull() {
    for it in both().await {
        for name in ["team/app", "team/shared", "public/tool"] {
            it.push_image(name).await;
        }
        for (user, names) in [
            (ANN, vec!["public/tool", "team/app", "team/shared"]),
            (BOB, vec!["public/tool", "team/shared"]),
            (None, vec!["public/tool"]),
        ] {
            let visit = async |target: String| {
                let ask = it.reg.ask("GET", target);
                match user {
                    Some(user) => ask.header("authorization", basic(user, &password(user))),
                    None => ask,
                }
                .send()
                .await
            };
            let home = String::from_utf8(visit("/".to_owned()).await.body).unwrap();
            for name in ["public/tool", "team/app", "team/shared"] {
                let link = format!("/repositories/{name}");
                assert_eq!(
                    home.contains(&link),
                    names.contains(&name),
                    "{user:?} {name}"
                );
                let status = visit(link).await.status;
                assert_eq!(status == 200, names.contains(&name), "{user:?} {name}");
            }
        }
    }
}
