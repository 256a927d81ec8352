//! What a build needs around it in tests: files in memory, bases that stand in, a spool directory.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::channel},
};

use bytes::Bytes;
use tempfile::TempDir;

use crate::{
    AssembleOptions, Assembler, BuildError, BuildEvent, Built, Copier, Events, LayerPath,
    LayerTree, Meta, Origin, Release,
    assemble::{CopyFrom, CopyJob},
    base::tests::stand_in::StandIns,
    dockerfile::{Dockerfile, Instruction, SourcePath},
    run::Runner,
};

/// Files by name; a copy puts each where its destination says.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(pub(super) BTreeMap<String, Bytes>);

impl Copier for Files {
    fn copy(
        &self,
        job: &CopyJob<'_>,
        tree: &mut LayerTree,
    ) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
        let Instruction::Copy(copy) = job.instruction else {
            return Err("only COPY is known here".into());
        };
        for source in &copy.sources {
            let SourcePath::Path(name) = source else {
                return Err("only paths are known here".into());
            };
            let body = match job.from {
                CopyFrom::Stage(files) => {
                    let path: LayerPath = name.trim_start_matches('/').parse()?;
                    match files.get(&path).as_ref().map(crate::Entry::kind) {
                        Some(crate::EntryKind::File(body)) => body.clone(),
                        _ => return Err(format!("{name} is not there").into()),
                    }
                }
                CopyFrom::Image(_) => return Err("images are copied from elsewhere".into()),
                CopyFrom::Context => {
                    let bytes = self
                        .0
                        .get(name)
                        .ok_or_else(|| format!("{name} is not there"))?;
                    bytes.clone().into()
                }
            };
            let to = copy.destination.replace('\\', "/");
            let to = to.trim_start_matches("C:").trim_matches('/').to_owned();
            let meta = Meta {
                mode: 0o644,
                origin: Origin::new(name.as_str()).by(u32::try_from(job.number)?),
                ..Meta::default()
            };
            let name = name.rsplit('/').next().unwrap_or(name);
            let path = format!("{to}/{name}");
            tree.file(&path.trim_start_matches('/').parse()?, body, meta)?;
        }
        Ok(Vec::new())
    }
}

/// A build's surroundings.
pub(super) struct Stage {
    pub(super) spool: TempDir,
    pub(super) bases: StandIns,
    pub(super) files: Files,
    pub(super) options: AssembleOptions,
    pub(super) runner: Option<Arc<dyn Runner>>,
}

/// What came of a build.
pub(super) struct Ran {
    pub(super) result: Result<Built, BuildError>,
    pub(super) events: Vec<BuildEvent>,
}

impl Stage {
    pub(super) fn new(bases: StandIns) -> Self {
        let spool = TempDir::new().unwrap();
        let files = ["app.exe", "b.txt", "c.txt"];
        let files = files.map(|it| (it.to_owned(), Bytes::from(format!("{it}'s content"))));
        Self {
            options: AssembleOptions::new(spool.path().to_owned()),
            runner: None,
            spool,
            bases,
            files: Files(files.into()),
        }
    }

    pub(super) async fn run(&self, text: &str, releases: &[Release]) -> Ran {
        let (sender, receiver) = channel();
        let dockerfile = Dockerfile::parse(text.as_bytes(), "Dockerfile").unwrap();
        let copier = Arc::new(self.files.clone());
        let mut assembler = Assembler::new(
            &dockerfile,
            copier,
            &self.bases,
            self.options.clone(),
            Events::new(sender),
        );
        if let Some(runner) = &self.runner {
            assembler = assembler.with_runner(Arc::clone(runner));
        }
        let result = assembler.assemble(releases).await;
        Ran {
            result,
            events: receiver.try_iter().collect(),
        }
    }

    /// What lies in the spool directory.
    pub(super) fn spooled(&self) -> usize {
        std::fs::read_dir(self.spool.path()).unwrap().count()
    }
}

impl Ran {
    #[track_caller]
    pub(super) fn built(self) -> Built {
        self.result.unwrap()
    }

    #[track_caller]
    pub(super) fn error(self) -> BuildError {
        self.result.unwrap_err()
    }
}

/// One release for a platform.
pub(super) fn of(platform: &str) -> Vec<Release> {
    vec![Release {
        platform: platform.parse().unwrap(),
        base_version: None,
    }]
}

/// Windows, in these releases.
pub(super) fn releases(versions: &[&str]) -> Vec<Release> {
    let one = |version: &&str| Release {
        platform: "windows/amd64".parse().unwrap(),
        base_version: Some((*version).to_owned()),
    };
    versions.iter().map(one).collect()
}
