//! Directories of certificates: which count, and what is wrong with them.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;

fn pair() -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["r.test".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn registry(name: &str) -> Registry {
    name.parse().unwrap()
}

/// Host, roots and client certificates of each; and the warnings.
type Found = (Vec<(String, usize, usize)>, Vec<String>);

fn read_all(destination: &str, places: &[PathBuf]) -> Result<Found, HostFileError> {
    let found = read_places(&registry(destination), places.to_vec())?;
    let hosts = found.hosts.iter();
    let hosts = hosts.map(|it| (it.host.to_string(), it.tls.roots(), it.tls.identities()));
    Ok((hosts.collect(), found.warnings))
}

#[test]
fn r5_the_first_directory_there_is_for_a_host_counts_alone() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = pair();
    let (first, second) = (home.path().join("1"), home.path().join("2"));
    write(&first.join("r.test:5000/ca.crt"), &certificate);
    write(&first.join("r.test:5000/README"), "not looked at");
    write(&second.join("r.test:5000/a.crt"), &certificate);
    write(&second.join("r.test/a.crt"), &certificate);
    write(&second.join("r.test/b.crt"), &certificate);
    write(&second.join("r.test/client.cert"), &certificate);
    write(&second.join("r.test/client.key"), &key);
    write(&second.join("_default/hosts.toml"), "");
    fs::create_dir(second.join("empty.test")).unwrap();
    let places = [first, second, home.path().join("not there")];
    let (hosts, warnings) = read_all("r.test", &places).unwrap();
    let expected = [
        ("r.test:5000", 1, 0),
        ("empty.test", 0, 0),
        ("r.test", 2, 1),
    ];
    let expected = expected.map(|(host, roots, pairs)| (host.to_owned(), roots, pairs));
    assert_eq!(hosts, expected);
    assert_eq!(warnings, [] as [String; 0]);
}

#[test]
fn r5_what_is_wrong_with_a_hosts_certificates_is_its_own_matter() {
    let (certificate, key) = pair();
    let (_, other) = pair();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("ca.crt", "nonsense")], "ca.crt cannot be used"),
        (&[("a.cert", &certificate)], "a.key that belongs to it"),
        (&[("a.key", &key)], "a.cert that belongs to it"),
        (
            &[("a.cert", &certificate), ("a.key", &other)],
            "a.cert cannot be used",
        ),
        (
            &[("a.cert", &certificate), ("a.key", "canary")],
            "a.key cannot be used",
        ),
    ];
    for (written, told) in cases {
        let home = tempfile::tempdir().unwrap();
        for (name, content) in written {
            write(&home.path().join("r.test").join(name), content);
        }
        let places = [home.path().to_owned()];
        let error = read_all("r.test", &places).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        let (hosts, warnings) = read_all("other.test", &places).unwrap();
        assert_eq!((hosts.len(), warnings.len()), (0, 1));
        assert!(warnings[0].contains(told), "{warnings:?}");
        assert!(!warnings[0].contains("canary"), "{warnings:?}");
    }
}

#[cfg(unix)]
#[test]
fn r5_a_ca_file_that_is_missing_leaves_the_others_and_is_told_of() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, _) = pair();
    let directory = home.path().join("r.test");
    write(&directory.join("there.crt"), &certificate);
    std::os::unix::fs::symlink("/not/there", directory.join("gone.crt")).unwrap();
    let (hosts, warnings) = read_all("r.test", &[home.path().to_owned()]).unwrap();
    assert_eq!(hosts, [("r.test".to_owned(), 1, 0)]);
    assert!(
        warnings[0].contains("gone.crt is not there"),
        "{warnings:?}"
    );
}

#[test]
fn the_users_own_directories_come_before_the_systems() {
    let environment = Environment {
        home: Some("/home/user".into()),
        ..Environment::default()
    };
    let own = Path::new("/home/user/.config");
    let places = places(&environment);
    assert_eq!(places[0], own.join("containers/certs.d"));
    assert!(places.contains(&own.join("docker/certs.d")));
    #[cfg(unix)]
    assert_eq!(places[1], Path::new("/etc/containers/certs.d"));
}
