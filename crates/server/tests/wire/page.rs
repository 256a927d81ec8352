//! The page for people: what it shows, to whom, and that nothing on it runs.

use longshore_server::{Auth, Bearer, Server};
use oci::{Digest, wire::Action};
use serde_json::json;

use crate::client::{INDEX, MANIFEST, Reply, TestReg};

fn text(reply: &Reply) -> &str {
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    std::str::from_utf8(&reply.body).unwrap()
}

/// What an image says of itself is shown as far as there is room for it.
#[tokio::test]
async fn a_page_is_no_longer_than_it_has_rows_for() {
    let reg = TestReg::new().await;
    let long = "<".repeat(1_000_000);
    let child = reg.push_image("app", "child").await;
    let platform = json!({"os": long, "architecture": "x", "os.version": long});
    let child = json!({
        "mediaType": MANIFEST, "digest": Digest::of(&child), "size": child.len(),
        "platform": platform,
    });
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "artifactType": long, "manifests": [child],
        "annotations": {"org.opencontainers.image.title": long},
    });
    let index = index.to_string().into_bytes();
    let put = reg.put_manifest("/v2/app/manifests/1", INDEX, &index).await;
    assert_eq!(put.status, 201, "{put:?}");
    let shown = reg.get("/repositories/app").await;
    assert_eq!(shown.status, 200);
    assert!(shown.body.len() < 20_000, "{}", shown.body.len());
}

/// Pushes an image for a platform, with these annotations.
async fn push(reg: &TestReg, name: &str, tag: &str, annotations: serde_json::Value) -> Vec<u8> {
    let config = json!({"architecture": "arm64", "os": "linux", "variant": "v8"}).to_string();
    let layer = vec![b'x'; 3 << 20];
    let config_digest = reg.push(name, config.as_bytes()).await;
    let layer_digest = reg.push(name, &layer).await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "annotations": annotations,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest, "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer_digest, "size": layer.len(),
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let target = format!("/v2/{name}/manifests/{tag}");
    let reply = reg.put_manifest(target, MANIFEST, &manifest).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    manifest
}

#[tokio::test]
async fn a_repository_is_shown_with_tags_sizes_platforms_and_how_to_pull_it() {
    let reg = TestReg::new().await;
    let image = push(&reg, "team/app", "1.0", json!({})).await;
    let digest = Digest::of(&image);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST, "digest": digest, "size": image.len(),
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
    }]})
    .to_string();
    let target = "/v2/team/app/manifests/multi";
    reg.put_manifest(target, INDEX, index.as_bytes()).await;

    let home = reg.get("/").await;
    assert_eq!(home.status, 200);
    let shown = text(&home);
    assert!(
        shown.contains(r#"<a href="/repositories/team/app">"#),
        "{shown}"
    );
    assert!(shown.contains(r#"<span class="tag">multi</span>"#));

    let page = reg.get("/repositories/team/app").await;
    let shown = text(&page);
    let address = reg.server.addr();
    for part in [
        "2 tags".to_owned(),
        "<h2>1.0</h2>".to_owned(),
        digest.to_string(),
        "<span class=\"size\">3.0 MiB</span>".to_owned(),
        "<span class=\"platform\">linux/arm64/v8</span>".to_owned(),
        "<span class=\"kind\">index</span>".to_owned(),
        format!("docker pull {address}/team/app:1.0<"),
        format!("podman pull --tls-verify=false {address}/team/app:1.0<"),
        format!("skopeo copy --src-tls-verify=false docker://{address}/team/app:1.0 oci:image<"),
        format!("crane pull --insecure {address}/team/app:1.0 image.tar<"),
        format!("docker pull {address}/team/app@{digest}<"),
    ] {
        assert!(shown.contains(&part), "no {part} in {shown}");
    }
    assert_eq!(shown.matches("3.0 MiB").count(), 2);
    assert_eq!(reg.head("/repositories/team/app").await.status, 200);
    assert_eq!(reg.ask("POST", "/").send().await.status, 405);
}

#[tokio::test]
async fn nothing_that_was_pushed_or_asked_runs_in_a_browser() {
    let reg = TestReg::new().await;
    let bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;";
    let annotations = json!({
        "org.opencontainers.image.title": bad, "org.opencontainers.image.description": bad,
    });
    push(&reg, "app", "1", annotations).await;
    let escaped = urlencoded(bad);
    for target in [
        "/repositories/app".to_owned(),
        format!("/?q={escaped}"),
        format!("/?q=app&last={escaped}"),
        format!("/repositories/app?last={escaped}"),
        format!("/repositories/{escaped}"),
    ] {
        let reply = reg.ask("GET", &target).header("host", bad).send().await;
        if reply.header("content-type").starts_with("text/html") {
            let shown = text(&reply);
            assert!(!shown.contains("<script"), "{target}: {shown}");
            assert!(!shown.contains("<img src=x"), "{target}: {shown}");
            assert!(!shown.contains("\"'>"), "{target}: {shown}");
        }
        let policy = reply.find("content-security-policy");
        assert!(policy.is_none_or(|it| it.starts_with("default-src 'none'; style-src 'self';")));
    }
    let shown = reg.get("/repositories/app").await;
    assert!(shown.body.len() < 20_000);
    assert!(text(&shown).contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
    assert!(shown.find("content-security-policy").is_some());
    assert_eq!(shown.header("x-content-type-options"), "nosniff");
    assert_eq!(shown.header("cache-control"), "no-store");
}

fn urlencoded(text: &str) -> String {
    let all = percent_encoding::NON_ALPHANUMERIC;
    percent_encoding::utf8_percent_encode(text, all).to_string()
}

#[tokio::test]
async fn what_a_page_needs_comes_from_here() {
    let reg = TestReg::new().await;
    push(&reg, "app", "1", json!({})).await;
    for target in ["/", "/repositories/app"] {
        let page = reg.get(target).await;
        for part in text(&page).split(['"', '\'']) {
            assert!(
                !part.starts_with("http") && !part.starts_with("//"),
                "{part}"
            );
        }
    }
    let style = reg.get("/style.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    let style = String::from_utf8(style.body).unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    let icon = reg.get("/icon.svg").await;
    assert_eq!(icon.header("content-type"), "image/svg+xml");
}

#[tokio::test]
async fn pages_are_of_fifty_and_go_on_from_one_another() {
    let reg = TestReg::new().await;
    let manifest = reg.push_image("r000", "1").await;
    for number in 1..120 {
        let name = format!("r{number:03}");
        reg.push(&name, b"{}").await;
        reg.push(&name, b"1").await;
        let target = format!("/v2/{name}/manifests/1");
        reg.put_manifest(target, MANIFEST, &manifest).await;
    }
    for number in 0..60 {
        let target = format!("/v2/r000/manifests/t{number:02}");
        reg.put_manifest(target, MANIFEST, &manifest).await;
    }
    for (start, row, counts) in [
        ("/", "<li>", &[50, 50, 20][..]),
        ("/repositories/r000", "<article>", &[50, 11]),
        ("/?q=r00", "<li>", &[10]),
        ("/?q=nothing", "<li>", &[0]),
    ] {
        let mut target = Some(start.to_owned());
        let mut found = Vec::new();
        while let Some(at) = target {
            let page = reg.get(&at).await;
            let shown = text(&page).to_owned();
            found.push(shown.matches(row).count());
            target = shown.split("<a href=\"").find_map(|it| {
                let (link, rest) = it.split_once('"')?;
                rest.starts_with(" rel=\"next\"")
                    .then(|| link.replace("&#38;", "&").replace("&amp;", "&"))
            });
        }
        assert_eq!(found, counts, "{start}");
    }
}

#[tokio::test]
async fn a_repository_is_there_for_those_only_who_may_pull_it() {
    let bearer = Bearer::new()
        .user("ann", "secret")
        .deny_in("hidden", Action::Pull);
    for auth in [Auth::Bearer(bearer), Auth::basic("ann", "secret")] {
        let sees_hidden = matches!(auth, Auth::Basic(_));
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let reg = TestReg::with(Server::builder().directory(&store)).await;
        reg.push_image("hidden", "1").await;
        reg.push_image("shown", "1").await;
        reg.server.shutdown().await;
        let reg = TestReg::with(Server::builder().directory(&store).auth(auth)).await;
        let as_ann = |target: &'static str| {
            reg.ask("GET", target)
                .header("authorization", "Basic YW5uOnNlY3JldA==")
                .send()
        };
        let refused = reg.get("/").await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").starts_with("Basic "));
        assert_eq!(reg.get("/style.css").await.status, 200);
        let home = as_ann("/").await;
        assert!(text(&home).contains("/repositories/shown"));
        assert!(text(&home).contains(r#"<span class="user">ann</span>"#));
        assert_eq!(text(&home).contains("hidden"), sees_hidden);
        let hidden = as_ann("/repositories/hidden").await;
        if !sees_hidden {
            let absent = as_ann("/repositories/absent").await;
            assert_eq!((hidden.status, hidden.body), (404, absent.body));
        }
    }
}

#[tokio::test]
async fn a_page_that_is_switched_off_is_not_there() {
    let reg = TestReg::with(Server::builder().page(false)).await;
    for target in ["/", "/style.css", "/icon.svg", "/repositories/app"] {
        assert_eq!(reg.get(target).await.status, 404, "{target}");
    }
    assert_eq!(reg.get("/v2/").await.status, 200);
}
