"""A token service for registries that trust a certificate: JWTs signed with RSA, for the user it knows.

What it gives out says to clients that it lasts for five minutes, whatever it is worth: so a
registry refuses it in the middle of a push, as happens where clocks and queues differ.
"""

import base64
import http.server
import json
import os
import secrets
import subprocess
import threading
import time
import urllib.parse


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenService:
    """Serves `/token` on loopback with the certificate and the key in `directory`."""

    # How much later than they say distribution takes tokens for ended, in seconds
    # (https://github.com/distribution/distribution/blob/v3.1.1/registry/auth/token/token.go).
    LEEWAY = 60

    def __init__(self, directory, user, password):
        self.directory, self.issued = directory, 0
        self.basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.user = user
        # How long tokens are worth something, in seconds.
        self.worth, self.leeway = 300, 0
        with open(directory / "token.pem", encoding="ascii") as file:
            self.certificate = "".join(line.strip() for line in file if "-----" not in line)
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = service.answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = "http://127.0.0.1:%d/token" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, authorization):
        if not secrets.compare_digest(authorization or "", self.basic):
            return 401, b'{"details": "who is it?"}'
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        access = []
        for scope in " ".join(query.get("scope", [])).split():
            kind, rest = scope.split(":", 1)
            name, actions = rest.rsplit(":", 1)
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        self.issued += 1
        return 200, json.dumps({"token": self.token(query["service"][0], access), "expires_in": 300}).encode()

    def token(self, audience, access):
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]}
        claims = {"iss": "longshore-test", "sub": self.user, "aud": audience, "iat": now - 300, "nbf": now - 300,
                  "exp": now + self.worth - self.leeway, "jti": secrets.token_hex(8), "access": access}
        text = ".".join(encoded(json.dumps(it).encode()) for it in (header, claims))
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", os.fspath(self.directory / "token.key")],
                                input=text.encode(), capture_output=True, check=True).stdout
        return f"{text}.{encoded(signed)}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
