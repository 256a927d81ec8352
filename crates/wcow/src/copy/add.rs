//! What `ADD` does beyond `COPY`: archives are unpacked, URLs downloaded.

use std::io::Read;

use oci::{Digest, Hasher};

use super::{
    CopyError, Copying, FetchError, Job, Place, archive,
    pattern::Stars,
    spool::{Piece, Spool},
    url,
};
use crate::{
    FileBody, LayerTree, OpenFile,
    context::{Ignore, NodeKind},
    dockerfile::{AddInstruction, SourcePath},
};

/// The largest download, in bytes, inclusive.
const MAX_DOWNLOAD_BYTES: u64 = 8 << 30;

impl Copying {
    pub(super) fn add(
        &self,
        it: &AddInstruction,
        place: &Place<'_>,
        tree: &mut LayerTree,
    ) -> Result<Vec<String>, CopyError> {
        let mut job = Job::new(self, place, &self.context, tree, &it.destination)?;
        job.excludes = Ignore::patterns(&it.excludes).map_err(CopyError::Exclude)?;
        job.flags(it.chown.as_deref(), it.chmod.as_deref())?;
        if it.sources.len() > 1 && !job.destination.is_directory {
            return Err(CopyError::NoTrailingSlash(it.destination.clone()));
        }
        let is_url = |it: &SourcePath| matches!(it, SourcePath::Path(path) if url::is_remote(path));
        if it.checksum.is_some() && (it.sources.len() != 1 || !is_url(&it.sources[0])) {
            return Err(CopyError::Checksum);
        }
        for source in &it.sources {
            match source {
                SourcePath::Heredoc(heredoc) => job.heredoc(heredoc)?,
                SourcePath::Path(path) if is_url(source) => self.remote(it, path, &mut job)?,
                SourcePath::Path(path) => job.local(path, it.unpack != Some(false))?,
            }
        }
        Ok(job.warnings)
    }

    /// A URL: one file, or what is in it if that is asked for.
    fn remote(&self, it: &AddInstruction, url: &str, job: &mut Job<'_>) -> Result<(), CopyError> {
        let shown = url::redacted(url);
        if url::is_git(url) {
            return Err(CopyError::Git(shown));
        }
        if url::is_plain(url) {
            return Err(CopyError::NotHttps(shown));
        }
        if url::has_credentials(url) {
            return Err(CopyError::Credentials(shown));
        }
        let said = it.checksum.as_deref();
        let expected = said.ok_or_else(|| CopyError::NoChecksum(shown.clone()))?;
        let expected = expected.parse().map_err(CopyError::BadChecksum)?;
        let piece = self.downloaded(url, &shown, &expected)?;
        if it.unpack == Some(true) {
            return job.unpack(&shown, &piece.into());
        }
        job.one_file(&shown, &url::name(url), 0o600, piece.into())
    }

    /// What `url` has; `shown` is what a message calls it.
    fn downloaded(&self, url: &str, shown: &str, expected: &Digest) -> Result<Piece, CopyError> {
        let fetch = self.fetch.as_ref();
        let fetch = fetch.ok_or_else(|| CopyError::NoFetch(shown.to_owned()))?;
        let directory = self.options.spool.as_ref().ok_or(CopyError::NoSpool)?;
        let mut spool = Spool::new(directory).map_err(CopyError::Spool)?;
        let fetched = fetch.fetch(url, MAX_DOWNLOAD_BYTES, &mut spool);
        fetched.map_err(|source| {
            let url = shown.to_owned();
            match source {
                FetchError::Status(status) => CopyError::HttpFetchFailed { url, status },
                source => CopyError::Fetch { url, source },
            }
        })?;
        let piece = spool.piece(0);
        let actual = digest(&piece, expected).map_err(CopyError::Spool)?;
        if actual != *expected {
            return Err(CopyError::ChecksumMismatch {
                url: shown.to_owned(),
                expected: expected.clone(),
                actual,
            });
        }
        Ok(piece)
    }
}

fn digest(piece: &Piece, like: &Digest) -> std::io::Result<Digest> {
    let mut hasher = Hasher::for_digest(like);
    let (mut from, mut buffer) = (piece.open()?, vec![0; 64 << 10]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

impl Job<'_> {
    /// A source in the context: archives are unpacked, everything else is copied.
    fn local(&mut self, source: &str, unpacks: bool) -> Result<(), CopyError> {
        if !unpacks {
            return self.path(source);
        }
        let mut rest = Vec::new();
        for (path, node) in self.found(source, Stars::One)? {
            match &node.kind {
                NodeKind::File(body) if archive::is_archive(&path, body)? => {
                    let body = body.clone();
                    self.unpack(&path, &body)?;
                }
                _ => rest.push((path, node)),
            }
        }
        self.all(source, &rest)
    }

    fn unpack(&mut self, name: &str, body: &FileBody) -> Result<(), CopyError> {
        archive::unpack(self, name, body)
    }
}
