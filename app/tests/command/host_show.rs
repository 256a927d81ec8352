//! `host show`: what would be, and the file that decided each point.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::longshore::{Run, finished, longshore};

const CANARIES: [&str; 4] = [
    "canary-proxy",
    "canary-header",
    "canary-auth",
    "canary-password",
];

const HOSTS: &str = r#"
server = "https://r.test"
[host."https://in.test/v2/lab"]
capabilities = ["push"]
ca = "ca.pem"
client = "both.pem"
header = { X-Key = "canary-header" }
override_path = true
[host."https://mirror.test"]
capabilities = ["pull"]
"#;
const AUTHS: &str = r#"{
    "auths": { "in.test": { "auth": "bWU6Y2FuYXJ5LWF1dGg=" } },
    "credHelpers": { "r.test": "vault" }
}"#;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        // The user's own file keeps the machine's away.
        home.write(".config/containers/registries.conf", "");
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) -> String {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// With an environment full of secrets, none of which may be seen.
    fn show(&self, args: &[&str]) -> Run {
        let run = longshore(self.0.path())
            .args(["host", "show"])
            .args(args)
            .env("HTTPS_PROXY", "http://me:canary-proxy@proxy.test:3128")
            .env("LONGSHORE_PASSWORD", "canary-password")
            .output();
        let run = finished(run.unwrap());
        for canary in CANARIES {
            assert!(!format!("{run:?}").contains(canary), "{run:#?}");
        }
        run
    }
}

/// The value, and what it is so by.
fn pair(said: &serde_json::Value) -> [&str; 2] {
    [&said["value"], &said["because"]].map(|it| it.as_str().unwrap())
}

#[test]
fn every_point_is_shown_with_the_file_that_decided_it_and_no_secret() {
    let home = Home::new();
    let (certificate, key) = crate::hosts::pair();
    let ca = home.write(".config/containerd/certs.d/r.test/ca.pem", &certificate);
    let both = home.write(
        ".config/containerd/certs.d/r.test/both.pem",
        &(certificate.clone() + &key),
    );
    let hosts = home.write(".config/containerd/certs.d/r.test/hosts.toml", HOSTS);
    let directory = home.path(".config/containers/certs.d/in.test");
    let own = home.write(".config/containers/certs.d/in.test/own.crt", &certificate);
    let auths = home.write(".docker/config.json", AUTHS);
    let run = home.show(&["r.test/team/app", "--json"]).succeeded();
    let shown = run.json();
    assert_eq!(shown["name"], "r.test/team/app");
    assert_eq!(shown["decided_by"], hosts);
    let first = &shown["ways"][0];
    assert_eq!(first["repository"], "in.test/lab/team/app");
    assert_eq!(
        pair(&first["endpoint"]),
        ["https://in.test/v2/", "its URL says so"]
    );
    assert_eq!(pair(&first["authorities"][0]), [&ca, "of its endpoint"]);
    assert_eq!(
        pair(&first["authorities"][1]),
        [&own, directory.to_str().unwrap()]
    );
    assert_eq!(pair(&first["certificates"][0]), [&both, "of its endpoint"]);
    assert_eq!(
        pair(&first["proxy"]),
        ["http://proxy.test:3128", "HTTPS_PROXY"]
    );
    assert_eq!(
        pair(&first["credentials"]),
        ["an entry of the file", &auths]
    );
    assert_eq!(first["headers"], serde_json::json!(["X-Key"]));
    let second = &shown["ways"][1];
    assert_eq!(second["repository"], "r.test/team/app");
    let kept = pair(&second["credentials"]);
    assert_eq!(kept, ["docker-credential-vault, if it has any", &auths]);
    assert_eq!(shown["ways"].as_array().unwrap().len(), 2);
    assert!(
        shown["left_out"][0]
            .as_str()
            .unwrap()
            .contains("mirror.test")
    );

    shown_for_people(&home, &[&ca, &own, &both, &auths, &hosts]);
}

fn shown_for_people(home: &Home, files: &[&str]) {
    let text = home.show(&["r.test/team/app"]).succeeded().stdout;
    let others = [
        "HTTPS_PROXY",
        "in.test/lab/team/app",
        "X-Key",
        "mirror.test",
    ];
    for told in files.iter().chain(&others) {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_registry_without_files_is_shown_as_it_is() {
    let home = Home::new();
    let text = home.show(&["r.test"]).succeeded().stdout;
    let expected = "\
r.test
  endpoint       https://r.test/v2/ (as every registry)
  trusted by     the system's certificates
  proxy          http://proxy.test:3128 (HTTPS_PROXY)
  credentials    none
";
    assert_eq!(text, expected);
    let text = home.show(&["localhost:5000/app"]).succeeded().stdout;
    let expected = "\
localhost:5000/app
  endpoint       http://localhost:5000/v2/ (it is on this machine)
  repository     localhost:5000/app
  proxy          none
  credentials    none
";
    assert_eq!(text, expected);
}

#[test]
fn why_a_registry_is_spoken_to_with_tls_or_without_is_told() {
    let home = Home::new();
    let (certificate, _) = crate::hosts::pair();
    let ca = home.write("ca.pem", &certificate);
    let settings = home.write(
        ".config/longshore/config.toml",
        "[registry.\"plain.test\"]\nplain-http = true\n[registry.\"odd.test\"]\ninsecure-skip-tls-verify = true\nproxy = \"none\"\n",
    );
    let conf = home.write(".config/containers/registries.conf", "[[registry]]\nlocation = \"any.test\"\ninsecure = true\n[[registry]]\nlocation = \"no.test\"\nblocked = true\n");
    let endpoint = |args: &[&str]| {
        let shown = home.show(&[args, &["--json"]].concat()).succeeded().json();
        pair(&shown["ways"][0]["endpoint"]).map(str::to_owned)
    };
    assert_eq!(
        endpoint(&["plain.test"]),
        ["http://plain.test/v2/", &settings]
    );
    assert_eq!(
        endpoint(&["localhost:1", "--ca", &ca]),
        ["https://localhost:1/v2/", "--ca is given"]
    );
    assert_eq!(
        endpoint(&["http://r.test"]),
        ["http://r.test/v2/", "its URL says so"]
    );
    assert_eq!(
        endpoint(&["r.test", "--plain-http"]),
        ["http://r.test/v2/", "--plain-http"]
    );
    let shown = home.show(&["odd.test", "--json"]).succeeded().json();
    assert_eq!(shown["ways"][0]["unchecked"], serde_json::json!([settings]));
    assert_eq!(shown["ways"][0]["proxy"], serde_json::Value::Null);
    let shown = home.show(&["any.test", "--json"]).succeeded().json();
    assert_eq!(shown["decided_by"], conf);
    assert_eq!(
        shown["ways"][1]["endpoint"]["because"],
        "insecure, if it has no TLS"
    );
    let run = home.show(&["no.test/app"]);
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("no.test/app is blocked: "), "{run:#?}");
}
