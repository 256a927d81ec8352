//! `serve` with users, rules and TLS.

use std::{fs, path::Path};

use longshore::push::source::sample;

use crate::{
    longshore::{Run, finished, longshore, run},
    served::{SERVE, Served},
    stage::small,
};

/// Ann's password is `canary-ann`, Bob's `canary-bob`.
const USERS: &str = "ann:$2y$04$tY92Hx0vSQ0WDlI5jLBZ7.46w1Dh5avIzEVxZR54upxNRk4zPFi0G\n\
                     bob:$2y$04$M9MShkXq0YcqrgRTKdAYAe3r4.mYnqthLNJ1Bi9gyRMgZDbCcfAyy\n";
const RULES: &str = r#"
[[rule]]
repositories = ["team/*"]
users = ["ann"]
actions = ["push"]

[[rule]]
repositories = ["public/*"]
users = ["bob", "eve"]
actions = ["push"]
"#;

/// A home with users, rules and an image in it.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("users"), USERS).unwrap();
    fs::write(home.path().join("access.toml"), RULES).unwrap();
    sample::write_layout(&home.path().join("image"), &small()).unwrap();
    home
}

/// A registry with users, and how they reach it.
struct Guarded {
    served: Served,
    is_secure: bool,
}

impl Guarded {
    fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = longshore(home);
        command.current_dir(home).arg("-vv").args(SERVE).args(args);
        Self {
            served: Served::of(&mut command),
            is_secure: args.iter().any(|it| it.starts_with("--tls")),
        }
    }

    fn push(&self, home: &Path, user: &str, repository: &str, args: &[&str]) -> Run {
        let scheme = if self.is_secure { "https://" } else { "" };
        let reference = format!("{scheme}{}/{repository}:1", self.served.address);
        let mut command = longshore(home);
        command
            .current_dir(home)
            .env("LONGSHORE_USERNAME", user)
            .env("LONGSHORE_PASSWORD", format!("canary-{user}"))
            .args(["push", "image", &reference])
            .args(args);
        finished(command.output().unwrap())
    }

    /// Ends it; what it said.
    fn end(self) -> String {
        self.served.signal();
        self.served.ended().succeeded().stderr
    }
}

#[cfg(unix)]
#[test]
fn users_push_where_the_rules_let_them_and_nothing_secret_is_logged() {
    let home = home();
    for extra in [&["--token"][..], &[]] {
        let mut args = vec!["--htpasswd", "users", "--access", "access.toml"];
        args.extend(extra);
        let served = Guarded::start(home.path(), &args);
        served.push(home.path(), "ann", "team/app", &[]).succeeded();
        served
            .push(home.path(), "bob", "public/app", &[])
            .succeeded();
        let refused = served.push(home.path(), "bob", "team/app", &[]);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        let wrong = served.push(home.path(), "eve", "public/app", &[]);
        assert_eq!(wrong.code, Some(3), "{wrong:?}");
        let said = served.end();
        let warning = "warning: access.toml names users who cannot log in: eve";
        assert!(said.contains(warning), "{said}");
        assert!(said.contains("team/app"), "{said}");
        assert!(
            !said.contains("canary-") && !said.contains("$2y$"),
            "{said}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_self_signed_certificate_is_told_and_goes_away_with_the_registry() {
    let home = home();
    let mut served = Guarded::start(home.path(), &["--tls-self-signed", "--htpasswd", "users"]);
    let line = served.served.says("certificate SHA-256 ");
    let fingerprint = line.trim().strip_prefix("certificate SHA-256 ").unwrap();
    let line = served.served.says("longshore push --ca ");
    let (_, path) = line.split_once("longshore push --ca ").unwrap();
    let path = path.split(' ').next().unwrap().to_owned();
    assert_eq!(fingerprint.split(':').count(), 32, "{fingerprint}");
    let pem = fs::read_to_string(&path).unwrap();
    assert!(pem.contains("BEGIN CERTIFICATE") && !pem.contains("PRIVATE"));
    let pushed = served.push(home.path(), "ann", "team/app", &["--ca", &path]);
    pushed.succeeded();
    let distrusted = served.push(home.path(), "ann", "team/app", &[]);
    assert_eq!(distrusted.code, Some(7), "{distrusted:?}");
    served.end();
    assert!(!Path::new(&path).exists());
}

#[cfg(unix)]
#[test]
fn a_self_signed_certificate_with_files_is_made_once_and_its_key_is_the_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = home();
    let args = [
        "--tls-self-signed=r.test",
        "--tls-cert",
        "c.pem",
        "--tls-key",
        "k.pem",
    ];
    let mut certificates = Vec::new();
    for _ in 0..2 {
        let served = Guarded::start(home.path(), &args);
        served
            .push(home.path(), "ann", "team/app", &["--ca", "c.pem"])
            .succeeded();
        served.end();
        certificates.push(fs::read(home.path().join("c.pem")).unwrap());
    }
    assert_eq!(certificates[0], certificates[1]);
    let key = fs::metadata(home.path().join("k.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_cannot_be_served_safely_is_refused_with_what_to_do() {
    let home = home();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (users, access) = (path("users"), path("access.toml"));
    let users = users.as_str();
    for (args, told) in [
        (
            vec!["--listen", "0.0.0.0:0", "--htpasswd", users],
            "--tls-self-signed",
        ),
        (
            vec!["--htpasswd", &access],
            "access.toml, line 2: expected NAME:HASH",
        ),
        (
            vec!["--htpasswd", users, "--access", users],
            "users, line 1: ",
        ),
        (vec!["--access", &access], "add --htpasswd FILE"),
        (vec!["--token"], "--htpasswd <FILE>"),
        (
            vec!["--htpasswd", users, "--token-lifetime", "5s"],
            "give 1m or more",
        ),
        (
            vec!["--public-url", "registry.test"],
            "https://registry.example.com",
        ),
        (
            vec!["--tls-cert", users, "--tls-key", users],
            "no certificate was found",
        ),
        (vec!["--tls-cert", users], "--tls-key <FILE>"),
        (vec!["--tls-self-signed=a b"], "\"a b\" is neither"),
    ] {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        if args[0] == "--listen" {
            all.truncate(1);
        }
        all.extend(args);
        let refused = run(home.path(), all.iter().copied());
        assert_eq!(refused.code, Some(2), "{all:?} {refused:?}");
        assert!(refused.stderr.contains(told), "{all:?} {refused:?}");
    }
}

/// The one that is there belongs to something, and is neither used nor written over.
#[test]
fn a_certificate_without_its_key_is_neither_used_nor_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("c.pem"), file("k.pem"));
    let serve = |certificate: &str| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--tls-self-signed"];
        let files = ["--tls-cert", certificate, "--tls-key", &key];
        run(home.path(), args.into_iter().chain(files))
    };
    for (there, missing) in [(&certificate, &key), (&key, &certificate)] {
        fs::write(there, "mine").unwrap();
        let refused = serve(&certificate);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let told = format!("finds {there} and not {missing}");
        assert!(refused.stderr.contains(&told), "{refused:?}");
        assert_eq!(fs::read_to_string(there).unwrap(), "mine");
        assert!(!Path::new(missing).exists());
        fs::remove_file(there).unwrap();
    }
    // A certificate that cannot be written leaves no key behind.
    let refused = serve(&file("no/such/directory/c.pem"));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(
        refused.stderr.contains("no/such/directory/c.pem"),
        "{refused:?}"
    );
    assert!(!Path::new(&key).exists());
}
