"""A small issuer of tokens for the tests: OpenID Connect discovery, the device flow, refresh and revocation over HTTP
on loopback. Keys and RS256 signatures are openssl's."""

import base64
import http.server
import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.parse


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


class Issuer:
    APP = "the-app"
    AUDIENCE = "the-gateway"

    def __init__(self, **claims):
        self.folder = tempfile.TemporaryDirectory(prefix="corelay-issuer-")
        self.key = f"{self.folder.name}/key.pem"
        _openssl("genrsa", "-out", self.key, "2048")
        modulus = re.search(r"Modulus=([0-9A-F]+)", _openssl("rsa", "-in", self.key, "-noout", "-modulus").decode())
        self.jwks = {"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "e": "AQAB",
                               "n": _base64url(bytes.fromhex(modulus.group(1)))}]}
        self.claims = {"client_id": "alice", "email": "alice@example.org", "is_active": True, **claims}
        self.token_s = 3600
        self.answers = []  # words to answer polls with before the token: "authorization_pending", "slow_down", ...
        self.polls = []  # times of polls
        self.refresh_tokens = set()  # good for one use each
        self.revoked = []
        self.refreshes = 0
        self.codes = set()
        self.has_discovery = True
        self.lock = threading.Lock()
        issuer = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def _send(self, status, value):
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self._send(*issuer.get(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with issuer.lock:
                    self._send(*issuer.post(self.path, dict(urllib.parse.parse_qsl(body))))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jwt(self, **claims):
        now = int(time.time())
        body = {"iss": f"{self.url}/", "aud": self.AUDIENCE, "sub": "auth|1", "iat": now, "exp": now + self.token_s,
                "jti": str(time.monotonic_ns()), **self.claims, **claims}
        head = {"alg": "RS256", "kid": "k"}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{_base64url(_openssl('dgst', '-sha256', '-sign', self.key, data=text.encode()))}"

    def tokens(self):
        refresh = f"refresh-{time.monotonic_ns()}"
        self.refresh_tokens.add(refresh)
        return {"access_token": self.jwt(), "refresh_token": refresh, "expires_in": self.token_s,
                "token_type": "Bearer"}

    def get(self, path):
        if path == "/.well-known/jwks.json":
            return 200, self.jwks
        if path == "/.well-known/openid-configuration" and self.has_discovery:
            return 200, {"issuer": f"{self.url}/", "device_authorization_endpoint": f"{self.url}/oauth/device/code",
                         "token_endpoint": f"{self.url}/oauth/token", "revocation_endpoint": f"{self.url}/oauth/revoke"}
        return 404, {"error": "not_found"}

    def post(self, path, form):
        if form.get("client_id") != self.APP:
            return 401, {"error": "invalid_client", "error_description": "no such application"}
        if path == "/oauth/device/code":
            assert form["audience"] == self.AUDIENCE and "offline_access" in form["scope"], form
            code = f"device-{time.monotonic_ns()}"
            self.codes.add(code)
            return 200, {"device_code": code, "user_code": "WDJB-MJHT", "verification_uri": f"{self.url}/activate",
                         "expires_in": 30, "interval": 1}
        if path == "/oauth/revoke":
            self.revoked.append(form["token"])
            self.refresh_tokens.discard(form["token"])
            return 200, {}
        if path != "/oauth/token":
            return 404, {"error": "not_found"}
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                return 403, {"error": "invalid_grant", "error_description": "this refresh token is used up"}
            self.refresh_tokens.remove(form["refresh_token"])
            self.refreshes += 1
            return 200, self.tokens()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code", form
        assert form["device_code"] in self.codes, form
        self.polls.append(time.monotonic())
        if self.answers:
            word = self.answers.pop(0)
            return 400, {"error": word, "error_description": f"because of {word}"}
        return 200, self.tokens()

    def environment(self):
        """What a gateway needs to take these tokens."""
        return {"ENABLE_AUTH": "true", "CORELAY_AUTH_JWKS_URL": f"{self.url}/.well-known/jwks.json",
                "CORELAY_AUTH_ISSUER": f"{self.url}/", "AUTH0_AUDIENCE": self.AUDIENCE,
                "CORELAY_HTTP_ADDRESS": "127.0.0.1"}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()
