//! What cannot be built: told with file and line, before anything is written.

use std::fs;

use serde_json::Value;
use server::{Auth, Endpoint, Server};

use super::{AT_DIGEST, OLD, Yard};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_is_told_with_file_and_line_and_nothing_is_written() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let from = format!("FROM {}:ltsc2022\n", yard.nanoserver());
    let out = yard.stage.path("out");
    for (text, line, says) in [
        (format!("{from}RUN dir\n"), 2, "RUN is not possible"),
        (format!("{from}COPYY a b\n"), 2, "did you mean COPY"),
        (format!("{from}COPY --frm=x a b\n"), 2, "--frm"),
        (format!("{from}COPY <<EOF /x\nno end\n"), 2, "here-document"),
        (format!("{from}COPY nothing /x\n"), 2, "nothing"),
        (format!("{from}COPY ../secret /x\n"), 2, "secret"),
        (format!("{from}COPY app/hello.exe /CON\n"), 2, "CON"),
        (
            format!("{from}STOPSIGNAL 9\n"),
            2,
            "STOPSIGNAL means nothing on Windows",
        ),
        (format!("{from}EXPOSE 99999\n"), 2, "is no port"),
        (format!("{from}WORKDIR D:/x\n"), 2, "drive C: only"),
        (
            format!("{from}ENV PATH=C:/app\n"),
            2,
            "--windows-path-default",
        ),
        ("FROM scratch\nCOPY app/ /\n".to_owned(), 1, "nanoserver"),
        (format!("FROM {}:none\n", yard.nanoserver()), 1, "none"),
    ] {
        yard.dockerfile(&text);
        let run = yard.build(&["--output", out.to_str().unwrap()]).await;
        assert!(matches!(run.code, Some(4 | 5)), "{text}: {run:#?}");
        let place = format!("Dockerfile:{line}: ");
        assert!(
            run.stderr.contains(&place) && run.stderr.contains(says),
            "{text}: {run:#?}"
        );
        assert!(!out.exists(), "{text}");
        let to = yard.stage.reference("team/app:1");
        let run = yard.build(&["-t", &to, "--push"]).await;
        assert!(matches!(run.code, Some(4 | 5)), "{text}: {run:#?}");
        let log = yard.stage.server.log();
        assert_eq!(
            (
                log.calls(Endpoint::ManifestPut),
                log.calls(Endpoint::UploadPost)
            ),
            (0, 0),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_of_another_build_or_without_a_version_is_refused() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let out = yard.stage.path("out");
    let out = out.to_str().unwrap();
    for (args, code, says) in [
        (
            &["--os-version", "10.0.26100.1"][..],
            2,
            "--force-os-version",
        ),
        (&["--os-version", "eleven"], 2, "no version of Windows"),
        (&["--os-version", "eleven"], 2, "or none"),
        (&["--os-version", "none"], 2, "--force-os-version"),
        (&["--platform", "windows/amd64:10.0.26100"], 4, OLD),
        (
            &["--platform", "linux/amd64"],
            4,
            "choose what the image is for with --platform",
        ),
        (&["--platform", "plan9/amd64"], 2, "no images are assembled"),
        (&["--base-version", "no tag!"], 2, "ARG BASE_VERSION"),
        (&["--target", "nowhere"], 5, "there is no stage"),
        (&["--map-from", "x"], 2, "no rule for FROM"),
        (&["--build-arg", "x"], 2, "NAME=VALUE"),
        (&["--timestamp", "today"], 2, "seconds since 1970"),
        (&["-t", AT_DIGEST], 2, "leave it out"),
    ] {
        let run = yard.build(&[&["--output", out], args].concat()).await;
        assert_eq!(run.code, Some(code), "{args:?}: {run:#?}");
        assert!(run.stderr.contains(says), "{args:?}: {run:#?}");
    }
    let forced = [
        "--output",
        out,
        "--os-version",
        "10.0.26100.1",
        "--force-os-version",
        "--json",
    ];
    let run = yard.build(&forced).await.succeeded().json();
    assert_eq!(
        run["build"]["images"][0]["platform"],
        "windows/amd64:10.0.26100.1"
    );
    let none = yard.stage.path("none");
    let none = ["--output", none.to_str().unwrap(), "--os-version", "none"];
    let forced = [&none[..], &["--force-os-version", "--json"]].concat();
    let run = yard.build(&forced).await.succeeded().json();
    assert_eq!(run["build"]["images"][0]["platform"], "windows/amd64");
    let run = yard.build(&[]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("--push") && run.stderr.contains("--output"),
        "{run:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn b17_a_build_that_fails_says_so_once_whether_it_is_the_build_or_the_push() {
    let near = Server::builder().memory().auth(Auth::basic("me", "secret"));
    let yard = Yard::with(near.start().await.unwrap()).await;
    let events = yard.stage.path("events");
    let to = yard.stage.reference("team/app:1");
    let failures = || {
        let text = fs::read_to_string(&events).unwrap();
        let told: Vec<Value> = text
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        let failed = told.iter().filter(|it| it["event"] == "failed").count();
        assert_eq!(told.last().unwrap()["event"], "failed", "{told:?}");
        (failed, told.len())
    };
    let args = ["-t", &to, "--push", "--events", events.to_str().unwrap()];
    // There is no such base.
    assert_eq!(yard.build(&args).await.code, Some(4));
    assert_eq!(failures(), (1, 1));
    // The registry wants a login.
    yard.base("ltsc2022", OLD).await;
    assert_eq!(yard.build(&args).await.code, Some(3));
    let (failed, told) = failures();
    assert!(failed == 1 && told > 3, "{told}");
    #[cfg(target_os = "linux")]
    {
        // Nobody takes what is told.
        let out = yard.stage.path("out");
        let args = ["--output", out.to_str().unwrap(), "--events", "/dev/full"];
        yard.build(&args).await.succeeded();
    }
}
