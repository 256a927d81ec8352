//! What is kept in little room is what was put in, alone and in layers over each other.

use std::{
    io::{self, Read as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::*;

/// A folder of files that say what was asked for.
#[derive(Debug)]
struct Shelf;

struct Book {
    shelf: Arc<dyn Folder>,
    name: String,
    length: u64,
    mtime: Option<SystemTime>,
}

impl Folder for Shelf {
    fn file(
        self: Arc<Self>,
        name: &str,
        length: u64,
        mtime: Option<SystemTime>,
    ) -> Arc<dyn OpenFile> {
        Arc::new(Book {
            shelf: self,
            name: name.to_owned(),
            length,
            mtime,
        })
    }
}

impl OpenFile for Book {
    fn len(&self) -> u64 {
        self.length
    }

    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        let said = format!("{} {:?}", self.name, self.mtime);
        Ok(Box::new(io::Cursor::new(said)))
    }

    fn listed(&self) -> Option<Listed<'_>> {
        Some(Listed {
            folder: &self.shelf,
            name: &self.name,
            mtime: self.mtime,
        })
    }
}

/// What is given back is what was given, whichever way it is kept: times before 1970, a file
/// that has another name in the layer, modes, owners, where it comes from.
#[test]
fn an_entry_is_what_was_put_in() {
    let times = [
        None,
        Some(SystemTime::UNIX_EPOCH),
        Some(SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 999_999_999)),
        Some(SystemTime::UNIX_EPOCH - Duration::from_secs(5)),
        Some(SystemTime::UNIX_EPOCH - Duration::new(5, 1)),
    ];
    for mtime in times {
        for (source, name) in [("src/a.txt", "a.txt"), ("a.txt", "a.txt"), ("src/b", "b")] {
            let mut tree = LayerTree::linux();
            let file = Arc::new(Shelf).file(name, 7, mtime);
            let expected = Meta {
                mtime,
                mode: 0o4711,
                owner: Owner::Ids { uid: 7, gid: 8 },
                origin: Origin::new(source).by(12),
                kept: None,
            };
            tree.file(&at("x/a.txt"), FileBody::Opens(file), expected.clone())
                .unwrap();
            let entry = tree.get(&at("x/a.txt")).unwrap();
            let EntryKind::File(FileBody::Opens(file)) = entry.kind() else {
                panic!("{entry:?}");
            };
            let mut said = String::new();
            file.open().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!((said, file.len()), (format!("{name} {mtime:?}"), 7));
            let found = entry.meta();
            assert_eq!((found.mtime, found.mode), (mtime, 0o4711));
            assert_eq!(found.owner, expected.owner);
            assert_eq!(found.origin, expected.origin);
        }
    }
}

#[test]
fn neighbours_take_little_and_what_has_no_room_is_an_error() {
    let shelf = Arc::new(Shelf);
    let mut tree = LayerTree::windows().with_room(100_000);
    let mut put = |number: u32| {
        let name = format!("file-{number:06}.dll");
        let file = Arc::clone(&shelf).file(&name, 1, None);
        let origin = by(1, &format!("src/of/many/names/{name}"));
        let path = at(&format!("app/of/many/more/names/{name}"));
        tree.file(&path, FileBody::Opens(file), origin)
    };
    let error = (0..).find_map(|it| put(it).err()).unwrap();
    let TreeError::NoRoom { entries, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(*entries > 1000, "{entries} entries in 100,000 bytes");
    assert!(error.to_string().starts_with("src/of/many/names/file-00"));
    assert!(error.to_string().contains(".dockerignore"));
}

#[test]
fn layers_over_each_other_are_one() {
    let layer = |files: &[&str], number| {
        let mut tree = LayerTree::windows();
        for path in files {
            tree.file(&at(path), body("x"), by(number, path)).unwrap();
        }
        Arc::new(tree)
    };
    let mut stack = LayerStack::default();
    stack.push(layer(&["app/a", "app/b"], 1)).unwrap();
    stack.push(layer(&["APP/B", "App/sub/c"], 2)).unwrap();
    assert!(stack.has_directory(&at("app/SUB")) && !stack.has_directory(&at("app/a")));
    let merged = stack.merged(LayerTree::windows(), u64::MAX).unwrap();
    let all = ["app", "app/B", "app/a", "app/sub", "app/sub/c"];
    assert_eq!(paths(&merged), all);

    let below = stack.push(layer(&["app/A/x"], 3)).unwrap_err();
    assert!(matches!(below, TreeError::BelowFile { .. }), "{below}");
    let instead = stack.push(layer(&["x", "app/sub"], 3)).unwrap_err();
    assert!(matches!(instead, TreeError::Conflict { .. }), "{instead}");
    assert!(!stack.has_directory(&at("x")) && stack.merged(LayerTree::windows(), 10).is_err());
    let alone = LayerStack::from(LayerTree::linux());
    assert!(alone.merged(LayerTree::linux(), 0).unwrap().is_empty());
}

#[test]
fn what_is_nobodys_is_given_to_somebody() {
    let mut tree = LayerTree::linux();
    let root = Owner::Ids { uid: 0, gid: 0 };
    let owned = Meta {
        owner: root,
        ..from("r")
    };
    tree.file(&at("d/mine"), body("x"), from("m")).unwrap();
    tree.file(&at("d/root"), body("x"), owned).unwrap();
    let user = Owner::Ids { uid: 5, gid: 6 };
    tree.give_to(user).unwrap();
    let owners: Vec<Owner> = tree.entries().map(|it| it.meta().owner).collect();
    assert_eq!(
        owners,
        [Owner::Default, user, root],
        "the parent was not asked for"
    );
    tree.file(&at("d/other"), body("x"), from("o")).unwrap();
    let error = tree.give_to(Owner::ContainerUser).unwrap_err();
    assert!(matches!(error, TreeError::Owner { .. }), "{error}");
}
