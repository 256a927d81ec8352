//! A push of many blobs is killed over its config, and over its manifest: what it has learned by then is
//! on the disk, and the next process does not ask for each blob anew.

use std::{thread, time::Duration};

use longshore::push::source::sample::SampleOptions;

use crate::{
    client::{Client, seen},
    gate::{At, Request},
    stage::Stage,
};

const LAYERS: usize = 40;
/// How often the state is looked at, and how many times: a minute, of which it takes a second.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 3000;

/// Waits until so many blobs are known to be in a repository, while a push is held.
fn until_known(stage: &Stage, client: &mut Client, (path, blobs): (&str, usize)) {
    for _ in 0..LOOKS {
        if seen(stage.home(), path) == blobs {
            return;
        }
        assert!(!client.is_over(), "it was to be held");
        thread::sleep(LOOK);
    }
    panic!("{} of {blobs} known in {path}", seen(stage.home(), path));
}

/// Kills a push to `team/<name>` that is held where `wanted` says, once what it has learned is kept.
fn killed_at(
    stage: &Stage,
    (name, blobs): (&str, usize),
    wanted: impl FnMut(&Request) -> bool + Send + 'static,
) {
    stage.gate.stop_at(At::Unsent, Box::new(wanted));
    let mut client = stage.push(name);
    assert!(stage.gate.stopped(&mut client).is_some());
    until_known(stage, &mut client, (&format!("team/{name}"), blobs));
    client.kill();
    stage.gate.cut();
    stage.gate.take_log();
    assert!(!stage.is_tagged(name));
}

/// What the next process asks for, with `names` in the place of digests.
fn next_process(stage: &Stage, name: &str, names: &[(&str, &str)]) -> Vec<String> {
    let base = format!("/v2/team/{name}/");
    let line = |it: &Request| {
        let path = it.target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix(&base).unwrap_or(path);
        let line = format!("{} {path}", it.method);
        let replace = |line: String, (digest, name): &(&str, &str)| line.replace(digest, name);
        names.iter().fold(line, replace)
    };
    stage.undisturbed_log(name).iter().map(line).collect()
}

#[test]
fn p1_killed_over_config_or_manifest_a_push_of_many_blobs_does_not_ask_for_each_again() {
    let options = SampleOptions {
        layers: LAYERS,
        layer_bytes: 4096,
        ..SampleOptions::default()
    };
    let stage = Stage::of(&options, &[]);
    let config = stage.config().digest.encoded().to_owned();
    let about = config.clone();
    let sends_config = move |it: &Request| it.is("PUT", "/uploads/") && it.is("PUT", &about);
    killed_at(&stage, ("config", LAYERS), sends_config);
    let root = stage.digest().to_string();
    let names = [(&*root, "ROOT")];
    let said = next_process(&stage, "config", &names);
    // The manifest asks for all: the registry names what it lacks.
    let uploads = said.iter().filter(|it| it.contains("blobs/uploads/"));
    assert_eq!(uploads.count(), 2, "{said:#?}");
    // Refused, it goes under its tag at once when they are there.
    let puts = ["PUT manifests/ROOT", "PUT manifests/1"];
    let manifests: Vec<&String> = said.iter().filter(|it| it.contains("manifests/")).collect();
    assert_eq!(manifests, puts);
    assert_eq!(said.len(), 4, "{said:#?}");

    let puts_manifest = |it: &Request| it.is("PUT", "/manifests/");
    killed_at(&stage, ("manifest", LAYERS + 1), puts_manifest);
    let said = next_process(&stage, "manifest", &names);
    assert_eq!(said, ["PUT manifests/ROOT", "PUT manifests/1"]);
}
