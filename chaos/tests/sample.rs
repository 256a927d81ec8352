//! A small sample of what the command does at length, and the proxy's own promise: that it
//! changes nothing unless it is told to.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::num::NonZeroUsize;

use chaos::{
    elsewhere::Elsewhere,
    fault::Class,
    image::Image,
    run::{Choice, Plan},
    scenario::Scenario,
    trial::{End, Ground, Trial},
};

fn choice(only: Option<&str>) -> Choice {
    Choice {
        seed: 3,
        runs: 120,
        exhaustive: false,
        only: only.map(str::to_owned),
        program: None,
    }
}

fn at_once() -> NonZeroUsize {
    NonZeroUsize::new(16).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_pushes_with_faults_break_no_promise() {
    let plan = Plan::new(&choice(None)).await.unwrap();
    assert_eq!(plan.len(), 120);
    let mut broken = Vec::new();
    let made = plan
        .run(at_once(), |outcome| {
            if let End::Broken(..) = outcome.end {
                broken.push(format!("{}: {:?}", outcome.name, outcome.end));
            }
        })
        .await
        .unwrap();
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(made.leaked, Vec::<String>::new());
    let total = made.figures.total();
    assert_eq!(total.runs, 120);
    assert!(total.faults > 100, "{} faults", total.faults);
    assert!(total.converged > 0 && total.failed > 0);
}

#[tokio::test]
async fn the_same_seed_is_the_same_trials() {
    let one = Plan::new(&choice(None)).await.unwrap();
    let other = Plan::new(&choice(None)).await.unwrap();
    assert_eq!(
        one.names().collect::<Vec<_>>(),
        other.names().collect::<Vec<_>>()
    );
    let next = Choice {
        seed: 4,
        ..choice(None)
    };
    let next = Plan::new(&next).await.unwrap();
    assert_ne!(
        one.names().collect::<Vec<_>>(),
        next.names().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_choice_of_nothing_is_empty_and_all_classes_are_among_many() {
    let none = Plan::new(&choice(Some("no such trial"))).await.unwrap();
    assert!(none.is_empty());
    let many = Choice {
        runs: 4000,
        ..choice(None)
    };
    let many = Plan::new(&many).await.unwrap();
    let classes: Vec<Class> = many.classes().into_iter().collect();
    assert_eq!(classes, Class::ALL);
}

/// Byte for byte: the registry hears as many bytes through the proxy as the client has sent,
/// and the conversation is the shortest there is.
#[tokio::test]
async fn without_faults_the_conversation_is_what_it_is_without_the_proxy() {
    let ground = Ground {
        image: Image::new().unwrap(),
        elsewhere: Elsewhere::start().await.unwrap(),
        program: None,
    };
    for scenario in Scenario::ALL {
        let baseline = Trial::baseline(scenario, &ground).await.unwrap();
        let record = baseline.record;
        assert_eq!(record.injected, 0);
        assert_eq!(baseline.bytes, ground.image.blob_bytes());
        assert!(record.up > baseline.bytes && record.down > 1000);
        let bodies: u64 = record.seen.iter().map(|it| it.body).sum();
        let manifests = ground.image.index.bytes().len() + ground.image.manifest.bytes().len();
        assert_eq!(bodies, baseline.bytes + manifests as u64);
        assert_eq!(record.seen.len() as u64, baseline.requests);
    }
}
