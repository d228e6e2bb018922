"""The published setup guide's commands, one by one, as they are written there and on its ports, against `corelay up`.

What the guide does in containers is tests/e2e/container_test.py's.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from default_ports import skip_if_taken
from fleet import CORELAY, SOURCE, Skip, corelay, main, start_process, end_process, wait_until
from node_client import installed_client

SUBSCRIBE = """curl -X POST http://localhost:8081/api/subscribe \\
  -H "Content-Type: application/json" \\
  -d '{
    "client_id": "your-client-id",{space}
    "topic": "example-topic",
    "threshold": 0.7
  }'""".replace("{space}", " ")  # as it stands there
LISTEN = 'wscat -c "ws://localhost:8081/api/ws?client_id=your-client-id"'
PUBLISH = """curl -X POST http://localhost:8081/api/publish \\
  -H "Content-Type: application/json" \\
  -d '{
    "client_id": "your-client-id",
    "topic": "example-topic",
    "message": "Hello, world!"
  }'"""
MAKE_KEY = "sh ./script/generate_p2p_key.sh"
COPY_SETTINGS = "cp .env.example .env"
NODE_SUBSCRIBE = "sh ./script/p2p_client.sh localhost:33221 subscribe mytopic"
NODE_PUBLISH = "sh ./script/p2p_client.sh localhost:33222 publish mytopic random"
HEALTH = "curl http://localhost:9091/api/v1/health"
STATE = "curl http://localhost:9091/api/v1/node-state"
VERSION = "curl http://localhost:9091/api/v1/version"

folder = None  # as a checkout: what the commands find in it
environment = dict(os.environ)


def run(command):
    print("    $ " + command.replace("\n", "\n      "))
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=60, check=False)
    print("      " + done.stdout.strip().replace("\n", "\n      "))
    assert done.returncode == 0, (command, done.returncode, done.stderr)
    return done.stdout


class Listener:
    """A command that goes on, at a terminal: wscat says little without one."""

    def __init__(self, command, first):
        print("    $ " + command)
        self.output = b""
        self.ours, theirs = os.openpty()
        self.process = start_process(["sh", "-c", "exec " + command], cwd=folder, env=environment, stdin=theirs,
                                     stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for(first)

    def _read(self):
        try:
            while True:
                self.output += os.read(self.ours, 65536)
        except OSError:
            pass

    def text(self):
        """Without what moves the cursor about."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.output.decode(errors="replace"))

    def wait_for(self, text):
        wait_until(repr(text), lambda: text in self.text() or self.process.poll() is not None, 30)
        assert text in self.text(), self.text()

    def stop(self):
        end_process(self.process)
        print("      " + self.text().strip()[:200].replace("\n", "\n      "))


def test_launch():
    global folder
    skip_if_taken()
    if shutil.which("curl") is None:
        raise Skip("curl is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="corelay-guide-"))
    for name in ("script", ".env.example", "docker-compose.yml"):
        (folder / name).symlink_to(SOURCE / name)
    environment["CORELAY"] = CORELAY
    done = corelay("up", "--detach", "--dir", str(folder / "fleet"), "--timeout", "60s", "--no-demo")
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_identity():
    needs_fleet()
    first = run(MAKE_KEY)
    [peer_id] = re.findall(r"^Peer ID: (12D3KooW\w+)$", first, re.M)
    assert (folder / "identity" / "p2p.key").exists()
    assert run(MAKE_KEY) == first, "a second run makes no other key"
    run(COPY_SETTINGS)
    settings = (folder / ".env").read_text()
    assert re.search(r"^BOOTSTRAP_PEER_ID=", settings, re.M), settings
    print(f"    BOOTSTRAP_PEER_ID={peer_id}")


def test_gateway_with_curl_and_wscat():
    needs_fleet()
    environment["PATH"] = f"{installed_client('wscat', 'wscat')}/node_modules/.bin:{environment['PATH']}"
    assert run(SUBSCRIBE).strip() == '{"client":"your-client-id","status":"subscribed"}'
    listener = Listener(LISTEN, "Connected")
    try:
        published = json.loads(run(PUBLISH))
        assert published["status"] == "published" and published["topic"] == "example-topic", published
        listener.wait_for("Hello, world!")
        # The guide warns of bursts: here none is lost.
        for i in range(100):
            run_quietly(PUBLISH.replace("Hello, world!", f"burst {i}."))
        wait_until("the burst", lambda: all(f"burst {i}." in listener.text() for i in range(100)))
    finally:
        listener.stop()


def run_quietly(command):
    subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, timeout=60, check=True)


def test_the_second_gateway():
    needs_fleet()
    subscribed = run(SUBSCRIBE.replace("8081", "8082"))
    assert subscribed.strip() == '{"client":"your-client-id","status":"subscribed"}'
    stamped = PUBLISH.replace("8081", "8082").replace("Hello, world!", f"at {time.time()}")
    assert json.loads(run(stamped))["status"] == "published"


def test_gateway_with_grpc_js():
    needs_fleet()
    client = installed_client()
    for grpc_port, port in ((50051, 8081), (50052, 8082)):
        done = subprocess.run(["node", "guide.mjs", str(SOURCE / "proto" / "gateway.proto"), f"localhost:{grpc_port}",
                               f"http://localhost:{port}", "20"], cwd=client, capture_output=True, text=True,
                              timeout=60, check=False)
        print("    " + (done.stdout + done.stderr).strip())
        assert done.returncode == 0


def test_nodes_directly():
    needs_fleet()
    listener = Listener(NODE_SUBSCRIBE, 'Subscribed to topic "mytopic", waiting for messages…\n')
    try:
        assert run(NODE_PUBLISH) == 'Published "random" to "mytopic"\n'
        listener.wait_for('Received message: "random"\n')
        run(NODE_PUBLISH + "1")
        run(NODE_PUBLISH + "2")
        listener.wait_for('Received message: "random2"\n')
    finally:
        listener.stop()


def test_inspecting_nodes():
    needs_fleet()
    health = json.loads(run(HEALTH))
    assert set(health) >= {"cpu_used", "disk_used", "memory_used", "mode", "status"}, health
    assert health["mode"] == "optimum" and health["status"] == "ok", health
    state = json.loads(run(STATE))
    assert list(state)[:4] == ["pub_key", "peers", "addresses", "topics"] and len(state["peers"]) == 3, state
    assert set(json.loads(run(VERSION))) == {"commit_hash", "version"}


def test_stop():
    needs_fleet()
    down = corelay("down", "--dir", str(folder / "fleet"))
    shutil.rmtree(folder, ignore_errors=True)
    assert down.stdout == "Stopped 4 nodes and 2 gateways\n", (down.stdout, down.stderr)


def needs_fleet():
    if folder is None:
        raise Skip("the network was not launched")


try:
    main()
finally:
    if folder is not None and folder.exists():
        corelay("down", "--dir", str(folder / "fleet"))
