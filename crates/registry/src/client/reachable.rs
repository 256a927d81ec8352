//! Whether a registry is there: asked once, anonymously, where there is a choice of endpoints.

use http::{HeaderMap, Method, header::USER_AGENT};
use oci::{Registry, TargetError};

use super::{Client, Inner};
use crate::{
    error::{CallError, refusal},
    transport::{
        Kind, Outgoing, address::Reach, answer::Answer, body::RequestBody, pause::Account,
    },
};

impl Client {
    /// Asks the registry's API once whether it is there, without credentials and without trying
    /// again: for choosing among endpoints.
    ///
    /// Any answer will do, a refusal too, unless it is the server's own failure (5xx).
    pub async fn reachable(&self, registry: &Registry) -> Result<(), TargetError> {
        let attempted = || format!("reach {registry}");
        let asked = self.inner.ask_once(registry).await;
        let answer = asked.map_err(|error| error.into_target(attempted()))?;
        if answer.status.is_server_error() {
            return Err(refusal(answer, attempted()).await);
        }
        answer.finish().await;
        Ok(())
    }
}

impl Inner {
    async fn ask_once(&self, registry: &Registry) -> Result<Answer, CallError> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, self.user_agent.clone());
        let outgoing = Outgoing {
            method: Method::GET,
            url: self.api_url(registry, "")?,
            headers,
            body: RequestBody::empty(),
            flow: None,
            kind: Kind::Question,
            reach: Reach::Anywhere,
            account: Account::anonymous(),
        };
        Ok(self.transport.exchange(outgoing).await?)
    }
}
