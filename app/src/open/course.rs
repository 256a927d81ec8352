//! A command's course: where its destinations are, and its source if that is in a registry.

use std::io::Write as _;

use oci::{Reference, Registry, Repository, reference::Scheme};
use registry::Client;
use serde_json::{Value, json};

use super::{Company, asking, client, warn};
use crate::{
    env::Environment,
    error::AppError,
    routes::{Purpose, Route, Routes, Way, reach},
    settings::{ConnectionArgs, Settings},
};

/// Where a command's requests go.
#[derive(Debug)]
pub(crate) struct Course {
    routes: Routes,
    to: Vec<Leg>,
    from: Option<Leg>,
}

/// One end of it.
#[derive(Debug)]
struct Leg {
    named: Reference,
    /// Where it is.
    reference: Reference,
    route: Route,
    way: Way,
}

impl Course {
    /// Decides it: nothing is asked unless there are several ways.
    pub(crate) async fn chart(
        destinations: &[Reference],
        source: Option<&Reference>,
        connection: &ConnectionArgs,
        environment: &Environment,
    ) -> Result<Self, AppError> {
        let routes = Routes::read(environment)?;
        warn(routes.warnings());
        let charting = Charting {
            routes: &routes,
            connection,
            environment,
        };
        let mut to = Vec::with_capacity(destinations.len());
        for destination in destinations {
            to.push(charting.leg(destination, Purpose::Push).await?);
        }
        let from = match source {
            Some(source) => Some(charting.leg(source, Purpose::Read).await?),
            None => None,
        };
        Ok(Self { routes, to, from })
    }

    /// Where the destinations are.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = &Reference> {
        self.to.iter().map(|leg| &leg.reference)
    }

    /// Where a destination is, by its place among them.
    pub(crate) fn destination(&self, at: usize) -> Option<&Reference> {
        self.to.get(at).map(|leg| &leg.reference)
    }

    /// Where the source is, if it is in a registry.
    pub(crate) fn source(&self) -> Option<&Reference> {
        self.from.as_ref().map(|leg| &leg.reference)
    }

    /// Where repositories are that layers could be mounted from into the destination at this
    /// place among them.
    pub(crate) fn siblings(&self, at: usize, named: &[Repository]) -> Vec<Repository> {
        let Some(leg) = self.to.get(at) else {
            return named.to_vec();
        };
        let there = named.iter().map(|it| self.routes.sibling(it, &leg.way));
        there.collect()
    }

    /// The client, and the settings it is made by. What is said of the registry on the command
    /// line is of the destinations'; without one in a registry, of the source's.
    pub(crate) fn client(
        &self,
        connection: &ConnectionArgs,
        environment: &Environment,
        company: Company,
    ) -> Result<(Client, Settings), AppError> {
        let from = self.from.as_ref().map(|leg| &leg.way);
        let to: Vec<&Way> = self.to.iter().map(|leg| &leg.way).collect();
        let mut meant: Vec<&Registry> = Vec::new();
        for way in if to.is_empty() { from.as_slice() } else { &to } {
            if !meant.contains(&way.registry()) {
                meant.push(way.registry());
            }
        }
        // Between files nothing is asked of any registry.
        let nobody = Registry::docker_hub();
        let first = meant.first().copied().unwrap_or(&nobody);
        let mut settings = Settings::decide(connection, environment, first)?;
        for other in meant.iter().skip(1) {
            if settings.login.is_some() {
                return Err(AppError::Usage(format!(
                    "one user name and password cannot be for both {first} and {other}: log in to each with longshore login, or copy to one at a time"
                )));
            }
            settings.apply_flags(connection, other)?;
        }
        warn(&settings.warnings);
        let ways: Vec<&Way> = to.into_iter().chain(from).collect();
        let client = client(&settings, &ways, company)?;
        Ok((client, settings))
    }

    /// What of the source and of the destination at this place is elsewhere than it was named, as
    /// JSON; nothing if nothing is.
    pub(crate) fn json(&self, at: usize) -> Option<Value> {
        let moved = |leg: &Leg| {
            leg.is_moved().then(|| {
                let decided = leg.route.decided.as_ref();
                json!({
                    "named": leg.named.repository().to_string(),
                    "at": leg.reference.repository().to_string(),
                    "decided_by": decided.map(|it| it.path.display().to_string()),
                })
            })
        };
        let to = self.to.get(at).and_then(moved);
        let from = self.from.as_ref().and_then(moved);
        (to.is_some() || from.is_some()).then(|| json!({ "destination": to, "source": from }))
    }
}

impl Leg {
    fn is_moved(&self) -> bool {
        self.named.repository() != self.reference.repository()
    }

    /// Tells where it is, where that is not what was typed.
    fn tell(&self) {
        if let Some(decided) = self.route.decided.as_ref().filter(|_| self.is_moved()) {
            let _ = writeln!(
                std::io::stderr(),
                "{} is at {}: {}, {}",
                self.named.repository(),
                self.reference.repository(),
                decided.path.display(),
                decided.rule,
            );
        }
    }
}

struct Charting<'a> {
    routes: &'a Routes,
    connection: &'a ConnectionArgs,
    environment: &'a Environment,
}

impl Charting<'_> {
    async fn leg(&self, named: &Reference, purpose: Purpose) -> Result<Leg, AppError> {
        let route = self.routes.of_reference(named, purpose)?;
        warn(&route.warnings);
        let way = taken(&route, self.connection, self.environment).await?;
        let repository = way.repository().unwrap_or(named.repository());
        let leg = Leg {
            named: named.clone(),
            reference: named.in_repository(repository.clone()),
            route,
            way,
        };
        leg.tell();
        Ok(leg)
    }
}

/// The way to a registry as such, for a login: by an endpoint of its own name, if the files have
/// one.
pub(crate) fn to_registry(
    registry: &Registry,
    scheme: Option<Scheme>,
    environment: &Environment,
) -> Result<Way, AppError> {
    let routes = Routes::read(environment)?;
    warn(routes.warnings());
    let route = routes.of_registry(registry, Purpose::Push)?;
    warn(&route.warnings);
    if let Some(elsewhere) = route.ways.first().filter(|it| it.registry() != registry) {
        let path = route
            .decided
            .as_ref()
            .map(|it| it.path.display().to_string());
        let path = path.unwrap_or_default();
        let there = elsewhere.registry();
        warn([&format!(
            "pushes to {registry} go to {there}, as {path} says: its credentials are those of {there}"
        )]);
    }
    Ok(route.way_of(registry, scheme))
}

/// The way that is there.
async fn taken(
    route: &Route,
    connection: &ConnectionArgs,
    environment: &Environment,
) -> Result<Way, AppError> {
    let (connection, environment) = (connection.anonymous(), environment.anonymous());
    let anonymous = |way: &Way| {
        let settings = Settings::decide(&connection, &environment, way.registry())?;
        asking(&settings, way)
    };
    reach::first_reachable(route, anonymous).await
}
