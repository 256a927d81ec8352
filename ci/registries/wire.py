"""The wire between a client and a registry: every request on it is noted, and it can be held or cut at a byte.

HTTP/1.1 without TLS. What the client has sent is counted whether the registry takes it or not.
"""

import dataclasses
import select
import socket
import threading

PIECE = 64 * 1024
HEAD = 64 * 1024


@dataclasses.dataclass
class Request:
    """One request, and what came of it."""

    method: str
    target: str
    headers: dict
    sent: int = 0
    status: int = 0
    answer: dict = dataclasses.field(default_factory=dict)

    @property
    def begins(self):
        """The offset of the body's first byte."""
        said = self.headers.get("content-range", "").removeprefix("bytes ").split("-")[0]
        return int(said) if said.isdigit() else 0

    @property
    def is_blob(self):
        return "/blobs/" in self.target

    def line(self):
        target = self.target.split("?")[0]
        return f"{self.method} {target} → {self.status or 'broken'}" + (f", {self.sent} bytes" if self.sent else "")


class Wire:
    """Listens on loopback and hands on to `upstream` (host, port)."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.lock = threading.Condition()
        self.log = []
        self._begin()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _begin(self):
        self.open, self.trap, self.held, self.after, self.bodies = [], None, False, None, 0

    def hold_at(self, bodies, what="hold"):
        """Once clients have sent so many bytes of blobs: hold the wire there, or cut the connection."""
        with self.lock:
            self.trap, self.bodies, self.what = bodies, 0, what

    def when_at(self, bodies, action):
        """Once clients have sent so many bytes of blobs: does something, and goes on."""
        with self.lock:
            self.after, self.bodies = (bodies, action), 0

    def wait_held(self, ended, limit=60):
        """Whether the wire came to be held before `ended()`."""
        for _ in range(limit * 50):
            with self.lock:
                if self.held:
                    return True
                self.lock.wait(0.02)
            if ended():
                return False
        return False

    def cut(self):
        """Cuts what is open, and hands on again."""
        with self.lock:
            for it in self.open:
                try:
                    it.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self._begin()

    def take(self):
        """The requests since this was last asked."""
        with self.lock:
            log, self.log = self.log, []
            return log

    def close(self):
        self.listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        upstream = None
        try:
            upstream = socket.create_connection(self.upstream, timeout=30)
            upstream.settimeout(None)
            with self.lock:
                self.open += [client, upstream]
            there, back = client.makefile("rb", PIECE), upstream.makefile("rb", PIECE)
            while self._exchange(client, upstream, there, back):
                pass
        except (OSError, ValueError):
            pass
        finally:
            for it in (client, upstream):
                if it is not None:
                    it.close()

    def _exchange(self, client, upstream, there, back):
        head, first, headers = _head(there)
        if not head:
            return False
        method, target, _ = first.split(" ", 2)
        request = Request(method, target, headers)
        with self.lock:
            self.log.append(request)
        upstream.sendall(head)
        whole = self._body(request, client, upstream, there)
        head, first, answer = _head(back)
        if not head:
            return False
        request.status, request.answer = int(first.split(" ")[1]), answer
        client.sendall(head)
        if method != "HEAD" and request.status not in (204, 304):
            for piece in _pieces(back, answer):
                client.sendall(piece)
        if not whole:
            # Answered before its end: the client reads that, and ends.
            client.shutdown(socket.SHUT_WR)
            client.settimeout(2)
            while client.recv(PIECE):
                pass
        return whole and answer.get("connection", "").lower() != "close"

    def _body(self, request, client, upstream, there):
        """Hands a body on; false if the answer came before its end."""
        left, takes = int(request.headers.get("content-length", 0)), True
        while left:
            piece = there.read1(min(PIECE, left))
            if not piece:
                raise ValueError("the client went away")
            left -= len(piece)
            piece = self._count(request, piece)
            if takes:
                try:
                    upstream.sendall(piece)
                except OSError:
                    takes = False
            if left and (not takes or select.select([upstream], [], [], 0)[0]):
                return False
        return True

    def _count(self, request, piece):
        """Notes what the client sent; holds or cuts where that is wanted."""
        action = None
        with self.lock:
            request.sent += len(piece)
            if not request.is_blob:
                return piece
            self.bodies += len(piece)
            if self.after and self.bodies >= self.after[0]:
                action, self.after = self.after[1], None
            if self.trap is not None and self.bodies >= self.trap:
                self.trap = None
                if self.what == "cut":
                    raise ValueError("cut")
                self.held = True
                self.lock.notify_all()
                while self.held:
                    self.lock.wait()
                raise ValueError("cut while it was held")
        if action:
            action()
        return piece


def _head(stream):
    """The bytes of a head, its first line, and its headers in lower case."""
    lines, size = [], 0
    while True:
        line = stream.readline(HEAD)
        size += len(line)
        if not line or size > HEAD:
            return b"", "", {}
        lines.append(line)
        if line in (b"\r\n", b"\n"):
            break
    text = [it.decode("latin-1").rstrip("\r\n") for it in lines]
    headers = {}
    for it in text[1:-1]:
        name, _, value = it.partition(":")
        headers[name.strip().lower()] = value.strip()
    return b"".join(lines), text[0], headers


def _pieces(stream, headers):
    """The bytes of an answer's body, as they came."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            line = stream.readline(HEAD)
            yield line
            length = int(line.split(b";")[0], 16)
            yield stream.read(length + 2)
            if not length:
                return
    left = int(headers.get("content-length", 0))
    while left:
        piece = stream.read(min(PIECE, left))
        if not piece:
            raise ValueError("the registry went away")
        left -= len(piece)
        yield piece
