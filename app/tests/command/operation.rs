//! `serve` as those see it who keep it running: signals, the access log, the service manager.

use std::{
    io::{ErrorKind, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use oci::Digest;

use crate::{
    longshore::{finished, longshore, run},
    served::{SERVE, Served, read},
};

/// Opens an upload session; its path.
fn open(served: &Served, name: &str) -> String {
    let target = format!("/v2/{name}/blobs/uploads/");
    let answer = served.answer("POST", &target, "content-length: 0\r\n");
    let location = answer.lines().find_map(|it| it.strip_prefix("location: "));
    location.expect("a location").to_owned()
}

/// Waits until an upload session has this.
fn has(served: &Served, location: &str, range: &str) {
    let wanted = format!("range: {range}\r\n");
    while !served.answer("GET", location, "").contains(&wanted) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many bytes a session's status says there are.
fn length(status: &str) -> usize {
    let last = status.lines().find_map(|it| it.strip_prefix("range: 0-"));
    last.expect("a range").parse::<usize>().unwrap() + 1
}

#[test]
fn an_upload_under_way_is_finished_after_the_signal_to_stop() {
    let home = tempfile::tempdir().unwrap();
    let mut served = Served::start(home.path(), &[]);
    let content = vec![7; 200_000];
    let location = open(&served, "app");
    let target = format!("{location}?digest={}", Digest::of(&content));
    let mut upload = served.ask("PUT", &target, "content-length: 200000\r\n");
    upload.write_all(&content[..100_000]).unwrap();
    has(&served, &location, "0-0");
    served.signal();
    let word = served.says("stopping");
    assert!(word.contains("10 s"), "{word}");
    // Nobody new is served.
    while TcpStream::connect(served.address).is_ok() {
        thread::sleep(Duration::from_millis(5));
    }
    upload.write_all(&content[100_000..]).unwrap();
    let answer = read(&mut upload);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    served.ended().succeeded();
}

/// The prefix is there after the next start, and goes on from where it was.
#[test]
fn an_upload_that_does_not_end_in_time_is_cut_and_can_be_resumed() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let args = [
        "--store",
        store.to_str().unwrap(),
        "--shutdown-timeout",
        "100ms",
    ];
    let content = vec![7; 9_000_000];
    let served = Served::start(home.path(), &args);
    let location = open(&served, "app");
    let mut upload = served.ask("PATCH", &location, "content-length: 9000000\r\n");
    upload.write_all(&content[..8_000_000]).unwrap();
    // A batch is down, the rest is on its way.
    let mut down = 1;
    while down == 1 {
        thread::sleep(Duration::from_millis(5));
        down = length(&served.answer("GET", &location, ""));
    }
    served.signal();
    assert_eq!(read(&mut upload), "", "there is no answer to half a body");
    served.ended().succeeded();

    let served = Served::start(home.path(), &args);
    let status = served.answer("GET", &location, "");
    let kept = length(&status);
    assert!(
        (down..=8_000_000).contains(&kept),
        "{kept}, but {down} were down"
    );
    let digest = Digest::of(&content);
    let target = format!("{location}?digest={digest}");
    let headers = format!(
        "content-length: {}\r\nconnection: close\r\n",
        9_000_000 - kept
    );
    let mut rest = served.ask("PUT", &target, &headers);
    rest.write_all(&content[kept..]).unwrap();
    assert!(read(&mut rest).starts_with("HTTP/1.1 201 "));
}

/// Whichever of the two each of them is; what the session was told stays.
#[test]
fn a_second_signal_ends_what_the_first_one_left_running() {
    for signals in [["-TERM", "-INT"], ["-INT", "-TERM"]] {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("store");
        let args = [
            "--shutdown-timeout",
            "1h",
            "--store",
            store.to_str().unwrap(),
        ];
        let mut served = Served::start(home.path(), &args);
        let location = open(&served, "app");
        let said = "content-length: 9\r\nconnection: close\r\n";
        let mut upload = served.ask("PATCH", &location, said);
        upload.write_all(b"told this").unwrap();
        assert!(read(&mut upload).starts_with("HTTP/1.1 202 "));
        let mut upload = served.ask("PATCH", &location, "content-length: 10\r\n");
        upload.write_all(b" and").unwrap();
        served.signal_by(signals[0]);
        served.says("stopping");
        served.signal_by(signals[1]);
        assert_eq!(read(&mut upload), "");
        served.ended().succeeded();

        let served = Served::start(home.path(), &args);
        assert!(length(&served.answer("GET", &location, "")) >= 9);
    }
}

#[test]
fn the_access_log_goes_where_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("access.log");
    let path = file.to_str().unwrap();
    for (args, on_stderr, in_file) in [
        (&[][..], 1, 0),
        (&["--access-log", "off"], 0, 0),
        (&["--access-log", path], 0, 1),
        (&["--access-log", path, "--access-log-format", "json"], 0, 2),
    ] {
        let served = Served::start(home.path(), args);
        let answer = served.answer("GET", "/v2/?token=canary", "");
        assert!(answer.starts_with("HTTP/1.1 200 "));
        served.signal();
        let ended = served.ended().succeeded();
        let lines = |text: &str| text.matches("/v2/?token=[redacted]").count();
        assert_eq!(lines(&ended.stderr), on_stderr, "{args:?}");
        let log = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(lines(&log), in_file, "{args:?}");
        assert!(!format!("{}{log}", ended.stderr).contains("canary"));
    }
    let log = std::fs::read_to_string(&file).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["status"], 200);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_served() {
    let home = tempfile::tempdir().unwrap();
    for (args, message) in [
        (
            &["--access-log", "/nowhere/at/all.log"][..],
            "could not write the access log to /nowhere/at/all.log",
        ),
        (
            &["--access-log", "-", "--print-address"],
            "both want standard output",
        ),
        (&["--shutdown-timeout", "soon"], "is not a time"),
        (
            &["--store", "/dev/null/store"],
            "a part of the path is no directory",
        ),
        (&["--store", "/proc/store"], "give --store "),
    ] {
        let all = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let failed = run(home.path(), all);
        assert_ne!(failed.code, Some(0));
        assert!(failed.stderr.contains(message), "{failed:?}");
    }
}

#[test]
fn the_service_manager_is_told_of_readiness_life_and_the_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let hear = || {
        let mut text = [0; 1000];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let mut command = longshore(home.path());
    command
        .args(SERVE)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000");
    let served = Served::of(&mut command);
    let status = format!("STATUS=serving at http://{}", served.address);
    let ready = hear();
    assert_eq!(ready.lines().collect::<Vec<_>>(), ["READY=1", &status]);
    assert_eq!([hear().trim(), hear().trim()], ["WATCHDOG=1", "WATCHDOG=1"]);
    served.signal();
    let mut last = hear();
    while last.trim() == "WATCHDOG=1" {
        last = hear();
    }
    assert_eq!(last.trim(), "STOPPING=1");
    served.ended().succeeded();
    manager.set_nonblocking(true).unwrap();
    let more = manager.recv(&mut [0; 10]).map_err(|it| it.kind());
    assert_eq!(more, Err(ErrorKind::WouldBlock));
}

/// What systemd does: the socket is number 3, and the environment says so to this process alone.
const ACTIVATE: &str = r"
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS=sys.argv[2], LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
";

fn activated(home: &Path, sockets: &str, listener: &TcpListener) -> Command {
    use std::os::fd::AsFd as _;
    let binary = longshore(home);
    let mut command = Command::new("python3");
    let inherited = listener.as_fd().try_clone_to_owned().unwrap();
    // Standard input is one descriptor that a child inherits without unsafe code.
    command
        .args(["-c", ACTIVATE, "0", sockets])
        .arg(binary.get_program())
        .args(["serve", "--print-address", "--listen", "127.0.0.1:1"])
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .stdin(inherited);
    command
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It waits in the queue until there is somebody to accept it.
    let mut early = TcpStream::connect(address).unwrap();
    early
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let served = Served::of(&mut activated(home.path(), "1", &listener));
    assert_eq!(served.address, address);
    assert!(read(&mut early).starts_with("HTTP/1.1 200 "));
    served.signal();
    served.ended().succeeded();

    let refused = activated(home.path(), "2", &listener).output().unwrap();
    let refused = finished(refused);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("2 sockets were handed over"));
}
