"""Bad input to a gateway: each gets a clear answer, nothing crashes, memory stays bounded."""

import json
import resource
import socket
import time

from fleet import Fleet, Skip, main, wait_until
from gateway import Gateway, WebSocket, bytes_allowed


def alone(environment=None):
    """A gateway with no node behind it: its own parsing needs none."""
    fleet = Fleet(0)
    gateway = Gateway(["127.0.0.1:1"], fleet.directory, environment=environment)
    gateway.start(wait_ready=False)
    gateway.wait_ready("/livez")
    return fleet, gateway


def raw(gateway, data, timeout_s=20.0):
    """What comes back for bytes, until the gateway closes or says a whole answer."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout_s) as connection:
        connection.sendall(data)
        reply = b""
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    break
                reply += data
                if b"\r\n\r\n" in reply and b"keep-alive" in reply:
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        return reply.decode(errors="replace")


def status_of(reply):
    return int(reply.split()[1]) if reply.startswith("HTTP/1.1 ") else 0


def test_requests():
    _, gateway = alone({"CORELAY_DELIVERY_MESSAGE_BYTES_MAX": "65536"})
    host = b" HTTP/1.1\r\nHost: x\r\n"
    for data, status in [
            (b"nonsense\r\n\r\n", 400),
            (b"\x00\x01\x02\x03\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (b"GET /nowhere" + host + b"\r\n", 404),
            (b"GET /../../etc/passwd" + host + b"\r\n", 404),
            (b"GET /api/v1/../../etc/passwd" + host + b"\r\n", 404),
            (b"GET /%2e%2e/%2e%2e/etc/passwd" + host + b"\r\n", 404),
            (b"GET /%zz" + host + b"\r\n", 400),
            (b"GET /a%00b" + host + b"\r\n", 400),
            (b"GET //////" + host + b"\r\n", 404),
            (b"DELETE /api/v1/publish" + host + b"\r\n", 405),
            (b"GET /api/v1/publish" + host + b"\r\n", 405),
            (b"BREW /livez" + host + b"\r\n", 405),
            (b"GET /livez" + host + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431),
            (b"GET /" + b"y" * 40000, 431),
            (b"POST /api/v1/publish" + host + b"Content-Length: 99999999999\r\n\r\n", 413),
            (b"POST /api/v1/publish" + host + b"Content-Length: -5\r\n\r\n", 400),
            (b"POST /api/v1/publish" + host + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
            (b"POST /api/v1/publish" + host + b"Content-Length: 2\r\n\r\n\xff\xfe", 400),
            (b"POST /api/v1/publish" + host + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
            (b"POST /api/v1/publish" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            (b"POST /api/v1/publish" + host + b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", 413),
            (b"POST /api/v1/publish" + host + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (b"POST /api/v1/../v1/publish" + host + b"Content-Length: 2\r\n\r\n{}", 404),
            (b"POST /api/v1//publish" + host + b"Content-Length: 2\r\n\r\n{}", 404),
            (b"GET /api/v1/topics//stream" + host + b"\r\n", 404),
            (b"GET /api/v1/topics/%ff/stream" + host + b"\r\n", 400),
            (b"GET /api/v1/topics/" + b"t" * 256 + b"/stream" + host + b"\r\n", 400),
            (b"GET /api/v1/ws?client_id=c" + host + b"\r\n", 426),
            (b"GET /api/v1/ws?client_id=c" + host + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 8\r\n\r\n", 426)]:
        reply = raw(gateway, data)
        assert status_of(reply) == status, (data[:80], reply[:300])
        assert "root:" not in reply
    for query, part in [("", "missing client ID"), ("client_id=c&format=xml", "format"),
                        ("client_id=c&offset=x", "offset"), ("client_id=%ff", "UTF-8"),
                        ("client_id=" + "c" * 257, "at most 256 bytes")]:
        refused = WebSocket(gateway, query)
        assert refused.status == 400 and part in (refused.head + refused.buffer.decode()), refused.head
    deep = "[" * 100000
    for body in ("", "null", "5", '"text"', "[]", deep, '{"topic":' + deep,
                 '{"topic":"\ud800"}'.encode("utf-8", "surrogatepass"),
                 '{"client_id":{"a":1},"topic":"t"}', '{"client_id":"c","topic":["t"]}',
                 '{"client_id":"c","topic":"t","message":"m","timestamp":"now"}'):
        status, text, _ = gateway.post("/api/v1/publish", body)
        assert status == 400 and json.loads(text)["error"], (body[:50], status, text)
    gateway.subscribe("c", "t")
    status, text, _ = gateway.post("/api/v1/publish", {"client_id": "c", "topic": "t", "message": "x" * 65537})
    assert status == 413 and "delivery.message_bytes_max" in text, (status, text)
    status, text, _ = gateway.post("/api/v1/publish", {"client_id": "c", "topic": "t", "message_length": 10**15})
    assert status == 413, (status, text)
    assert gateway.post("/api/v1/subscribe", {"client_id": "c" * 1000, "topic": "t"})[0] == 400
    assert gateway.post("/api/v1/subscribe", {"client_id": "c", "topic": "t" * 1000})[0] == 400
    assert gateway.post("/api/v1/publish", {"client_id": "c" * 257, "topic": "t", "message": "m"})[0] == 400
    assert gateway.post("/api/v1/publish", {"client_id": "c", "topic": "t", "message": "m"})[0] == 503
    assert gateway.get("/livez")[0] == 200
    gateway.stop()


def test_an_empty_body_in_small_pieces():
    """The five bytes that end a body of unknown length, in every pair of cuts that leaves one alone."""
    _, gateway = alone()
    for cut in range(1, 5):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(b"POST /api/v1/publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"0\r\n\r\n"[:cut], b"0\r\n\r\n"[cut:cut + 1], b"0\r\n\r\n"[cut + 1:]):
                time.sleep(0.05)
                client.sendall(part)
            assert status_of(client.recv(65536).decode()) == 400
    gateway.stop()


def trickle(gateway, data):
    """What is answered to one byte every tenth of a second."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as slow:
        slow.settimeout(0.1)
        for byte in data:
            try:
                slow.sendall(bytes([byte]))
                return slow.recv(65536).decode()
            except TimeoutError:
                pass
    return ""


def test_slow_requests():
    _, gateway = alone({"CORELAY_HTTP_TIMEOUT_MS": "1000", "CORELAY_HTTP_IDLE_MS": "1500"})
    for slow in (b"GET /livez HTTP/1.1\r\nHost: " + b"x" * 100, b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 20):
        start = time.monotonic()
        reply = trickle(gateway, slow)
        assert status_of(reply) == 408 and "http.timeout_ms" in reply, reply
        assert time.monotonic() - start < 10
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as slow:
        slow.sendall(b"POST /api/v1/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert status_of(slow.recv(65536).decode()) == 408
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as idle:
        assert idle.recv(1) == b""
    assert gateway.metrics()["corelay_gateway_timeouts_total"] >= 4
    gateway.stop()


def test_more_connections_than_allowed():
    _, gateway = alone({"CORELAY_HTTP_CONNECTIONS_MAX": "5"})
    wait_until("the test's own connections to be gone", lambda: gateway.metrics()["corelay_gateway_connections"] == 1)
    idle = [socket.create_connection(("127.0.0.1", gateway.port), timeout=20) for _ in range(5)]
    for connection in idle[:4]:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(connection.recv(65536).decode()) == 200
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as one_more:
        reply = one_more.recv(65536).decode()
        assert status_of(reply) == 503 and "too many connections" in reply, reply
    for connection in idle:
        connection.close()
    wait_until("room", lambda: gateway.get("/livez")[0] == 200)
    assert gateway.metrics()["corelay_gateway_connections_refused_total"] >= 1
    gateway.stop()


def test_frames():
    _, gateway = alone({"CORELAY_DELIVERY_MESSAGE_BYTES_MAX": "65536"})
    for data, code in [(b"\x81\x05hello", 1002), (b"\xff\x80mask", 1002), (b"\x83\x80mask", 1002),
                       (b"\x89\xfe\x00\x7emask", 1002), (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffmask", 1009),
                       (b"\x81\x81\x00\x00\x00\x00\xff", 1007)]:
        client = WebSocket(gateway, "client_id=c")
        client.socket.sendall(data)
        wait_until("the close", lambda: client.is_closed)
        assert client.close_code == code, (data, client.close_code)
    client = WebSocket(gateway, "client_id=c")
    for text in ("", "x", "[]", "{}", '{"type":"publish"}', '{"type":"publish","topic":5}', '{"topic":"t"}'):
        client.send(text)
    client.wait_for(7)
    assert all(answer["type"] == "error" and answer["error"] for answer in client.json())
    gateway.stop()


def test_many_idle_connections():
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted + 200:
        raise Skip(f"{hard} file descriptors at most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 200, hard))
    _, gateway = alone()
    before = gateway.metrics()["process_resident_memory_bytes"]
    connections = []
    for i in range(wanted):
        connections.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=20))
        if i % 3 == 0:
            connections[-1].sendall(b"GET /livez HTTP/1.1\r\n")
    metrics = gateway.metrics()
    grown = metrics["process_resident_memory_bytes"] - before
    assert metrics["corelay_gateway_connections"] > wanted * 0.9, metrics["corelay_gateway_connections"]
    print(f"    {wanted} idle connections: {grown / wanted:,.0f} bytes each")
    assert grown < bytes_allowed(200), grown
    start = time.monotonic()
    assert gateway.get("/livez")[0] == 200
    assert time.monotonic() - start < 5
    for connection in connections:
        connection.close()
    wait_until("them to be gone", lambda: gateway.metrics()["corelay_gateway_connections"] < 10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    gateway.stop()


main()
