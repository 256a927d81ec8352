//! The flags of `serve` about what is accepted, asked for over the wire.

use std::io::Write as _;

use oci::Digest;

use crate::{
    longshore::run,
    served::{Served, read},
};

/// A registry, asked for whole answers.
struct Asked(Served);

fn serve(flags: &[&str]) -> Asked {
    let home = tempfile::tempdir().unwrap();
    Asked(Served::start(home.path(), flags))
}

impl Asked {
    /// The status and the whole answer.
    fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let headers = format!("{headers}connection: close\r\ncontent-length: {length}\r\n");
        let mut stream = self.0.ask(method, target, &headers);
        stream.write_all(body.as_bytes()).unwrap();
        let answer = read(&mut stream);
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    fn put_manifest(&self) -> (u16, String) {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let (config, layer) = (Digest::of(b"config"), Digest::of(b"layer"));
        let body = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/x","digest":"{config}","size":6}},"layers":[{{"mediaType":"application/x","digest":"{layer}","size":5}}]}}"#
        );
        let headers = format!("content-type: {kind}\r\n");
        self.ask("PUT", "/v2/app/manifests/v1", &headers, &body)
    }
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines().filter_map(|it| it.split_once(": "));
    lines.find(|(it, _)| *it == name).map(|(_, value)| value)
}

#[test]
fn the_rule_for_sparse_manifests_is_the_flags() {
    let named = |answer: &str| {
        let digests = [Digest::of(b"config"), Digest::of(b"layer")];
        digests.map(|it| answer.contains(&it.to_string()))
    };
    for (flags, status, names) in [
        (&[][..], 400, [true, true]),
        (&["--validation", "all"], 400, [true, true]),
        (&["--validation", "first"], 400, [true, false]),
        (&["--validation", "none"], 400, [false, false]),
        (&["--validation", "accept-all"], 201, [false, false]),
    ] {
        let (got, answer) = serve(flags).put_manifest();
        assert_eq!((got, named(&answer)), (status, names), "{flags:?} {answer}");
    }
}

#[test]
fn uploads_are_answered_as_the_flags_say() {
    let digest = Digest::of(b"blob");
    let single = format!("/v2/app/blobs/uploads/?digest={digest}");
    let anonymous = format!("/v2/other/blobs/uploads/?mount={digest}");
    let mount = format!("{anonymous}&from=app");

    let plain = serve(&[]);
    assert_eq!(plain.ask("POST", &single, "", "blob").0, 201);
    assert_eq!(plain.ask("POST", &anonymous, "", "").0, 201);
    assert_eq!(plain.ask("POST", &mount, "", "").0, 201);
    let blob = format!("/v2/other/blobs/{digest}");
    assert_eq!(plain.ask("DELETE", &blob, "", "").0, 202);

    let picky = serve(&["--no-anonymous-mount", "--no-delete"]);
    assert_eq!(picky.ask("POST", &single, "", "blob").0, 201);
    assert_eq!(picky.ask("POST", &anonymous, "", "").0, 202);
    assert_eq!(picky.ask("POST", &mount, "", "").0, 201);
    assert_eq!(picky.ask("DELETE", &blob, "", "").0, 405);

    let strict = serve(&[
        "--no-mount",
        "--no-single-post",
        "--absolute-location",
        "--chunk-min-length=3",
        "--max-body-length=4",
    ]);
    let (status, opened) = strict.ask("POST", &single, "", "blob");
    assert_eq!(status, 202);
    assert_eq!(header(&opened, "oci-chunk-min-length"), Some("3"));
    let location = header(&opened, "location").unwrap();
    let base = format!("http://{}", strict.0.address);
    let path = location.strip_prefix(&base).unwrap();
    assert_eq!(strict.ask("PATCH", path, "", "large").0, 413);
    let put = format!("{path}?digest={digest}");
    assert_eq!(strict.ask("PUT", &put, "", "blob").0, 201);
    assert_eq!(strict.ask("POST", &mount, "", "").0, 202);
}

#[test]
fn a_length_of_nothing_is_refused_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    for flag in ["--chunk-min-length=0", "--max-body-length=x"] {
        let run = run(home.path(), ["serve", flag]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(&flag[..12]), "{run:?}");
    }
}
