//! Some platforms of an image.

use server::{Action, Endpoint, Rule};

use super::{manifest, multi_platform, registry, staged};

#[tokio::test(flavor = "multi_thread")]
async fn p6_a_platform_subset_is_an_index_of_its_own_and_both_digests_are_told() {
    let (stage, image) = staged(&multi_platform()).await;
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let from = stage.reference("team/staging:1");
    let args = ["copy", &from, &to, "--platform", "linux/arm64", "--json"];
    let run = stage.longshore(&args).await.succeeded();
    let report = run.json();
    let subset = &report["subset"];
    assert_eq!(subset["of"], image.digest().to_string());
    assert_eq!(subset["digest"], report["digest"]);
    assert_ne!(subset["of"], subset["digest"]);
    assert_eq!(subset["platforms"], serde_json::json!(["linux/arm64"]));
    let copied = manifest(&there, "app", "1").await.unwrap();
    let copied = oci::Document::new(copied.into(), None).unwrap();
    assert_eq!(copied.digest().to_string(), report["digest"]);
    let children = &image.document.as_index().unwrap().manifests;
    assert_eq!(copied.as_index().unwrap().manifests, children[1..]);
    let other = children[0].digest.to_string();
    assert!(manifest(&there, "app", &other).await.is_none());
    let asked = stage.server.log().lines();
    assert!(!asked.iter().any(|it| it.contains(&other)), "{asked:#?}");
    let text = stage.longshore(&args[..args.len() - 1]).await.succeeded();
    for digest in [&subset["of"], &subset["digest"]] {
        assert!(text.stdout.contains(digest.as_str().unwrap()), "{text:#?}");
    }
}

/// A registry that checks refuses, and the error names what it lacks; one that does not takes the
/// index to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn p6_a_sparse_subset_keeps_the_digest_or_says_which_children_are_missing() {
    let (stage, image) = staged(&multi_platform()).await;
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let from = stage.reference("team/staging:1");
    let args = [
        "copy",
        &from,
        &to,
        "--platform",
        "linux/arm64",
        "--subset",
        "sparse",
        "--json",
    ];
    let refused = stage.longshore(&args).await;
    assert_eq!(refused.code, Some(6), "{refused:#?}");
    let other = image.document.as_index().unwrap().manifests[0]
        .digest
        .to_string();
    let message = refused.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains(&other), "{message}");
    assert!(manifest(&there, "app", "1").await.is_none());

    there
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(Action::AcceptSparse));
    let taken = stage.longshore(&args).await.succeeded();
    assert_eq!(taken.json()["digest"], image.digest().to_string());
    let copied = manifest(&there, "app", "1").await.unwrap();
    assert_eq!(copied, image.document.bytes().as_ref());
    assert!(manifest(&there, "app", &other).await.is_none());
}

/// Where an index is taken that lacks some of its images, its being there says nothing of them: a copy
/// of the whole asks for each, whoever made the other one, and sends what is missing. What
/// was put whole is believed.
#[tokio::test(flavor = "multi_thread")]
async fn p6_a_whole_copy_after_a_sparse_one_sends_the_images_that_are_missing() {
    let (stage, image) = staged(&multi_platform()).await;
    let from = stage.reference("team/staging:1");
    let children = &image.document.as_index().unwrap().manifests;
    for (state, refused_before) in [
        ("same", false),
        ("other", false),
        ("none", false),
        ("same", true),
    ] {
        let there = registry().await;
        let to = format!("{}/app:1", there.registry());
        let sparse = [
            "copy",
            &from,
            &to,
            "--platform",
            "linux/arm64",
            "--subset",
            "sparse",
        ];
        if refused_before {
            // It is known to refuse such an index, and does not any more.
            assert_eq!(stage.longshore(&sparse).await.code, Some(6));
        }
        let taken = Rule::on(Endpoint::ManifestPut).act(Action::AcceptSparse);
        there.faults().add(taken);
        stage.longshore(&sparse).await.succeeded();
        let missing = children[0].digest.to_string();
        assert!(manifest(&there, "app", &missing).await.is_none());

        let other = stage.path("other.db");
        let mut whole = vec!["copy", &from, &to];
        match state {
            "other" => whole.extend(["--state", other.to_str().unwrap()]),
            "none" => whole.push("--no-state"),
            _ => {}
        }
        stage.longshore(&whole).await.succeeded();
        for child in children {
            let digest = child.digest.to_string();
            assert!(manifest(&there, "app", &digest).await.is_some(), "{state}");
        }
        there.log().clear();
        stage.longshore(&whole).await.succeeded();
        let asked = there.log().calls(Endpoint::ManifestHead);
        let expected = if state == "none" {
            1 + children.len()
        } else {
            1
        };
        assert_eq!(asked, expected, "{state}: {:#?}", there.log().lines());
        assert_eq!(there.log().calls(Endpoint::ManifestPut), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_an_unknown_platform_is_an_error_before_any_write_and_lists_what_there_is() {
    let (stage, _) = staged(&multi_platform()).await;
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let from = stage.reference("team/staging:1");
    let both = ["--platform", "linux/arm64", "--platform", "linux/s390x"];
    for subset in ["rewrite", "sparse"] {
        let mut args = vec!["copy", &from, &to, "--json", "--subset", subset];
        args.extend(both);
        let run = stage.longshore(&args).await;
        assert_eq!(run.code, Some(4), "{run:#?}");
        for named in ["linux/s390x", "linux/amd64, linux/arm64"] {
            assert!(run.stderr.contains(named), "{run:#?}");
        }
    }
    assert_eq!(there.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_platform_as_an_image_has_its_own_digest_and_several_cannot_be_one() {
    let (stage, image) = staged(&multi_platform()).await;
    let child = &image.document.as_index().unwrap().manifests[1].digest;
    let (from, to) = (
        stage.reference("team/staging:1"),
        stage.reference("team/prod:1"),
    );
    let mut args = vec!["copy", &from, &to, "--json", "--subset", "image"];
    args.extend(["--platform", "linux/arm64"]);
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["digest"], child.to_string());
    args.extend(["--platform", "linux/amd64"]);
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
}
