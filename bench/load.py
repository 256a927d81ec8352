"""What a registry is loaded with, and how long it took.

The client is kept small, because it runs on the same processors as the registry:
bare sockets of the standard library, bodies from tmpfs, answers read into one
buffer, a process for every few connections. Each load is checked: a status that is
not the expected one ends the run.
"""

import hashlib
import json
import multiprocessing
import os
import selectors
import socket
import threading
import time

MIB = 1 << 20
REPOSITORY = "bench/server"
BLOB_BYTES = 1024 * MIB
PARTS = 16
READERS = 64
PROCESSES = 4
SEND_BYTES = 256 << 10
# A load of many requests ends after so many seconds, with what was answered by then.
LIMIT = 60
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCTETS = "application/octet-stream"
_fork = multiprocessing.get_context("fork")


class Connection:
    """One HTTP/1.1 connection that stays open."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.address = address
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(MIB)

    def send(self, method, path, headers=(), body=b""):
        """Asks with a small body; the answer is still to be read."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address}", f"Content-Length: {len(body)}", *headers]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def send_file(self, method, path, file, offset, count):
        """Asks with a part of a file as the body."""
        head = (f"{method} {path} HTTP/1.1\r\nHost: {self.address}\r\nContent-Type: {OCTETS}\r\n"
                f"Content-Length: {count}\r\n\r\n")
        self.socket.sendall(head.encode())
        file.seek(offset)
        while count:
            got = file.readinto(memoryview(self.buffer)[:min(count, SEND_BYTES)])
            self.socket.sendall(memoryview(self.buffer)[:got])
            count -= got

    def head(self):
        """The answer's status and headers, and what has come of its body."""
        got = b""
        while b"\r\n\r\n" not in got:
            more = self.socket.recv(65536)
            if not more:
                raise SystemExit(f"{self.address} closed the connection: {got!r}")
            got += more
        head, rest = got.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = dict((name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines[1:]))
        return int(lines[0].split()[1]), headers, rest

    def answer(self, *expected):
        """The whole answer: its headers and its body."""
        status, headers, body = self.head()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = self._chunks(body)
        else:
            pieces, left = [body], int(headers.get("content-length", 0)) - len(body)
            while left > 0:
                pieces.append(self.socket.recv(min(left, MIB)))
                left -= len(pieces[-1])
            body = b"".join(pieces)
        if status not in expected:
            raise SystemExit(f"{self.address}: {status}, not {expected}: {body[:500]!r}")
        return headers, body

    def _chunks(self, got):
        whole = b""
        while True:
            while b"\r\n" not in got:
                got += self.socket.recv(65536)
            size, got = got.split(b"\r\n", 1)
            size = int(size, 16)
            while len(got) < size + 2:
                got += self.socket.recv(MIB)
            whole, got = whole + got[:size], got[size + 2:]
            if size == 0:
                return whole

    def drain(self, expected):
        """Reads an answer and keeps nothing of it. Its length."""
        status, headers, rest = self.head()
        if status != expected:
            raise SystemExit(f"{self.address}: {status}, not {expected}")
        length = int(headers["content-length"])
        left = length - len(rest)
        while left > 0:
            got = self.socket.recv_into(self.buffer, min(left, MIB))
            if got == 0:
                raise SystemExit(f"{self.address} closed the connection")
            left -= got
        return length

    def session(self, repository=REPOSITORY):
        """Opens an upload session: where its PUT goes, up to the digest."""
        self.send("POST", f"/v2/{repository}/blobs/uploads/")
        headers, _ = self.answer(202)
        location = headers["location"].removeprefix(f"http://{self.address}")
        return location + ("&" if "?" in location else "?") + "digest="


class Content:
    """The bytes of every blob, in one file on tmpfs, with their digests."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "content")
        whole, self.parts, size = hashlib.sha256(), [], BLOB_BYTES // PARTS
        with open(self.path, "wb") as file:
            for part in range(PARTS):
                piece = os.urandom(size)
                file.write(piece)
                whole.update(piece)
                self.parts.append((part * size, size, f"sha256:{hashlib.sha256(piece).hexdigest()}"))
        self.whole = (0, BLOB_BYTES, f"sha256:{whole.hexdigest()}")

    def put(self, address, part):
        """Puts one blob, in a session that is opened before the clock starts."""
        offset, count, digest = part
        with open(self.path, "rb", buffering=0) as file:
            connection = Connection(address)
            place = connection.session() + digest

            def run():
                connection.send_file("PUT", place, file, offset, count)
                connection.answer(201)
            yield run


def together(makers):
    """Runs each `maker()`'s load in a process of its own, all from one moment on.
    Seconds from that moment to the end of the last."""
    ready, go = _fork.Barrier(len(makers) + 1), _fork.Event()

    def child(maker):
        for run in maker():
            ready.wait(60)
            go.wait()
            run()
    children = [_fork.Process(target=child, args=(maker,)) for maker in makers]
    for it in children:
        it.start()
    ready.wait(60)
    began = time.monotonic()
    go.set()
    for it in children:
        it.join()
    took = time.monotonic() - began
    if any(it.exitcode for it in children):
        raise SystemExit("a client failed; what it said is above")
    return took


# The loads: each a function of (address, content), giving (amount, seconds).

def put_one(address, content):
    """1 GiB in one PUT; bytes."""
    return BLOB_BYTES, together([lambda: content.put(address, content.whole)])


def put_many(address, content):
    """16 PUTs of 64 MiB at once; bytes."""
    return BLOB_BYTES, together([lambda part=part: content.put(address, part) for part in content.parts])


def put_blob(address, content):
    """A blob for others to read or refer to."""
    together([lambda: content.put(address, content.parts[0])])


def put_config(address):
    """The empty configuration, that every manifest of this load refers to."""
    connection, digest = Connection(address), f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    connection.send("PUT", connection.session() + digest, [f"Content-Type: {OCTETS}"], b"{}")
    connection.answer(201)
    return digest


def manifest(number, config):
    """One of many manifests, each with a digest of its own."""
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": config, "size": 2}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [layer],
                       "annotations": {"number": str(number)}}).encode()


def tag(number):
    return f"t{number:05}"


def _putting(address, config, numbers, connections, done):
    """Puts manifests over several connections of one process: a request on each, then
    the answers, in turns. Adds how many to `done`."""
    open_ones = [Connection(address) for _ in range(connections)]
    bodies = {number: manifest(number, config) for number in numbers}

    def run():
        waiting, left = selectors.DefaultSelector(), iter(bodies.items())
        end, answered = time.monotonic() + LIMIT, 0

        def next_one(connection):
            number, body = next(left, (None, None))
            if number is None or time.monotonic() > end:
                return False
            path = f"/v2/{REPOSITORY}/manifests/{tag(number)}"
            connection.send("PUT", path, [f"Content-Type: {MANIFEST}"], body)
            return True
        busy = 0
        for it in open_ones:
            if next_one(it):
                waiting.register(it.socket, selectors.EVENT_READ, it)
                busy += 1
        while busy:
            for key, _ in waiting.select():
                key.data.answer(201)
                answered += 1
                if not next_one(key.data):
                    waiting.unregister(key.data.socket)
                    busy -= 1
        with done.get_lock():
            done.value += answered
    yield run


def put_manifests(address, count, connections):
    """Manifests, each under a tag of its own; requests."""
    config = put_config(address)
    processes = min(PROCESSES, connections)
    share = [range(first, count, processes) for first in range(processes)]
    done = _fork.Value("q", 0)
    took = together([lambda numbers=numbers: _putting(address, config, numbers, connections // processes, done)
                     for numbers in share])
    return done.value, took


def list_tags(address, count, times=20):
    """All tags of a repository, page by page if it is given in pages; listings. None if it
    did not take so many tags in time."""
    connection = Connection(address)

    def listing():
        path, seen = f"/v2/{REPOSITORY}/tags/list?n={count}", 0
        while path:
            connection.send("GET", path)
            headers, body = connection.answer(200)
            seen += len(json.loads(body)["tags"])
            link = headers.get("link")
            path = link.split(">", 1)[0].lstrip("<").removeprefix(f"http://{address}") if link else None
        return seen
    if listing() != count:
        return None
    began = time.monotonic()
    for _ in range(times):
        listing()
    return times, time.monotonic() - began


def _reading(address, digest, connections):
    open_ones = [Connection(address) for _ in range(connections)]

    def one(connection):
        connection.send("GET", f"/v2/{REPOSITORY}/blobs/{digest}")
        connection.drain(200)

    def run():
        threads = [threading.Thread(target=one, args=(it,)) for it in open_ones]
        for it in threads:
            it.start()
        for it in threads:
            it.join()
    yield run


def read_blob(address, content):
    """64 readers of one blob of 64 MiB; bytes."""
    _, size, digest = content.parts[0]
    took = together([lambda: _reading(address, digest, READERS // PROCESSES)] * PROCESSES)
    return READERS * size, took


def loopback(content):
    """What one TCP connection over loopback carries, with no registry at its end; bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % listener.getsockname()[1]

    def sending():
        connection = Connection(address)
        with open(content.path, "rb", buffering=0) as file:
            yield lambda: connection.send_file("PUT", "/", file, 0, BLOB_BYTES)

    def taking():
        taken, _ = listener.accept()
        buffer = bytearray(MIB)

        def run():
            while taken.recv_into(buffer):
                pass
        yield run
    return BLOB_BYTES, together([sending, taking])
