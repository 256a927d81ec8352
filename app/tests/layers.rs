//! The architecture as a test: which crate may depend on which, which module may
//! import which, and who alone may name an HTTP client.
//!
//! The arrows are drawn in `docs/architecture.md`. Turning one round fails here.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use syn::visit::{self, Visit};

/// The whole layering: a package, and the siblings its library may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("longshore-oci", &[]),
    ("longshore-push", &["longshore-oci"]),
    ("longshore-registry", &["longshore-oci"]),
    ("longshore-wcow", &["longshore-oci"]),
    ("longshore-server", &["longshore-oci"]),
    // Not published: it breaks pushes from the outside, and needs both ends of them.
    (
        "longshore-chaos",
        &[
            "longshore-oci",
            "longshore-push",
            "longshore-registry",
            "longshore-server",
        ],
    ),
    (
        "longshore",
        &[
            "longshore-oci",
            "longshore-push",
            "longshore-registry",
            "longshore-wcow",
            "longshore-server",
        ],
    ),
];

/// Crates that only these packages may name, library or not.
const RESERVED: &[(&str, &[&str])] = &[
    ("hyper", &["longshore-registry", "longshore-server"]),
    ("hyper-util", &["longshore-registry", "longshore-server"]),
    ("axum", &["longshore-server"]),
    (
        "rustls",
        &["longshore-registry", "longshore-server", "longshore"],
    ),
    ("clap", &["longshore", "longshore-chaos"]),
    ("indicatif", &["longshore"]),
    ("rusqlite", &["longshore-push"]),
    ("reqwest", &[]),
    ("openssl", &[]),
    ("native-tls", &[]),
];

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    assert!(metadata.packages.len() >= ALLOWED.len());
    metadata.packages
}

#[test]
fn crates_depend_only_downwards() {
    for package in packages() {
        let name = package.name.as_str();
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name} has no row in the table of layers"));
        for dependency in &package.dependencies {
            let on = dependency.name.as_str();
            let ours = ALLOWED.iter().any(|(known, _)| *known == on);
            let in_library = dependency.kind == DependencyKind::Normal;
            assert!(
                !(ours && in_library) || allowed.contains(&on),
                "{name} may not depend on {on}"
            );
        }
    }
}

#[test]
fn what_has_one_place_is_named_by_nobody_else() {
    for package in packages() {
        let name = package.name.as_str();
        for dependency in package
            .dependencies
            .iter()
            .filter(|it| it.kind == DependencyKind::Normal)
        {
            for (reserved, owners) in RESERVED {
                assert!(
                    dependency.name != *reserved || owners.contains(&name),
                    "{name} may not name {reserved}"
                );
            }
        }
    }
}

#[test]
fn modules_of_a_crate_import_each_other_without_a_cycle() {
    let mut edges = 0;
    let mut cycles = Vec::new();
    for package in packages() {
        let root = package.manifest_path.parent().unwrap().join("src");
        let graph = imports(root.as_std_path());
        edges += graph.values().map(BTreeSet::len).sum::<usize>();
        if let Some(cycle) = cycle(&graph) {
            cycles.push(format!("{}: {}", package.name, cycle.join(" → ")));
        }
    }
    assert_eq!(cycles, Vec::<String>::new());
    assert!(
        edges > 100,
        "only {edges} imports were found: is the reader broken?"
    );
}

/// The drawing in `docs/architecture.md` names the modules of every crate, all of them, and
/// none that is not there.
#[test]
fn the_drawing_shows_the_modules_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let drawing = text.split("### Layers inside a crate").nth(1).unwrap();
    let drawing = drawing
        .split("```")
        .nth(1)
        .unwrap()
        .trim_start_matches("text\n");
    let blocks: Vec<&str> = drawing.trim().split("\n\n").collect();
    assert_eq!(blocks.len(), ALLOWED.len());
    for block in blocks {
        let krate = block.split_whitespace().next().unwrap();
        let source = match krate {
            "app" | "chaos" => root.join(krate).join("src"),
            _ => root.join("crates").join(krate).join("src"),
        };
        let (mut drawn, mut there) = (BTreeSet::new(), modules(&source));
        there.retain(|it| it != "lib" && it != "main");
        for line in block.lines() {
            // The crate's name has the first ten columns, and a remark follows two spaces.
            let line: String = line.chars().skip(10).collect();
            for named in line.split("  ").next().unwrap().split('·') {
                let (module, parts) = named.split_once(':').unwrap_or((named, ""));
                let module = module.trim();
                drawn.insert(module.to_owned());
                let parts = parts.split(',').map(str::trim).filter(|it| !it.is_empty());
                let below = parts.clone().next().map(|_| modules(&source.join(module)));
                for part in parts {
                    let is_there = below.iter().any(|it| it.contains(part));
                    assert!(is_there, "{krate} has no {module}::{part}");
                }
            }
        }
        assert_eq!(drawn, there, "{krate}");
    }
}

/// The modules whose files are right here.
fn modules(directory: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|it| it.unwrap().path());
    let sources = files.filter(|it| it.extension().is_some_and(|it| it == "rs"));
    let stem = |it: PathBuf| it.file_stem().unwrap().to_str().unwrap().to_owned();
    sources.map(stem).collect()
}

#[test]
fn the_cycle_finder_finds_a_cycle() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let mut graph = BTreeMap::from([edge("a", "b"), edge("b", "c")]);
    assert_eq!(cycle(&graph), None);
    graph.extend([edge("c", "a")]);
    assert_eq!(cycle(&graph).unwrap().len(), 4);
}

// === reading imports ===

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Top-level module → the top-level modules it names, tests left out.
fn imports(root: &Path) -> Graph {
    let reexports = reexports(&root.join("lib.rs"));
    let mut graph = Graph::new();
    for path in rust_files(root) {
        let relative = path.strip_prefix(root).unwrap();
        let first = relative.components().next().unwrap().as_os_str();
        let module = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" || path.ends_with("tests.rs") {
            continue;
        }
        let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut reader = Reader::default();
        reader.visit_file(&file);
        let named = reader
            .named
            .into_iter()
            .map(|name| reexports.get(&name).cloned().unwrap_or(name));
        let to = graph.entry(module.clone()).or_default();
        to.extend(named.filter(|name| *name != module));
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for to in graph.values_mut() {
        to.retain(|name| modules.contains(name));
    }
    graph
}

/// What `lib.rs` re-exports: name → the module it comes from.
fn reexports(path: &Path) -> BTreeMap<String, String> {
    let Ok(text) = fs::read_to_string(path) else {
        return BTreeMap::new();
    };
    let mut names = BTreeMap::new();
    for item in syn::parse_file(&text).unwrap().items {
        if let syn::Item::Use(it) = item
            && let syn::UseTree::Path(path) = &it.tree
        {
            leaves(&path.tree, &mut |name| {
                names.insert(name, path.ident.to_string());
            });
        }
    }
    names
}

fn leaves(tree: &syn::UseTree, found: &mut impl FnMut(String)) {
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree, found),
        syn::UseTree::Name(name) => found(name.ident.to_string()),
        syn::UseTree::Rename(rename) => found(rename.rename.to_string()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|it| leaves(it, found)),
        syn::UseTree::Glob(_) => {}
    }
}

/// Collects what follows `crate::`, in imports and in paths.
#[derive(Default)]
struct Reader {
    named: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let syn::UseTree::Path(path) = &item.tree
            && path.ident == "crate"
        {
            self.firsts(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|it| it.ident == "crate")
            && let Some(second) = segments.next()
        {
            self.named.insert(second.ident.to_string());
        }
        visit::visit_path(self, path);
    }
}

impl Reader {
    fn firsts(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.named.insert(path.ident.to_string());
            }
            syn::UseTree::Name(name) => {
                self.named.insert(name.ident.to_string());
            }
            syn::UseTree::Rename(rename) => {
                self.named.insert(rename.ident.to_string());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|it| self.firsts(it)),
            syn::UseTree::Glob(_) => {}
        }
    }
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Some cycle, first module repeated at its end.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        graph: &Graph,
        trail: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = trail.iter().position(|it| it == at) {
            let mut cycle = trail[start..].to_vec();
            cycle.push(at.to_owned());
            return Some(cycle);
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        trail.push(at.to_owned());
        let found = graph
            .get(at)
            .into_iter()
            .flatten()
            .find_map(|next| visit(next, graph, trail, done));
        trail.pop();
        found
    }
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|module| visit(module, graph, &mut Vec::new(), &mut done))
}
