//! Whether credentials are good: the registry is asked for nothing, in their name.

use http::{
    HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, USER_AGENT},
};
use oci::{Registry, TargetError, wire::ScopeSet};
use tokio::time::Duration;

use super::{Client, Inner};
use crate::{
    auth::Asked,
    error::{CallError, Unexpected, protocol, refusal},
    transport::{
        Kind, Outgoing, address::Reach, answer::Answer, body::RequestBody, pause::Account,
    },
};

/// What a registry made of the client's credentials for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// It took them.
    Verified,
    /// It lets everybody in: whether they are good nobody knows.
    NotAsked,
}

impl Client {
    /// Shows the registry the client's credentials for it, by the way its challenge names: at its
    /// own API, and before that at its token service if it has one.
    ///
    /// Wrong credentials are [`TargetErrorKind::Unauthorized`](oci::TargetErrorKind::Unauthorized). So
    /// are none where some are wanted.
    pub async fn log_in(&self, registry: &Registry) -> Result<Login, TargetError> {
        let attempted = || format!("log in to {registry}");
        let asked = self.inner.ask_registry(registry).await;
        let (answer, shown) = asked.map_err(|error| error.into_target(attempted()))?;
        let status = answer.status;
        if status != StatusCode::OK {
            return Err(refusal(answer, attempted()).await);
        }
        if answer.is_html() {
            return Err(protocol(status, Unexpected::Html, attempted()));
        }
        answer.finish().await;
        Ok(if shown {
            Login::Verified
        } else {
            Login::NotAsked
        })
    }
}

impl Inner {
    /// The answer to `GET /v2/`, and whether credentials had part in it.
    async fn ask_registry(&self, registry: &Registry) -> Result<(Answer, bool), CallError> {
        let door = self.door_of(registry)?;
        let mut asked = Asked::new(ScopeSet::new(), Duration::ZERO);
        loop {
            let permission = self
                .auth
                .authorize(&self.transport, &door, None, &asked)
                .await?;
            let header = permission.header.clone();
            let shown = header.is_some();
            let account = self.auth.account(&door, None);
            let answer = self.get_api(registry, header, &account).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                door.passed(&permission);
                return Ok((answer, shown));
            }
            let headers = &answer.headers;
            let again = self
                .auth
                .challenged(&door, None, permission, headers, &mut asked);
            if !again.await? {
                return Ok((answer, shown));
            }
            answer.finish().await;
        }
    }

    async fn get_api(
        &self,
        registry: &Registry,
        credentials: Option<HeaderValue>,
        account: &Account,
    ) -> Result<Answer, CallError> {
        let mut headers = self.headers_of(registry);
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(credentials) = credentials {
            headers.insert(AUTHORIZATION, credentials);
        }
        let url = self.api_url(registry, "")?;
        let mut retry = self.retry.start();
        loop {
            let outgoing = Outgoing {
                method: Method::GET,
                url: url.clone(),
                headers: headers.clone(),
                body: RequestBody::empty(),
                flow: None,
                kind: Kind::Question,
                reach: Reach::Anywhere,
                account: account.clone(),
            };
            let outcome = self.transport.exchange(outgoing).await;
            let Some(wait) = self.transport.patience(&mut retry, &url, &outcome) else {
                return Ok(outcome?);
            };
            if let Ok(answer) = outcome {
                answer.finish().await;
            }
            tokio::time::sleep(wait).await;
        }
    }
}
