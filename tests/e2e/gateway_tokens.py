"""An issuer of JSON Web Tokens for the gateway's tests; keys and signatures are made by node:crypto."""

import http.server
import json
import shutil
import subprocess
import threading
import time

from fleet import SOURCE, Skip

TOKENS = SOURCE / "tests" / "e2e" / "grpc_client" / "tokens.mjs"


class Issuer:
    """Serves keys over HTTP on a port of its own; may be told to fail."""

    def __init__(self, jwks):
        issuer = self
        self.jwks, self.fetches, self.is_failing = jwks, 0, False

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.fetches += 1
                body = json.dumps(issuer.jwks).encode()
                self.send_response(500 if issuer.is_failing else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def made(*wanted):
    if shutil.which("node") is None:
        raise Skip("node is not installed")
    done = subprocess.run(["node", str(TOKENS)], input=json.dumps(wanted), capture_output=True, text=True, check=True)
    made_ = json.loads(done.stdout)
    return made_["jwks"], made_["tokens"]


def claims(**more):
    return {"iss": "https://issuer.test/", "aud": "api", "exp": int(time.time()) + 3600, "sub": "auth0|user",
            "is_active": True, **more}


def token(kid="rsa", alg="RS256", forge=None, **more):
    return {"kid": kid, "alg": alg, "forge": forge, "claims": claims(**more)}


def bearer(text):
    return {"Authorization": f"Bearer {text}"}
