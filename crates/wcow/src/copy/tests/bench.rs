//! A context with files in it, what is copied from it, and what came of that.

use std::{fs, io::Read as _, path::PathBuf, sync::Arc};

use tempfile::TempDir;

use crate::{
    EntryKind, FileBody, LayerStack, LayerTree,
    context::{Context, ContextOptions, SymlinkPolicy},
    copy::{CopyError, CopyOptions, Copying, Fetch, Place},
    dockerfile::{Dockerfile, PlanOptions, Predefined, TargetOs},
};

/// A context with files in it, and what is copied from it.
pub(in crate::copy) struct Bench {
    pub(super) root: TempDir,
    pub(in crate::copy) os: TargetOs,
    pub(super) working_directory: &'static str,
    pub(in crate::copy) options: CopyOptions,
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    pub(super) there: LayerStack,
}

impl Bench {
    pub(in crate::copy) fn new(os: TargetOs) -> Self {
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
            there: LayerStack::default(),
        }
    }

    pub(in crate::copy) fn windows() -> Self {
        Self::new(TargetOs::Windows)
    }

    pub(in crate::copy) fn context(&self) -> PathBuf {
        self.root.path().join("context")
    }

    /// A file; a directory if the path ends in a slash.
    pub(in crate::copy) fn with(self, path: &str, content: &[u8]) -> Self {
        let at = self.context().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(at).unwrap();
        } else {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, content).unwrap();
        }
        self
    }

    pub(in crate::copy) fn with_all(self, paths: &[&str]) -> Self {
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

    pub(in crate::copy) fn carry_out(
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

    pub(in crate::copy) fn tree(&self, line: &str) -> LayerTree {
        self.carry_out(line, None)
            .unwrap_or_else(|it| panic!("{line}: {it}"))
            .0
    }

    /// The files that a line makes, with what is in them; empty directories with a slash.
    pub(in crate::copy) fn run(&self, line: &str) -> Vec<String> {
        files(&self.tree(line))
    }

    pub(in crate::copy) fn error(&self, line: &str) -> CopyError {
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

pub(in crate::copy) fn content(body: &FileBody) -> Vec<u8> {
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

pub(in crate::copy) fn files(tree: &LayerTree) -> Vec<String> {
    let paths: Vec<String> = tree.entries().map(|it| it.path().to_string()).collect();
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
