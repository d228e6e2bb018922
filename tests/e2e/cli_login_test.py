"""corelay login, whoami, usage, refresh and logout against a small issuer and a gateway that asks for tokens."""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import time

from fleet import CORELAY, Fleet, Skip, corelay, main, start_process
from gateway import Gateway
from issuer import Issuer


def place():
    if shutil.which("openssl") is None:
        raise Skip("openssl is not installed")
    return pathlib.Path(tempfile.mkdtemp(prefix="corelay-login-")) / "below" / "auth.yml"


def login(issuer, path, *more):
    return corelay("login", "--issuer", issuer.url, "--app", Issuer.APP, "--audience", Issuer.AUDIENCE, "--auth-path",
                   str(path), *more)


def failed(done, code, *words):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    assert done.stdout == "", done.stdout


def test_device_flow():
    path = place()
    issuer = Issuer(max_publish_per_hour=1000, max_publish_per_sec=8, max_message_size=4 << 20, daily_quota=5 << 30)
    issuer.answers = ["authorization_pending", "slow_down"]
    done = login(issuer, path)
    assert done.returncode == 0, done.stderr
    assert "WDJB-MJHT" in done.stderr and f"{issuer.url}/activate" in done.stderr, done.stderr
    assert "Logged in as alice" in done.stdout and "valid for" in done.stdout, done.stdout
    assert len(issuer.polls) == 3
    assert issuer.polls[2] - issuer.polls[1] > 5, "slow_down adds five seconds to the interval"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().startswith('token: "ey') and "refresh_token:" in path.read_text()
    me = corelay("whoami", "--auth-path", str(path))
    assert me.returncode == 0 and me.stderr == "", me.stderr
    for line in ("Client            alice", "Email             alice@example.org", "Account           active",
                 "Publish (hour)    1,000", "Publish (second)  8", "Largest message   4.0 MiB"):
        assert line in me.stdout, (line, me.stdout)
    assert issuer.jwt() not in me.stdout
    value = json.loads(corelay("whoami", "--auth-path", str(path), "--output", "json").stdout)
    assert value["client_id"] == "alice" and not value["is_expired"] and value["daily_quota"] == 5 << 30, value
    path.chmod(0o644)
    assert "chmod 600" in corelay("whoami", "--auth-path", str(path)).stderr
    for name in ("CORELAY_AUTH_PATH", "MUMP2P_AUTH_PATH"):
        done = corelay("whoami", "--output", "json", env={**os.environ, name: str(path)})
        assert json.loads(done.stdout)["auth_path"] == str(path), done
    issuer.close()


def test_what_can_go_wrong():
    path = place()
    issuer = Issuer()
    for answer, code, words in (("access_denied", 4, "because of access_denied"), ("expired_token", 5, "ran out")):
        issuer.answers = [answer]
        done = login(issuer, path)
        assert done.returncode == code and words in done.stderr, done.stderr
        assert not path.exists()
    failed(corelay("login", "--issuer", issuer.url, "--app", "other", "--auth-path", str(path)), 4,
           "no such application", "--app")
    failed(corelay("login", "--app", "a"), 2, "no issuer", "CORELAY_ISSUER")
    failed(corelay("login", "--issuer", issuer.url), 2, "no application", "--app")
    failed(corelay("login", "--issuer", "http://issuer.example.org/", "--app", "a"), 2, "in the clear", "https")
    failed(corelay("login", "--issuer", "http://127.0.0.1:1/", "--app", "a"), 3, "127.0.0.1:1", "connection refused")
    failed(corelay("whoami", "--auth-path", str(path)), 4, "nobody is logged in", str(path), "corelay login")
    failed(corelay("refresh", "--auth-path", str(path)), 4, "nobody is logged in")
    assert corelay("logout", "--auth-path", str(path)).stdout == "Nobody was logged in\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("token: 'open")
    failed(corelay("whoami", "--auth-path", str(path)), 2, str(path), "line 1", "quote")
    failed(corelay("list-topics", "--auth-path", str(path)), 2, str(path), "--disable-auth")
    path.write_text("token: not-a-jwt\n")
    failed(corelay("whoami", "--auth-path", str(path)), 1, "not a JWT")
    # Without discovery the paths of Auth0 are taken; a file of mump2p-cli has three keys.
    issuer.has_discovery = False
    done = login(issuer, path)
    assert done.returncode == 0, done.stderr
    path.write_text(f"token: {issuer.jwt()}\nrefresh_token: r\nexpires_at: 2099-01-02T03:04:05.678+05:30\n")
    value = json.loads(corelay("whoami", "--auth-path", str(path), "--output", "json").stdout)
    assert value["expires_at"] == "2099-01-01T21:34:05Z" and value["has_refresh_token"], value
    failed(corelay("refresh", "--auth-path", str(path)), 4, "does not say who issued")
    issuer.close()


def test_ctrl_c_ends_a_login():
    path = place()
    issuer = Issuer()
    issuer.answers = ["authorization_pending"] * 100
    process = start_process([CORELAY, "login", "--issuer", issuer.url, "--app", Issuer.APP, "--audience",
                             Issuer.AUDIENCE, "--auth-path", str(path)], stderr=subprocess.PIPE, text=True)
    while not process.stderr.readline().startswith("Waiting"):
        pass
    process.terminate()
    assert process.wait(10) == 1 and "given up" in process.stderr.read() and not path.exists()
    issuer.close()


def test_gateway_with_tokens():
    path = place()
    issuer = Issuer(max_publish_per_hour=4)
    fleet = Fleet(2)
    gateway = Gateway([fleet[1].sidecar, fleet[2].sidecar], fleet.directory, environment=issuer.environment()).start()
    gateway.wait_nodes(2)
    url = ["--service-url", f"http://127.0.0.1:{gateway.port}", "--auth-path", str(path)]
    nobody = ["--service-url", url[1], "--disable-auth"]
    failed(corelay("publish", *nobody, "--topic", "t", "--message", "m"), 4, "status 401", "corelay login")
    failed(corelay("subscribe", *nobody, "--topic", "t"), 4, "status 401", "corelay login")
    assert corelay("health", *nobody).returncode == 0
    assert login(issuer, path).returncode == 0
    subscriber = start_process([CORELAY, "subscribe", *url, "--topic", "t", "--count", "3", "--output", "json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert subscriber.stderr.readline().startswith("Subscribed to topic")
    topics = json.loads(corelay("list-topics", *url, "--output", "json").stdout)
    assert topics == {"client_id": "alice", "topics": ["t"], "count": 1}, topics
    grpc = ["--grpc", "--grpc-port", str(gateway.grpc_port)]
    assert corelay("publish", *url, "--topic", "t", "--message", "one").returncode == 0
    assert corelay("publish", *url, *grpc, "--topic", "t", "--message", "two").returncode == 0
    failed(corelay("publish", *nobody, *grpc, "--topic", "t", "--message", "m"), 4, "status 401", "corelay login")
    # A token that runs out within five minutes is refreshed before it is used.
    before = path.read_text()
    path.write_text(before.replace("expires_at:", "ignored:") +
                    time.strftime("expires_at: %Y-%m-%dT%H:%M:%SZ\n", time.gmtime(time.time() + 60)))
    assert corelay("publish", *url, "--topic", "t", "--message", "three").returncode == 0
    assert issuer.refreshes == 1 and path.read_text() != before
    out, _ = subscriber.communicate(timeout=30)
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["one", "two", "three"], out
    usage = corelay("usage", *url).stdout
    assert "Client            alice" in usage and "Publish (hour)    3 / 4" in usage, usage
    value = json.loads(corelay("usage", *url, "--output", "json").stdout)
    assert value["publishes_hour"] == 3 and value["max_publish_per_hour"] == 4, value
    assert corelay("publish", *url, "--topic", "t", "--message", "four").returncode == 0
    failed(corelay("publish", *url, "--topic", "t", "--message", "five"), 4, "per-hour limit reached (4/hour)",
           "status 429", "again in", "corelay usage")
    # A refresh token is good once: of several refreshes at a time each takes the next.
    several = [start_process([CORELAY, "refresh", "--auth-path", str(path)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.wait(30) for process in several] == [0] * 4, [process.stderr.read() for process in several]
    assert issuer.refreshes == 5
    issuer.claims["is_active"] = False
    assert corelay("refresh", "--auth-path", str(path)).returncode == 0
    failed(corelay("publish", *url, "--topic", "t", "--message", "m"), 4, "status 403", "corelay whoami")
    done = corelay("logout", "--auth-path", str(path))
    assert done.returncode == 0 and "the issuer told" in done.stdout and len(issuer.revoked) == 1, done
    assert not path.exists() and not issuer.refresh_tokens & set(issuer.revoked)
    gateway.stop()
    issuer.close()


main()
