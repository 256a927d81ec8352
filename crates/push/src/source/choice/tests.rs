use super::*;

fn candidate(names: &[&str], content: &str, platform: Option<&str>) -> Candidate {
    Candidate {
        names: names.iter().map(|it| (*it).to_owned()).collect(),
        digest: Digest::of(content.as_bytes()),
        platform: platform.map(|it| it.parse().unwrap()),
    }
}

fn chosen(candidates: &[Candidate], name: Option<&str>, platform: Option<&str>) -> String {
    let selection = Selection {
        name: name.map(Into::into),
        platform: platform.map(|it| it.parse().unwrap()),
    };
    match choose(candidates, &selection, Path::new("there")) {
        Ok(it) => it.names.join("+"),
        Err(OpenError::Ambiguous { images, .. }) => format!("ambiguous of {}", images.len()),
        Err(OpenError::NoSuchImage { images, .. }) => format!("none of {}", images.len()),
        Err(OpenError::NoSuchPlatform { available, .. }) => {
            format!("no platform of {}", available.len())
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_closest_kind_of_match_wins() {
    let images = [
        candidate(&["docker.io/library/app:1.2", "app:latest"], "a", None),
        candidate(&["ghcr.io/team/app:1.2"], "b", None),
        candidate(&["1.3"], "c", None),
    ];
    let table = [
        ("1.3", "1.3"),
        ("ghcr.io/team/app:1.2", "ghcr.io/team/app:1.2"),
        ("app:1.2", "docker.io/library/app:1.2+app:latest"),
        ("app", "docker.io/library/app:1.2+app:latest"),
        ("latest", "docker.io/library/app:1.2+app:latest"),
        ("1.2", "ambiguous of 3"),
        ("other", "none of 3"),
        ("", "none of 3"),
    ];
    for (name, expected) in table {
        assert_eq!(chosen(&images, Some(name), None), expected, "{name}");
    }
    let digest = images[1].digest.to_string();
    assert_eq!(chosen(&images, Some(&digest), None), "ghcr.io/team/app:1.2");
    assert_eq!(chosen(&images, None, None), "ambiguous of 3");
}

#[test]
fn a_platform_tells_images_apart_that_have_no_other_choice() {
    let images = [
        candidate(&["a"], "a", Some("linux/amd64")),
        candidate(&["b"], "b", Some("linux/arm64/v8")),
    ];
    assert_eq!(chosen(&images, None, Some("linux/arm64")), "b");
    assert_eq!(
        chosen(&images, None, Some("linux/s390x")),
        "no platform of 2"
    );
    assert_eq!(chosen(&images, Some("a"), Some("linux/arm64")), "a");
}

#[test]
fn several_names_of_one_image_are_one_image() {
    let images = [
        candidate(&["a"], "same", None),
        candidate(&["b"], "same", None),
    ];
    assert_eq!(chosen(&images, None, None), "a");
}
