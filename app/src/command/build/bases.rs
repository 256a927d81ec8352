//! Bases as `FROM` names them: in registries, in layouts, in archives.
//!
//! What is said of a registry on the command line is said of the one that is pushed to: a base on
//! another is read with what is configured for that one, and never with a login for this one.

use std::sync::Arc;

use async_trait::async_trait;
use oci::{Reference, Registry, Repository, Source, SourceError};
use push::{State, source::Selection};
use registry::Client;
use tokio::sync::Mutex;
use wcow::Bases;

use crate::{
    env::Environment,
    error::AppError,
    open::{
        self, Company,
        course::Course,
        place::{self, Place},
    },
    render::progress::Progress,
    settings::ConnectionArgs,
};

/// Where bases are found.
pub(super) struct FoundBases<'a> {
    connection: ConnectionArgs,
    environment: Environment,
    state: State,
    progress: Arc<Progress>,
    /// The client for the registries that are pushed to, and which these are.
    pushing: Option<(&'a Client, Vec<Registry>)>,
    /// Clients for others, by the repositories they were made for, and where those are.
    known: Mutex<Vec<(Repository, Client, Repository)>>,
}

impl<'a> FoundBases<'a> {
    pub(super) fn new(
        connection: &ConnectionArgs,
        environment: &Environment,
        state: State,
        progress: Arc<Progress>,
        pushing: Option<(&'a Client, Vec<Registry>)>,
    ) -> Self {
        Self {
            connection: connection.anonymous(),
            environment: environment.anonymous(),
            state,
            progress,
            pushing,
            known: Mutex::default(),
        }
    }

    async fn found(&self, text: &str) -> Result<Arc<dyn Source>, AppError> {
        if !place::is_on_this_machine(text) {
            return self.in_registry(&open::reference(text)?).await;
        }
        match Place::source(text)? {
            Place::Registry(reference) => self.in_registry(&reference).await,
            Place::Path { path, name } | Place::Archive { path, name } => {
                let selection = Selection {
                    name,
                    platform: None,
                };
                Ok(push::source::open(&path, &selection).await?.into())
            }
        }
    }

    async fn in_registry(&self, reference: &Reference) -> Result<Arc<dyn Source>, AppError> {
        if let Some((client, to)) = &self.pushing
            && to.contains(reference.repository().registry())
        {
            return Ok(Arc::new(client.source(reference, None)));
        }
        let mut known = self.known.lock().await;
        let repository = reference.repository();
        let found = known.iter().find(|(it, ..)| it == repository);
        let (client, at) = if let Some((_, client, at)) = found {
            (client.clone(), at.clone())
        } else {
            let (client, at) = self.client(reference).await?;
            known.push((repository.clone(), client.clone(), at.clone()));
            (client, at)
        };
        let source = client.source(&reference.in_repository(at), None);
        Ok(Arc::new(source))
    }

    async fn client(&self, reference: &Reference) -> Result<(Client, Repository), AppError> {
        let (connection, environment) = (&self.connection, &self.environment);
        let course = Course::chart(&[], Some(reference), connection, environment).await?;
        let company = Company {
            state: self.state.clone(),
            observer: self.progress.clone(),
        };
        let (client, _) = course.client(connection, environment, company)?;
        let at = course.source().unwrap_or(reference).repository().clone();
        Ok((client, at))
    }
}

#[async_trait]
impl Bases for FoundBases<'_> {
    async fn open(&self, reference: &str) -> Result<Arc<dyn Source>, SourceError> {
        let found = self.found(reference).await;
        found.map_err(|error| match error {
            AppError::Source { error, .. } => error,
            other => SourceError::unreadable(reference, other),
        })
    }
}
