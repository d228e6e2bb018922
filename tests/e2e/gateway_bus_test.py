"""Several gateways: subscriptions over NATS, clients of a killed gateway, killed nodes, quotas over Redis."""

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time

from fleet import Fleet, Ports, Skip, end_process, main, start_process, wait_until
from gateway import Gateway, WebSocket
from gateway_tokens import Issuer, bearer, made, token

CLIENTS = 8


def started(command, port):
    """A server of other make, once it answers at its port."""
    if shutil.which(command[0]) is None:
        raise Skip(f"{command[0]} is not installed")
    process = start_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    wait_until(command[0], answers)
    return process


class Publisher:
    """Publishes one message after the other through a gateway until it is told to stop, or the gateway is gone; done is
    what was answered 200."""

    def __init__(self, gateway, name):
        self.gateway, self.name, self.done, self.refused, self.is_stopping = gateway, name, [], [], False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        count = 0
        while not self.is_stopping:
            message = f"{self.name} {count}"
            count += 1
            try:
                status, text, _ = self.gateway.post("/api/v1/publish", {"client_id": self.name, "topic": "t",
                                                                        "message": message})
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                self.done.append(message)
            else:
                self.refused.append((status, text))

    def stop(self):
        self.is_stopping = True
        self.thread.join()
        assert not self.refused, self.refused


def texts(client):
    return [payload.decode() for payload in client.payloads()]


def test_a_killed_gateway_loses_nothing():
    """Publishers at both gateways, eight clients at the first; that is killed in the middle, and its clients go on at
    the second from the offset of the last message that each of them has got."""
    ports = Ports()
    started(["nats-server", "-a", "127.0.0.1", "-p", str(ports.base)], ports.base)
    fleet = Fleet(2)
    environment = {"CORELAY_BUS_URL": f"nats://127.0.0.1:{ports.base}"}
    sidecars = [node.sidecar for node in fleet.nodes]
    first = Gateway(sidecars, fleet.directory, "first", environment).start()
    second = Gateway(sidecars, fleet.directory, "second", environment).start()
    for gateway in (first, second):
        gateway.wait_nodes(2)
        wait_until("the bus", lambda: gateway.metrics()["corelay_gateway_bus_connected"] == 1)
    names = [f"c{i}" for i in range(CLIENTS)]
    for i, name in enumerate(names):
        first.subscribe(name, "t", (0.5, 1.0)[i % 2])
    for name in names:
        path = f"/api/v1/topics?client_id={name}"
        wait_until("the subscriptions at the second", lambda: '"t"' in second.get(path)[1])
    clients = [WebSocket(first, f"client_id={name}") for name in names]
    publishers = [Publisher(first, "at the first"), Publisher(second, "at the second")]
    for client in clients:
        client.wait_for(200)
    first.kill()
    for client in clients:
        wait_until("the socket to close", lambda: client.is_closed)
    count = len(publishers[1].done)
    wait_until("messages while nobody listens", lambda: len(publishers[1].done) >= count + 50)
    again = [WebSocket(second, f"client_id={name}&offset={client.json('message')[-1]['offset']}")
             for name, client in zip(names, clients)]
    count = len(publishers[1].done)
    wait_until("messages while they listen", lambda: len(publishers[1].done) >= count + 50)
    for publisher in publishers:
        publisher.stop()
    sent = {message for publisher in publishers for message in publisher.done}
    repeated = []
    for before, after in zip(clients, again):
        got = texts(before)
        wait_until("the rest", lambda: sent <= set(got) | set(texts(after)))
        rest = texts(after)
        assert not after.json("lagged") and len(rest) == len(set(rest)) and len(got) == len(set(got))
        repeated.append(len(set(got) & set(rest)))
        assert repeated[-1] <= 40, repeated  # what was delivered in the last moment of the first
        for name in ("at the first", "at the second"):  # nothing that came again is out of its publisher's order
            numbers = [int(text.rsplit(" ", 1)[1]) for text in rest if text.startswith(name)]
            assert name == "at the first" or numbers == sorted(numbers), numbers
    print(f"    {len(sent)} messages answered 200, all of them at each of {CLIENTS} clients; {repeated} came twice")
    third = Gateway(sidecars, fleet.directory, "third", environment).start()  # comes later, and hears of everything
    wait_until("the subscription at the third", lambda: '"t"' in third.get("/api/v1/topics?client_id=c0")[1])
    second.stop()
    third.stop()


def test_a_killed_node_leaves_the_counts_right():
    """Four nodes, clients that wait for one, two, three and four of them, and no falling back: a killed node is neither
    left out of the sum nor counted, and once it is back it counts again."""
    fleet = Fleet(4)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment={
        "CORELAY_DELIVERY_FALLBACK_MS": "600000"}).start()
    gateway.wait_nodes(4)
    clients = {}
    for nodes in (1, 2, 3, 4):
        gateway.subscribe(f"c{nodes}", "t", nodes / 4)
        clients[nodes] = WebSocket(gateway, f"client_id=c{nodes}")

    def got(nodes, messages):
        return messages <= set(texts(clients[nodes]))

    def publish(kind, count):
        messages = {f"{kind} {i}" for i in range(count)}
        for i, message in enumerate(messages):
            gateway.publish("t", message, client=f"publisher {i}")  # they spread over the nodes
        return messages

    before = publish("before", 20)
    for nodes in clients:
        wait_until(f"messages at {nodes} of 4", lambda: got(nodes, before))
    publisher = Publisher(gateway, "while it dies")
    wait_until("a few messages", lambda: len(publisher.done) >= 10)
    fleet[3].kill()
    gateway.wait_nodes(3)
    publisher.stop()
    after = publish("after", 20)
    for nodes in (1, 2, 3):
        wait_until(f"messages at {nodes} of 3", lambda: got(nodes, set(publisher.done) | after))
    time.sleep(0.5)
    assert not after & set(texts(clients[4])), "a node that is gone was counted"
    fleet[3].start()
    gateway.wait_nodes(4)
    fleet.wait_for_mesh()
    wait_until("the topic at the third", lambda: "t" in fleet[3].json("/api/v1/node-state")["topics"])
    again = publish("again", 20)
    for nodes in clients:
        wait_until(f"messages at {nodes} of 4", lambda: got(nodes, again))
        assert len(texts(clients[nodes])) == len(set(texts(clients[nodes]))), "a message came twice"
    assert gateway.metrics()["fallback_deliveries_total"] == 0
    print(f"    {len(publisher.done)} messages answered 200 while the node died, all where up to three are waited for")
    gateway.stop()


def test_gateways_share_quotas():
    """Two gateways with one Redis: what a token may is counted over both. Without Redis each counts alone."""
    ports = Ports()
    redis = started(["redis-server", "--port", str(ports.base), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                     "no"], ports.base)
    jwks, tokens = made(token(client_id="shared", max_publish_per_hour=10),
                        token(client_id="bytes", daily_quota=1000),
                        token(client_id="alone", max_publish_per_hour=4))
    issuer = Issuer(jwks)
    fleet = Fleet(2)
    gateways = [Gateway([node.sidecar for node in fleet.nodes], fleet.directory, name, {
        "ENABLE_AUTH": "true", "AUTH0_DOMAIN": "issuer.test", "AUTH0_AUDIENCE": "api",
        "CORELAY_AUTH_JWKS_URL": issuer.url, "CORELAY_HTTP_ADDRESS": "127.0.0.1",
        "CORELAY_QUOTA_REDIS": f"redis://127.0.0.1:{ports.base}",
        "CORELAY_DELIVERY_UNASSIGNED_TOPICS": "true"}).start() for name in ("first", "second")]
    for gateway in gateways:
        gateway.wait_nodes(2)
    left = 3600 - time.time() % 3600
    if left < 30:  # the hour's count would begin again in the middle
        time.sleep(left + 1)
    count = iter(range(1000))

    def publish(gateway, bearer_, bytes_=10):
        return gateway.post("/api/v1/publish", {"topic": "t", "message": f"{next(count):0{bytes_}}"},
                            headers=bearer(bearer_))

    remaining = []
    for i in range(10):
        status, text, headers = publish(gateways[i % 2], tokens[0])
        assert status == 200, (i, status, text)
        remaining.append(int(headers["x-ratelimit-remaining"]))
    assert remaining == list(range(9, -1, -1)), remaining
    for gateway in gateways:
        status, text, headers = publish(gateway, tokens[0])
        assert status == 429 and "per-hour limit reached (10/hour)" in text, (status, text)
        assert "retry-after" in headers and headers["x-ratelimit-remaining"] == "0", headers
    assert [publish(gateways[i % 2], tokens[1], 300)[0] for i in range(4)] == [200, 200, 200, 429]
    end_process(redis)
    for gateway in gateways:
        codes = [publish(gateway, tokens[2])[0] for _ in range(5)]
        assert codes == [200] * 4 + [429], codes
        assert "counting alone" in gateway.log()
        assert json.loads(gateway.get("/api/v1/usage", headers=bearer(tokens[2]))[1])["publishes_hour"] == 4
        gateway.stop()


main()
