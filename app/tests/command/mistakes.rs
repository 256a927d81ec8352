//! What people get wrong at first, and what they are told: what it was, and what to do next.

use crate::{longshore::Run, stage::Stage};

/// The one hint that was given.
fn hint(run: &Run) -> &str {
    let mut hints = run.stderr.lines().filter(|it| it.starts_with("  hint: "));
    let only = hints.next();
    assert!(hints.next().is_none(), "{run:#?}");
    only.unwrap_or_default()
}

/// By the grammar it would be one of Docker Hub's own images, and go there.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_a_repository_is_no_reference() {
    let stage = Stage::new().await;
    let image = stage.image(&crate::stage::small());
    let host = stage.server.registry().to_string();
    for text in [
        host.as_str(),
        "localhost",
        "localhost:5000",
        "registry.example.com",
        "registry.example.com:5000",
    ] {
        for args in [
            &["push", image.path(), text][..],
            &["plan", image.path(), text],
            &["copy", image.path(), text],
            &["push", image.path(), &stage.reference("team/app:1"), text],
        ] {
            let run = stage.longshore(args).await;
            assert_eq!(run.code, Some(2), "{args:?}: {run:#?}");
            let told = format!("it is {text}/REPOSITORY[:TAG]");
            assert!(run.stderr.contains(&told), "{args:?}: {run:#?}");
        }
    }
    assert_eq!(stage.server.log().requests(), 0);
}

/// As skopeo's and copy's sources are written.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_takes_what_says_what_it_is() {
    let stage = Stage::new().await;
    let image = stage.image(&crate::stage::small());
    let to = stage.reference("team/app:1");
    let other = stage.reference("team/other:1");
    let written = format!("oci:{}", image.path());
    stage.longshore(&["push", &written, &to]).await.succeeded();
    stage
        .longshore(&["push", &written, &to, &other])
        .await
        .succeeded();
    let named = format!("oci:{}:no-such-name", image.path());
    let run = stage.longshore(&["push", &named, &to]).await;
    assert_eq!(run.code, Some(4), "{run:#?}");
    assert!(run.stderr.contains("no-such-name"), "{run:#?}");
    let run = stage
        .longshore(&["push", &named, &to, "--image", "another"])
        .await;
    assert_eq!(run.code, Some(2), "{run:#?}");
}

/// Each obstacle on the way to a registry has a remedy of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_told_with_what_helps() {
    let stage = Stage::new().await;
    let image = stage.image(&crate::stage::small());
    let plain = format!("https://{}", stage.reference("team/app:1"));
    for (to, code, because, helps) in [
        (
            "127.0.0.1:1/team/app:1",
            7,
            "could not connect to 127.0.0.1:1\n",
            "whether it is running",
        ),
        (plain.as_str(), 7, "is not TLS", "--plain-http"),
    ] {
        let run = stage.longshore(&["push", image.path(), to]).await;
        assert_eq!(run.code, Some(code), "{to}: {run:#?}");
        assert!(run.stderr.contains(because), "{to}: {run:#?}");
        assert!(hint(&run).contains(helps), "{to}: {run:#?}");
    }
}

/// Lines of several destinations would be one another's otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_destination_meets_is_told_under_its_name_as_it_was_written() {
    let stage = Stage::new().await;
    let image = stage.image(&crate::stage::small());
    let to = stage.reference("team/app:1");
    let run = stage
        .longshore(&["push", image.path(), &to, "127.0.0.1:1/team/app:1"])
        .await;
    assert_eq!(run.code, Some(10), "{run:#?}");
    assert!(!run.stderr.contains("docker://"), "{run:#?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    let done = format!("{to}: sha256:");
    assert!(lines.iter().any(|it| it.starts_with(&done)), "{run:#?}");
    let failed = "127.0.0.1:1/team/app:1: error: ";
    assert!(lines.iter().any(|it| it.starts_with(failed)), "{run:#?}");
    // What all of them took together is told once.
    assert_eq!(run.stdout.matches(" requests: ").count(), 1, "{run:#?}");
}
