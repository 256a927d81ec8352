//! Blobs: every way in, over each store and in each digest algorithm.

use oci::{Algorithm, Digest};

use super::ALGORITHMS;
use crate::client::{Reply, TestReg, with_digest};

/// A piece of content under test.
struct Blob {
    content: Vec<u8>,
    digest: Digest,
}

impl Blob {
    fn new(algorithm: Algorithm, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let digest = Digest::of_with(algorithm, &content);
        Self { content, digest }
    }

    /// One that tells itself from others by its name.
    fn sized(algorithm: Algorithm, name: &str, length: usize) -> Self {
        let content = name.bytes().cycle().take(length).collect::<Vec<u8>>();
        Self::new(algorithm, content)
    }

    fn path(&self, name: &str) -> String {
        format!("/v2/{name}/blobs/{}", self.digest)
    }

    /// It was taken: it is where the answer says, whole; and when deleted it is gone.
    async fn arrived(&self, reg: &TestReg, name: &str, reply: &Reply) {
        assert_eq!(reply.status, 201, "{reply:?}");
        let digest = self.digest.to_string();
        assert_eq!(reply.header("docker-content-digest"), digest);
        for path in [reply.header("location"), &self.path(name)] {
            let (head, got) = (reg.head(path).await, reg.get(path).await);
            assert_eq!((head.status, head.body.len()), (200, 0));
            assert_eq!((got.status, &got.body), (200, &self.content));
            for reply in [head, got] {
                let length = self.content.len().to_string();
                assert_eq!(reply.header("content-length"), length);
                assert_eq!(reply.header("docker-content-digest"), digest);
            }
        }
        self.goes(reg, name).await;
    }

    async fn goes(&self, reg: &TestReg, name: &str) {
        let path = self.path(name);
        assert_eq!(reg.delete(&path).await.status, 202);
        self.is_absent(reg, name).await;
        assert_eq!(reg.delete(&path).await.status, 404);
    }

    async fn is_absent(&self, reg: &TestReg, name: &str) {
        let path = self.path(name);
        let head = reg.head(&path).await;
        assert_eq!((head.status, head.body.len()), (404, 0));
        let got = reg.get(&path).await;
        assert_eq!(
            (got.status, got.codes()),
            (404, vec!["BLOB_UNKNOWN".into()])
        );
    }

    /// It is in this repository now.
    async fn is_pushed(&self, reg: &TestReg, name: &str) {
        let location = reg.open(name).await;
        let reply = reg.put_blob(&location, &self.digest, &self.content).await;
        assert_eq!(reply.status, 201);
    }
}

/// Sends `content[at..at + length]` as a chunk that says where it belongs.
async fn chunk(reg: &TestReg, method: &str, target: &str, at: usize, part: &[u8]) -> Reply {
    let range = format!("{at}-{}", at + part.len() - 1);
    let ask = reg.ask(method, target).header("content-range", range);
    ask.body(part).send().await
}

/// Sends chunks of 1,000 bytes by PATCH, up to `end`; where the next one goes.
async fn patched(reg: &TestReg, name: &str, blob: &Blob, end: usize) -> String {
    let target = format!(
        "/v2/{name}/blobs/uploads/?digest-algorithm={}",
        blob.digest.algorithm()
    );
    let opened = reg.ask("POST", target).send().await;
    assert_eq!((opened.status, opened.header("range")), (202, "0-0"));
    let mut location = opened.header("location").to_owned();
    let mut at = 0;
    while at < end {
        let next = (at + 1000).min(end);
        let reply = chunk(reg, "PATCH", &location, at, &blob.content[at..next]).await;
        let so_far = format!("0-{}", next - 1);
        assert_eq!((reply.status, reply.header("range")), (202, &*so_far));
        reply.header("location").clone_into(&mut location);
        at = next;
    }
    location
}

#[tokio::test]
async fn a_blob_goes_in_each_way_and_out_again() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            let blob = Blob::sized(algorithm, "post only", 512);
            blob.is_absent(&reg, "a/b").await;
            let target = format!("/v2/a/b/blobs/uploads/?digest={}", blob.digest);
            let reply = reg.ask("POST", target).body(&blob.content).send().await;
            blob.arrived(&reg, "a/b", &reply).await;

            let blob = Blob::sized(algorithm, "post and put", 512);
            let location = reg.open("a/b").await;
            let reply = reg.put_blob(&location, &blob.digest, &blob.content).await;
            blob.arrived(&reg, "a/b", &reply).await;

            let blob = Blob::sized(algorithm, "one chunk", 512);
            let location = patched(&reg, "a/b", &blob, 512).await;
            let reply = reg.put_blob(&location, &blob.digest, b"").await;
            blob.arrived(&reg, "a/b", &reply).await;

            let blob = Blob::sized(algorithm, "three chunks", 2995);
            let location = patched(&reg, "a/b", &blob, 2995).await;
            let reply = reg.put_blob(&location, &blob.digest, b"").await;
            blob.arrived(&reg, "a/b", &reply).await;

            let blob = Blob::sized(algorithm, "the last chunk by put", 2995);
            let location = patched(&reg, "a/b", &blob, 2000).await;
            let target = with_digest(&location, &blob.digest);
            let reply = chunk(&reg, "PUT", &target, 2000, &blob.content[2000..]).await;
            blob.arrived(&reg, "a/b", &reply).await;

            let blob = Blob::sized(algorithm, "a stream", 5000);
            let location = reg.open("a/b").await;
            let stream = reg.ask("PATCH", &location).chunked().body(&blob.content);
            let sent = stream.send().await;
            assert_eq!((sent.status, sent.header("range")), (202, "0-4999"));
            let location = sent.header("location").to_owned();
            let reply = reg.put_blob(&location, &blob.digest, b"").await;
            blob.arrived(&reg, "a/b", &reply).await;
        }
        assert_eq!(reg.server.open_sessions(), 0);
    }
}

#[tokio::test]
async fn a_chunk_out_of_order_is_refused_and_the_upload_goes_on_where_it_was() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            for method in ["PATCH", "PUT"] {
                let blob = Blob::sized(algorithm, method, 2995);
                let location = patched(&reg, "app", &blob, 1000).await;
                let target = match method {
                    "PUT" => with_digest(&location, &blob.digest),
                    _ => location.clone(),
                };
                // One too far, and one that is there already.
                for at in [2000, 0] {
                    let part = &blob.content[at..at + 995];
                    let reply = chunk(&reg, method, &target, at, part).await;
                    assert_eq!((reply.status, reply.header("range")), (416, "0-999"));
                    assert_eq!(reply.codes(), ["BLOB_UPLOAD_INVALID"]);
                    let status = reg.get(reply.header("location")).await;
                    assert_eq!((status.status, status.header("range")), (204, "0-999"));
                }
                blob.is_absent(&reg, "app").await;
                let target = with_digest(&location, &blob.digest);
                let reply = chunk(&reg, "PUT", &target, 1000, &blob.content[1000..]).await;
                blob.arrived(&reg, "app", &reply).await;
            }
        }
    }
}

/// As the suite does it: the first chunk comes to a session that has nothing yet.
#[tokio::test]
async fn a_first_chunk_that_is_not_the_first_is_refused_with_a_range_that_can_be_read() {
    for reg in TestReg::each().await {
        let location = reg.open("app").await;
        let reply = chunk(&reg, "PATCH", &location, 5, b"56789").await;
        assert_eq!((reply.status, reply.header("range")), (416, "0-0"));
        let status = reg.get(reply.header("location")).await;
        assert_eq!((status.status, status.header("range")), (204, "0-0"));
        let reply = chunk(&reg, "PATCH", status.header("location"), 0, b"01234").await;
        assert_eq!((reply.status, reply.header("range")), (202, "0-4"));
    }
}

#[tokio::test]
async fn a_blob_is_mounted_with_and_without_a_source_and_never_from_nowhere() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            let blob = Blob::sized(algorithm, "mounted", 512);
            blob.is_pushed(&reg, "source").await;
            let mount = |from: &str| {
                let digest = &blob.digest;
                reg.ask(
                    "POST",
                    format!("/v2/app/blobs/uploads/?mount={digest}{from}"),
                )
            };
            for from in ["&from=source", ""] {
                let reply = mount(from).send().await;
                blob.arrived(&reg, "app", &reply).await;
            }
            assert_eq!(reg.get(blob.path("source")).await.body, blob.content);
            blob.goes(&reg, "source").await;

            // What is nowhere is not mounted; the answer is a session that takes it.
            for from in ["&from=source", ""] {
                let reply = mount(from).send().await;
                assert_eq!(reply.status, 202);
                blob.is_absent(&reg, "app").await;
                let location = reply.header("location").to_owned();
                let put = reg.put_blob(&location, &blob.digest, &blob.content).await;
                blob.arrived(&reg, "app", &put).await;
            }
        }
    }
}

/// One request for "is it there", "take it from there" and "here it is".
#[tokio::test]
async fn a_mount_that_brings_the_blob_along_needs_no_second_request() {
    for reg in TestReg::each().await {
        let blob = Blob::sized(Algorithm::Sha256, "brought along", 512);
        let target = format!(
            "/v2/app/blobs/uploads/?mount={0}&from=source&digest={0}",
            blob.digest
        );
        let post = || reg.ask("POST", target.clone()).body(&blob.content);
        let reply = post().send().await;
        assert_eq!(reg.server.log().body_bytes(), 512);
        blob.arrived(&reg, "app", &reply).await;

        blob.is_pushed(&reg, "source").await;
        reg.server.log().clear();
        let reply = post().send().await;
        assert_eq!(reg.server.log().blob_bytes(), 0);
        blob.arrived(&reg, "app", &reply).await;
        assert_eq!(reg.server.open_sessions(), 0);
    }
}

#[tokio::test]
async fn an_upload_is_cancelled() {
    for reg in TestReg::each().await {
        let blob = Blob::sized(Algorithm::Sha256, "cancelled", 512);
        let location = patched(&reg, "app", &blob, 512).await;
        assert_eq!(reg.delete(&location).await.status, 204);
        let codes: Vec<String> = vec!["BLOB_UPLOAD_UNKNOWN".into()];
        let status = reg.get(&location).await;
        assert_eq!((status.status, status.codes()), (404, codes.clone()));
        let put = reg.put_blob(&location, &blob.digest, b"").await;
        assert_eq!((put.status, put.codes()), (404, codes));
        blob.is_absent(&reg, "app").await;
        assert_eq!(reg.delete(blob.path("app")).await.status, 404);
    }
}

#[tokio::test]
async fn parts_of_a_blob_are_read() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            let blob = Blob::sized(algorithm, "0123456789abcdef.", 2048);
            blob.is_pushed(&reg, "app").await;
            let read = async |range: &str| {
                let ask = reg.ask("GET", blob.path("app"));
                ask.header("range", range).send().await
            };
            for (range, from, to) in [
                ("bytes=500-1499", 500, 1499),
                ("bytes=500-", 500, 2047),
                ("bytes=-500", 1548, 2047),
                ("bytes=-5000", 0, 2047),
                ("bytes=2000-5000", 2000, 2047),
                ("bytes=0-0", 0, 0),
            ] {
                let reply = read(range).await;
                assert_eq!(reply.status, 206, "{range}");
                assert_eq!(reply.body, blob.content[from..=to], "{range}");
                let place = format!("bytes {from}-{to}/2048");
                assert_eq!(reply.header("content-range"), place);
                let length = (to - from + 1).to_string();
                assert_eq!(reply.header("content-length"), length);
                let digest = blob.digest.to_string();
                assert_eq!(reply.header("docker-content-digest"), digest);
            }
            for beyond in ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0"] {
                let reply = read(beyond).await;
                assert_eq!(reply.status, 416, "{beyond}");
                assert_eq!(reply.header("content-range"), "bytes */2048");
            }
            // Several parts at once: the whole, which HTTP allows.
            let reply = read("bytes=0-1,500-501").await;
            assert_eq!((reply.status, reply.body), (200, blob.content.clone()));
        }
    }
}

#[tokio::test]
async fn small_and_empty_blobs_are_blobs() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            for content in ["", "{}"] {
                let blob = Blob::new(algorithm, content);
                let location = reg.open("app").await;
                let reply = reg.put_blob(&location, &blob.digest, &blob.content).await;
                blob.arrived(&reg, "app", &reply).await;
                let target = format!("/v2/app/blobs/uploads/?digest={}", blob.digest);
                let reply = reg.ask("POST", target).body(&blob.content).send().await;
                // There is no part of what is empty.
                if content.is_empty() {
                    let ask = reg.ask("GET", blob.path("app"));
                    let part = ask.header("range", "bytes=-1").send().await;
                    assert_eq!(part.status, 416);
                }
                blob.arrived(&reg, "app", &reply).await;
            }
        }
    }
}

#[tokio::test]
async fn content_of_another_digest_is_refused_each_way() {
    for reg in TestReg::each().await {
        for algorithm in ALGORITHMS {
            let blob = Blob::sized(algorithm, "what it is", 2995);
            let wrong = Digest::of_with(algorithm, b"what it is said to be");
            let refused = async |reply: Reply| {
                assert_eq!(reply.status, 400, "{reply:?}");
                assert_eq!(reply.codes(), ["DIGEST_INVALID"]);
                for digest in [&wrong, &blob.digest] {
                    let head = reg.head(format!("/v2/app/blobs/{digest}")).await;
                    assert_eq!(head.status, 404);
                }
            };
            let target = format!("/v2/app/blobs/uploads/?digest={wrong}");
            refused(reg.ask("POST", target).body(&blob.content).send().await).await;

            let location = reg.open("app").await;
            refused(reg.put_blob(&location, &wrong, &blob.content).await).await;

            let location = patched(&reg, "app", &blob, 2995).await;
            refused(reg.put_blob(&location, &wrong, b"").await).await;

            let location = patched(&reg, "app", &blob, 2000).await;
            let target = with_digest(&location, &wrong);
            refused(chunk(&reg, "PUT", &target, 2000, &blob.content[2000..]).await).await;

            let location = reg.open("app").await;
            let stream = reg.ask("PATCH", &location).chunked().body(&blob.content);
            assert_eq!(stream.send().await.status, 202);
            refused(reg.put_blob(&location, &wrong, b"").await).await;
        }
    }
}
