use super::*;
use crate::NameFault;

mod kept;

fn at(path: &str) -> LayerPath {
    path.parse().unwrap()
}

fn from(source: &str) -> Meta {
    by(0, source)
}

fn by(instruction: u32, source: &str) -> Meta {
    Meta {
        origin: Origin::new(source).by(instruction),
        ..Meta::default()
    }
}

fn body(text: &'static str) -> FileBody {
    text.as_bytes().into()
}

fn paths(tree: &LayerTree) -> Vec<String> {
    tree.entries().map(|it| it.path().to_string()).collect()
}

fn content(tree: &LayerTree, path: &str) -> String {
    match tree.get(&at(path)).unwrap().kind() {
        EntryKind::File(FileBody::Bytes(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parents_are_made_once_and_come_first() {
    let mut tree = LayerTree::windows();
    tree.file(&at("a/b/c.txt"), body("c"), from("c.txt"))
        .unwrap();
    tree.file(&at("a/b-c"), body("x"), from("b-c")).unwrap();
    tree.directory(&at("a/b"), from("src/b")).unwrap();
    tree.file(&at("a/b/d.txt"), body("d"), from("d.txt"))
        .unwrap();
    assert_eq!(
        paths(&tree),
        ["a", "a/b", "a/b-c", "a/b/c.txt", "a/b/d.txt"]
    );
    let implicit = |path: &str| {
        matches!(
            tree.get(&at(path)).unwrap().kind(),
            EntryKind::Directory { implicit: true }
        )
    };
    assert!(implicit("a"));
    assert!(!implicit("a/b"), "it was asked for, late");
}

#[test]
fn the_root_is_a_directory_and_no_entry() {
    let mut tree = LayerTree::linux();
    let root = LayerPath::root();
    tree.directory(&root, from(".")).unwrap();
    assert!(tree.is_empty() && tree.get(&root).is_none());
    let file = tree.file(&root, body("x"), from("x"));
    assert_eq!(
        file.unwrap_err().to_string(),
        "x: cannot be the root of the file system"
    );
}

#[test]
fn directories_keep_their_first_spelling() {
    let mut tree = LayerTree::windows();
    tree.file(&at("app/Bin/a.dll"), body("a"), by(1, "a.dll"))
        .unwrap();
    tree.directory(&at("APP/BIN"), by(2, "bin")).unwrap();
    tree.file(&at("App/bin/Sub/b.dll"), body("b"), by(2, "b.dll"))
        .unwrap();
    assert_eq!(
        paths(&tree),
        [
            "app",
            "app/Bin",
            "app/Bin/Sub",
            "app/Bin/Sub/b.dll",
            "app/Bin/a.dll"
        ]
    );
    assert_eq!(
        tree.get(&at("APP/BIN/A.DLL")).unwrap().path(),
        &at("app/Bin/a.dll")
    );
}

#[test]
fn a_later_instruction_replaces_a_file_with_its_spelling() {
    let mut tree = LayerTree::windows();
    tree.file(&at("app/README"), body("old"), by(1, "a/README"))
        .unwrap();
    tree.file(&at("App/readme"), body("new"), by(2, "b/readme"))
        .unwrap();
    assert_eq!(paths(&tree), ["app", "app/readme"]);
    assert_eq!(content(&tree, "app/README"), "new");
    // The same name twice in one instruction is no riddle: the last source wins.
    tree.file(&at("App/readme"), body("last"), by(2, "c/readme"))
        .unwrap();
    assert_eq!(content(&tree, "app/readme"), "last");
}

#[test]
fn two_spellings_in_one_instruction_name_both_sources() {
    let mut tree = LayerTree::windows();
    tree.file(&at("app/README"), body("1"), by(3, "src/README"))
        .unwrap();
    let error = tree.file(&at("app/readme"), body("2"), by(3, "src/readme"));
    let error = error.unwrap_err();
    assert!(matches!(error, TreeError::CaseCollision { .. }));
    assert_eq!(
        error.to_string(),
        "src/readme and src/README are one file on Windows, app/README: names there do not differ by case"
    );
    assert_eq!(content(&tree, "app/README"), "1", "the tree is as it was");

    // The difference may lie in a directory that was joined to another.
    tree.file(&at("App/x"), body("1"), by(4, "App/x")).unwrap();
    let error = tree.file(&at("APP/x"), body("2"), by(4, "APP/x"));
    assert!(matches!(error, Err(TreeError::CaseCollision { .. })));

    let mut linux = LayerTree::linux();
    linux
        .file(&at("app/README"), body("1"), from("README"))
        .unwrap();
    linux
        .file(&at("App/readme"), body("2"), from("readme"))
        .unwrap();
    assert_eq!(paths(&linux), ["App", "App/readme", "app", "app/README"]);
}

#[test]
fn a_file_is_no_directory() {
    let mut tree = LayerTree::windows();
    tree.file(&at("a"), body("1"), from("x/a")).unwrap();
    tree.directory(&at("d"), from("x/d")).unwrap();
    tree.symlink(&at("l"), "d", true, from("x/l")).unwrap();
    let before = paths(&tree);

    let below = tree.file(&at("A/b/c"), body("2"), from("y/c")).unwrap_err();
    assert_eq!(
        below.to_string(),
        "y/c: cannot be below a, which is a file from x/a"
    );
    let below = tree.directory(&at("l/b"), from("y/b")).unwrap_err();
    assert_eq!(
        below.to_string(),
        "y/b: cannot be below l, which is a symbolic link from x/l"
    );
    let over = tree.directory(&at("a"), from("y/a")).unwrap_err();
    assert_eq!(
        over.to_string(),
        "y/a: cannot put a directory at a, which is a file from x/a"
    );
    let over = tree.file(&at("D"), body("3"), by(9, "y/d")).unwrap_err();
    assert!(matches!(over, TreeError::Conflict { .. }));
    assert_eq!(paths(&tree), before, "nothing was made on the way");

    // A link is a file in this.
    tree.file(&at("l"), body("4"), by(9, "y/l")).unwrap();
    assert_eq!(content(&tree, "l"), "4");
}

#[test]
fn names_that_windows_does_not_give_back_are_errors_that_say_where() {
    let mut tree = LayerTree::windows();
    let fault = |tree: &mut LayerTree, path: &str| match tree
        .file(&at(path), body("x"), from("src/x"))
        .unwrap_err()
    {
        TreeError::Name { fault, .. } => fault,
        other => panic!("{other}"),
    };
    assert_eq!(fault(&mut tree, "app/CON"), NameFault::Reserved);
    assert_eq!(fault(&mut tree, "nul.txt/a"), NameFault::Reserved);
    assert_eq!(fault(&mut tree, "a."), NameFault::Trailing);
    assert_eq!(fault(&mut tree, "a:b"), NameFault::Invalid(':'));
    assert_eq!(fault(&mut tree, "a/.wh.b"), NameFault::Whiteout);
    assert_eq!(fault(&mut tree, "a.$wcidirs$"), NameFault::Sidecar);
    assert!(tree.is_empty());

    let error = tree
        .file(&at("app/CON"), body("x"), from("src/CON"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"src/CON: the name "CON" is a device on Windows, whatever its extension"#
    );
    assert!(error.hint().unwrap().contains("--windows-names=warn"));
    let error = tree.file(&at("a?"), body("x"), from("a?")).unwrap_err();
    assert!(
        !error.hint().unwrap().contains("warn"),
        "nothing takes that"
    );

    let mut linux = LayerTree::linux();
    linux.file(&at("CON"), body("x"), from("CON")).unwrap();
    linux.file(&at("a:b."), body("x"), from("a:b.")).unwrap();
    let whiteout = linux.file(&at("a/.wh.b"), body("x"), from("x"));
    assert!(matches!(
        whiteout,
        Err(TreeError::Name {
            fault: NameFault::Whiteout,
            ..
        })
    ));
}

#[test]
fn names_taken_with_a_warning_are_warned_of_once() {
    let mut tree = LayerTree::windows_with(NameRules::Warn);
    tree.file(&at("aux/b."), body("x"), from("aux/b.")).unwrap();
    tree.file(&at("aux/c"), body("x"), from("aux/c")).unwrap();
    let warnings: Vec<String> = tree.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            r#"aux/b.: the name "aux" is a device on Windows, whatever its extension: few programs will be able to open it"#,
            r#"aux/b.: the name "b." ends in a dot or a space, which Windows cuts off: few programs will be able to open it"#,
        ]
    );
    let error = tree.file(&at("a*b"), body("x"), from("a*b"));
    assert!(
        matches!(error, Err(TreeError::Name { .. })),
        "fatal as ever"
    );
}

#[test]
fn long_paths_are_warned_of_and_then_refused() {
    let mut tree = LayerTree::windows();
    // An odd number of units; C:\ is three more.
    let path = |units: usize| at(&("x/".repeat(units / 2) + "y"));
    tree.file(&path(257), body("x"), from("fits")).unwrap();
    assert_eq!(tree.warnings(), []);
    tree.file(&path(259), body("x"), from("long")).unwrap();
    let long = |units| TreeWarning::LongPath {
        origin: Origin::new("long"),
        units,
    };
    assert_eq!(tree.warnings(), [long(262)]);
    let longest = "x".repeat(255) + &format!("/{}", "y".repeat(255)).repeat(126);
    let path = at(&longest).join(&"z".repeat(252)).unwrap();
    tree.file(&path, body("x"), from("long")).unwrap();
    let path = at(&longest).join(&"z".repeat(253)).unwrap();
    let error = tree.file(&path, body("x"), from("longest")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "longest: its path in the image is 32768 UTF-16 units long, and 32767 are the most"
    );

    let mut linux = LayerTree::linux();
    assert!(
        linux
            .file(&at(&"x".repeat(256)), body("x"), from("x"))
            .is_err()
    );
    let path = format!("{}/", "x".repeat(15)).repeat(256);
    let most = linux.file(&at(&path[..4094]), body("x"), from("x"));
    assert_eq!(most, Ok(()));
    let longer = linux.file(&at(&path[..4095]), body("x"), from("x"));
    assert!(matches!(
        longer,
        Err(TreeError::PathTooLong { length: 4096, .. })
    ));
}

#[test]
fn links_point_somewhere_and_owners_exist() {
    let mut tree = LayerTree::windows();
    for target in ["", "a\0b", &"x".repeat(32_768)] {
        let error = tree.symlink(&at("l"), target, false, from("l"));
        assert!(matches!(error, Err(TreeError::LinkTarget { .. })));
    }
    let owned = |owner| Meta {
        owner,
        ..from("src/x")
    };
    let ids = Owner::Ids { uid: 1, gid: 2 };
    assert!(
        tree.file(&at("x"), body("x"), owned(Owner::ContainerUser))
            .is_ok()
    );
    assert!(tree.file(&at("x"), body("x"), owned(ids)).is_err());
    let mut linux = LayerTree::linux();
    assert!(linux.file(&at("x"), body("x"), owned(ids)).is_ok());
    let error = linux.file(&at("x"), body("x"), owned(Owner::ContainerUser));
    assert_eq!(
        error.unwrap_err().to_string(),
        "src/x: a layer for Linux has no owner ContainerUser"
    );
}

#[test]
fn a_body_says_its_length_and_not_its_bytes() {
    assert_eq!(format!("{:?}", body("secret")), "Bytes(6)");
    assert!(body("").is_empty());
}

proptest::proptest! {
    /// Whatever is put in: parents first, no two names of one file, each parent a directory.
    #[test]
    fn a_tree_is_always_a_tree(steps in proptest::collection::vec(("[aAbB]{1,2}(/[aAbB]{1,2}){0,3}", 0..3), 0..30)) {
        let mut tree = LayerTree::windows();
        for (index, (path, kind)) in steps.iter().enumerate() {
            let meta = by(u32::try_from(index).unwrap(), path);
            let _ = match kind {
                0 => tree.directory(&at(path), meta),
                1 => tree.file(&at(path), body("x"), meta),
                _ => tree.symlink(&at(path), "t", false, meta),
            };
        }
        let mut seen = std::collections::BTreeMap::new();
        for entry in tree.entries() {
            let folded = entry.path().as_str().to_lowercase();
            if let Some(parent) = entry.path().parent().filter(|it| !it.is_root()) {
                proptest::prop_assert_eq!(seen.get(parent.as_str()), Some(&true));
            }
            proptest::prop_assert!(!seen.keys().any(|it: &String| it.to_lowercase() == folded));
            seen.insert(entry.path().as_str().to_owned(), entry.is_directory());
        }
    }
}

#[test]
fn a_path_has_256_names_and_no_more() {
    for mut tree in [LayerTree::windows(), LayerTree::linux()] {
        let most = ["a"; 256].join("/");
        tree.file(&at(&most), body("1"), from("x")).unwrap();
        assert_eq!(tree.len(), 256);
        // As deep as a path can be long: nothing is made of it.
        for names in [257, 2000, 16_000] {
            let deeper = at(&vec!["b"; names].join("/"));
            let origin = from("src/b");
            let error = tree.file(&deeper, body("1"), origin).unwrap_err();
            let expected =
                format!("src/b: its path in the image is {names} names deep, and 256 are the most");
            assert_eq!(error.to_string(), expected);
            assert!(matches!(error, TreeError::TooDeep { depth, .. } if depth == names));
        }
        assert_eq!(tree.len(), 256, "the tree is as it was");
    }
}

#[test]
fn a_directory_keeps_the_rights_that_a_layer_below_gave_it() {
    let asked = |tree: &LayerTree| -> Vec<(String, Owner)> {
        let is_asked = |it: &Entry| matches!(it.kind(), EntryKind::Directory { implicit: false });
        let asked = tree.entries().filter(is_asked);
        asked
            .map(|it| (it.path().to_string(), it.meta().owner))
            .collect()
    };
    let owned = Meta {
        owner: Owner::ContainerUser,
        ..from("d")
    };
    let mut below = LayerTree::windows();
    below.directory(&at("App/Bin"), owned.clone()).unwrap();
    let mut tree = LayerTree::windows();
    tree.file(&at("app/bin/sub/x"), body("x"), from("x"))
        .unwrap();
    tree.directory(&at("other"), from("o")).unwrap();
    let below = LayerStack::from(below);
    tree.keep_directories_of(&below);
    // The parent that nobody asked for below, either, stays what it is.
    let user = ("app/bin".to_owned(), Owner::ContainerUser);
    assert_eq!(asked(&tree), [user, ("other".to_owned(), Owner::Default)]);
    let mut again = LayerTree::windows();
    again.directory(&at("APP/BIN"), from("d")).unwrap();
    again.keep_directories_of(&below);
    assert_eq!(asked(&again), [("APP/BIN".to_owned(), Owner::Default)]);

    let mut below = LayerTree::linux();
    below.directory(&at("app"), from("d")).unwrap();
    let mut linux = LayerTree::linux();
    linux.file(&at("app/x"), body("x"), from("x")).unwrap();
    linux.keep_directories_of(&below.into());
    assert_eq!(asked(&linux), []);
}
