"""corelay-gateway processes and plain clients of theirs, for the end-to-end tests."""

import base64
import hashlib
import http.client
import json
import os
import socket
import struct
import subprocess
import threading

from fleet import TIME_FACTOR, Ports, end_process, start_process, wait_until

GATEWAY = os.environ["CORELAY_GATEWAY"]


def bytes_allowed(mib):
    """A bound on memory, in bytes; a sanitizer's shadow and redzones come on top of what the gateway uses."""
    with open(GATEWAY, "rb") as file:
        program = file.read()
    is_sanitized = b"__tsan_init" in program or b"__asan_init" in program
    return mib << (23 if is_sanitized else 20)


_ports = []  # held until the end, so that nobody else takes them for free


class Gateway:
    """One corelay-gateway in front of the nodes of a fleet (or of any sidecar addresses)."""

    def __init__(self, sidecars, directory, name="gateway", environment=None, ports=None):
        self.ports = ports or Ports()
        _ports.append(self.ports)
        self.port = self.ports.base
        self.grpc_port = self.ports.base + 1
        self.grpc = f"127.0.0.1:{self.grpc_port}"
        self.sidecars = list(sidecars)
        self.environment = environment or {}
        self.log_path = directory / f"{name}.log"
        self.process = None

    def start(self, wait_ready=True):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("CORELAY_", "PROXY_", "AUTH0_", "P2P_", "GATEWAY_"))}
        environment.update({"P2P_NODES": ",".join(self.sidecars), "GATEWAY_PORT": str(self.port),
                            "PROXY_GRPC_PORT": f":{self.grpc_port}", "LOG_LEVEL": "debug", "CLUSTER_ID": "e2e"})
        environment.update(self.environment)
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = start_process([GATEWAY], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait_ready:
            self.wait_ready()
        return self

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, path="/readyz"):
        def look():
            assert self.is_running(), f"the gateway ended with {self.process.returncode}: {self.log()[-2000:]}"
            try:
                return self.get(path)[0] == 200
            except OSError:
                return False
        wait_until(f"the gateway to answer {path}", look)

    def wait_nodes(self, count):
        wait_until(f"{count} nodes", lambda: self.metrics()["nodes_active_total"] == count)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self):
        end_process(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def request(self, method, path, body=None, headers=None, timeout_s=60.0):
        """(status, text, headers) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s * TIME_FACTOR)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read().decode(errors="replace"), {k.lower(): v for k, v in reply.getheaders()}
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def subscribe(self, client, topic, threshold=None, path="/api/v1/subscribe"):
        body = {"client_id": client, "topic": topic}
        if threshold is not None:
            body["threshold"] = threshold
        status, text, _ = self.post(path, body)
        assert status == 200, (status, text)
        return text

    def publish(self, topic, message, client="publisher", path="/api/v1/publish", **fields):
        status, text, _ = self.post(path, {"client_id": client, "topic": topic, "message": message, **fields})
        assert status == 200, (status, text)
        return json.loads(text)

    def metrics(self):
        """Every sample of /metrics, summed over its labels."""
        totals = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name = line.split("{")[0].split(" ")[0]
                totals[name] = totals.get(name, 0.0) + float(line.rsplit(" ", 1)[1])
        return totals


class WebSocket:
    """A small WebSocket client: what it got is in frames, as (opcode, payload)."""

    def __init__(self, gateway, query, path="/api/v1/ws", headers=None, is_reading=True):
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=60 * TIME_FACTOR)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path}?{query} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(65536)
            if not data:
                break
            head += data
        head, _, self.buffer = head.partition(b"\r\n\r\n")
        self.status = int(head.split()[1]) if head else 0
        self.head = head.decode(errors="replace")
        self.frames = []
        self.is_closed = False
        self.close_code = None
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            assert accept.decode() in self.head, self.head
            if is_reading:
                self.read_in_background()

    def read_in_background(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _take(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(262144)
            if not data:
                raise ConnectionError("closed")
            self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read_frame(self):
        first, second = self._take(2)
        size = second & 127
        if size == 126:
            size = struct.unpack(">H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._take(8))[0]
        assert second & 128 == 0, "a server does not mask"
        return first & 15, self._take(size)

    def _read(self):
        try:
            while True:
                opcode, payload = self.read_frame()
                if opcode == 9:
                    self.send(payload, opcode=10)
                elif opcode == 8:
                    self.close_code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                elif opcode != 10:
                    self.frames.append((opcode, payload))
        except (OSError, ConnectionError, ValueError):
            self.is_closed = True

    def send(self, payload, opcode=1, is_final=True):
        payload = payload.encode() if isinstance(payload, str) else payload
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([(0x80 if is_final else 0) | opcode])
        head += bytes([0x80 | size]) if size < 126 else (
            bytes([0x80 | 126]) + struct.pack(">H", size) if size < 65536
            else bytes([0x80 | 127]) + struct.pack(">Q", size))
        masked = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload)) if size < 4096 else _masked(payload, mask)
        self.socket.sendall(head + mask + masked)

    def send_json(self, value):
        self.send(json.dumps(value))

    def texts(self):
        return [payload.decode(errors="replace") for _, payload in self.frames]

    def json(self, kind=None):
        values = [json.loads(payload) for opcode, payload in list(self.frames) if opcode == 1]
        return [value for value in values if kind is None or value.get("type") == kind]

    def payloads(self):
        return [base64.b64decode(value["message"]) for value in self.json("message")]

    def wait_for(self, count, timeout_s=60.0):
        wait_until(f"{count} frames", lambda: len(self.frames) >= count, timeout_s)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def _masked(payload, mask):
    whole = int.from_bytes(payload, "big")
    stretched = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (whole ^ int.from_bytes(stretched, "big")).to_bytes(len(payload), "big")
