"""A gateway in front of real nodes: REST, WebSocket, event streams, as the published API has them."""

import base64
import http.client
import json
import os
import socket
import time

from fleet import Fleet, main, sha256, wait_until
from gateway import Gateway, WebSocket


def world(count, environment=None):
    fleet = Fleet(count)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment=environment).start()
    gateway.wait_nodes(count)
    return fleet, gateway


def test_thin_path():
    """The three commands of the published guide, as they are written there."""
    _, gateway = world(2)
    reply = gateway.subscribe("your-client-id", "example-topic", 0.7, path="/api/subscribe")
    assert reply.strip() == '{"client":"your-client-id","status":"subscribed"}', reply
    client = WebSocket(gateway, "client_id=your-client-id", path="/api/ws")
    assert client.status == 101, client.head
    done = gateway.publish("example-topic", "Hello, world!", client="your-client-id", path="/api/publish")
    assert done == {"status": "published", "topic": "example-topic", "message_id": sha256(b"Hello, world!")}, done
    client.wait_for(1)
    assert client.frames == [(1, b"Hello, world!")]
    gateway.stop()


def test_replies_of_both_generations():
    _, gateway = world(2)
    answers = [
        # path, body, status, what the answer holds
        ("/api/subscribe", '{"client_id":"","topic":""}', 200, '"client":"","status":"subscribed"'),
        ("/api/subscribe", "{", 400, "invalid JSON\n"),
        ("/api/subscribe", '{"client_id":"c","topic":"t","threshold":0.5}', 200,
         '{"client":"c","status":"subscribed"}'),
        ("/api/publish", '{"topic":"t","message":"no client"}', 200, '"status":"published"'),
        ("/api/publish", '{"client_id":"c","topic":"t","message":""}', 200, '"status":"published"'),
        ("/api/publish", '{"client_id":"c","topic":"t"}', 200, '"status":"deduplicated"'),
        ("/api/publish", '{"client_id":"c","topic":"nobody","message":"m"}', 404, "topic not assigned\n"),
        ("/api/publish", '{"client_id":"c","message":"m"}', 404, "topic not assigned\n"),
        ("/api/publish", "nonsense", 400, "invalid JSON\n"),
        ("/api/v1/subscribe", '{"client_id":"c","topic":""}', 400, '{"error":"missing topic"}'),
        ("/api/v1/subscribe", '{"client_id":"","topic":"t"}', 400, '{"error":"missing client ID"}'),
        ("/api/v1/publish", '{"client_id":"c","topic":"t"}', 400,
         "either message or message_length must be provided"),
        ("/api/v1/publish", '{"client_id":"c","topic":"t","message":""}', 400,
         "message is empty (0 bytes), give it a byte or more: either message or message_length must be provided"),
        ("/api/v1/publish", '{"client_id":"c","message":"m"}', 400, "missing topic"),
        ("/api/v1/publish", '{"topic":"t","message":"m"}', 400, "missing client ID"),
        ("/api/v1/publish", '{"client_id":"c","topic":"nobody","message":"m"}', 404, "topic not assigned"),
        ("/api/v1/publish", '{"client_id":"c","topic":"t","message_length":10}', 200, '"status":"published"'),
        ("/api/v1/publish", '{"client_id":"c","topic":"t","message":"m"}', 200, '"status":"published","topic":"t"'),
        ("/api/v1/publish", '{"client_id":"c","topic":"t","message":"m"}', 200, '"status":"deduplicated"'),
        ("/api/v1/publish", '{"client_id":"c","topic":"t","message":5}', 400, "message must be a string"),
        ("/api/v1/subscribe", '{"client_id":"c","topic":"t","threshold":7}', 400, "threshold"),
    ]
    for path, body, status, part in answers:
        got = gateway.post(path, body)
        assert got[0] == status and part in got[1], (path, body, got)
    first = gateway.publish("t", "stamped", timestamp=1)
    second = gateway.publish("t", "stamped", timestamp=2)
    again = gateway.publish("t", "stamped", timestamp=2)
    forced = gateway.publish("t", "stamped", no_dedup=True)
    assert [r["status"] for r in (first, second, again, forced)] == [
        "published", "published", "deduplicated", "published"]
    assert len({r["message_id"] for r in (first, second, forced)}) == 3 and again["message_id"] == second["message_id"]
    health = json.loads(gateway.get("/api/v1/health")[1])
    assert health["status"] == "ok" and set(health) == {"country", "country_iso", "cpu_used", "disk_used",
                                                        "memory_used", "status"}
    assert float(health["memory_used"]) > 0
    assert set(json.loads(gateway.get("/api/v1/version")[1])) == {"version", "commit_hash"}
    assert json.loads(gateway.get("/api/v1/topics?client_id=c")[1]) == {"client_id": "c", "topics": ["t"], "count": 1}
    assert json.loads(gateway.get("/api/v1/node-countries")[1])["count"] == 2
    trace = json.loads(gateway.get("/api/v1/tracer/stream?window=60s")[1])
    assert trace["published_messages"] >= 5 and trace["active_nodes"] == 2 and len(trace["messages"]) >= 5, trace
    assert gateway.get("/api/v1/tracer/reset")[0] == 200
    assert json.loads(gateway.get("/api/v1/tracer/stream")[1])["published_messages"] == 0
    assert "optimum_proxy_ws_clients_active" in gateway.get("/metrics")[1]
    assert json.loads(gateway.get("/openapi.json")[1])["openapi"] == "3.1.0"
    assert gateway.get("/livez")[0] == 200 and gateway.get("/readyz")[0] == 200
    gateway.stop()


def test_formats_and_resume():
    _, gateway = world(2)
    gateway.subscribe("c", "t")
    gateway.publish("t", "before it was connected")
    text = WebSocket(gateway, "client_id=c", path="/api/ws")
    text.wait_for(1)
    binary = bytes(range(256))
    reply = gateway.post("/api/v1/publish", {"client_id": "p", "topic": "t",
                                             "message_base64": base64.b64encode(binary).decode()})
    assert reply[0] == 200, reply
    text.wait_for(2)
    assert text.frames == [(1, b"before it was connected"), (2, binary)], text.frames
    text.close()
    wait_until("the client to be gone", lambda: gateway.metrics()["optimum_proxy_ws_clients_active"] == 0)
    gateway.publish("t", "while it was away")
    client = WebSocket(gateway, "client_id=c")
    client.wait_for(1)
    [message] = client.json("message")
    assert base64.b64decode(message["message"]) == b"while it was away"
    assert message["topic"] == "t" and message["message_id"] == sha256(b"while it was away")
    client.close()
    for i in range(5):
        gateway.publish("t", f"m{i}")
    again = WebSocket(gateway, f"client_id=c&offset={message['offset']}")
    again.wait_for(5)
    assert again.payloads() == [f"m{i}".encode() for i in range(5)]
    from_third = WebSocket(gateway, f"client_id=c&format=text&offset={again.json()[2]['offset']}")
    from_third.wait_for(2)
    assert from_third.texts() == ["m3", "m4"]
    gateway.stop()


def test_websocket_commands():
    _, gateway = world(2)
    client = WebSocket(gateway, "client_id=c")
    client.send_json({"type": "publish", "topic": "ws", "message": "x", "id": 1})
    client.wait_for(1)
    assert client.json() == [{"type": "error", "id": 1, "error": "topic not assigned"}], client.json()
    client.send_json({"type": "subscribe", "topic": "ws", "id": "two"})
    client.wait_for(2)
    assert client.json("subscribed") == [{"type": "subscribed", "topic": "ws", "id": "two"}]
    for i in range(100):
        client.send_json({"type": "publish", "topic": "ws", "message": f"m{i}", "id": i})
    wait_until("100 messages", lambda: len(client.json("message")) == 100 and len(client.json("published")) == 100)
    assert client.payloads() == [f"m{i}".encode() for i in range(100)]
    assert {answer["id"] for answer in client.json("published")} == set(range(100))
    client.send("not JSON")
    client.send_json({"type": "what", "topic": "ws"})
    wait_until("two errors", lambda: len(client.json("error")) == 3)
    client.send(b"", opcode=9)
    client.send(b"\x03\xe8", opcode=8)
    wait_until("the close", lambda: client.is_closed)
    assert client.close_code == 1000
    broken = WebSocket(gateway, "client_id=c")
    broken.send(b"\xff\xfe", opcode=1)
    wait_until("the close", lambda: broken.is_closed)
    assert broken.close_code == 1007, broken.close_code
    gateway.stop()


def read_events(gateway, path, count, headers=""):
    """The first events of a stream, as (id, event, data)."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        text = b""
        while text.count(b"\n\n") < count + text.count(b": ping\n\n"):
            data = stream.recv(65536)
            assert data, text
            text += data
    body = text.decode().split("\r\n\r\n", 1)[1]
    events = []
    for block in body.split("\n\n"):
        fields = {}
        for line in block.splitlines():
            name, _, value = line.partition(": ")
            fields[name] = fields[name] + "\n" + value if name in fields else value
        if "data" in fields:
            events.append((fields["id"], fields.get("event"), fields["data"]))
    return events[:count]


def test_event_streams():
    _, gateway = world(2)
    gateway.subscribe("someone", "t/with space")
    for i in range(5):
        gateway.publish("t/with space", f"line {i}\nand more")
    path = "/api/v1/topics/t/with%20space/stream"
    epoch = [line for line in WebSocket(gateway, "client_id=someone").head.splitlines() if "X-Gateway-Epoch" in line]
    epoch = epoch[0].split(": ")[1]
    wait_until("five messages", lambda: gateway.metrics()["corelay_gateway_messages_received_total"] == 5)
    events = read_events(gateway, path + "?format=text", 4, f"Last-Event-ID: {epoch}-1\r\n")
    assert [data for _, _, data in events] == [f"line {i}\nand more" for i in range(1, 5)], events
    [(_, _, data)] = read_events(gateway, f"{path}?offset={events[2][0]}", 1)
    assert base64.b64decode(json.loads(data)["message"]) == b"line 4\nand more"
    assert gateway.get(path + "?threshold=x")[0] == 400
    gateway.stop()


def test_thresholds_and_lost_nodes():
    fleet, gateway = world(3, {"CORELAY_DELIVERY_FALLBACK_MS": "1500"})
    gateway.subscribe("all", "t", 1.0)
    gateway.subscribe("one", "t", 0.1)
    everyone = WebSocket(gateway, "client_id=all", path="/api/ws")
    one = WebSocket(gateway, "client_id=one", path="/api/ws")
    gateway.publish("t", "first")
    everyone.wait_for(1)
    one.wait_for(1)
    assert gateway.metrics()["fallback_deliveries_total"] == 0
    fleet[3].kill()
    gateway.wait_nodes(2)
    for i in range(20):
        gateway.publish("t", f"without the third {i}", client=f"publisher {i}")
    one.wait_for(21)
    everyone.wait_for(21)
    assert sorted(everyone.texts()) == sorted(one.texts())
    assert gateway.metrics()["fallback_deliveries_total"] == 20
    fleet[3].start()
    gateway.wait_nodes(3)
    fleet.wait_for_mesh()
    wait_until("the topic at the third", lambda: "t" in fleet[3].json("/api/v1/node-state")["topics"])
    gateway.publish("t", "again three")
    everyone.wait_for(22)
    assert everyone.texts()[-1] == "again three"
    for node in fleet.nodes:
        node.kill()
    wait_until("no nodes", lambda: gateway.metrics()["nodes_active_total"] == 0)
    status, text, _ = gateway.post("/api/v1/publish", {"client_id": "c", "topic": "t", "message": "to nobody"})
    assert status == 503 and "none of the 3 nodes can be reached" in text, (status, text)
    assert [gateway.get(path)[0] for path in ("/readyz", "/api/v1/health", "/livez")] == [503, 503, 200]
    for node in fleet.nodes:
        node.start()
    gateway.wait_nodes(3)
    fleet.wait_for_mesh()
    wait_until("a publish to be taken", lambda: gateway.post("/api/v1/publish", {
        "client_id": "c", "topic": "t", "message": "to nobody"})[0] == 200)
    one.wait_for(23)
    gateway.stop()


def test_a_publish_outlives_its_node():
    """Publishes while nodes are killed: each is answered, and what was answered 200 has arrived."""
    fleet, gateway = world(3)
    gateway.subscribe("c", "t")
    client = WebSocket(gateway, "client_id=c", path="/api/ws")
    done = set()
    for i in range(60):
        if i == 20:
            fleet[1].kill()
        status, text, _ = gateway.post("/api/v1/publish", {"client_id": str(i), "topic": "t", "message": f"m{i}"})
        assert status in (200, 503), (status, text)
        if status == 200:
            done.add(f"m{i}")
    wait_until("what was taken", lambda: done <= set(client.texts()))
    assert len(done) == 60, len(done)  # two nodes are left to take them
    assert len(client.texts()) == len(set(client.texts()))
    gateway.stop()


def test_stop_is_polite():
    _, gateway = world(2)
    gateway.subscribe("c", "t")
    client = WebSocket(gateway, "client_id=c")
    start = time.monotonic()
    gateway.process.terminate()
    assert gateway.process.wait(30) == 0
    assert time.monotonic() - start < 20
    wait_until("the close", lambda: client.is_closed)
    assert client.close_code == 1012, client.close_code


main()
