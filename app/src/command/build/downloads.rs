//! What `ADD` names by URL: downloaded by the client that speaks to registries, as a stranger.

use std::{io::Write, sync::Arc};

use push::State;
use registry::{Client, DownloadError, Elsewhere};
use tokio::runtime::Handle;
use wcow::{
    copy::{Fetch, FetchError},
    dockerfile::{AddInstruction, Dockerfile, Instruction, SourcePath},
};

use super::BuildArgs;
use crate::{
    env::Environment,
    error::AppError,
    open::{Company, course::Course},
    render::progress::Progress,
    settings::Settings,
};

/// Downloads for a build. Called on a thread that may block.
#[derive(Debug)]
struct Downloads {
    client: Client,
    elsewhere: Elsewhere,
    runtime: Handle,
}

/// The way to download, if the Dockerfile has anything that is to be.
pub(super) async fn way(
    args: &BuildArgs,
    environment: &Environment,
    dockerfile: &Dockerfile,
    progress: &Arc<Progress>,
) -> Result<Option<Arc<dyn Fetch>>, AppError> {
    if !downloads(dockerfile) {
        return Ok(None);
    }
    let (client, _) = stranger(args, environment, progress).await?;
    let hosts = args.download_hosts.iter();
    Ok(Some(Arc::new(Downloads {
        client,
        elsewhere: hosts.fold(Elsewhere::new(), Elsewhere::trust),
        runtime: Handle::current(),
    })))
}

/// A client that is logged in nowhere, for where a Dockerfile or a base leads; and the settings it is
/// made by.
pub(super) async fn stranger(
    args: &BuildArgs,
    environment: &Environment,
    progress: &Arc<Progress>,
) -> Result<(Client, Settings), AppError> {
    let (connection, environment) = (args.connection.anonymous(), environment.anonymous());
    let course = Course::chart(&[], None, &connection, &environment).await?;
    let company = Company {
        state: State::memory(),
        observer: progress.clone(),
    };
    course.client(&connection, &environment, company)
}

/// Whether an `ADD` names a URL, or a variable that may hold one.
fn downloads(dockerfile: &Dockerfile) -> bool {
    let is_url = |it: &SourcePath| match it {
        SourcePath::Path(path) => path.contains("://") || path.contains('$'),
        _ => false,
    };
    let named = |it: &AddInstruction| it.sources.iter().any(is_url);
    let steps = dockerfile.stages().iter().flat_map(|it| &it.steps);
    let mut instructions = steps.map(|it| &it.instruction);
    instructions.any(|it| match it {
        Instruction::Add(it) => named(it),
        // What a base stores for later is not known here, what this file stores is.
        Instruction::OnBuild(text) => text.contains("://"),
        _ => false,
    })
}

impl Fetch for Downloads {
    fn fetch(&self, url: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<(), FetchError> {
        let downloading = self.elsewhere.download(&self.client, url, limit, to);
        let done = self.runtime.block_on(downloading);
        match done {
            Ok(_) => Ok(()),
            Err(DownloadError::Status(status)) => Err(FetchError::Status(status)),
            Err(DownloadError::TooLong(limit)) => Err(FetchError::TooLarge(limit)),
            Err(error) => Err(FetchError::Other(Box::new(error))),
        }
    }
}
