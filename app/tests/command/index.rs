//! What one process sees of blobs, the next one mounts; and what a person can do about it.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use longshore::push::{
    State,
    index::{BlobIndex as _, Selection, Sight, Sighting},
};
use oci::Digest;
use server::{Action, Answer, Endpoint, Rule};

use crate::{
    longshore::{Run, run, run_beside},
    push::readable,
    stage::{Image, Stage, small},
};

/// Pushes to a repository, one request at a time.
async fn push(stage: &Stage, image: &Image, name: &str, more: &[&str]) -> Run {
    let reference = stage.reference(name);
    let mut args = vec!["push", image.path(), &reference, "--json"];
    args.extend(["--concurrency", "1"]);
    args.extend(more);
    stage.longshore(&args).await
}

/// What a push says that has every blob mounted from `from`.
fn mounting(image: &Image, to: &str, from: &str) -> Vec<String> {
    let mount =
        |digest: &Digest| format!("POST /v2/{to}/blobs/uploads/?mount={digest}&from={from} → 201");
    let blobs = image.blobs();
    let mut lines: Vec<String> = blobs.iter().map(|it| mount(&it.digest)).collect();
    lines.push(format!("PUT /v2/{to}/manifests/1 → 201"));
    lines
}

/// The repository each mount was asked from, in order; a question for the repository itself is `?`.
fn asked(stage: &Stage, to: &str) -> Vec<String> {
    let lines = readable(&stage.server.log().lines());
    let from = lines.iter().filter_map(|it| {
        let (_, rest) = it.split_once("&from=")?;
        Some(rest.split(' ').next().unwrap().to_owned())
    });
    from.map(|it| if it == to { "?".to_owned() } else { it })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_after_a_push_another_process_mounts_every_blob_with_no_flag_given() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    push(&stage, &image, "team/app:1", &[]).await.succeeded();
    let second = push(&stage, &image, "team/other:1", &[]).await.succeeded();
    let lines = readable(&stage.server.log().lines());
    assert_eq!(lines, mounting(&image, "team/other", "team/app"));
    assert_eq!(stage.server.log().blob_bytes(), 0);
    let report = second.json();
    assert_eq!(report["bytes"]["mounted"], image.blob_bytes());
    let mounted = report["blobs"].as_array().unwrap().iter();
    assert!(mounted.clone().all(|it| it["tried"][0]["status"] == 201));
    assert_eq!(mounted.count(), image.blobs().len());
    // Not where it is not wanted, and nothing is kept then.
    for flag in ["--no-index", "--no-state"] {
        let name = format!("team/{}:1", &flag[2..]);
        push(&stage, &image, &name, &[flag]).await.succeeded();
        assert_eq!(
            stage.server.log().blob_bytes(),
            image.blob_bytes(),
            "{flag}"
        );
    }
    let (kept, _) = State::open(&stage.path(".local/state/longshore/state.db"));
    let known = kept.page(&Selection::all(), None).await.unwrap();
    let two = ["team/app", "team/other"];
    assert!(known.iter().all(|it| two.contains(&it.repository.path())));
    assert_eq!(known.len(), 2 * image.blobs().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn m11_what_one_process_saw_the_next_mounts_with_one_request_a_blob() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    push(&stage, &image, "base:1", &[]).await.succeeded();
    // At any concurrency: one mount for each shared blob, and no byte.
    let reference = stage.reference("app:1");
    let args = ["push", image.path(), &reference, "--json"];
    let run = stage.longshore(&args).await.succeeded();
    let log = stage.server.log();
    assert_eq!(log.calls(Endpoint::Mount), image.blobs().len());
    assert_eq!(log.calls(Endpoint::UploadPut), 0);
    assert_eq!(log.blob_bytes(), 0);
    assert_eq!(run.json()["bytes"]["uploaded"], 0);
    // A plan says so before.
    let reference = stage.reference("third:1");
    let plan = stage
        .longshore(&["plan", image.path(), &reference, "--json"])
        .await;
    let plan = plan.succeeded().json();
    assert_eq!(plan["totals"]["bytes"]["mounted"], image.blob_bytes());
    assert_eq!(plan["totals"]["bytes"]["uploaded"], 0);
}

/// Facts come from existence answers and from pulls, too.
#[tokio::test(flavor = "multi_thread")]
async fn i8_facts_come_from_answers_and_from_pulls() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    push(&stage, &image, "held:1", &["--no-state"])
        .await
        .succeeded();
    // Asked for by its tag, and there.
    let first = ["--ask-first", "always"];
    push(&stage, &image, "held:1", &first).await.succeeded();
    assert_eq!(stage.server.log().requests(), 1);
    push(&stage, &image, "app:1", &[]).await.succeeded();
    let lines = readable(&stage.server.log().lines());
    assert_eq!(lines, mounting(&image, "app", "held"));

    // Read from one registry, pushed to another: both are known to hold it.
    let other = Stage::new().await;
    let source = format!("docker://{}", stage.reference("held:1"));
    let (file, to) = (stage.path("state.db"), other.reference("copy:1"));
    let args = ["push", &source, &to, "--state", file.to_str().unwrap()];
    run_beside(stage.home(), args).await.succeeded();
    let (kept, _) = State::open(&file);
    let known = kept.page(&Selection::all(), None).await.unwrap();
    let of = |registry: &oci::Registry| {
        let there = known
            .iter()
            .filter(|it| it.repository.registry() == registry);
        let words = there.map(|it| match &it.sight {
            Sight::Present { by, .. } => by.name(),
            _ => "not there",
        });
        words.collect::<Vec<_>>()
    };
    let blobs = image.blobs().len();
    let registries = [&stage, &other].map(|it| it.server.registry().to_string().parse().unwrap());
    assert_eq!(of(&registries[0]), vec!["pulled"; blobs]);
    assert_eq!(of(&registries[1]), vec!["pushed"; blobs]);
}

/// A source that was refused is not asked first again; one that was denied not at all for a while.
#[tokio::test(flavor = "multi_thread")]
async fn m13_a_candidate_that_failed_is_not_tried_first_until_it_succeeds() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    push(&stage, &image, "b:1", &[]).await.succeeded();
    push(&stage, &image, "a:1", &["--no-index"])
        .await
        .succeeded();
    push(&stage, &image, "a:1", &[]).await.succeeded();
    let count = image.blobs().len();
    let refused = Rule::on(Endpoint::Mount).query_contains("from=a");
    stage.server.faults().add(refused.act(Action::RefuseMount));
    push(&stage, &image, "c:1", &[]).await.succeeded();
    let both = ["a", "b"].repeat(count);
    assert_eq!(asked(&stage, "c"), both, "the newest first");
    push(&stage, &image, "d:1", &[]).await.succeeded();
    assert_eq!(
        asked(&stage, "d"),
        ["b"].repeat(count),
        "not the one that failed"
    );
    // It is restored by being seen to hold them.
    stage.server.faults().clear();
    push(&stage, &image, "a:2", &[]).await.succeeded();
    push(&stage, &image, "e:1", &[]).await.succeeded();
    assert_eq!(asked(&stage, "e"), ["a"].repeat(count));

    let denied = Rule::on(Endpoint::Mount).query_contains("from=a");
    let answer = Action::Answer(Answer::error(403, "DENIED", "not for you"));
    stage.server.faults().add(denied.act(answer));
    let first = push(&stage, &image, "f:1", &[]).await.succeeded();
    let once = [vec!["a"], ["e"].repeat(count)].concat();
    assert_eq!(
        asked(&stage, "f"),
        once,
        "for one blob, on hold for the others"
    );
    let blobs = first.json()["blobs"].as_array().unwrap().clone();
    let tried = blobs.iter().flat_map(|it| it["tried"].as_array().unwrap());
    let of_a = tried.filter(|it| it["from"].as_str().unwrap().ends_with("/a"));
    let mut of_a: Vec<_> = of_a
        .map(|it| (it["answer"].to_string(), it["status"].to_string()))
        .collect();
    of_a.sort();
    let (denied, held) = (("\"denied\"", "403"), ("\"on-hold\"", "null"));
    let expected = [vec![denied], vec![held; count - 1]].concat();
    assert!(
        of_a.iter()
            .map(|(one, other)| (&**one, &**other))
            .eq(expected),
        "{of_a:?}"
    );
    stage.server.faults().clear();
    push(&stage, &image, "g:1", &[]).await.succeeded();
    assert!(!asked(&stage, "g").contains(&"a".to_owned()));
    push(&stage, &image, "a:3", &[]).await.succeeded();
    push(&stage, &image, "h:1", &[]).await.succeeded();
    assert_eq!(asked(&stage, "h"), ["a"].repeat(count));
}

/// The registry says Mounted, and has not: the manifest finds out, the blobs go once, and the
/// repository is not asked first again.
#[tokio::test(flavor = "multi_thread")]
async fn m13_a_mount_that_was_a_lie_is_made_good_once_and_marked() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    push(&stage, &image, "liar:1", &[]).await.succeeded();
    let lie = Answer::new(201).header("location", "/v2/app/blobs/x");
    let lies = Rule::on(Endpoint::Mount).query_contains("from=liar");
    stage.server.faults().add(lies.act(Action::Answer(lie)));
    let run = push(&stage, &image, "app:1", &[]).await.succeeded();
    let log = stage.server.log();
    assert_eq!(log.blob_bytes(), image.blob_bytes(), "each once");
    assert_eq!(log.calls(Endpoint::ManifestPut), 2);
    assert_eq!(run.json()["bytes"]["uploaded"], image.blob_bytes());
    let (kept, _) = State::open(&stage.path(".local/state/longshore/state.db"));
    let liar = stage.reference("liar").parse().unwrap();
    let known = kept.page(&Selection::repository(liar), None).await.unwrap();
    assert_eq!(known.len(), image.blobs().len());
    let gone = |it: &Sighting| matches!(it.sight, Sight::Gone { .. });
    assert!(known.iter().all(gone), "{known:#?}");
    push(&stage, &image, "next:1", &[]).await.succeeded();
    assert!(!asked(&stage, "next").contains(&"liar".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_corrupt_file_is_announced_and_rebuilt_and_the_push_still_succeeds() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let file = stage.path("state.db");
    let flag = ["--state", file.to_str().unwrap()];
    push(&stage, &image, "first:1", &flag).await.succeeded();
    fs::write(&file, b"this is no database\n".repeat(300)).unwrap();
    let run = push(&stage, &image, "app:1", &flag).await.succeeded();
    assert!(run.stderr.contains("begun anew"), "{run:#?}");
    let run = push(&stage, &image, "other:1", &flag).await.succeeded();
    assert_eq!(run.json()["bytes"]["mounted"], image.blob_bytes());
    assert!(!run.stderr.contains("warning: "), "{run:#?}");
}

/// Some milliseconds after a time that is not long ago.
fn at(millis: u64) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let day = 24 * 60 * 60;
    // The same for all of a test, unless it runs at midnight.
    let midnight = since.as_secs() / day * day;
    format!("{}", (midnight - 40 * day) * 1000 + millis)
}

fn index(home: &Path, state: &Path, args: &[&str]) -> Run {
    let mut all = vec!["index", "--state", state.to_str().unwrap()];
    all.extend(args);
    run(home, all)
}

/// A file of facts: as many blobs of one repository.
fn facts(path: &Path, repository: &str, count: usize) {
    let at = at(0);
    let line = |it: usize| {
        let digest = Digest::of(format!("{repository} {it}").as_bytes());
        format!("{digest} {repository} present {it} pushed {at}\n")
    };
    fs::write(path, (0..count).map(line).collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_two_processes_that_record_a_thousand_facts_each_lose_none() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.db");
    let files = ["r.test/a", "r.test/b"].map(|repository| {
        let path = home.path().join(repository.replace('/', "-"));
        facts(&path, repository, 1000);
        path
    });
    let importing = files.each_ref().map(|file| {
        let args = ["index", "--state", state.to_str().unwrap(), "import"];
        let args = args.into_iter().chain([file.to_str().unwrap()]);
        run_beside(home.path(), args)
    });
    for run in futures_join(importing).await {
        assert_eq!(run.succeeded().stdout, "1000 facts, 1000 new\n");
    }
    let exported = index(home.path(), &state, &["export"]).succeeded().stdout;
    assert_eq!(exported.lines().count(), 1 + 2000);
}

/// A fact is kept with all that were written with it, or not at all; and nobody waits for the dead.
#[tokio::test(flavor = "multi_thread")]
async fn i4_processes_that_are_killed_lose_whole_batches_and_cost_the_others_nothing() {
    /// How many facts an import writes at once.
    const BATCH: usize = 1024;
    const FACTS: usize = 6 * BATCH;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.db");
    let names = ["r.test/a", "r.test/b", "r.test/c", "r.test/d"];
    let mut importing = names.map(|repository| {
        let file = home.path().join(repository.replace('/', "-"));
        facts(&file, repository, FACTS);
        let mut command = crate::longshore::longshore(home.path());
        command.args(["index", "--state", state.to_str().unwrap(), "import"]);
        command.arg(file).stdout(std::process::Stdio::null());
        command.spawn().unwrap()
    });
    // Some of it is written by then, whoever did it.
    let (index, _) = State::open(&state);
    while index
        .page(&Selection::all(), None)
        .await
        .unwrap()
        .is_empty()
    {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let [a, b, c, d] = &mut importing;
    for killed in [a, b] {
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    for left in [c, d] {
        assert!(left.wait().unwrap().success());
    }
    for (name, whole) in names.into_iter().zip([false, false, true, true]) {
        let only = [
            "index",
            "--state",
            state.to_str().unwrap(),
            "export",
            "--only",
            name,
        ];
        let exported = run(home.path(), only).succeeded();
        assert!(!exported.stderr.contains("warning"), "{exported:#?}");
        let kept = exported.stdout.lines().count() - 1;
        assert_eq!(kept % BATCH, 0, "{name}");
        assert!(!whole || kept == FACTS, "{name}: {kept}");
    }
}

async fn futures_join<F: Future<Output = Run>>(two: [F; 2]) -> [Run; 2] {
    let [one, other] = two;
    let (one, other) = tokio::join!(one, other);
    [one, other]
}

#[tokio::test(flavor = "multi_thread")]
async fn p17_what_one_machine_exports_another_mounts_on_its_first_push() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let [a, b] = ["a.db", "b.db"].map(|it| stage.path(it));
    let in_file = |it: &Path| ["--state".to_owned(), it.to_str().unwrap().to_owned()];
    let flag = in_file(&a);
    let flag = flag.each_ref().map(|it| &**it);
    push(&stage, &image, "base:1", &flag).await.succeeded();
    let carried = stage.path("carried");
    let export = ["export", carried.to_str().unwrap()];
    index(stage.home(), &a, &export).succeeded();
    let text = fs::read_to_string(&carried).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "# longshore index 1");
    assert_eq!(lines.len(), 1 + image.blobs().len());
    assert!(lines.is_sorted());
    let import = ["import", carried.to_str().unwrap()];
    let imported = index(stage.home(), &b, &import).succeeded();
    let count = image.blobs().len();
    assert_eq!(imported.stdout, format!("{count} facts, {count} new\n"));
    let flag = in_file(&b);
    let flag = flag.each_ref().map(|it| &**it);
    push(&stage, &image, "app:1", &flag).await.succeeded();
    let lines = readable(&stage.server.log().lines());
    assert_eq!(lines, mounting(&image, "app", "base"));
    assert_eq!(stage.server.log().blob_bytes(), 0);
}

/// Endless, in one line; and of more lines than anybody exports.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn p17_an_import_ends_at_a_bound_and_says_which_and_what_was_known_stays() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.db");
    let index = |args: &[&str]| index(home.path(), &state, args);
    let file = home.path().join("facts");
    facts(&file, "r.test/known", 3);
    index(&["import", file.to_str().unwrap()]).succeeded();
    let before = index(&["export"]).succeeded().stdout;

    let run = index(&["import", "/dev/zero"]);
    assert_eq!(run.code, Some(5), "{run:#?}");
    let expected = "error: /dev/zero has more than 256.0 MiB, so that the rest of it was not read: 0 facts were imported\n";
    assert!(run.stderr.starts_with(expected), "{run:#?}");
    assert!(run.stderr.contains("is it the right file?"), "{run:#?}");
    assert_eq!(index(&["export"]).succeeded().stdout, before);

    facts(&file, "r.test/new", 2);
    let mut lines = fs::read(&file).unwrap();
    lines.extend(b"#\n".repeat(1_048_576 - 2));
    fs::write(&file, &lines).unwrap();
    let run = index(&["import", file.to_str().unwrap(), "--json"]).succeeded();
    assert_eq!(run.json()["facts"], 2, "as many as there may be");
    lines.extend(b"#");
    fs::write(&file, &lines).unwrap();
    let run = index(&["import", file.to_str().unwrap(), "--json"]);
    assert_eq!(run.code, Some(5), "{run:#?}");
    let message = run.json()["error"]["message"].to_string();
    assert!(message.contains("more than 1048576 lines"), "{message}");
    assert!(message.contains("2 facts were imported"), "{message}");
    let known = index(&["export"]).succeeded().stdout;
    assert!(before.lines().all(|it| known.contains(it)));
    assert_eq!(known.lines().count(), 1 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn p17_an_import_merges_is_idempotent_and_rejects_a_bad_line_by_its_number() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.db");
    let index = |args: &[&str]| index(home.path(), &state, args);
    let digest = Digest::of(b"x");
    let [one, two, three, nine] = [1, 2, 3, 9].map(at);
    let known = format!(
        "- r.test/closed denied {three}\n\
         {digest} r.test/a present 7 pushed {two}\n\
         {digest} r.test/b gone {two}\n"
    );
    let file = home.path().join("facts");
    let import = |text: &str| {
        fs::write(&file, text).unwrap();
        index(&["import", file.to_str().unwrap()])
    };
    assert_eq!(import(&known).succeeded().stdout, "3 facts, 3 new\n");
    assert_eq!(import(&known).succeeded().stdout, "3 facts, 0 new\n");
    let exported = index(&["export"]).succeeded().stdout;
    assert_eq!(exported, format!("# longshore index 1\n{known}"));

    // Older facts change nothing, newer ones do; bad lines are told and cost nothing else.
    let mixed = format!(
        "{digest} r.test/a gone {one}\n\
         {digest} r.test/b present 7 pushed soon\n\
         # said of b later\n\
         user:hunter2@r.test\n\
         {digest} r.test/b present 7 answered {nine}\n"
    );
    let run = import(&mixed);
    assert_eq!(run.code, Some(10), "{run:#?}");
    assert_eq!(run.stdout, "2 facts, 1 new\n");
    let expected = "line 2: expected a time in milliseconds since 1970, found \"soon\"; \
         line 4: expected a digest or -, found \"…@r.test\"";
    assert!(run.stderr.contains(expected), "{run:#?}");
    assert!(!run.stderr.contains("hunter2"), "{run:#?}");
    let merged = index(&["export", "--only", "r.test/b"]).succeeded().stdout;
    let b = format!("{digest} r.test/b present 7 answered {nine}");
    assert_eq!(merged, format!("# longshore index 1\n{b}\n"));
    let json = index(&["import", "--json", file.to_str().unwrap()]).json();
    assert_eq!((&json["facts"], &json["news"]), (&2.into(), &0.into()));
    assert_eq!(json["rejected"][0]["line"], 2);
    assert_eq!(json["lines_rejected"], 2);
}

/// What does not stay is not said to be known: facts that are too old are told of at once.
#[tokio::test(flavor = "multi_thread")]
async fn p17_an_import_says_what_the_index_does_not_keep() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.db");
    let index = |args: &[&str]| index(home.path(), &state, args);
    let digest = Digest::of(b"x");
    let (then, long_ago) = (at(0), "1500000000000");
    let file = home.path().join("facts");
    let facts = format!(
        "- r.test/closed denied {long_ago}\n\
         {digest} r.test/a present 7 pushed {then}\n\
         {digest} r.test/b present 7 pushed {long_ago}\n"
    );
    fs::write(&file, facts).unwrap();
    let told = index(&["import", file.to_str().unwrap()])
        .succeeded()
        .stdout;
    assert_eq!(
        told,
        "3 facts, 3 new; 2 of the oldest forgotten: 65536 are kept, for 90 days\n"
    );
    let exported = index(&["export"]).succeeded().stdout;
    assert_eq!(exported.lines().count(), 1 + 1);
    let json = index(&["import", "--json", file.to_str().unwrap()]).json();
    assert_eq!((&json["news"], &json["forgotten"]), (&2.into(), &2.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_what_is_known_can_be_shown_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.db");
    let index = |args: &[&str]| index(home.path(), &state, args);
    let nothing = index(&["show"]).succeeded().stdout;
    assert_eq!(nothing, "nothing is known of any repository\n");
    assert!(!state.exists(), "looking makes no file");
    let file = home.path().join("facts");
    let (x, y) = (Digest::of(b"x"), Digest::of(b"y"));
    let then = at(0);
    let text = format!(
        "{x} r.test/a present 2048 pushed {then}\n\
         {y} r.test/a gone {then}\n\
         - other.test/a denied {then}\n"
    );
    fs::write(&file, text).unwrap();
    index(&["import", file.to_str().unwrap()]).succeeded();
    let of_x = index(&["show", &x.to_string()]).succeeded().stdout;
    let start = format!(
        "sha256:{}    2.0 KiB r.test/a  pushed (",
        &x.encoded()[..12]
    );
    assert!(of_x.starts_with(&start), "{of_x}");
    assert_eq!(of_x.lines().count(), 1);
    let json = index(&["show", "other.test", "--json"]).succeeded().json();
    assert_eq!(json[0]["state"], "denied");
    assert_eq!(json[0]["seen"].to_string() + "000", then);
    assert_eq!(index(&["show"]).succeeded().stdout.lines().count(), 3);
    let wrong = index(&["forget", "no registry"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.stderr.contains("neither a digest"), "{wrong:#?}");
    assert_eq!(index(&["forget"]).code, Some(2));
    let forgot = index(&["forget", "r.test/a"]).succeeded().stdout;
    assert_eq!(forgot, "forgot 2 facts\n");
    let days = index(&["prune", "--older-than", "89 days"]).succeeded();
    assert_eq!(days.stdout, "forgot 0 facts\n");
    let wrong = index(&["prune", "--older-than", "30x"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.stderr.contains("use ms, s, m, h or d"), "{wrong:#?}");
    assert_eq!(index(&["prune"]).succeeded().stdout, "forgot 1 fact\n");
    assert_eq!(
        index(&["forget", "--all"]).succeeded().stdout,
        "forgot 0 facts\n"
    );
    assert_eq!(index(&["show"]).succeeded().stdout, nothing);
    let missing = index(&["import", "/nowhere/to/be/found"]);
    assert!(
        missing.stderr.contains("there is nothing at /nowhere"),
        "{missing:#?}"
    );
}
