//! `COPY` and `ADD`: sources, a destination, flags.

use super::Line;
use crate::dockerfile::{
    AddInstruction, CopyInstruction, DockerfileErrorKind as Kind, Heredoc, SourcePath,
    lines::{self, Body},
};

impl Line<'_> {
    /// Sources and destination of `COPY` and `ADD`.
    fn paths(&self) -> Result<(Vec<SourcePath>, String), Kind> {
        let mut words = self.list()?;
        let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
            return Err(self.bad("needs a source and a destination"));
        };
        if lines::start(&destination).is_some() {
            return Err(self.bad("cannot have a here-document as its destination"));
        }
        let mut heredocs = self.heredocs.iter();
        let sources = words.into_iter().map(|it| self.source(it, &mut heredocs));
        Ok((sources.collect::<Result<_, _>>()?, destination))
    }

    /// One source; `heredocs` are those that no source before it has.
    fn source(
        &self,
        word: String,
        heredocs: &mut std::slice::Iter<'_, Body>,
    ) -> Result<SourcePath, Kind> {
        let Some(start) = lines::start(&word) else {
            if word.starts_with("<<") {
                return Err(self.bad(format!(
                    "has {word}, which is no here-document: its name is one word right behind <<"
                )));
            }
            return Ok(SourcePath::Path(word));
        };
        // By their place, since several may have one name; what a flag announces is passed over.
        let Some(body) = heredocs.find(|it| it.start.name == start.name) else {
            return Err(self.bad(format!("has a here-document {word} that was not read")));
        };
        Ok(SourcePath::Heredoc(Heredoc {
            name: start.name,
            content: body.content.clone(),
            expand: start.expand,
        }))
    }

    pub(super) fn copy(&self) -> Result<CopyInstruction, Kind> {
        let known = ["from", "chown", "chmod", "link", "parents", "exclude"];
        let mut flags = self.flags(&known)?;
        let (sources, destination) = self.paths()?;
        let from = flags.text("from")?;
        if from.as_ref().is_some_and(|it| it.contains('$')) {
            let problem = "cannot hold variables: name a stage, FROM … AS name can hold them";
            return Err(Kind::BadFlag {
                instruction: "COPY",
                flag: "from".to_owned(),
                problem: problem.to_owned(),
            });
        }
        Ok(CopyInstruction {
            sources,
            destination,
            from,
            chown: flags.text("chown")?,
            chmod: flags.text("chmod")?,
            link: flags.switch("link")?.unwrap_or(false),
            parents: flags.switch("parents")?.unwrap_or(false),
            excludes: flags.texts("exclude")?,
        })
    }

    pub(super) fn add(&self) -> Result<AddInstruction, Kind> {
        let known = [
            "chown",
            "chmod",
            "link",
            "exclude",
            "checksum",
            "unpack",
            "keep-git-dir",
        ];
        let mut flags = self.flags(&known)?;
        let (sources, destination) = self.paths()?;
        Ok(AddInstruction {
            sources,
            destination,
            chown: flags.text("chown")?,
            chmod: flags.text("chmod")?,
            link: flags.switch("link")?.unwrap_or(false),
            excludes: flags.texts("exclude")?,
            checksum: flags.text("checksum")?,
            unpack: flags.switch("unpack")?,
            keep_git_dir: flags.switch("keep-git-dir")?,
        })
    }
}
