"""Real corelayd processes for the end-to-end tests.

A test file holds functions named test_...; main() runs them in order and ends with 0, 1 or 77 (skipped). Every process
started here is ended here, by its own id. Ports come in blocks of twenty outside the range the system hands out; a lock
file keeps a block to one test at a time, so that tests may run side by side, in several checkouts too.
"""

import atexit
import fcntl
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

CORELAY = os.environ["CORELAY"]
CORELAYD = os.environ["CORELAYD"]
SOURCE = pathlib.Path(os.environ["CORELAY_SOURCE"])
TIME_FACTOR = int(os.environ.get("CORELAY_TIME_FACTOR", "1"))  # above 1 where the programs are instrumented

_processes = []


class Skip(Exception):
    """The test cannot run here; the text says why."""


def sha256(payload):
    return hashlib.sha256(payload).hexdigest()


def wait_until(what, condition, timeout_s=60.0, pause_s=0.02):
    """Returns the first true value of condition(); fails naming `what` after the time: long, for a busy machine."""
    timeout_s *= TIME_FACTOR
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"timed out after {timeout_s} s waiting for {what}"
        time.sleep(pause_s)


def start_process(arguments, **options):
    process = subprocess.Popen(arguments, **options)
    _processes.append(process)
    return process


def end_process(process, timeout_s=5.0):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s * TIME_FACTOR)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@atexit.register
def _end_all():
    for process in _processes:
        if process.poll() is None:
            process.kill()
            process.wait()


class Ports:
    """Twenty consecutive TCP and UDP ports nobody uses."""

    SIZE = 20

    def __init__(self):
        blocks = list(range(10000, 31000, self.SIZE))
        random.shuffle(blocks)
        for base in blocks:
            path = os.path.join(tempfile.gettempdir(), f"corelay-ports-{base}.lock")
            self._lock = open(path, "w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                continue
            if all(self._is_free(port) for port in range(base, base + self.SIZE)):
                self.base = base
                atexit.register(os.unlink, path)
                return
            self._lock.close()
        raise Skip("no block of free ports")

    @staticmethod
    def _is_free(port):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return False
        return True


class Node:
    """One corelayd. Its folder, with identity and log, outlives stop and start."""

    def __init__(self, number, ports, directory, bootstrap=None, environment=None):
        self.number = number
        self.sidecar_port = ports.base + 3 * number
        self.api_port = ports.base + 3 * number + 1
        self.p2p_port = ports.base + 3 * number + 2
        self.sidecar = f"localhost:{self.sidecar_port}"
        self.api = f"127.0.0.1:{self.api_port}"
        self.directory = directory / f"node{number}"
        self.log_path = self.directory / "corelayd.log"
        self.bootstrap = bootstrap
        self.environment = environment or {}
        self.process = None
        self.directory.mkdir(parents=True, exist_ok=True)
        made = subprocess.run([CORELAY, "keygen", "--out", str(self.directory / "identity"), "--output", "json"],
                              check=True, capture_output=True, text=True)
        self.peer_id = json.loads(made.stdout)["peer_id"]

    @property
    def address(self):
        return f"/ip4/127.0.0.1/tcp/{self.p2p_port}/p2p/{self.peer_id}"

    def start(self):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("OPTIMUM_", "GOSSIPSUB_", "CORELAY_"))}
        environment.update({
            "NODE_MODE": "optimum", "CLUSTER_ID": "e2e", "LOG_LEVEL": "debug",
            "SIDECAR_PORT": str(self.sidecar_port), "API_PORT": str(self.api_port),
            "OPTIMUM_PORT": str(self.p2p_port), "IDENTITY_DIR": str(self.directory / "identity"),
            "BOOTSTRAP_PEERS": self.bootstrap.address if self.bootstrap else "",
            "CORELAY_P2P_ADDRESS": "127.0.0.1", "CORELAY_DATAPLANE_PIN_LCORES": "false",
        })
        environment.update(self.environment)
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = start_process([CORELAYD], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s=60.0):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s * TIME_FACTOR)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def get(self, path, timeout_s=5.0):
        """(status, body) of GET; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.api}{path}", timeout=timeout_s * TIME_FACTOR) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def json(self, path):
        status, body = self.get(path)
        assert status == 200, f"node {self.number}: GET {path} answered {status} {body}"
        return json.loads(body)

    def peers(self):
        status, body = self.get("/api/v1/node-state")
        return set(json.loads(body)["peers"]) if status == 200 else set()

    def metrics(self):
        """Every sample of /metrics, summed over its labels."""
        status, body = self.get("/metrics")
        assert status == 200, f"node {self.number}: GET /metrics answered {status}"
        totals = {}
        for line in body.splitlines():
            if line and not line.startswith("#"):
                name = line.split("{")[0].split(" ")[0]
                totals[name] = totals.get(name, 0.0) + float(line.rsplit(" ", 1)[1])
        return totals

    def wait_ready(self, timeout_s=60.0, path="/readyz"):
        """Ready: it has a session with a peer. For a node alone, wait_live()."""
        def look():
            assert self.is_running(), f"node {self.number} ended with {self.process.returncode}"
            return self.get(path, 1.0)[0] == 200
        wait_until(f"node {self.number} to answer {path}", look, timeout_s)

    def wait_live(self):
        self.wait_ready(path="/livez")


class Fleet:
    """Nodes 1 to n; node 1 is the bootstrap peer of the others."""

    def __init__(self, count, environment=None, is_started=True):
        self.ports = Ports()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="corelay-e2e-"))
        atexit.register(shutil.rmtree, self.directory, True)
        self.nodes = []
        for number in range(1, count + 1):
            first = self.nodes[0] if self.nodes else None
            self.nodes.append(Node(number, self.ports, self.directory, first, environment))
        _fleets.append(self)
        if is_started:
            for node in self.nodes:
                node.start()
            self.wait_for_mesh()

    def __getitem__(self, number):
        return self.nodes[number - 1]

    def wait_for_mesh(self, timeout_s=60.0):
        def missing():
            return [(node.number, len(node.peers())) for node in self.nodes if len(node.peers()) < len(self.nodes) - 1]
        wait_until(f"a full mesh (missing {missing()})", lambda: not missing(), timeout_s)
        for node in self.nodes:
            node.wait_ready()

    def others(self, *numbers):
        return [node for node in self.nodes if node.number not in numbers]

    def stop(self):
        for node in self.nodes:
            if node.is_running():
                end_process(node.process)

    def show_logs(self):
        for node in self.nodes:
            if node.log_path.exists():
                lines = node.log_path.read_text(errors="replace").splitlines()
                print(f"--- node {node.number}: the last of {len(lines)} log lines")
                print("\n".join(lines[-25:]))


_fleets = []


class Subscriber:
    """`corelay subscribe --output json`; what it printed gathers in messages."""

    def __init__(self, node, *topics):
        arguments = [CORELAY, "subscribe", "--addr", node.sidecar, "--output", "json"]
        for topic in topics:
            arguments += ["--topic", topic]
        self.node = node
        self.messages = []
        self.process = start_process(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for topic in topics:
            line = self.process.stderr.readline()
            assert line.startswith("Subscribed to topic"), f"node {node.number}: {line}{self.process.stderr.read()}"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            message.pop("message_base64", None)
            self.messages.append(message)

    def digests(self):
        return [message["sha256"] for message in self.messages]

    def wait_for(self, digests, timeout_s=60.0):
        """Waits until every digest has come."""
        wanted = set(digests)
        try:
            wait_until("messages", lambda: wanted <= set(self.digests()), timeout_s)
        except AssertionError:
            lacking = wanted - set(self.digests())
            raise AssertionError(f"node {self.node.number}: {len(lacking)} of {len(wanted)} messages did not come "
                                 f"in {timeout_s} s") from None

    def stop(self):
        end_process(self.process)


def corelay(*arguments, timeout_s=120.0, **options):
    """Runs corelay; returns the finished process with its output as text."""
    return subprocess.run([CORELAY, *arguments], capture_output=True, text=True, timeout=timeout_s * TIME_FACTOR,
                          check=False, **options)


def publish(node, topic, *payloads, timeout_s=120.0):
    """Publishes payloads (bytes) in order through one stream; returns the digests."""
    with tempfile.TemporaryDirectory(prefix="corelay-e2e-") as folder:
        files = []
        for index, payload in enumerate(payloads):
            path = os.path.join(folder, str(index))
            with open(path, "wb") as file:
                file.write(payload)
            files += ["--file", path]
        done = corelay("publish", "--addr", node.sidecar, "--topic", topic, "--output", "json", *files,
                       timeout_s=timeout_s)
    assert done.returncode == 0, f"publish through node {node.number} ended with {done.returncode}: {done.stderr}"
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    digests = [sha256(payload) for payload in payloads]
    assert [reply["message_id"] for reply in replies] == digests
    return digests


def main():
    tests = [(name, value) for name, value in sys.modules["__main__"].__dict__.items() if name.startswith("test_")]
    skipped = 0
    for name, test in tests:
        start = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            test()
        except Skip as reason:
            print(f"SKIPPED {name}: {reason}", flush=True)
            skipped += 1
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            for fleet in _fleets:
                fleet.show_logs()
            print(f"FAILED {name}", flush=True)
            sys.exit(1)
        else:
            print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
        for fleet in _fleets:
            fleet.stop()
        _fleets.clear()
    sys.exit(77 if skipped == len(tests) else 0)
