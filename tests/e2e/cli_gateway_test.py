"""corelay publish and subscribe through real gateways: formats, thresholds, files, webhooks, lost connections."""

import http.server
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import tempfile
import threading
import time

from fleet import CORELAY, Fleet, corelay, main, start_process, wait_until
from gateway import Gateway


def failed(done, code, *words):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, (word, done.stderr)


class Listener:
    """`corelay subscribe` through a gateway, in JSON."""

    def __init__(self, url, *arguments, environment=None):
        self.process = start_process([CORELAY, "subscribe", "--service-url", url, "--output", "json", *arguments],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.notes, self.messages = [], []
        threading.Thread(target=self._read, args=(self.process.stderr, self.notes), daemon=True).start()
        threading.Thread(target=self._read, args=(self.process.stdout, self.messages), daemon=True).start()
        self.wait_note("Subscribed to topic")

    @staticmethod
    def _read(pipe, lines):
        for line in pipe:
            lines.append(line)

    def wait_note(self, text):
        def look():
            assert self.process.poll() is None or any(text in note for note in self.notes), self.notes
            return any(text in note for note in self.notes)
        wait_until(f"{text!r} in {self.notes}", look)

    def texts(self):
        return [json.loads(line).get("message") for line in list(self.messages)]

    def wait_for(self, count):
        wait_until(f"{count} messages", lambda: len(self.messages) >= count)

    def end(self):
        self.process.terminate()
        code = self.process.wait(30)
        time.sleep(0.1)
        return code


class Wire:
    """A TCP relay to a gateway that can be cut and mended."""

    def __init__(self, port):
        self.target, self.is_cut, self.sockets = port, False, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.server.accept()
            if self.is_cut:
                client.close()
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        self.sockets += [client, server]
        try:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        raise OSError
                    (server if ready is client else client).sendall(data)
        except (OSError, ValueError):
            pass
        for end in (client, server):
            end.close()

    def cut(self):
        self.is_cut = True
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sockets = []


class Hook:
    """Takes POSTs; answers after a pause, with a status."""

    def __init__(self, pause_s=0.0, status=200):
        hook = self
        self.bodies, self.types = [], []

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.types.append(self.headers["Content-Type"])
                hook.bodies.append(body)
                time.sleep(pause_s)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "4")
                    self.end_headers()
                    self.wfile.write(b"nope")
                except OSError:
                    self.close_connection = True  # who asked has stopped waiting

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def network(nodes=2, **environment):
    fleet = Fleet(nodes)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment=environment).start()
    gateway.wait_nodes(nodes)
    return fleet, gateway, f"http://127.0.0.1:{gateway.port}"


def publish(url, topic, *messages):
    """Each line of standard input is a message."""
    done = corelay("publish", "--service-url", url, "--topic", topic, "--lines", input="\n".join(messages))
    assert done.returncode == 0, done.stderr


class WebServer:
    """Answers every GET with a page, and every other request with 404, as many a web server does."""

    def __init__(self):
        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer(200, b'{"info": {"title": "Pets"}, "sidecar": {}}')

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(404, b"nothing here")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_another_server_is_not_taken_for_one_of_ours():
    other = WebServer()
    message = ["--topic", "t", "--message", "m"]
    for words, code in ((["publish", "--service-url", f"http://{other.address}", *message], 4),
                        (["publish", "--addr", other.address, *message], 3),
                        (["subscribe", "--service-url", f"http://{other.address}", "--topic", "t"], 4)):
        done = corelay(*words)
        failed(done, code, other.address)
        for false in ("of a node", "of a gateway"):
            assert false not in done.stderr, done.stderr


def test_the_record_of_the_fleet_is_read_once():
    """What `corelay up` wrote says where gRPC is; the fleet may end, and its record go, while a command runs."""
    _, gateway, url = network()
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder, "fleet.json")
        member = {"number": 1, "pid": 1, "start_ticks": 1, "port": gateway.port, "grpc_port": gateway.grpc_port}
        record.write_text(json.dumps({"nodes": [], "gateways": [member]}))
        listener = Listener(url, "--topic", "t", "--grpc", environment={**os.environ, "CORELAY_DIR": folder})
        publish(url, "t", "one")
        listener.wait_for(1)
        record.unlink()
    gateway.stop()
    gateway.start()
    gateway.wait_nodes(2)
    listener.wait_note("Connected to")
    publish(url, "t", "two")
    listener.wait_for(2)
    assert listener.texts() == ["one", "two"]
    assert listener.end() == 0
    gateway.stop()


def test_publish_and_subscribe():
    fleet, gateway, url = network()
    grpc = ["--grpc", "--grpc-port", str(gateway.grpc_port)]
    failed(corelay("publish", "--service-url", url, "--topic", "t", "--message", "m"), 4, "topic not assigned",
           "subscribe")
    failed(corelay("publish", "--service-url", url, *grpc, "--topic", "t", "--message", "m"), 4, "topic not assigned")
    kept = fleet.directory / "kept"
    listeners = [Listener(url, "--topic", "t", "--client-id", "me", "--persist", f"{kept}/"),
                 Listener(url, "--topic", "t", *grpc), Listener(url, "--topic", "t", "--threshold", "1")]
    done = corelay("publish", "--service-url", url, "--topic", "t", "--message", "hello")
    assert done.returncode == 0 and done.stdout == 'Published "hello" to "t"\n', done
    again = corelay("publish", "--service-url", url, "--topic", "t", "--message", "hello", "--dedup")
    assert again.stdout == 'Already there: "hello" to "t"\n', again
    assert "less than two minutes ago" in again.stderr and "Over HTTP, without --dedup" in again.stderr, again
    assert corelay("publish", "--service-url", url, "--topic", "t", "--message", "hello").returncode == 0  # a new one
    binary = fleet.directory / "binary"
    binary.write_bytes(bytes(range(256)) * 2000)
    done = corelay("publish", "--service-url", url, "--topic", "t", "--file", str(binary), "--output", "json")
    assert json.loads(done.stdout)["bytes"] == 512_000, done
    done = corelay("publish", "--service-url", url, *grpc, "--topic", "t", "--message", "two\nlines", "--debug")
    assert done.returncode == 0 and re.search(r"Publish:\tsender_info:.*, \[send_time, size\]:\[\d{19}, 9\]\ttopic:t"
                                              r"\tmsg_hash:[0-9a-f]{8}\tprotocol:gRPC", done.stderr), done
    for listener in listeners:
        listener.wait_for(4)
        assert listener.texts() == ["hello", "hello", None, "two\nlines"], listener.texts()
        assert json.loads(listener.messages[2])["bytes"] == 512_000
        assert listener.end() == 0
    lines = (kept / "messages.log").read_text().splitlines()
    assert len(lines) == 4 and all(re.match(r"\[20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\] ", line) for line in lines), lines
    assert lines[0].endswith("] hello") and "] base64:AAEC" in lines[2] and lines[3].endswith(r'] "two\nlines"')
    # A name of our own keeps its place; one made for the run leaves nothing behind.
    topics = json.loads(corelay("list", "--service-url", url, "--client-id", "me", "--output", "json").stdout)
    assert topics["topics"] == ["t"], topics
    publish(url, "t", "while away")
    later = corelay("subscribe", "--service-url", url, "--topic", "t", "--client-id", "me", "--count", "1", "--raw",
                    "--timeout", "20s")
    assert later.stdout == "while away", later
    gateway.stop()


def test_the_same_bytes_at_a_node_and_empty_lines():
    fleet, gateway, url = network()
    listener = Listener(url, "--topic", "t")
    empty = fleet.directory / "empty"
    empty.write_bytes(b"")
    failed(corelay("publish", "--service-url", url, "--topic", "t", "--file", str(empty)), 4,
           "message is empty (0 bytes)", "--grpc", "--addr")
    grpc = ["--grpc", "--grpc-port", str(gateway.grpc_port)]
    done = corelay("publish", "--service-url", url, *grpc, "--topic", "none", "--message", "")
    failed(done, 4, "topic not assigned")  # the gateway's word, not ours
    other = Listener(url, "--topic", "empty")
    assert corelay("publish", "--service-url", url, *grpc, "--topic", "empty", "--message", "").returncode == 0
    other.wait_for(1)
    assert json.loads(other.messages[0])["bytes"] == 0, other.messages
    other.end()
    for size, said in (("16.1MiB", "message of 168820"), ("18MiB", "request of 188744")):
        far = corelay("publish", "--service-url", url, *grpc, "--topic", "t", "--random", size)
        failed(far, 4, said, "is over delivery.message_bytes_max = 16777216 bytes")
        assert "again later" not in far.stderr, far.stderr
    at_node = ["publish", "--addr", fleet[1].sidecar, "--topic", "t", "--message", "once"]
    assert corelay(*at_node).returncode == 0
    failed(corelay(*at_node), 4, "duplicate", "--service-url in place of --addr")
    publish(url, "t", "first", "", "", "second", "")
    listener.wait_for(3)
    assert listener.texts() == ["once", "first", "second"], listener.texts()
    assert listener.end() == 0
    gateway.stop()


def test_a_lost_connection_loses_nothing():
    _, gateway, url = network()
    wire = Wire(gateway.port)
    listener = Listener(wire.url, "--topic", "t")
    publish(url, "t", *[f"a{i}" for i in range(20)])
    listener.wait_for(20)
    wire.cut()
    listener.wait_note("is lost")
    publish(url, "t", *[f"b{i}" for i in range(20)])
    wire.is_cut = False
    listener.wait_note("going on behind the last message")
    publish(url, "t", *[f"c{i}" for i in range(5)])
    listener.wait_for(45)
    assert listener.texts() == [f"a{i}" for i in range(20)] + [f"b{i}" for i in range(20)] + [f"c{i}" for i in range(5)]
    assert listener.end() == 0 and any("45 messages received" in note for note in listener.notes), listener.notes
    gateway.stop()


def test_what_left_the_window_is_told():
    _, gateway, url = network(CORELAY_REPLAY_MESSAGES_MAX="16")
    wire = Wire(gateway.port)
    listener = Listener(wire.url, "--topic", "t")
    publish(url, "t", "first")
    listener.wait_for(1)
    wire.cut()
    listener.wait_note("is lost")
    publish(url, "t", *[f"m{i}" for i in range(50)])
    wire.is_cut = False
    listener.wait_note("Lagged:")
    count = int(re.search(r"Lagged: ([\d,]+) message", "".join(listener.notes)).group(1))
    assert 0 < count < 50, listener.notes
    listener.wait_for(51 - count)
    assert listener.texts() == ["first"] + [f"m{i}" for i in range(count, 50)]
    listener.end()
    gateway.stop()


def test_the_next_gateway_takes_over():
    fleet, first, url = network()
    second = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, name="second").start()
    second.wait_nodes(2)
    other = f"http://127.0.0.1:{second.port}"
    listener = Listener(f"{url},{other}", "--topic", "t")
    publish(url, "t", "one")
    listener.wait_for(1)
    first.kill()
    listener.wait_note(f"Connected to {other} again")
    done = corelay("publish", "--service-url", f"{url},{other}", "--topic", "t", "--message", "two")
    assert done.returncode == 0, done.stderr
    listener.wait_for(2)
    assert listener.texts() == ["one", "two"]
    listener.end()
    failed(corelay("publish", "--service-url", url, "--topic", "t", "--message", "m"), 3, url, "connection refused",
           "--service-url")
    second.stop()


def test_webhook():
    _, gateway, url = network()
    plain, filled = Hook(), Hook()
    schema = '{"content":"{{.Message}}","about":["{{ .Topic }}","{{.ClientID}}","{{.MessageID}}","{{.Timestamp}}"]}'
    listeners = [Listener(url, "--topic", "t", "--webhook", plain.url),
                 Listener(url, "--topic", "t", "--client-id", "me", "--webhook", filled.url, "--webhook-schema",
                          schema)]
    publish(url, "t", 'say "hi" \\ now', '{"a": 1}')
    for listener, hook in zip(listeners, (plain, filled)):
        wait_until("two posts", lambda hook=hook: len(hook.bodies) == 2)
        listener.end()
        assert "Webhook: 2 sent, 0 failed, 0 dropped\n" in listener.notes, listener.notes
    assert plain.bodies == [b'say "hi" \\ now', b'{"a": 1}']
    assert plain.types == ["text/plain; charset=utf-8", "application/json"], plain.types
    first = json.loads(filled.bodies[0])
    assert first["content"] == 'say "hi" \\ now' and first["about"][:2] == ["t", "me"], first
    assert re.fullmatch("[0-9a-f]{64}", first["about"][2]) and first["about"][3].endswith("Z"), first
    assert json.loads(filled.bodies[1])["content"] == '{"a": 1}'
    for bad, words in (("{{.Message}}", "double quotes"), ('{"a":"{{.Colour}}"}', "{{.Colour}}"),
                       ('{"a":"{{.Message"}', "'}}'"), ('{"a":"{{.Message}}"', "no valid JSON"), ("@/none", "/none")):
        done = corelay("subscribe", "--service-url", url, "--topic", "t", "--webhook", plain.url, "--webhook-schema",
                       bad)
        failed(done, 2, "--webhook-schema", words)
    failed(corelay("subscribe", "--topic", "t", "--webhook-schema", "{}"), 2, "--webhook")
    failed(corelay("subscribe", "--service-url", url, "--topic", "t", "--webhook", "ftp://x"), 2, "--webhook", "http")
    gateway.stop()


def test_a_slow_webhook_holds_up_nobody():
    _, gateway, url = network()
    slow, refusing = Hook(pause_s=1.0), Hook(status=500)
    listeners = [Listener(url, "--topic", "t", "--webhook", slow.url, "--webhook-queue-size", "2"),
                 Listener(url, "--topic", "t", "--webhook", slow.url, "--webhook-timeout", "100ms"),
                 Listener(url, "--topic", "t", "--webhook", refusing.url)]
    publish(url, "t", *[f"m{i}" for i in range(12)])
    for listener in listeners:
        listener.wait_for(12)
        assert listener.end() == 0
    counts = []
    for listener in listeners:
        told = re.search(r"Webhook: (\d+) sent, (\d+) failed, (\d+) dropped", "".join(listener.notes))
        counts.append([int(count) for count in told.groups()])
    assert all(sum(count) == 12 for count in counts), counts
    assert counts[0][2] >= 8 and counts[0][0] >= 1 and counts[0][1] == 0, counts
    assert any("Webhook queue full (2), message dropped" in note for note in listeners[0].notes), listeners[0].notes
    assert counts[1][0] == 0 and counts[1][1] >= 1, counts
    assert counts[2][:2] == [0, 12], counts
    assert any("status 500: nope" in note for note in listeners[2].notes), listeners[2].notes
    gateway.stop()


def test_what_answers_is_no_gateway():
    fleet, gateway, url = network()
    failed(corelay("health", "--service-url", fleet[1].sidecar), 3, "gRPC port", "GATEWAY_PORT")
    failed(corelay("publish", "--service-url", url, "--grpc", "--grpc-port", "1", "--topic", "t", "--message", "m"), 3,
           "127.0.0.1:1", "connection refused", "--grpc-port")
    failed(corelay("subscribe", "--service-url", url, "--grpc", "--grpc-port", "1", "--topic", "t"), 3, "--grpc-port")
    failed(corelay("health", "--service-url", f"https://127.0.0.1:{gateway.port}"), 3, "TLS")
    failed(corelay("health", "--service-url", "http://[::1"), 2, "--service-url", "']'")
    failed(corelay("usage", "--service-url", url), 1, "authentication is off")
    failed(corelay("publish", "--addr", fleet[1].sidecar, "--grpc", "--topic", "t", "--message", "m"), 2, "--addr")
    failed(corelay("subscribe", "--topic", "t", "--threshold", "70"), 2, "--threshold", "'70'", "from 0.1 to 1.0")
    healthy = corelay("health", "--service-url", url)
    assert healthy.returncode == 0 and healthy.stdout.startswith("Gateway     "), healthy
    assert "Status      ok" in healthy.stdout and not healthy.stderr, healthy
    node = corelay("health", "--service-url", f"http://{fleet[1].api}")
    assert node.returncode == 0 and node.stdout.startswith("Node        "), node
    assert "not a gateway" in node.stderr, node
    node = fleet[1]
    failed(corelay("publish", "--service-url", node.api, "--topic", "t", "--message", "m"), 3, "no gateway at",
           "the HTTP API of a node, not of a gateway", "--addr")
    for words in (["publish", "--message", "m"], ["subscribe"]):
        wrong = ["--service-url", url, "--grpc", "--grpc-port", str(node.sidecar_port)]
        failed(corelay(*words, *wrong, "--topic", "t"), 3,
               "no gateway's gRPC", str(node.sidecar_port), "not as a gateway", "--grpc-port")
        failed(corelay(*words, "--addr", f"127.0.0.1:{gateway.port}", "--topic", "t"), 3,
               f"127.0.0.1:{gateway.port} is the HTTP API of a gateway", f"--service-url with {url} in place of --addr")
        failed(corelay(*words, "--addr", gateway.grpc, "--topic", "t"), 3,
               f"{gateway.grpc} is the gRPC port of a gateway", "--service-url", "SIDECAR_PORT")
    for question in ("health", "state", "peers"):
        failed(corelay("node", question, "--api", f"127.0.0.1:{gateway.port}"), 3, "the HTTP API of a gateway",
               f"'corelay health --service-url' with {url}", "API_PORT")
        failed(corelay("node", question, "--api", gateway.grpc), 3, "the gRPC port of a gateway", "API_PORT")
    for node in fleet.nodes:
        node.kill()
    wait_until("no nodes", lambda: gateway.metrics()["nodes_active_total"] == 0)
    done = corelay("health", "--service-url", url)
    failed(done, 3, "none of its nodes")
    assert "Status      no nodes" in done.stdout, done
    gateway.stop()


main()
