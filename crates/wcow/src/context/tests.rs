//! What is found, what is left out, and what is refused.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::*;
use crate::FileBody;

/// A directory with a context in it, and something beside it.
struct Place {
    root: TempDir,
    context: PathBuf,
}

fn place(files: &[(&str, &str)]) -> Place {
    let root = tempfile::tempdir().unwrap();
    let context = root.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(root.path().join("secret"), "s").unwrap();
    for (path, text) in files {
        let path = context.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Place { root, context }
}

impl Place {
    fn open(&self, symlinks: SymlinkPolicy) -> Context {
        let options = ContextOptions {
            symlinks,
            dockerfile: Some(self.context.join("Dockerfile")),
        };
        Context::open(&self.context, &options).unwrap()
    }
}

/// All paths below one, directories with a slash, links with their targets.
fn walk(context: &Context, path: &str) -> Result<Vec<String>, ContextError> {
    fn visit(
        context: &Context,
        at: &str,
        node: &Node,
        all: &mut Vec<String>,
    ) -> Result<(), ContextError> {
        match &node.kind {
            NodeKind::Directory { .. } => {
                if !node.hidden && !at.is_empty() {
                    all.push(format!("{at}/"));
                }
                for child in context.children(node)? {
                    let (name, child) = child?;
                    visit(context, &joined(at, &name), &child, all)?;
                }
            }
            NodeKind::File(_) => all.push(at.to_owned()),
            NodeKind::Symlink { target, .. } => all.push(format!("{at} -> {target}")),
        }
        Ok(())
    }
    let mut all = Vec::new();
    if let Some(node) = context.find(path)? {
        visit(context, path, &node, &mut all)?;
    }
    Ok(all)
}

fn read(node: &Node) -> io::Result<String> {
    let NodeKind::File(FileBody::Opens(file)) = &node.kind else {
        panic!("no file");
    };
    let mut text = String::new();
    file.open()?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_walk_is_sorted_and_says_what_is_there() {
    let place = place(&[("b/x", "1"), ("a", "2"), ("b/a/y", "3"), ("B", "4")]);
    let context = place.open(SymlinkPolicy::Follow);
    assert_eq!(
        walk(&context, "").unwrap(),
        ["B", "a", "b/", "b/a/", "b/a/y", "b/x"]
    );
    assert_eq!(walk(&context, "b/a").unwrap(), ["b/a/", "b/a/y"]);
    assert_eq!(walk(&context, "nothing").unwrap(), Vec::<String>::new());
    assert_eq!(walk(&context, "a/below").unwrap(), Vec::<String>::new());
    let node = context.find("b/x").unwrap().unwrap();
    assert_eq!(read(&node).unwrap(), "1");
    assert!(node.mtime.is_some());
}

#[test]
fn b6_what_leads_out_of_the_context_is_refused_where_it_is_opened() {
    let place = place(&[("a", "1"), ("d/x", "2")]);
    let context = place.open(SymlinkPolicy::Follow);
    for path in ["../secret", "d/../../secret", ".."] {
        let found = context.find(path);
        assert!(
            matches!(found, Err(ContextError::Leaves(_))),
            "{path}: {found:?}"
        );
    }
    assert!(context.find("d/../a").unwrap().is_some());
}

#[cfg(unix)]
#[test]
fn b6_symbolic_links_that_leave_are_refused_and_those_that_stay_are_followed() {
    use std::os::unix::fs::symlink;
    let place = place(&[("a", "1"), ("d/x", "2")]);
    let link = |target: &str, name: &str| symlink(target, place.context.join(name)).unwrap();
    link("../secret", "out");
    link("/etc/passwd", "absolute");
    link("d", "in");
    link("../a", "d/up");
    let context = place.open(SymlinkPolicy::Follow);
    for path in ["out", "absolute"] {
        let found = context.find(path);
        assert!(
            matches!(found, Err(ContextError::Leaves(_))),
            "{path}: {found:?}"
        );
        let error = walk(&context, "").unwrap_err();
        assert!(matches!(error, ContextError::Leaves(it) if it == "absolute"));
    }
    assert_eq!(walk(&context, "in").unwrap(), ["in/", "in/up", "in/x"]);
    assert_eq!(read(&context.find("in/up").unwrap().unwrap()).unwrap(), "1");
    // Looked at as a directory, changed into a way out before it is opened.
    let file = context.find("d/x").unwrap().unwrap();
    fs::remove_dir_all(place.context.join("d")).unwrap();
    fs::create_dir(place.root.path().join("elsewhere")).unwrap();
    fs::write(place.root.path().join("elsewhere/x"), "2").unwrap();
    link("../elsewhere", "d");
    assert!(read(&file).is_err());
}

#[cfg(unix)]
#[test]
fn links_inside_directories_go_by_the_policy() {
    use std::os::unix::fs::symlink;
    let place = place(&[("d/x", "2"), ("e/y", "3")]);
    let link = |target: &str, name: &str| symlink(target, place.context.join(name)).unwrap();
    link("x", "d/file");
    link("../e", "d/dir");
    let follow = place.open(SymlinkPolicy::Follow);
    assert_eq!(
        walk(&follow, "d").unwrap(),
        ["d/", "d/dir/", "d/dir/y", "d/file", "d/x"]
    );
    let keep = place.open(SymlinkPolicy::PreserveRelative);
    let kept = ["d/", "d/dir -> ../e", "d/file -> x", "d/x"];
    assert_eq!(walk(&keep, "d").unwrap(), kept);
    // Named as a source, it is followed all the same.
    assert_eq!(walk(&keep, "d/dir").unwrap(), ["d/dir/", "d/dir/y"]);
    let refuse = place.open(SymlinkPolicy::Refuse);
    assert!(matches!(walk(&refuse, "d"), Err(ContextError::Link(it)) if it == "d/dir"));

    link("..", "d/loop");
    assert!(matches!(walk(&follow, "d"), Err(ContextError::Loop(_))));
    fs::remove_file(place.context.join("d/loop")).unwrap();
    link("nowhere", "d/dangling");
    assert!(matches!(walk(&follow, "d"), Err(ContextError::Dangling(it)) if it == "d/dangling"));
    fs::remove_file(place.context.join("d/dangling")).unwrap();
    link("/x", "d/absolute");
    assert!(matches!(
        walk(&keep, "d"),
        Err(ContextError::AbsoluteLink { .. })
    ));
    let keep = place.open(SymlinkPolicy::Preserve);
    assert_eq!(walk(&keep, "d").unwrap()[1], "d/absolute -> /x");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_or_has_no_name_in_utf_8_is_refused() {
    use std::os::unix::{ffi::OsStrExt, net::UnixListener};
    let place = place(&[("a", "1")]);
    let _socket = UnixListener::bind(place.context.join("s")).unwrap();
    let context = place.open(SymlinkPolicy::Follow);
    assert!(matches!(walk(&context, ""), Err(ContextError::Special(it)) if it == "s"));
    fs::remove_file(place.context.join("s")).unwrap();
    fs::write(place.context.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let error = walk(&context, "").unwrap_err();
    assert!(matches!(error, ContextError::NotUtf8 { .. }), "{error}");
}

#[test]
fn b7_what_is_ignored_is_not_there_unless_it_is_taken_back() {
    let files = [
        (
            ".dockerignore",
            "*.md\nbuild\n!build/keep/*.txt\nDockerfile\n.dockerignore\n",
        ),
        ("Dockerfile", ""),
        ("a.md", ""),
        ("build/x", ""),
        ("build/keep/a.txt", ""),
        ("build/keep/b.bin", ""),
        ("src/a.md", ""),
    ];
    let place = place(&files);
    let context = place.open(SymlinkPolicy::Follow);
    let expected = ["build/keep/a.txt", "src/", "src/a.md"];
    assert_eq!(walk(&context, "").unwrap(), expected);
    assert!(context.find("a.md").unwrap().is_none());
    assert!(context.find("build/x").unwrap().is_none());
    // The one of the Dockerfile comes before it.
    fs::write(
        place.context.join("Dockerfile.dockerignore"),
        "**/*.md\nbuild\n*ockerfile*\n.d*",
    )
    .unwrap();
    let context = place.open(SymlinkPolicy::Follow);
    assert_eq!(walk(&context, "").unwrap(), ["src/"]);
}

#[cfg(unix)]
#[test]
fn b7_a_link_is_no_way_to_what_is_ignored() {
    let place = place(&[(".dockerignore", "secret*"), ("secret.txt", "s"), ("a", "")]);
    std::os::unix::fs::symlink("secret.txt", place.context.join("link")).unwrap();
    let context = place.open(SymlinkPolicy::Follow);
    assert!(context.find("link").unwrap().is_none());
    assert!(matches!(walk(&context, ""), Err(ContextError::Ignored(it)) if it == "link"));
}

#[test]
fn a_file_that_changed_is_noticed() {
    let place = place(&[("a", "1234")]);
    let context = place.open(SymlinkPolicy::Follow);
    let node = context.find("a").unwrap().unwrap();
    assert_eq!(read(&node).unwrap(), "1234");
    let NodeKind::File(FileBody::Opens(file)) = &node.kind else {
        panic!("no file");
    };
    assert!(file.is_unchanged().unwrap());
    fs::write(place.context.join("a"), "longer").unwrap();
    assert!(!file.is_unchanged().unwrap());
    assert!(
        read(&node)
            .unwrap_err()
            .to_string()
            .contains("changed after it was found")
    );
}

#[test]
fn a_context_that_cannot_be_opened_says_why() {
    let options = ContextOptions::default();
    let archive = Context::open(Path::new("-"), &options).unwrap_err();
    assert!(matches!(archive, ContextError::Archive));
    let place = place(&[(".dockerignore", "a[")]);
    let bad = Context::open(&place.context, &options).unwrap_err();
    assert!(matches!(bad, ContextError::Ignore { .. }));
    let gone = Context::open(&place.context.join("gone"), &options).unwrap_err();
    assert!(matches!(gone, ContextError::Open { .. }));
}

/// A pipe without anybody at its other end.
#[cfg(unix)]
fn pipe(at: &Path) {
    let made = std::process::Command::new("mkfifo").arg(at).status();
    assert!(made.unwrap().success());
}

/// Between a look and an open a file may become a pipe: nobody waits for one.
#[cfg(unix)]
#[test]
fn a_pipe_in_a_files_place_is_opened_at_once_and_is_no_file() {
    let place = place(&[("a.txt", "a")]);
    pipe(&place.context.join("pipe"));
    let context = place.open(SymlinkPolicy::Follow);
    let opened = opened(&context.0.directory, Path::new("pipe")).unwrap();
    assert!(!opened.metadata().unwrap().is_file());
    let error = regular(opened).unwrap_err();
    assert_eq!(error.to_string(), "it is no file");
    // What was found as a file, and is another one or none by then, is an error too.
    let node = context.find("a.txt").unwrap().unwrap();
    let NodeKind::File(FileBody::Opens(file)) = &node.kind else {
        panic!()
    };
    fs::remove_file(place.context.join("a.txt")).unwrap();
    pipe(&place.context.join("a.txt"));
    assert!(file.open().is_err());
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_list_of_what_is_left_out() {
    for name in [".dockerignore", "Dockerfile.dockerignore"] {
        let place = place(&[]);
        pipe(&place.context.join(name));
        let options = ContextOptions {
            symlinks: SymlinkPolicy::Follow,
            dockerfile: Some(place.context.join("Dockerfile")),
        };
        let error = Context::open(&place.context, &options).unwrap_err();
        assert!(
            matches!(&error, ContextError::Open { path, .. } if path.ends_with(name)),
            "{error:?}"
        );
    }
}
