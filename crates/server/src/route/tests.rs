use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn shown(path: &str) -> String {
    match Resource::parse(path) {
        Ok(Resource::Ping) => "ping".to_owned(),
        Ok(Resource::Catalog) => "catalog".to_owned(),
        Ok(Resource::Token) => "token".to_owned(),
        Ok(Resource::Health) => "health".to_owned(),
        Ok(Resource::Metrics) => "metrics".to_owned(),
        Ok(Resource::Page(page)) => format!("{page:?}"),
        Ok(Resource::Blob(name, _)) => format!("blob of {name}"),
        Ok(Resource::Uploads(name)) => format!("uploads of {name}"),
        Ok(Resource::Upload(name, id)) => format!("upload {id} of {name}"),
        Ok(Resource::Manifest(name, which)) => format!("manifest {which} of {name}"),
        Ok(Resource::Tags(name)) => format!("tags of {name}"),
        Ok(Resource::Referrers(name, _)) => format!("referrers of {name}"),
        Err(Refusal::Denied(denied)) => denied.status.as_u16().to_string(),
        Err(other) => format!("{other:?}"),
    }
}

#[test]
fn a_path_is_read_from_its_end() {
    let digest = format!("sha256:{HEX}");
    for (path, resource) in [
        ("/v2", "ping"),
        ("/v2/", "ping"),
        ("/v2/_catalog", "catalog"),
        ("/token", "token"),
        (&format!("/v2/a/blobs/{digest}"), "blob of a"),
        (&format!("/v2/a/b/c/blobs/sha256%3A{HEX}"), "blob of a/b/c"),
        ("/v2/a/blobs/uploads/", "uploads of a"),
        ("/v2/a/blobs/uploads", "uploads of a"),
        ("/v2/a/blobs/uploads/xyz", "upload xyz of a"),
        ("/v2/a/manifests/1.2", "manifest 1.2 of a"),
        ("/v2/a/tags/list", "tags of a"),
        (&format!("/v2/a/referrers/{digest}"), "referrers of a"),
        // Names may be made of the words that paths are made of.
        (
            "/v2/blobs/uploads/blobs/uploads/",
            "uploads of blobs/uploads",
        ),
        ("/v2/tags/list/manifests/tags", "manifest tags of tags/list"),
        (
            "/v2/manifests/manifests/manifests",
            "manifest manifests of manifests",
        ),
    ] {
        assert_eq!(shown(path), resource, "{path}");
    }
}

#[test]
fn what_is_no_path_of_the_api_is_refused() {
    for (path, status) in [
        ("/v3/", "404"),
        ("/v1/", "404"),
        ("/v2/a", "404"),
        ("/v2/a/b/c", "404"),
        ("/v2/manifests/x", "400"),
        ("/v2/A/manifests/x", "400"),
        ("/v2/a//b/manifests/x", "400"),
        ("/v2/../manifests/x", "400"),
        ("/v2/a/%2e%2e/manifests/x", "400"),
        ("/v2/_catalog/manifests/x", "400"),
        ("/v2/a/manifests/.x", "400"),
        ("/v2/a/blobs/sha256:E3", "400"),
    ] {
        assert_eq!(shown(path), status, "{path}");
    }
    let long = format!("/v2/{}/manifests/x", "a".repeat(300));
    assert_eq!(shown(&long), "400");
}

#[test]
fn a_post_means_three_things() {
    let uploads = Resource::parse("/v2/a/blobs/uploads/").unwrap();
    for (query, endpoint) in [
        (None, Endpoint::UploadPost),
        (Some("digest-algorithm=sha512"), Endpoint::UploadPost),
        (Some("digest=x"), Endpoint::UploadSingle),
        (Some("mount=x"), Endpoint::Mount),
        (Some("digest=x&mount=y"), Endpoint::Mount),
    ] {
        let query = Query::parse(query);
        let found = Endpoint::of(&Method::POST, Some(&uploads), &query);
        assert_eq!(found, endpoint);
    }
}

#[test]
fn a_query_is_decoded_and_keeps_its_plus_signs() {
    let query = Query::parse(Some("a=x%3Ay&&b&c=1+2&a=z&%64=%zz"));
    assert_eq!(query.get("a"), Some("x:y"));
    assert_eq!(query.all("a").collect::<Vec<_>>(), ["x:y", "z"]);
    assert_eq!(query.get("b"), Some(""));
    assert_eq!(query.get("c"), Some("1+2"));
    assert_eq!(query.get("d"), Some("%zz"));
    assert_eq!(query.get("e"), None);
    let many = "a&".repeat(1000);
    assert_eq!(Query::parse(Some(&many)).all("a").count(), MAX_PARAMETERS);
}

#[test]
fn a_form_prints_without_its_values() {
    let form = Query::form("grant_type=password&username=ann&password=canary");
    assert_eq!(form.get("password"), Some("canary"));
    let printed = format!("{form:?}");
    assert!(printed.contains("password"), "{printed}");
    assert!(
        !printed.contains("canary") && !printed.contains("ann"),
        "{printed}"
    );
}
