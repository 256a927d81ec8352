//! What a registry holds, read from itself and compared with what was pushed.
//!
//! By plain GETs of its own, not by the client that is under test, and past the proxy.

use std::net::SocketAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    image::Image,
    message::Message,
    scenario::{PASSWORD, REPOSITORY, Scenario, TAG, USER},
    trouble::Trouble,
};

/// How a registry stands to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of it is there, byte for byte, under its tag, and no other tag.
    Complete,
    /// The tag is not there, and what is there is right.
    Untagged,
    /// Something is there that must not be, and what.
    Wrong(String),
}

/// Looks at a registry.
pub async fn inspect(
    registry: SocketAddr,
    scenario: Scenario,
    image: &Image,
) -> Result<Standing, Trouble> {
    let mut reader = Reader::connect(registry).await?;
    if scenario.asks_who() {
        reader.sign_in().await?;
    }
    let manifests = [&image.manifest, &image.index].map(|it| (it.digest(), it.bytes()));
    let manifests = manifests.map(|(digest, content)| ("manifests", digest, content));
    let blobs = image
        .blobs
        .iter()
        .map(|(digest, content)| ("blobs", digest, content));
    let mut missing = Vec::new();
    for (kind, digest, content) in blobs.chain(manifests) {
        match reader.get(&format!("{kind}/{digest}")).await? {
            (404, _) => missing.push(digest.to_string()),
            (200, there) if there == content => {}
            (status, there) => {
                let length = there.len();
                let what = format!("{digest} is answered with {status} and {length} other bytes");
                return Ok(Standing::Wrong(what));
            }
        }
    }
    let tag = reader.get(&format!("manifests/{TAG}")).await?;
    let tags = reader.get("tags/list").await?;
    let expected = format!(r#"["{TAG}"]"#);
    Ok(match tag {
        (404, _) if is_without(&tags, &expected) => Standing::Untagged,
        (200, there) if there == *image.index.bytes() => {
            if !missing.is_empty() {
                Standing::Wrong(format!("{TAG} is there without {}", missing.join(", ")))
            } else if tags.0 == 200 && contains(&tags.1, expected.as_bytes()) {
                Standing::Complete
            } else {
                Standing::Wrong(format!("tags: {}", String::from_utf8_lossy(&tags.1)))
            }
        }
        (status, _) => Standing::Wrong(format!("{TAG} is answered with {status} and is another")),
    })
}

fn is_without(tags: &(u16, Bytes), expected: &str) -> bool {
    tags.0 == 404 || !contains(&tags.1, expected.as_bytes())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|it| it == part)
}

/// A connection that reads.
struct Reader {
    stream: TcpStream,
    buffer: BytesMut,
    token: Option<String>,
}

impl Reader {
    async fn connect(registry: SocketAddr) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(registry)
            .await
            .map_err(Trouble::setting_up)?;
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
            token: None,
        })
    }

    /// Gets something of the repository.
    async fn get(&mut self, rest: &str) -> Result<(u16, Bytes), Trouble> {
        let authorization = self.token.as_ref().map(|it| format!("Bearer {it}"));
        let path = format!("/v2/{REPOSITORY}/{rest}");
        self.ask(&path, authorization).await
    }

    async fn sign_in(&mut self) -> Result<(), Trouble> {
        let scope = format!("repository:{REPOSITORY}:pull");
        let basic = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let path = format!("/token?scope={scope}");
        let (status, body) = self.ask(&path, Some(format!("Basic {basic}"))).await?;
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = answer.get("token").and_then(|it| it.as_str());
        self.token = token.map(str::to_owned);
        match self.token {
            Some(_) => Ok(()),
            None => Err(Trouble::SettingUp(format!(
                "no token to read with: {status}"
            ))),
        }
    }

    async fn ask(
        &mut self,
        path: &str,
        authorization: Option<String>,
    ) -> Result<(u16, Bytes), Trouble> {
        let authorization =
            authorization.map_or(String::new(), |it| format!("Authorization: {it}\r\n"));
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: registry\r\nAccept: */*\r\n{authorization}\r\n");
        let written = self.stream.write_all(request.as_bytes()).await;
        written.map_err(Trouble::setting_up)?;
        let mut answer = Message::answer(false);
        let mut body = BytesMut::new();
        while !answer.done() {
            let had_head = answer.has_head();
            let taken = answer.take(&mut self.buffer, u64::MAX);
            match taken.map_err(Trouble::setting_up)? {
                Some(piece) if had_head => body.extend_from_slice(&piece),
                Some(_) => {}
                None => {
                    let read = self.stream.read_buf(&mut self.buffer).await;
                    if read.map_err(Trouble::setting_up)? == 0 {
                        return Err(Trouble::SettingUp("the registry hung up".to_owned()));
                    }
                }
            }
        }
        if answer.header("transfer-encoding").is_some() {
            return Err(Trouble::SettingUp(format!("{path} came in chunks")));
        }
        Ok((answer.status(), body.freeze()))
    }
}
