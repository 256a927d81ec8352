//! Whose files are that were copied, and what may be done with them.

#[cfg(unix)]
use std::fs;

use super::{Bench, FILES, files};
use crate::{
    EntryKind, LayerTree, Owner,
    copy::{CopyError, archive},
    dockerfile::TargetOs,
};

#[test]
fn b10_chown_and_chmod_are_noted_on_windows_and_refused_if_strict() {
    let mut bench = Bench::windows().with_all(FILES);
    let line = "COPY --chown=1000:1000 --chmod=755 --link a.txt /a";
    let (tree, warnings) = bench.carry_out(line, None).unwrap();
    assert_eq!(files(&tree), ["a=a.txt"]);
    assert_eq!(
        warnings,
        [
            "--chmod=755 has no effect in an image for Windows: remove it, or leave out --strict",
            "--chown=1000:1000 has no effect in an image for Windows: remove it, or leave out \
             --strict",
        ]
    );
    let user = bench.tree("COPY --chown=ContainerUser d /a");
    let owners: Vec<Owner> = user.entries().map(|it| it.meta().owner).collect();
    assert_eq!(owners, [Owner::ContainerUser; 5]);
    bench.options.strict = true;
    assert!(matches!(
        bench.error(line),
        CopyError::NoEffect {
            flag: "--chmod",
            ..
        }
    ));
    // Nobody reads it, so it may be what chmod has letters for.
    let symbolic = "COPY --chmod=u+x a.txt /a";
    let refused = bench.error(symbolic);
    let is_it =
        matches!(&refused, CopyError::NoEffect { flag: "--chmod", value } if value == "u+x");
    assert!(is_it, "{refused}");
    bench.options.strict = false;
    let (tree, warnings) = bench.carry_out(symbolic, None).unwrap();
    assert_eq!(files(&tree), ["a=a.txt"]);
    assert_eq!(
        warnings,
        ["--chmod=u+x has no effect in an image for Windows: remove it, or leave out --strict"]
    );
    let linux = Bench::new(TargetOs::Linux).with_all(FILES);
    let unknown = "COPY --chmod=u+q a.txt /a";
    assert!(matches!(linux.error(unknown), CopyError::Mode(_)));
}

#[cfg(unix)]
#[test]
fn linux_images_have_modes_owners_and_names_as_they_are() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(TargetOs::Linux)
        .with("bin/tool", b"t")
        .with("bin/Tool", b"T");
    let tool = bench.context().join("bin/tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o750)).unwrap();
    let tree = bench.tree("COPY bin /opt/bin/");
    assert_eq!(files(&tree), ["opt/bin/Tool=T", "opt/bin/tool=t"]);
    let entry = tree.get(&"opt/bin/tool".parse().unwrap()).unwrap();
    assert_eq!(
        (entry.meta().mode, entry.meta().owner),
        (0o750, Owner::Default)
    );
    let tree = bench.tree("COPY --chown=7:8 --chmod=4711 bin/tool /usr/bin");
    let entry = tree.get(&"usr/bin/tool".parse().unwrap()).unwrap();
    let owner = Owner::Ids { uid: 7, gid: 8 };
    assert_eq!((entry.meta().mode, entry.meta().owner), (0o4711, owner));
    assert!(matches!(
        bench.error("COPY --chown=app bin/tool /a"),
        CopyError::Owner(_)
    ));
    // On Windows the two names are one.
    let windows = Bench::windows()
        .with("bin/tool", b"t")
        .with("bin/Tool", b"T");
    let error = windows.error("COPY bin /opt/").to_string();
    assert!(
        error.contains("bin/tool") && error.contains("bin/Tool"),
        "{error}"
    );
}

/// The directories of a tree that were asked for, and whose they are.
fn asked_for(tree: &LayerTree) -> Vec<(String, Owner)> {
    let asked = tree
        .entries()
        .filter(|it| matches!(it.kind(), EntryKind::Directory { implicit: false }));
    asked
        .map(|it| (it.path().to_string(), it.meta().owner))
        .collect()
}

#[test]
fn b10_no_copy_loosens_the_rights_of_windows_own_directories() {
    let archive = archive::tests::directories(&["Windows/", "Windows/System32/", "x/"]);
    let bench = Bench::windows()
        .with("root/windows/System32/drivers/a.sys", b"a")
        .with("root/Program Files/Mine/b", b"b")
        .with("root/Users/", b"")
        .with("x.tar", &archive);
    let default = |it: &str| (it.to_owned(), Owner::Default);
    let tree = bench.tree(r"COPY root C:\");
    let all = ["Program Files/Mine/b=b", "windows/System32/drivers/a.sys=a"];
    assert_eq!(files(&tree), all);
    let asked = ["Program Files/Mine", "windows/System32/drivers"];
    assert_eq!(asked_for(&tree), asked.map(default));
    assert_eq!(asked_for(&bench.tree("ADD x.tar /")), [default("x")]);
    // Elsewhere they are like any other, and so they are on Linux.
    let tree = bench.tree("COPY --parents root/windows/System32 /a/");
    assert!(asked_for(&tree).contains(&default("a/root/windows/System32")));
    let linux = Bench::new(TargetOs::Linux).with("root/usr/bin/x", b"x");
    let tree = linux.tree("COPY root /");
    assert_eq!(asked_for(&tree), ["usr", "usr/bin"].map(default));
}

#[cfg(unix)]
#[test]
fn symbolic_modes_depend_on_what_is_copied_and_root_is_the_one_name_that_is_known() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(TargetOs::Linux)
        .with("bin/tool", b"t")
        .with("bin/text", b"T");
    for (name, mode) in [("bin", 0o700), ("bin/tool", 0o711), ("bin/text", 0o600)] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(bench.context().join(name), permissions).unwrap();
    }
    let tree = bench.tree("COPY --parents --chmod=u=rwX,go=rX bin /opt/");
    let mode = |path: &str| tree.get(&path.parse().unwrap()).unwrap().meta().mode;
    let modes = ["opt/bin", "opt/bin/tool", "opt/bin/text"].map(mode);
    assert_eq!(modes, [0o755, 0o755, 0o644]);
    // A here-document has 0644 before anything is said.
    let tree = bench.tree("COPY --chmod=+x <<a /b\necho\na");
    let entry = tree.get(&"b".parse().unwrap()).unwrap();
    assert_eq!(entry.meta().mode, 0o755);

    let owner = |uid, gid| Owner::Ids { uid, gid };
    for (said, expected) in [
        ("root", owner(0, 0)),
        ("0", owner(0, 0)),
        ("root:7", owner(0, 7)),
        ("7:root", owner(7, 0)),
        ("7", owner(7, 7)),
    ] {
        let tree = bench.tree(&format!("COPY --chown={said} bin/tool /a"));
        let entry = tree.get(&"a".parse().unwrap()).unwrap();
        assert_eq!(entry.meta().owner, expected, "{said}");
    }
    for said in ["app", "root:app", "1000:nogroup", "-1", "4294967296"] {
        let error = bench.error(&format!("COPY --chown={said} bin/tool /a"));
        assert!(
            matches!(&error, CopyError::Owner(it) if it == said),
            "{said}"
        );
        assert!(error.to_string().contains("write numbers"), "{error}");
    }
}
