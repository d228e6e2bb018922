"""Real corelayd processes in the lab's namespaces, and the driver that speaks to their sidecars."""
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

from . import network

TOPIC = "lab"
SIDECAR_PORT = 33212
API_PORT = 9090
START_S = 30
MESH_S = 60


def build_folder():
    """Where the programs are: $CORELAY_BUILD, or the dev preset's folder."""
    root = pathlib.Path(__file__).resolve().parents[2]
    return pathlib.Path(os.environ.get("CORELAY_BUILD") or root / "build/dev")


class Node:
    """One corelayd on node `number`'s link. Its APIs are on the control link, its identity survives a restart."""

    def __init__(self, number, folder, settings):
        self.number = number
        self.folder = folder
        self.settings = settings
        self.process = None
        (folder / "identity").mkdir(parents=True)

    def start(self, bootstrap):
        address = network.Network.control_address(self.number)
        settings = {
            "node.identity_dir": self.folder / "identity",
            "node.cluster_id": "lab",
            "node.bootstrap_peers": ",".join(bootstrap),
            "p2p.address": network.Network.mesh_address(self.number),
            "sidecar.address": address, "sidecar.port": SIDECAR_PORT,
            "api.address": address, "api.port": API_PORT,
            **self.settings,
        }
        command = [build_folder() / "bin/corelayd"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{network.Network.namespace(self.number)}", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def api(self, path):
        """An answer of the node's HTTP API: parsed where it is JSON, text otherwise."""
        url = f"http://{network.Network.control_address(self.number)}:{API_PORT}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith("{") else text

    def mesh_peers(self):
        """How many mesh peers the node has for the lab's topic."""
        found = self.api(f"/api/v1/topics?topic={TOPIC}")["topics"]
        return found[0]["mesh_peers"] if found else 0

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log_tail(self, lines=30):
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and waits for the end."""
        if self.alive():
            self.process.kill()
        self.process.wait()

    def stop(self, timeout_s=20):
        """SIGTERM; returns the exit code. One that does not end in time is killed and counts as -9."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9


class Driver:
    """build/<preset>/bench/lab_driver: one process that subscribes at every sidecar and publishes at any."""

    def __init__(self, log):
        self.process = subprocess.Popen([build_folder() / "bench/lab_driver", TOPIC], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=log, text=True)
        self.events = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put({"event": "end"})

    def _tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def _wait(self, event, timeout_s):
        end = time.monotonic() + timeout_s
        while True:
            try:
                found = self.events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise RuntimeError(f"the driver said no {event!r} within {timeout_s} s") from None
            if found["event"] == "end":
                raise RuntimeError("the driver ended")
            if found["event"] == "error":
                raise RuntimeError(found["what"])
            if found["event"] == event:
                return found

    def connect(self, number):
        self._tell("connect", number, f"{network.Network.control_address(number)}:{SIDECAR_PORT}")

    def begin(self, publisher, size, expect, timeout_s):
        """Publishes `size` bytes and returns when the sidecar has them; finish() tells how they arrived."""
        self._tell("publish", publisher, size, int(timeout_s * 1000), ",".join(map(str, expect)))
        self._wait("published", timeout_s + 30)

    def finish(self, timeout_s):
        """{"arrivals": {node: ms from the publish call}, "delivered": the same by the nodes' own clocks where they send
        traces, "duplicates", "corrupt"} of the message begun."""
        found = self._wait("result", timeout_s + 60)
        for key in ("arrivals", "delivered"):
            found[key] = {int(node): ms for node, ms in found[key].items()}
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class Lab:
    """A network, a node on each of its links, and the driver. Node 1 is everyone's bootstrap peer."""

    def __init__(self, count=8, rate_mbit=100, degree=(4, 3, 4), settings=None, hosts=0):
        """`hosts`: so many links more, numbered behind the nodes, with no node on them."""
        target, least, most = degree
        self._open(count, network.Network(count + hosts, rate_mbit), {
            "mesh.degree_target": target, "mesh.degree_min": least, "mesh.degree_max": most, **(settings or {})})

    def _open(self, count, links, settings, settings_of=lambda number: {}):
        self._temporary = tempfile.TemporaryDirectory(prefix="corelay-lab-")
        self.folder = pathlib.Path(self._temporary.name)
        self.network = links
        node_settings = {
            # Many nodes share this machine's cores: none may take one for itself.
            "dataplane.pin_lcores": "false", "dataplane.idle": "polite", "dataplane.lanes": 1,
            "sidecar.traces": "false", **settings,
        }
        self.nodes = {number: Node(number, self.folder / f"node{number}", {**node_settings, **settings_of(number)})
                      for number in range(1, count + 1)}
        self._driver_log = open(self.folder / "driver.log", "w")
        self.driver = Driver(self._driver_log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.driver.close()
        self._driver_log.close()
        running = [node for node in self.nodes.values() if node.process]
        for node in running:
            node.process.kill()
        for node in running:
            node.kill()
        self._temporary.cleanup()

    def keep_logs(self, folder):
        """Copies every log into a folder that stays."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "driver.log", folder / "driver.log")
        for number, node in self.nodes.items():
            if (node.folder / "log").exists():
                shutil.copy(node.folder / "log", folder / f"node{number}.log")

    def check_alive(self):
        """Raises, with the end of its log, if a node has ended by itself."""
        for node in self.nodes.values():
            if node.process and node.process.poll() not in (None, 0, -signal.SIGKILL):
                raise RuntimeError(f"node {node.number} ended with {node.process.returncode}:\n{node.log_tail()}")

    def _until(self, what, timeout_s, condition):
        end = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            try:
                if condition():
                    return
            except OSError:
                pass  # an API that does not listen yet
            if time.monotonic() > end:
                logs = "\n".join(f"--- node {node.number}\n{node.log_tail(12)}" for node in self.nodes.values())
                raise RuntimeError(f"not within {timeout_s} s: {what}; mesh peers {self.degrees()}\n{logs}")
            time.sleep(0.1)

    def bootstraps(self, number):
        """Whom a node dials first: running ones."""
        return [] if number == 1 else [1]

    def address(self, number):
        """The multiaddress of a running node."""
        identity = self.nodes[number].api("/api/v1/node-state")["pub_key"]
        return f"/ip4/{self.network.mesh_address(number)}/tcp/7070/p2p/{identity}"

    def start_node(self, number):
        """Starts one node and subscribes there; returns when its API says so."""
        node = self.nodes[number]
        node.start([self.address(other) for other in self.bootstraps(number)])
        self._until(f"node {number} ready", START_S, lambda: node.api("/api/v1/health")["status"] == "ok")
        self.driver.connect(number)
        self._until(f"node {number} subscribed", START_S, lambda: TOPIC in node.api("/api/v1/node-state")["topics"])

    def wait_mesh(self, numbers=None):
        """Returns when each of the nodes (all) has at least the least degree of mesh peers."""
        for number in numbers or self.nodes:
            node = self.nodes[number]
            least = int(node.settings["mesh.degree_min"])
            self._until(f"node {number} has {least} mesh peers", MESH_S, lambda: node.mesh_peers() >= least)

    def degrees(self):
        """Mesh peers of every running node."""
        return {number: node.mesh_peers() for number, node in self.nodes.items() if node.alive()}

    def start_all(self):
        for number in self.nodes:
            self.start_node(number)
        self.wait_mesh()

    def put_packets_first(self):
        """Threads that carry packets go before those that encode for clients, as on a machine with a core for each:
        dozens of nodes share a few cores here, and a thread woken would wait for the time slice of another. Not where
        the system does not permit it."""
        for node in self.nodes.values():
            for task in pathlib.Path(f"/proc/{node.process.pid}/task").iterdir():
                if int(task.name) == node.process.pid or (task / "comm").read_text().startswith("lcore"):
                    try:
                        os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(2))
                    except PermissionError:
                        return

    def publish(self, publisher, size, timeout_s=30, expect=None):
        """One message; returns the driver's result. `expect`: the nodes to wait for (all but the publisher)."""
        expect = [number for number in self.nodes if number != publisher] if expect is None else expect
        self.driver.begin(publisher, size, expect, timeout_s)
        result = self.driver.finish(timeout_s)
        self.check_alive()
        return result
