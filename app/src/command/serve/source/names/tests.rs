use std::path::Path;

use oci::{Algorithm, Descriptor, Digest, MediaType};
use push::source::ListedImage;

use super::{Naming, repository_of};

fn image(content: &str, names: &[&str]) -> ListedImage {
    let root = Descriptor::of(MediaType::OCI_MANIFEST, content.as_bytes());
    let mut it = ListedImage::new(root);
    it.names = names.iter().map(|it| (*it).to_owned()).collect();
    it
}

fn about(content: &str, names: &[&str], subject: &Digest) -> ListedImage {
    let mut it = image(content, names);
    it.subject = Some(subject.clone());
    it
}

/// `repository:tag,tag` of each image, and the notes.
fn places(naming: &Naming, images: &[ListedImage]) -> (Vec<Vec<String>>, Vec<String>) {
    let (places, notes) = naming.places(images);
    let told = places.into_iter().map(|it| {
        let told = it.into_iter().map(|(name, tags)| {
            let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
            format!("{name}:{}", tags.join(","))
        });
        told.collect()
    });
    (told.collect(), notes)
}

fn by_names() -> Naming {
    Naming::by_names(Path::new("some/dir/file.tar.gz"))
}

#[test]
fn a_file_gives_its_name_to_a_repository() {
    for (path, expected) in [
        ("image.tar", "image"),
        ("/a/b/My App_v1.2.OCI.tar.zst", "my-app_v1.2"),
        ("./layout/", "layout"),
        ("x.tgz", "x"),
        ("--a..b__c--", "a.b_c"),
        ("äöü.tar", "image"),
        ("/", "image"),
    ] {
        assert_eq!(repository_of(Path::new(path)), expected, "{path}");
    }
}

#[test]
fn full_names_are_repositories_and_mere_tags_are_the_files() {
    let images = [
        image("a", &["1.2", "latest"]),
        image("b", &["ghcr.io/team/app:2.0", "2.0"]),
        image("c", &["docker.io/library/x:1", "reg:5000/x/y"]),
        image("d", &[]),
    ];
    let (told, notes) = places(&by_names(), &images);
    assert_eq!(told[0], ["file:1.2,latest"]);
    assert_eq!(told[1], ["team/app:2.0"]);
    assert_eq!(told[2], ["library/x:1", "x:1", "x/y:latest"]);
    assert_eq!(told[3], ["file:"]);
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn a_repository_that_was_given_takes_everything() {
    let images = [
        image("a", &["1.2"]),
        image("b", &["ghcr.io/team/app:2.0", "quay.io/other:2.1"]),
        image("c", &[]),
    ];
    let (told, _) = places(&Naming::all_in("mine"), &images);
    assert_eq!(told, [["mine:1.2"], ["mine:2.0,2.1"], ["mine:"]]);
}

#[test]
fn an_image_alone_and_without_a_name_is_the_latest() {
    let alone = [image("a", &[])];
    assert_eq!(places(&by_names(), &alone).0, [["file:latest"]]);
    let signed = [image("a", &[]), about("b", &[], &alone[0].root.digest)];
    assert_eq!(places(&by_names(), &signed).0, [["file:latest"], ["file:"]]);
    let two = [image("a", &[]), image("b", &[])];
    assert_eq!(places(&by_names(), &two).0, [["file:"], ["file:"]]);
}

#[test]
fn what_is_about_an_image_stands_where_that_stands() {
    let app = image("a", &["team/app:1"]);
    let other = image("b", &["other:1"]);
    let hex = app.root.digest.encoded().to_owned();
    let tag = format!("sha256-{hex}.sig");
    let images = [
        about("c", &[], &app.root.digest),
        image("d", &[&tag]),
        app,
        other,
        about("e", &[], &Digest::of(b"a child of one of them, perhaps")),
    ];
    let (told, _) = places(&by_names(), &images);
    assert_eq!(told[0], ["team/app:"]);
    assert_eq!(told[1], [format!("team/app:{tag}")]);
    assert_eq!(told[2], ["team/app:1"]);
    assert_eq!(
        told[4],
        ["library/other:", "other:", "team/app:"],
        "{told:?}"
    );
}

#[test]
fn a_tag_with_a_part_of_a_long_hash_is_of_the_image_that_is_there() {
    let mut app = image("a", &["team/app:1"]);
    app.root.digest = Digest::of_with(Algorithm::Sha512, b"a");
    let tag = format!("{}.sig", app.root.digest.referrers_tag());
    let images = [image("b", &[&tag]), app];
    let (told, _) = places(&by_names(), &images);
    assert_eq!(
        told,
        [
            vec![format!("team/app:{tag}")],
            vec!["team/app:1".to_owned()]
        ]
    );
}

#[test]
fn a_tag_is_the_first_images_and_the_second_is_told_of() {
    let images = [image("a", &["1"]), image("b", &["1", "2"])];
    let (told, notes) = places(&by_names(), &images);
    assert_eq!(told, [["file:1"], ["file:2"]]);
    let [note] = &notes[..] else {
        panic!("{notes:?}")
    };
    assert!(note.starts_with("file:1 is "), "{note}");
    assert!(note.contains(&images[1].root.digest.to_string()), "{note}");
}

#[test]
fn a_name_that_is_none_is_told_of() {
    let images = [image("a", &["Not A Name"]), image("b", &["1"])];
    let (told, notes) = places(&by_names(), &images);
    assert_eq!(told, [["file:"], ["file:1"]]);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("\"Not A Name\""), "{notes:?}");
}
