//! A file from a URL that somebody wrote into a build: bytes, and nothing of a registry.
//!
//! The same way as to the `urls` of a foreign layer, with the same reserve: over TLS and from
//! public addresses, without credentials, and a redirect leads nowhere else. What the bytes
//! should be is the caller's to check.

use std::{error::Error, io::Write};

use http::StatusCode;

use crate::{
    Client, Elsewhere,
    elsewhere::NotThere,
    transport::{address::Reach, answer::Answer},
};

/// Why a URL gave no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The answer was another one than 200.
    #[error("the answer is {0}")]
    Status(u16),
    /// There is more than was wanted.
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
    /// It could not be asked for, read or kept.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
}

impl From<NotThere> for DownloadError {
    fn from(error: NotThere) -> Self {
        match error {
            NotThere::Status(status) => Self::Status(status.as_u16()),
            other => Self::Failed(Box::new(other)),
        }
    }
}

impl Elsewhere {
    /// Writes what `url` has to `to`, at most `limit` bytes. A download that breaks off is gone
    /// on with where the server can, as often as the client tries again; one that it cannot go on
    /// with is an error, since what is written stays written.
    pub async fn download(
        &self,
        client: &Client,
        url: &str,
        limit: u64,
        to: &mut (dyn Write + Send),
    ) -> Result<u64, DownloadError> {
        let (url, reach) = self.admit(url)?;
        let mut retry = client.inner.retry.start();
        let mut written = 0;
        loop {
            let error = match self.opened(client, &url, reach, written).await {
                Ok(answer) => match take(answer, limit, &mut written, to).await? {
                    None => return Ok(written),
                    Some(error) => error,
                },
                Err(error) => error,
            };
            match retry.after_failure(None).filter(|_| error.may_pass()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error.into()),
            }
        }
    }

    /// The answer, from where the bytes end that there are.
    async fn opened(
        &self,
        client: &Client,
        url: &url::Url,
        reach: Reach,
        from: u64,
    ) -> Result<Answer, NotThere> {
        let answer = self.ask(client, url, reach, from).await?;
        // From its beginning, that is, what is there already a second time.
        if from > 0 && answer.status == StatusCode::OK {
            return Err(NotThere::NoMiddle(from));
        }
        Ok(answer)
    }
}

/// Writes an answer to its end, or to where it breaks off.
async fn take(
    answer: Answer,
    limit: u64,
    written: &mut u64,
    to: &mut (dyn Write + Send),
) -> Result<Option<NotThere>, DownloadError> {
    let mut body = answer.into_body();
    loop {
        let piece = match body.piece().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error.into())),
        };
        if *written + piece.len() as u64 > limit {
            return Err(DownloadError::TooLong(limit));
        }
        let kept = to.write_all(&piece);
        kept.map_err(|error| DownloadError::Failed(Box::new(error)))?;
        *written += piece.len() as u64;
    }
}
