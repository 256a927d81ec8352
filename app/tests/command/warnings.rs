//! What registries warn of.

use server::{Server, Warning};

use crate::stage::{Stage, small};

/// A push of four blobs has a dozen answers, each with both warnings.
#[tokio::test(flavor = "multi_thread")]
async fn r10_a_registrys_warnings_are_shown_once_each() {
    let texts = ["this tag goes in May", "say \"please\""];
    let mut builder = Server::builder().memory();
    for text in texts {
        builder = builder.warning(Warning::new(text).unwrap());
    }
    let stage = Stage::with(builder.start().await.unwrap());
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let push = ["push", image.path(), &reference];
    let run = stage.longshore(&push).await.succeeded();
    assert!(stage.server.log().requests() > 5);
    for text in texts {
        let line = format!("warning from {}: {text}\n", stage.server.url());
        assert_eq!(run.stderr.matches(&line).count(), 1, "{run:#?}");
    }
    // Standard output is the report's, and who wants silence has it.
    assert!(!run.stdout.contains(texts[0]), "{run:#?}");
    let run = stage.longshore(&[&push[..], &["--quiet"]].concat()).await;
    assert_eq!(run.succeeded().stderr, "");

    let plan = ["plan", image.path(), &reference];
    let run = stage.longshore(&plan).await.succeeded();
    assert_eq!(run.stderr.matches(texts[0]).count(), 1, "{run:#?}");
}
