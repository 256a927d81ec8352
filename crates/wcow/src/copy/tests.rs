//! What lands where, and what is refused.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use oci::Digest;
use tempfile::TempDir;

use super::*;
use crate::{
    EntryKind,
    context::ContextOptions,
    dockerfile::{Dockerfile, PlanOptions, Predefined},
};

/// A context with files in it, and what is copied from it.
pub(super) struct Bench {
    root: TempDir,
    pub(super) os: TargetOs,
    working_directory: &'static str,
    pub(super) options: CopyOptions,
    fetch: Option<Arc<dyn Fetch>>,
    there: LayerTree,
}

impl Bench {
    pub(super) fn new(os: TargetOs) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("context")).unwrap();
        fs::create_dir(root.path().join("spool")).unwrap();
        let spool = Some(root.path().join("spool"));
        let options = CopyOptions {
            spool,
            ..CopyOptions::new(SymlinkPolicy::Follow)
        };
        Self {
            root,
            os,
            working_directory: "",
            options,
            fetch: None,
            there: tree(os),
        }
    }

    pub(super) fn windows() -> Self {
        Self::new(TargetOs::Windows)
    }

    pub(super) fn context(&self) -> PathBuf {
        self.root.path().join("context")
    }

    /// A file; a directory if the path ends in a slash.
    pub(super) fn with(self, path: &str, content: &[u8]) -> Self {
        let at = self.context().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(at).unwrap();
        } else {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, content).unwrap();
        }
        self
    }

    fn with_all(self, paths: &[&str]) -> Self {
        paths
            .iter()
            .fold(self, |it, path| it.with(path, path.as_bytes()))
    }

    fn copying(&self) -> Copying {
        let options = ContextOptions {
            symlinks: self.options.symlinks,
            dockerfile: None,
        };
        let context = Context::open(&self.context(), &options).unwrap();
        let copying = Copying::new(context, self.options.clone());
        match &self.fetch {
            Some(fetch) => copying.with_fetch(Arc::clone(fetch)),
            None => copying,
        }
    }

    fn carry_out(
        &self,
        line: &str,
        from: Option<&LayerTree>,
    ) -> Result<(LayerTree, Vec<String>), CopyError> {
        let text = format!("# escape=`\nFROM a AS x\nFROM b\n{line}\n");
        let file = Dockerfile::parse(text.as_bytes(), "Dockerfile").unwrap();
        let platform = oci::Platform::new("windows", "amd64");
        let predefined = Predefined {
            target: platform.clone(),
            build: platform,
            stage: None,
        };
        let plan = file.plan(&PlanOptions::new(self.os, predefined)).unwrap();
        let steps = &plan.stages().last().unwrap().stage.steps;
        let instruction = plan.scope(&[]).expand(&steps[0]).unwrap();
        let place = Place {
            working_directory: self.working_directory,
            there: Some(&self.there),
            from,
            ..Place::new(self.os, 4)
        };
        let mut tree = tree(self.os);
        let warnings = self.copying().carry_out(&instruction, &place, &mut tree)?;
        Ok((tree, warnings))
    }

    pub(super) fn tree(&self, line: &str) -> LayerTree {
        self.carry_out(line, None)
            .unwrap_or_else(|it| panic!("{line}: {it}"))
            .0
    }

    /// The files that a line makes, with what is in them; empty directories with a slash.
    pub(super) fn run(&self, line: &str) -> Vec<String> {
        files(&self.tree(line))
    }

    pub(super) fn error(&self, line: &str) -> CopyError {
        match self.carry_out(line, None) {
            Err(error) => error,
            Ok((tree, _)) => panic!("{line}: {:?}", files(&tree)),
        }
    }
}

fn tree(os: TargetOs) -> LayerTree {
    match os {
        TargetOs::Windows => LayerTree::windows(),
        TargetOs::Linux => LayerTree::linux(),
    }
}

pub(super) fn content(body: &FileBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    match body {
        FileBody::Bytes(it) => bytes.extend(it),
        FileBody::Opens(it) => {
            it.open().unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, it.len());
        }
    }
    bytes
}

pub(super) fn files(tree: &LayerTree) -> Vec<String> {
    let paths: Vec<&str> = tree.entries().map(|it| it.path().as_str()).collect();
    let described = tree.entries().filter_map(|it| {
        let path = it.path().as_str();
        match it.kind() {
            EntryKind::Directory { .. } => {
                let inside = format!("{path}/");
                let is_empty = !paths.iter().any(|it| it.starts_with(&inside));
                is_empty.then_some(inside)
            }
            EntryKind::File(body) => Some(format!(
                "{path}={}",
                String::from_utf8(content(body)).unwrap()
            )),
            EntryKind::Symlink { target, .. } => Some(format!("{path}->{target}")),
        }
    });
    described.collect()
}

const FILES: &[&str] = &[
    "a.txt",
    "b.txt",
    "c.log",
    "d/x",
    "d/e/y",
    "d/e/z.txt",
    "empty/",
];

/// The reference's cases, for Windows: working directory, line, what comes of it.
const CASES: &[(&str, &str, &[&str])] = &[
    // A file to a name, and into a directory by a slash.
    ("", r"COPY a.txt C:\app\b", &["app/b=a.txt"]),
    ("", r"COPY a.txt c:/app/", &["app/a.txt=a.txt"]),
    // A directory: what is in it, itself not.
    (
        "",
        r"COPY d \app",
        &["app/e/y=d/e/y", "app/e/z.txt=d/e/z.txt", "app/x=d/x"],
    ),
    // All of the context.
    ("", "COPY empty /e", &["e/"]),
    // Several sources into a directory, a source's directory melting into it.
    (
        "",
        r"COPY a.txt d/e /app/",
        &["app/a.txt=a.txt", "app/y=d/e/y", "app/z.txt=d/e/z.txt"],
    ),
    // Relative to the working directory.
    (r"C:\w", "COPY a.txt b", &["w/b=a.txt"]),
    (r"C:\w", "COPY a.txt .", &["w/a.txt=a.txt"]),
    (r"C:\w", r"COPY a.txt sub\", &["w/sub/a.txt=a.txt"]),
    (r"C:\w\v", r"COPY a.txt ..\b", &["w/b=a.txt"]),
    // A leading slash is the context's root, and both slashes part a source's names.
    ("", r"COPY /d\e\y C:\", &["y=d/e/y"]),
    // Patterns, name by name.
    (
        "",
        "COPY *.txt /app/",
        &["app/a.txt=a.txt", "app/b.txt=b.txt"],
    ),
    (
        "",
        "COPY ?.[a-l]* d/*/z* /app/",
        &["app/c.log=c.log", "app/z.txt=d/e/z.txt"],
    ),
    // JSON, for blanks.
    (
        "",
        r#"COPY ["a.txt", "/Program Files/a b"]"#,
        &["Program Files/a b=a.txt"],
    ),
    // A directory that every image has.
    (
        "",
        r"COPY a.txt C:\Windows\System32",
        &["Windows/System32/a.txt=a.txt"],
    ),
];

#[test]
fn b5_copy_puts_things_where_the_reference_says() {
    for (working_directory, line, expected) in CASES {
        let bench = Bench {
            working_directory,
            ..Bench::windows().with_all(FILES)
        };
        assert_eq!(bench.run(line), *expected, "{line}");
    }
}

#[test]
fn b5_what_the_stage_made_a_directory_takes_files_in() {
    let mut bench = Bench::windows().with_all(FILES);
    assert_eq!(bench.run("COPY a.txt /app"), ["app=a.txt"]);
    bench
        .there
        .directory(&"App".parse().unwrap(), Meta::default())
        .unwrap();
    assert_eq!(bench.run("COPY a.txt /app"), ["app/a.txt=a.txt"]);
}

#[test]
fn b5_the_working_directory_takes_files_in_whatever_its_case() {
    let mut bench = Bench {
        working_directory: r"C:\App",
        ..Bench::windows().with_all(FILES)
    };
    assert_eq!(bench.run(r"COPY a.txt c:\app"), ["app/a.txt=a.txt"]);
    assert_eq!(bench.run("COPY *.txt /APP").len(), 2);
    bench.os = TargetOs::Linux;
    bench.working_directory = "/App";
    assert_eq!(bench.run("COPY a.txt /app"), ["app=a.txt"]);
    assert_eq!(bench.run("COPY a.txt /App"), ["App/a.txt=a.txt"]);
}

#[test]
fn b5_two_stars_are_one_name_without_parents() {
    let bench = Bench::windows().with_all(FILES);
    // One name deep: d/e is a directory, d/x is none and d/e/z.txt is too deep for both.
    assert_eq!(bench.run("COPY **/x /a/"), ["a/x=d/x"]);
    assert!(matches!(
        bench.error("COPY **/z.txt /a/"),
        CopyError::NothingMatches(_)
    ));
    assert!(matches!(
        bench.error("ADD **/z.txt /a/"),
        CopyError::NothingMatches(_)
    ));
    assert_eq!(
        bench.run("COPY --parents **/z.txt /a/"),
        ["a/d/e/z.txt=d/e/z.txt"]
    );
}

#[test]
fn b7_a_context_that_leaves_everything_out_is_still_there() {
    let bench = Bench::windows()
        .with_all(FILES)
        .with(".dockerignore", b"*\n!d\n");
    let tree = bench.tree(r"COPY . C:\app\");
    let all = ["app/d/e/y=d/e/y", "app/d/e/z.txt=d/e/z.txt", "app/d/x=d/x"];
    assert_eq!(files(&tree), all);
    let app = tree.get(&"app".parse().unwrap()).unwrap();
    let is_explicit = matches!(app.kind(), EntryKind::Directory { implicit: false });
    assert!(is_explicit, "{app:?}");
    let bench = bench.with(".dockerignore", b"*\n");
    assert_eq!(bench.run(r"COPY . C:\app\"), ["app/"]);
}

#[test]
fn b5_sources_that_are_not_there_or_need_a_slash_are_refused() {
    let bench = Bench::windows()
        .with_all(FILES)
        .with(".dockerignore", b"c.log");
    let cases = [
        (
            "COPY nothing /a",
            "\"nothing\" is not in the context: paths are relative to its root",
        ),
        (
            "COPY c.log /a",
            "\"c.log\" is left out by .dockerignore: take it back there with !",
        ),
        (
            "COPY *.md /a",
            "nothing matches \"*.md\": mend the pattern, or allow it with --allow-empty-wildcard",
        ),
        (
            "COPY a.txt b.txt /a",
            "several sources need a directory: end \"/a\" with a slash",
        ),
        (
            "COPY *.txt /a",
            "\"*.txt\" matches 2 files, which need a directory: end the destination with a slash",
        ),
        (
            "COPY ../secret /a",
            "\"../secret\" leads above the root of what is copied from",
        ),
        (
            "COPY a.txt D:/a",
            "destination \"D:/a\" is not on drive C:, the only one a container has",
        ),
        (
            "COPY https://a.example/b /a",
            "COPY takes no URL (https://a.example/b): use ADD",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(bench.error(line).to_string(), expected, "{line}");
    }
    let mut bench = bench;
    bench.options.allows_empty_wildcard = true;
    assert_eq!(bench.run("COPY *.md /a/"), Vec::<String>::new());
    assert!(matches!(
        bench.error("COPY nothing /a"),
        CopyError::NotFound(_)
    ));
}

#[cfg(unix)]
#[test]
fn b6_no_link_takes_a_copy_out_of_the_context() {
    use std::os::unix::fs::symlink;
    let bench = Bench::windows().with_all(FILES);
    fs::write(bench.root.path().join("secret"), "s").unwrap();
    symlink("../secret", bench.context().join("out")).unwrap();
    symlink("../../secret", bench.context().join("d/out")).unwrap();
    for line in [
        "COPY out /a",
        "COPY d /a",
        "COPY . /a",
        "ADD o* /a",
        "COPY d/o* /a",
    ] {
        let error = bench.error(line);
        let is_it = matches!(
            error,
            CopyError::Context(crate::context::ContextError::Leaves(_))
        );
        assert!(is_it, "{line}: {error}");
    }
}

#[test]
fn b7_excludes_keep_files_out_of_one_copy() {
    let bench = Bench::windows().with_all(FILES);
    assert_eq!(
        bench.run("COPY --exclude=**/*.txt d /a"),
        ["a/e/y=d/e/y", "a/x=d/x"]
    );
    let back = "COPY --exclude=e --exclude=!e/y d /a";
    assert_eq!(bench.run(back), ["a/e/y=d/e/y", "a/x=d/x"]);
    assert_eq!(bench.run("COPY --exclude=b* *.txt /a/"), ["a/a.txt=a.txt"]);
    assert!(matches!(
        bench.error("COPY --exclude=[ d /a"),
        CopyError::Exclude(_)
    ));
}

#[test]
fn parents_keep_a_sources_path() {
    let bench = Bench::windows().with_all(FILES);
    let run = |line: &str| bench.run(line);
    assert_eq!(
        run("COPY --parents d/e/y a.txt /a"),
        ["a/a.txt=a.txt", "a/d/e/y=d/e/y"]
    );
    assert_eq!(run("COPY --parents d/./e/y /a/"), ["a/e/y=d/e/y"]);
    assert_eq!(
        run("COPY --parents d/e /a/"),
        ["a/d/e/y=d/e/y", "a/d/e/z.txt=d/e/z.txt"]
    );
    let all = ["a/a.txt=a.txt", "a/b.txt=b.txt", "a/d/e/z.txt=d/e/z.txt"];
    assert_eq!(run("COPY --parents **/*.txt /a/"), all);
}

#[test]
fn here_documents_are_files() {
    let bench = Bench::windows().with_all(FILES);
    assert_eq!(bench.run("COPY <<EOF /a/b.txt\nhi\nEOF"), ["a/b.txt=hi\n"]);
    let two = "COPY <<one a.txt <<\"two\" /a/\n1\none\n$x\ntwo";
    assert_eq!(bench.run(two), ["a/a.txt=a.txt", "a/one=1\n", "a/two=$x\n"]);
}

#[test]
fn b10_copy_from_takes_what_another_stage_copied() {
    let bench = Bench::windows().with_all(FILES);
    let stage = bench.tree("COPY d /Out/");
    let run = |line: &str| bench.carry_out(line, Some(&stage)).map(|it| files(&it.0));
    assert_eq!(run("COPY --from=x /out/X C:/app/").unwrap(), ["app/X=d/x"]);
    assert_eq!(
        run(r"COPY --from=x C:\out\e\*.txt \a\").unwrap(),
        ["a/z.txt=d/e/z.txt"]
    );
    let all = ["a/e/y=d/e/y", "a/e/z.txt=d/e/z.txt", "a/x=d/x"];
    assert_eq!(run("COPY --from=x /out /a").unwrap(), all);
    let error = run(r"COPY --from=x C:\Windows\System32\netapi32.dll /a").unwrap_err();
    assert!(matches!(error, CopyError::NotInStage(_)), "{error}");
}

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
    assert!(matches!(linux.error(symbolic), CopyError::Mode(_)));
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

#[test]
fn a_name_that_windows_does_not_take_is_named_by_its_source() {
    let bench = Bench::windows().with("src/CON", b"");
    let error = bench.error("COPY src /a").to_string();
    assert!(error.starts_with("src/CON: the name \"CON\""), "{error}");
}

/// Answers every URL the same way, and keeps count.
#[derive(Debug)]
struct Server {
    answer: Result<Vec<u8>, u16>,
    asked: Mutex<Vec<String>>,
}

impl Fetch for Server {
    fn fetch(&self, url: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<(), FetchError> {
        self.asked.lock().unwrap().push(url.to_owned());
        let bytes = self.answer.as_ref().map_err(|it| FetchError::Status(*it))?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLarge(limit));
        }
        to.write_all(bytes)
            .map_err(|it| FetchError::Other(it.into()))
    }
}

fn serving(answer: Result<&[u8], u16>) -> (Bench, Arc<Server>) {
    let server = Arc::new(Server {
        answer: answer.map(<[u8]>::to_vec),
        asked: Mutex::default(),
    });
    let mut bench = Bench::windows().with_all(FILES);
    bench.fetch = Some(Arc::<Server>::clone(&server));
    (bench, server)
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn b8_a_url_is_one_file_with_the_content_that_was_promised() {
    let digest = Digest::of(b"content");
    let (bench, server) = serving(Ok(b"content"));
    let url = "https://a.example/dir/tool.zip?v=1";
    let line = format!("ADD --checksum={digest} {url} /bin/");
    assert_eq!(bench.run(&line), ["bin/tool.zip=content"]);
    let line = format!("ADD --checksum={digest} {url} /bin/tool");
    assert_eq!(bench.run(&line), ["bin/tool=content"]);
    assert_eq!(*server.asked.lock().unwrap(), [url, url]);
    let other = Digest::of(b"other");
    let error = bench.error(&format!("ADD --checksum={other} {url} /bin/"));
    let is_it = matches!(&error, CopyError::ChecksumMismatch { actual, .. } if *actual == digest);
    assert!(is_it, "{error}");
    // What was kept goes with what was made of it.
    assert!(is_empty(&bench.root.path().join("spool")));
}

#[test]
fn b8_an_answer_that_is_no_200_says_which() {
    let digest = Digest::of(b"");
    let (bench, _) = serving(Err(404));
    let error = bench.error(&format!("ADD --checksum={digest} https://a.example/x /a"));
    let is_it = matches!(&error, CopyError::HttpFetchFailed { url, status: 404 } if url == "https://a.example/x");
    assert!(is_it, "{error}");
}

#[test]
fn b8_what_nobody_vouches_for_is_not_asked_for() {
    let (bench, server) = serving(Ok(b"content"));
    assert!(matches!(
        bench.error("ADD https://a.example/x /a"),
        CopyError::NoChecksum(_)
    ));
    assert!(matches!(
        bench.error("ADD http://a.example/x /a"),
        CopyError::NotHttps(_)
    ));
    assert!(matches!(
        bench.error("ADD https://a.example/x.git /a"),
        CopyError::Git(_)
    ));
    assert!(matches!(
        bench.error("ADD git@a.example:x /a"),
        CopyError::Git(_)
    ));
    let local = format!("ADD --checksum={} a.txt /a", Digest::of(b""));
    assert!(matches!(bench.error(&local), CopyError::Checksum));
    let bad = "ADD --checksum=md5:00 https://a.example/x /a";
    assert!(matches!(bench.error(bad), CopyError::BadChecksum(_)));
    assert_eq!(server.asked.lock().unwrap().len(), 0);
    let mut bench = bench;
    bench.fetch = None;
    let off = format!("ADD --checksum={} https://a.example/x /a", Digest::of(b""));
    assert!(matches!(bench.error(&off), CopyError::NoFetch(_)));
}

#[test]
fn b8_an_archive_from_a_url_is_unpacked_if_that_is_asked_for() {
    let archive = archive::tests::tar(&[("x", "1")]);
    let digest = Digest::of(&archive);
    let (bench, _) = serving(Ok(&archive));
    let url = "https://a.example/x.tar";
    let tree = bench.tree(&format!("ADD --checksum={digest} {url} /a/"));
    let kept = tree.get(&"a/x.tar".parse().unwrap()).unwrap();
    assert!(matches!(kept.kind(), EntryKind::File(body) if content(body) == archive));
    let unpacked = bench.run(&format!("ADD --unpack --checksum={digest} {url} /a"));
    assert_eq!(unpacked, ["a/x=1"]);
}

#[test]
fn what_may_be_secret_in_a_url_is_in_no_message_and_no_origin() {
    let digest = Digest::of(b"content");
    let secret = "https://user:pa55@a.example/x?sig=5ecret#5ecret";
    let query = "https://a.example/x?sig=5ecret#5ecret";
    let other = Digest::of(b"other");
    let (bench, server) = serving(Err(404));
    let mut said = Vec::new();
    for line in [
        format!("ADD --checksum={digest} {secret} /a"),
        format!("ADD {query} /a"),
        format!("ADD {} /a", secret.replace("https", "http")),
        "ADD https://user:pa55@a.example/x.git?sig=5ecret /a".to_owned(),
        format!("COPY {secret} /a"),
        format!("COPY {} /a", secret.replace("https", "ftp")),
        format!("ADD --checksum={digest} {query} /a"),
    ] {
        said.push(format!("{0} {0:?}", bench.error(&line)));
    }
    // A user or a password is not even sent.
    assert_eq!(*server.asked.lock().unwrap(), [query]);
    let credentials = bench.error(&format!("ADD --checksum={digest} {secret} /a"));
    assert!(matches!(&credentials, CopyError::Credentials(it) if it == "https://a.example/x"));

    let (mut bench, _) = serving(Ok(b"content"));
    let (wrong, right) = (
        format!("ADD --checksum={other} {query} /a"),
        format!("ADD --checksum={digest} {query} /a"),
    );
    said.push(format!("{0} {0:?}", bench.error(&wrong)));
    let tree = bench.tree(&right);
    let origin = tree.entries().next().unwrap().meta().origin.clone();
    assert_eq!(origin.to_string(), "https://a.example/x");
    bench.fetch = None;
    said.push(format!("{0} {0:?}", bench.error(&right)));
    let archive = archive::tests::tar(&[("../x", "1")]);
    let (bench, _) = serving(Ok(&archive));
    let of = Digest::of(&archive);
    let unpacked = bench.error(&format!("ADD --unpack --checksum={of} {query} /a"));
    said.push(format!("{unpacked} {unpacked:?}"));
    for text in said {
        assert!(text.contains("a.example/x"), "{text}");
        assert!(!text.contains("pa55") && !text.contains("user:"), "{text}");
        assert!(!text.contains("5ecret"), "{text}");
    }
}

/// The directories of a tree that were asked for, and whose they are.
fn asked_for(tree: &LayerTree) -> Vec<(&str, Owner)> {
    let asked = tree
        .entries()
        .filter(|it| matches!(it.kind(), EntryKind::Directory { implicit: false }));
    asked
        .map(|it| (it.path().as_str(), it.meta().owner))
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
    let default = |it| (it, Owner::Default);
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
