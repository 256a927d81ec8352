//! A push that is dropped.

use std::time::Duration;

use longshore_push::recording::{Call, Operation};

use crate::fixture::{count, image, is_put, repository, tagged, target, with_concurrency};

fn is_given_up(call: &Call) -> bool {
    matches!(
        call.operation,
        Operation::Cancel { .. } | Operation::Abandon { .. }
    )
}

/// Wherever it is: no manifest follows, and no session is left open.
#[tokio::test(start_paused = true)]
async fn n5_a_dropped_push_puts_no_manifest_and_leaves_no_session() {
    for concurrency in [1, 3, 16] {
        for milliseconds in (5..200).step_by(10) {
            let image = image(&["base", "app", "data"]);
            let target = target().taking(Duration::from_millis(10));
            let engine = with_concurrency(concurrency);
            let destination = tagged(&["1"]).mounting_from(repository("empty"));
            let push = engine.push(&image.source, &target, &destination, &());
            let limit = Duration::from_millis(milliseconds);
            if tokio::time::timeout(limit, push).await.is_ok() {
                continue;
            }
            let calls = target.calls().len();
            let put = count(&target, is_put);
            tokio::time::sleep(Duration::from_mins(1)).await;
            assert_eq!(target.calls().len(), calls, "nothing goes on afterwards");
            assert_eq!(count(&target, is_put), put);
            assert_eq!(target.open_sessions(), [""; 0]);
        }
    }
}

/// A session that a refused mount opened and nobody uses yet is given up by the engine.
#[tokio::test(start_paused = true)]
async fn n5_a_session_nobody_uses_yet_is_given_up() {
    let image = image(&["base"]);
    let target = target().taking(Duration::from_millis(10));
    let engine = with_concurrency(1);
    let destination = tagged(&["1"])
        .mounting_from(repository("one"))
        .mounting_from(repository("two"));
    // The first sibling has refused; the second is being asked.
    let push = engine.push(&image.source, &target, &destination, &());
    assert!(
        tokio::time::timeout(Duration::from_millis(15), push)
            .await
            .is_err()
    );
    let lines = target.lines();
    assert_eq!(
        lines[lines.len() - 2..],
        [
            format!("mount {} from two", image.layers[0].digest),
            "abandon session-1".to_owned(),
        ]
    );
    assert_eq!(count(&target, is_given_up), 1);
    assert_eq!(count(&target, is_put), 0);
}
