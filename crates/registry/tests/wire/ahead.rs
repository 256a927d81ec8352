//! Connections that are opened ahead of their requests: how many, when, and for how long.

use futures_util::future::join_all;
use oci::PushTarget as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::{
    fixture::{Blobs, PATIENCE, blob, client, registry, repository, upload},
    set_up::{SET_UP, SetUp},
};

/// What there is of a registry that has nothing, and answers when it is let.
#[derive(Clone)]
struct Slow {
    accepted: watch::Sender<usize>,
    open: watch::Sender<usize>,
    asked: watch::Sender<usize>,
    answers: watch::Sender<bool>,
    /// Closes what is open.
    ended: watch::Sender<bool>,
}

impl Slow {
    async fn start() -> (Self, oci::Registry) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let this = Self {
            accepted: watch::Sender::new(0),
            open: watch::Sender::new(0),
            asked: watch::Sender::new(0),
            answers: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        };
        let serving = this.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                serving.accepted.send_modify(|it| *it += 1);
                serving.open.send_modify(|it| *it += 1);
                let serving = serving.clone();
                tokio::spawn(async move {
                    let mut ended = serving.ended.subscribe();
                    tokio::select! {
                        () = serving.serve(connection) => {}
                        _ = ended.wait_for(|it| *it) => {}
                    }
                    serving.open.send_modify(|it| *it -= 1);
                });
            }
        });
        (this, address.parse().unwrap())
    }

    async fn serve(&self, mut connection: TcpStream) {
        let mut head = Vec::new();
        while let Ok(byte) = connection.read_u8().await {
            head.push(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            self.asked.send_modify(|it| *it += 1);
            head.clear();
            self.answers.subscribe().wait_for(|it| *it).await.unwrap();
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            if connection.write_all(answer).await.is_err() {
                break;
            }
        }
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }
}

async fn until(counter: &watch::Sender<usize>, is: impl Fn(&usize) -> bool) {
    let mut seen = counter.subscribe();
    let waiting = timeout(PATIENCE, seen.wait_for(is));
    waiting.await.expect("in time").expect("a number");
}

/// Nobody knows what a registry wants: one request finds out, and the handshakes of those that
/// wait for it are over by then.
#[tokio::test]
async fn who_waits_for_the_first_answer_has_a_connection_by_then() {
    let (slow, registry) = Slow::start().await;
    let client = client();
    let target = client.push_target(&registry.repository("app").unwrap());
    let blobs: Vec<_> = (0..5).map(|seed| blob(seed, 10).0).collect();
    let asking = async { join_all(blobs.iter().map(|it| target.has_blob(it))).await };
    let answering = async {
        // The first one's comes back, so the four that wait need three more.
        until(&slow.accepted, |it| *it == 4).await;
        until(&slow.asked, |it| *it > 0).await;
        assert_eq!(slow.asked(), 1, "nothing else is asked meanwhile");
        slow.answers.send_replace(true);
    };
    let (answers, ()) = tokio::join!(asking, answering);
    assert_eq!(answers.len(), 5);
    assert_eq!(slow.asked(), 5);
    // One that is still being opened while another gets free is opened for nothing.
    assert!(client.traffic().total.connections <= 5);
}

/// A host that does not answer is not knocked at once for every request that waits.
#[tokio::test]
async fn nothing_is_opened_before_the_first_connection_stands() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let registry: oci::Registry = nobody.to_string().parse().unwrap();
    let client = client();
    let target = client.push_target(&registry.repository("app").unwrap());
    target.expect_blobs(8, 8);
    let (layer, _) = blob(1, 10);
    target.has_blob(&layer).await.unwrap_err();
    assert_eq!(client.traffic().total.connections, 0);
}

/// What is not used is closed: by the client itself after a while, and with it.
#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    for wait in [true, false] {
        let (slow, registry) = Slow::start().await;
        slow.answers.send_replace(true);
        let client = client();
        let target = client.push_target(&registry.repository("app").unwrap());
        target.has_blob(&blob(1, 10).0).await.unwrap();
        target.expect_blobs(4, 4);
        until(&slow.accepted, |it| *it == 4).await;
        target.expect_blobs(4, 4);
        if wait {
            until(&slow.open, |it| *it == 1).await;
        } else {
            drop((target, client));
            until(&slow.open, |it| *it == 0).await;
        }
        assert_eq!((slow.asked(), *slow.accepted.borrow()), (1, 4));
    }
}

/// One that the registry has closed meanwhile serves nobody: another is opened, and nothing fails or
/// is made again.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_serves_nobody() {
    let (slow, registry) = Slow::start().await;
    slow.answers.send_replace(true);
    let client = client();
    let target = client.push_target(&registry.repository("app").unwrap());
    let (layer, _) = blob(1, 10);
    target.has_blob(&layer).await.unwrap();
    target.expect_blobs(3, 3);
    until(&slow.accepted, |it| *it == 3).await;
    slow.ended.send_replace(true);
    until(&slow.open, |it| *it == 0).await;
    slow.ended.send_replace(false);
    let answers = join_all([(); 3].map(|()| target.has_blob(&layer))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(slow.asked(), 4);
    assert_eq!(client.traffic().total.retries, 0);
}

/// Bodies go over connections of their own where questions share one: these are opened while the
/// sessions are. Where bodies share it too, none is.
#[tokio::test]
async fn bodies_have_their_connections_by_the_time_their_sessions_are_open() {
    let server = registry().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let blobs = [blob(1, 1000), blob(2, 1000)];
    let source = Blobs::of(blobs.clone());
    target.has_blob(&blobs[0].0).await.unwrap();
    let connections = || client.traffic().total.connections;
    assert_eq!(connections(), 1);
    target.expect_blobs(1, 2);
    let expected = match *SET_UP {
        SetUp::Plain => 2,
        SetUp::Mixed => 3,
        SetUp::Http2 => 1,
    };
    let opened = async {
        while connections() < expected {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, opened).await.unwrap();
    for (layer, _) in &blobs {
        let upload = upload(layer, &source);
        target.upload_blob(upload).await.unwrap();
    }
    assert_eq!(connections(), expected, "they are used");
    let lines = server.log().lines();
    let methods: Vec<&str> = lines.iter().map(|it| &it[..4]).collect();
    assert_eq!(methods, ["HEAD", "POST", "PUT ", "POST", "PUT "]);
}
