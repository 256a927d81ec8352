//! Several destinations at once.

use server::{Action, Answer, Endpoint, Rule};

use super::{manifest, registry, staged};
use crate::stage::small;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_destination_meets_with_is_not_the_others_business() {
    let (stage, image) = staged(&small()).await;
    let (good, bad) = (registry().await, registry().await);
    let refused = Action::Answer(Answer::error(403, "DENIED", "not here"));
    bad.faults().add(
        Rule::on(Endpoint::UploadPost)
            .or(Endpoint::Mount)
            .act(refused),
    );
    let layout = stage.path("there");
    let to = [
        format!("{}/app:1", bad.registry()),
        format!("{}/app:1", good.registry()),
        stage.reference("team/prod:1"),
        format!("oci:{}:1", layout.display()),
    ];
    let from = stage.reference("team/staging:1");
    let mut args = vec!["copy", &from, "--json"];
    args.extend(to.iter().map(String::as_str));
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(10), "{run:#?}");
    assert!(run.stderr.contains(&to[0]), "{run:#?}");
    let report = run.json();
    assert_eq!(report["cause"], "partly");
    let each = report["destinations"].as_array().unwrap();
    assert_eq!(each.len(), 4);
    assert_eq!(each[0]["cause"], "credentials");
    assert_eq!(each[0]["error"]["exit_code"], 3);
    for done in &each[1..] {
        assert_eq!(done["cause"], "done");
        assert_eq!(done["digest"], image.digest().to_string());
    }
    assert!(manifest(&bad, "app", "1").await.is_none());
    assert!(manifest(&good, "app", "1").await.is_some());
    assert!(manifest(&stage.server, "team/prod", "1").await.is_some());
    assert_eq!(stage.server.log().blob_bytes(), 0);

    // A second run has one left to do.
    good.log().clear();
    bad.faults().clear();
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["cause"], "done");
    assert_eq!(good.log().lines(), ["HEAD /v2/app/manifests/1 → 200"]);
    assert_eq!(bad.log().calls(Endpoint::ManifestPut), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_destinations_fail_for_one_reason_the_command_fails_for_it() {
    let (stage, _) = staged(&small()).await;
    let file = stage.path("file");
    std::fs::write(&file, "not a layout").unwrap();
    let (one, two) = (
        format!("oci:{}", file.display()),
        format!("oci:{}/below", file.display()),
    );
    let from = stage.reference("team/staging:1");
    let run = stage.longshore(&["copy", &from, &one, &two]).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert!(run.stderr.contains("2 of 2 destinations"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_given_twice_is_a_mistake() {
    let (stage, _) = staged(&small()).await;
    let from = stage.reference("team/staging:1");
    let to = stage.reference("team/prod:1");
    let run = stage.longshore(&["copy", &from, &to, &to]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}
