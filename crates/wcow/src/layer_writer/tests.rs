use std::{
    num::NonZeroUsize,
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;

use super::*;
use crate::{
    Compression, CompressionFormat, LayerPath, Meta, NameRules, Origin, lint_windows_layer,
};

fn at(path: &str) -> LayerPath {
    path.parse().unwrap()
}

fn options(format: CompressionFormat, threads: usize) -> LayerOptions {
    let threads = NonZeroUsize::new(threads).unwrap();
    LayerOptions {
        timestamps: Timestamps::default(),
        compression: Compression::new(format).with_threads(threads),
    }
}

fn tree(mtime: u64, mode: u32) -> LayerTree {
    let mut tree = LayerTree::windows();
    for number in 0..40_u8 {
        let meta = Meta {
            mtime: Some(UNIX_EPOCH + Duration::from_secs(mtime + u64::from(number))),
            mode,
            origin: Origin::new(format!("src/{number}")),
            ..Meta::default()
        };
        let body = vec![number; 70_000];
        let path = format!("app/{}/f{number}.bin", number % 3);
        tree.file(&at(&path), bytes::Bytes::from(body).into(), meta)
            .unwrap();
    }
    tree
}

fn written(tree: &LayerTree, options: &LayerOptions) -> (WrittenLayer, Vec<u8>) {
    let mut blob = Vec::new();
    let layer = write_layer(tree, options, &mut blob).unwrap();
    (layer, blob)
}

#[test]
fn e5_the_diff_id_is_of_the_tar_and_the_digest_of_the_blob() {
    let tree = tree(1, 0o644);
    let (plain, tar) = written(&tree, &options(CompressionFormat::None, 1));
    assert_eq!(plain.diff_id, Digest::of(&tar));
    assert_eq!(
        (&plain.digest, plain.size),
        (&plain.diff_id, plain.tar_size)
    );
    assert_eq!(plain.entries, 2 + 4 + 40);
    for format in [CompressionFormat::Gzip, CompressionFormat::Zstd] {
        let (layer, blob) = written(&tree, &options(format, 2));
        assert_eq!(layer.diff_id, plain.diff_id, "of what is in it");
        assert_eq!(layer.digest, Digest::of(&blob), "of what it is");
        assert_ne!(layer.digest, layer.diff_id);
        assert_eq!(layer.size, blob.len() as u64);
        assert_eq!(layer.tar_size, tar.len() as u64);
        let report = lint_windows_layer(&*blob, LintOptions::default()).unwrap();
        assert_eq!((report.errors(), report.warnings()), (&[][..], &[][..]));
        assert_eq!(report.entries(), layer.entries);
    }
}

#[test]
fn e10_times_modes_and_threads_do_not_show() {
    let first = written(&tree(1, 0o600), &options(CompressionFormat::Gzip, 1)).0;
    let second = written(
        &tree(1_700_000_000, 0o777),
        &options(CompressionFormat::Gzip, 4),
    )
    .0;
    assert_eq!(first, second);
    let source = LayerOptions {
        timestamps: Timestamps::Source,
        ..options(CompressionFormat::Gzip, 1)
    };
    let dated = written(&tree(1_700_000_000, 0o777), &source).0;
    assert_ne!(first.diff_id, dated.diff_id, "asked for, they do");
}

/// The linter that runs beside the writer knows the epoch and the view on names: it would see
/// an entry that is later, or one that the tree should not have taken.
#[test]
fn e10_the_linter_beside_the_writer_is_told_what_was_promised() {
    let layer = |timestamps| {
        let mut tar = Vec::new();
        layer_tar::write(&tree(50, 0), timestamps, &mut tar).unwrap();
        tar
    };
    let found = |promised, tar: &[u8]| {
        let mut linter = linter(&LayerTree::windows(), promised).unwrap();
        linter.feed(tar);
        linter.finish().errors().len()
    };
    assert_eq!(
        found(Timestamps::Clamp(60), &layer(Timestamps::Clamp(60))),
        0
    );
    assert!(found(Timestamps::Clamp(60), &layer(Timestamps::Source)) > 0);
    assert!(found(Timestamps::Fixed(60), &layer(Timestamps::Source)) > 0);
    assert_eq!(found(Timestamps::Source, &layer(Timestamps::Source)), 0);
    assert!(linter(&LayerTree::linux(), Timestamps::Source).is_none());
}

/// What a tree takes with a warning, its layer has; the linter is told to take it, too.
#[test]
fn names_taken_with_a_warning_are_written() {
    let mut tree = LayerTree::windows_with(NameRules::Warn);
    tree.file(&at("aux/nul."), b"x".as_slice().into(), Meta::default())
        .unwrap();
    let (_, blob) = written(&tree, &LayerOptions::default());
    let strict = lint_windows_layer(&*blob, LintOptions::default()).unwrap();
    assert!(!strict.is_accepted());
}

#[test]
fn a_linux_layer_is_not_held_against_rules_for_windows() {
    let mut tree = LayerTree::linux();
    tree.file(&at("a:b"), b"x".as_slice().into(), Meta::default())
        .unwrap();
    let (layer, _) = written(&tree, &LayerOptions::default());
    assert_eq!(layer.entries, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a tree takes, the rules take: nothing that gets as far as the writer is
    /// refused by its linter.
    #[test]
    fn b13_every_tree_makes_a_layer_that_passes_the_rules(
        steps in prop::collection::vec(("\\PC{1,12}(/\\PC{1,12}){0,4}", 0..3, 0usize..2000), 0..25),
        warn: bool,
    ) {
        let rules = if warn { NameRules::Warn } else { NameRules::Strict };
        let mut tree = LayerTree::windows_with(rules);
        for (number, (path, kind, size)) in steps.iter().enumerate() {
            let Ok(path) = path.parse() else { continue };
            let meta = Meta {
                origin: Origin::new("x").by(u32::try_from(number).unwrap()),
                ..Meta::default()
            };
            let _ = match kind {
                0 => tree.directory(&path, meta),
                1 => tree.file(&path, bytes::Bytes::from(vec![7; *size]).into(), meta),
                _ => tree.symlink(&path, "target", size % 2 == 0, meta),
            };
        }
        let (layer, blob) = written(&tree, &options(CompressionFormat::None, 1));
        prop_assert_eq!(layer.entries, 2 + tree.len() as u64);
        let lint = LintOptions::default().with_names(rules).with_latest(0);
        let report = lint_windows_layer(&*blob, lint).unwrap();
        prop_assert_eq!(report.errors(), &[]);
    }
}
