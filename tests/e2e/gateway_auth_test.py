"""Tokens and limits: a gateway with ENABLE_AUTH in front of a real node, keys and tokens made by node:crypto."""

import json
import socket
import ssl
import subprocess
import time
import urllib.request

from fleet import SOURCE, Fleet, main, wait_until
from gateway import Gateway, WebSocket
from gateway_tokens import Issuer, bearer, made, token
from node_client import installed_client


def test_tokens_and_limits():
    jwks, tokens = made(token(), token("ec", "ES256", client_id="ec client"),
                        token("ed", "EdDSA", client_id="ed client"), token(exp=1), token(aud="other"),
                        token(iss="https://evil/"), token(forge="signature"),
                        token(forge="none"), token(forge="HS256"), token("stranger", "ES256", forge="unknown key"),
                        token(is_active=False), token(nbf=int(time.time()) + 3600), token(exp=None),
                        token(client_id="limited", max_publish_per_hour=5, max_publish_per_sec=2, max_message_size=100,
                              daily_quota=1000))
    issuer = Issuer(jwks)
    fleet = Fleet(2)
    gateway = Gateway([fleet[1].sidecar], fleet.directory, environment={
        "ENABLE_AUTH": "true", "AUTH0_DOMAIN": "issuer.test", "AUTH0_AUDIENCE": "api",
        "CORELAY_AUTH_JWKS_URL": issuer.url, "CORELAY_HTTP_ADDRESS": "127.0.0.1"}).start()
    gateway.wait_nodes(1)
    assert gateway.get("/api/v1/health")[0] == 200  # health and metrics need none
    body = {"client_id": "forged", "topic": "t"}
    status, text, headers = gateway.post("/api/v1/subscribe", body)
    assert status == 401 and "www-authenticate" in headers, (status, text)
    for good, client in zip(tokens[:3], ("auth0|user", "ec client", "ed client")):
        status, text, _ = gateway.post("/api/v1/subscribe", body, headers=bearer(good))
        assert status == 200 and json.loads(text)["client"] == client, (status, text)
    for bad, status, part in [(3, 401, "expired"), (4, 401, "somebody else"), (5, 401, "another issuer"),
                              (6, 401, "signature"), (7, 401, "algorithm"), (8, 401, "algorithm"),
                              (9, 401, "unknown key"), (10, 403, "inactive"), (11, 401, "not valid yet"),
                              (12, 401, "expires")]:
        got = gateway.post("/api/v1/publish", body, headers=bearer(tokens[bad]))
        assert got[0] == status and part in got[1], (bad, got)
    for bad in ("x", "a.b.c", "." * 3, "a" * 10000):
        assert gateway.post("/api/subscribe", body, headers=bearer(bad))[0] == 401
    assert WebSocket(gateway, "client_id=c").status == 401
    client = WebSocket(gateway, "client_id=forged", headers=bearer(tokens[0]))
    browser = WebSocket(gateway, "", headers={"Sec-WebSocket-Protocol": f"corelay, bearer.{tokens[1]}"})
    assert client.status == 101 and browser.status == 101 and "Protocol: corelay\r\n" in browser.head + "\r\n"
    limited = bearer(tokens[13])

    def publish(message):
        return gateway.post("/api/v1/publish", {"topic": "t", "message": message}, headers=limited)

    assert publish("x" * 101)[0] == 413
    codes = [publish(f"m{i}") for i in range(4)]
    refused = [got for got in codes if got[0] == 429]
    assert refused and "per-second limit reached" in refused[0][1] and "retry-after" in refused[0][2], codes
    taken = [got for got in codes if got[0] == 200]
    assert taken[0][2]["x-ratelimit-limit"] == "5" and taken[0][2]["x-ratelimit-remaining"] == "4", taken[0]
    while len(taken) < 5:
        time.sleep(0.6)
        got = publish(f"later {time.monotonic()}")
        if got[0] == 200:
            taken.append(got)
        assert got[0] in (200, 429), got
    time.sleep(1.1)
    status, text, headers = publish("one too many")
    assert status == 429 and "per-hour limit reached (5/hour)" in text and headers["x-ratelimit-remaining"] == "0", text
    usage = json.loads(gateway.get("/api/v1/usage", headers=limited)[1])
    assert usage["publishes_hour"] == 5 and usage["max_publish_per_hour"] == 5 and usage["client_id"] == "limited"
    client.wait_for(5)
    assert fleet[1].is_running()
    gateway.stop()


def test_tokens_over_grpc():
    jwks, tokens = made(token(client_id="c"), token(exp=1), token(aud="other"), token(forge="signature"),
                        token(forge="none"), token(is_active=False), token(client_id="spent", max_publish_per_hour=1))
    issuer = Issuer(jwks)
    fleet = Fleet(2)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment={
        "ENABLE_AUTH": "true", "AUTH0_DOMAIN": "issuer.test", "AUTH0_AUDIENCE": "api",
        "CORELAY_AUTH_JWKS_URL": issuer.url, "CORELAY_HTTP_ADDRESS": "127.0.0.1",
        "CORELAY_GRPC_ADDRESS": "127.0.0.1"}).start()
    gateway.wait_nodes(2)
    asked = [*tokens, tokens[6], None, "", "x", "a.b.c"]
    done = subprocess.run(["node", "gateway_auth.mjs", str(SOURCE / "proto" / "gateway.proto"), gateway.grpc],
                          cwd=installed_client(), input=json.dumps(asked), capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    good, denied, exhausted, refused = [0, ""], 7, 8, 16
    assert answers[0][:2] == [good, good] and answers[0][2][0] == 0, answers[0]
    for i, part in [(1, "expired"), (2, "somebody else"), (3, "signature"), (4, "algorithm"), (5, "inactive"),
                    (8, ""), (9, ""), (10, ""), (11, "")]:
        for code, details in answers[i]:
            wanted = denied if part == "inactive" else refused
            assert code == wanted and part in details and details, (asked[i], answers[i])
    assert answers[6][1] == good, answers[6]
    assert answers[7][1][0] == exhausted and "per-hour limit reached (1/hour)" in answers[7][1][1], answers[7]
    assert gateway.is_running()
    gateway.stop()


def test_keys_are_refreshed_and_may_be_stale():
    jwks, tokens = made(token("one"), token("two"))
    issuer = Issuer({"keys": jwks["keys"][:1]})
    fleet = Fleet(0)
    gateway = Gateway(["127.0.0.1:1"], fleet.directory, environment={
        "ENABLE_AUTH": "true", "CORELAY_AUTH_JWKS_URL": issuer.url, "CORELAY_AUTH_ISSUER": "https://issuer.test/",
        "AUTH0_AUDIENCE": "api", "CORELAY_HTTP_ADDRESS": "127.0.0.1", "CORELAY_AUTH_REFRESH_S": "1"})
    gateway.start(wait_ready=False)
    gateway.wait_ready("/livez")
    assert gateway.get("/api/v1/topics", headers=bearer(tokens[0]))[0] == 200
    assert gateway.get("/api/v1/topics", headers=bearer(tokens[1]))[0] == 401
    issuer.jwks = jwks
    wait_until("the new key", lambda: gateway.get("/api/v1/topics", headers=bearer(tokens[1]))[0] == 200)
    issuer.is_failing = True
    fetches = issuer.fetches
    wait_until("a failed fetch", lambda: issuer.fetches > fetches + 1)
    assert gateway.get("/api/v1/topics", headers=bearer(tokens[1]))[0] == 200  # the old keys serve
    gateway.stop()


def test_tls_and_cors():
    fleet = Fleet(2)
    key, certificate = fleet.directory / "key.pem", fleet.directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                    str(key), "-out", str(certificate)], check=True, capture_output=True)
    gateway = Gateway([fleet[1].sidecar], fleet.directory, environment={
        "CORELAY_HTTP_TLS_CERTIFICATE": str(certificate), "CORELAY_HTTP_TLS_KEY": str(key),
        "CORELAY_HTTP_CORS_ORIGIN": "https://page.test"})
    gateway.start(wait_ready=False)
    context = ssl.create_default_context(cafile=str(certificate))

    def fetch(path, data=None, method=None, headers=None):
        request = urllib.request.Request(f"https://localhost:{gateway.port}{path}", data, headers or {}, method=method)
        with urllib.request.urlopen(request, timeout=20, context=context) as reply:
            return reply.status, reply.read(), dict(reply.headers)

    def is_ready():
        try:
            return fetch("/readyz")[0] == 200
        except OSError:
            return False

    wait_until("the gateway", is_ready)
    body = json.dumps({"client_id": "c", "topic": "t"}).encode()
    status, _, headers = fetch("/api/v1/subscribe", body, headers={"Origin": "https://page.test"})
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://page.test"
    status, _, headers = fetch("/api/v1/publish", method="OPTIONS", headers={"Origin": "https://page.test"})
    assert status == 204 and "POST" in headers["Access-Control-Allow-Methods"]
    large = "x" * 300_000
    for i in range(20):
        body = json.dumps({"client_id": "p", "topic": "t", "message": f"{i}{large}"}).encode()
        assert fetch("/api/v1/publish", body)[0] == 200
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", gateway.port)),
                                 server_hostname="localhost")
    stream.settimeout(30)
    stream.sendall(b"GET /api/ws?client_id=c HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    got = b""
    while len(got) < 20 * 300_000:
        data = stream.recv(1 << 16)
        assert data
        got += data
    assert got.startswith(b"HTTP/1.1 101 ") and got.count(b"x" * 300_000) == 20
    gateway.stop()


def test_loopback_unless_told_otherwise():
    fleet = Fleet(0)
    gateway = Gateway(["127.0.0.1:1"], fleet.directory, environment={"CORELAY_HTTP_ADDRESS": "0.0.0.0"})
    gateway.start(wait_ready=False)
    gateway.wait_ready("/livez")
    assert "without authentication" in gateway.log()
    gateway.stop()
    alone = Gateway(["127.0.0.1:1"], fleet.directory, name="alone")
    alone.start(wait_ready=False)
    alone.wait_ready("/livez")
    port = f"{alone.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        listening = [line.split()[1] for line in table if f":{port} " in line and " 0A " in line]
    assert listening == [f"0100007F:{port}"], listening
    alone.stop()


main()
