"""A burst through a gateway: 10,000 messages of 1 KiB from four publishers, 200 WebSocket clients, five of them slow
and five stalled. Every healthy client gets all of them, in each publisher's order, once; the others are told what they
lost, and memory stays bounded."""

import hashlib
import os
import selectors
import threading
import time

from fleet import Fleet, main, wait_until
from gateway import Gateway, WebSocket, bytes_allowed

MESSAGES = 10_000
PUBLISHERS = 4
EACH = MESSAGES // PUBLISHERS
BYTES = 1024
CLIENTS = 200
SLOW = 5
STALLED = 5
WINDOW = 8192
FRAME = BYTES + 4


def payload(publisher, i):
    return (f"{publisher}{i:07d}" + "burst of messages " * 64)[:BYTES]


def check_order(numbers, is_whole):
    """Each publisher's messages in its order and once; all of them, where nothing was lost."""
    for publisher in range(PUBLISHERS):
        of_one = [number % 10**7 for number in numbers if number // 10**7 == publisher]
        assert of_one == (list(range(EACH)) if is_whole else sorted(set(of_one))), (publisher, of_one[:20])


def frames(data):
    """(opcode, payload) of whole frames, and what is left."""
    out = []
    at = 0
    while len(data) - at >= 2:
        size, head = data[at + 1] & 127, 2
        if size == 126:
            if len(data) - at < 4:
                break
            size, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
        if len(data) - at < head + size:
            break
        out.append((data[at] & 15, data[at + head:at + head + size]))
        at += head + size
    return out, data[at:]


class Healthy:
    """Reads as fast as it can and remembers only a digest of the stream, and the stream itself where it is asked to."""

    def __init__(self, client, is_kept):
        self.client = client
        self.kept = [client.buffer] if is_kept else None
        self.digest = hashlib.sha256(client.buffer)
        self.bytes = len(client.buffer)
        client.socket.setblocking(False)

    def read(self):
        data = self.client.socket.recv(1 << 20)
        assert data, "the gateway closed a healthy client"
        self.digest.update(data)
        self.bytes += len(data)
        if self.kept is not None:
            self.kept.append(data)


def read_all(healthy, slow, is_done):
    selector = selectors.DefaultSelector()
    for one in healthy:
        selector.register(one.client.socket, selectors.EVENT_READ, one)
    last = 0.0
    while not is_done():
        for key, _ in selector.select(0.1):
            key.data.read()
        if time.monotonic() - last > 0.05:
            last = time.monotonic()
            for client in slow:
                try:
                    client.buffer += client.socket.recv(8192)
                except BlockingIOError:
                    pass


def test_burst():
    fleet = Fleet(2)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment={
        "CORELAY_REPLAY_MESSAGES_MAX": str(WINDOW), "CORELAY_HTTP_PING_MS": "600000", "LOG_LEVEL": "info",
        "CORELAY_HTTP_SEND_BUFFER_BYTES": "65536"}).start()
    gateway.wait_nodes(2)
    clients = []
    for i in range(CLIENTS):
        gateway.subscribe(f"c{i}", "burst")
        clients.append(WebSocket(gateway, f"client_id=c{i}", path="/api/ws", is_reading=False))
        assert clients[-1].status == 101
    stalled, slow = clients[:STALLED], clients[STALLED:STALLED + SLOW]
    healthy = [Healthy(client, i == 0) for i, client in enumerate(clients[STALLED + SLOW:])]
    for client in slow:
        client.socket.setblocking(False)
    before = gateway.metrics()["process_resident_memory_bytes"]
    publishers = [WebSocket(gateway, f"client_id=publisher{i}") for i in range(PUBLISHERS)]

    seen = [0]  # messages that every healthy client has

    def publish(number):
        for i in range(EACH):
            # A reader that gets no core is not slow: nobody waits here while it has one.
            while i * PUBLISHERS - seen[0] > WINDOW // 2:
                time.sleep(0.01)
            publishers[number].send('{"type":"publish","topic":"burst","message":"%s"}' % payload(number, i))

    start = time.monotonic()
    for number in range(PUBLISHERS):
        threading.Thread(target=publish, args=(number,), daemon=True).start()
    end = start + 200

    def is_done():
        seen[0] = min(one.bytes for one in healthy) // FRAME
        assert time.monotonic() < end, seen
        return seen[0] >= MESSAGES

    read_all(healthy, slow, is_done)
    took = time.monotonic() - start
    for one in healthy:
        assert one.bytes == MESSAGES * FRAME and one.digest.digest() == healthy[0].digest.digest()
    whole, rest = frames(b"".join(healthy[0].kept))
    assert not rest and all(opcode == 1 and data[8:] == payload(0, 0)[8:].encode() for opcode, data in whole)
    check_order([int(data[:8]) for _, data in whole], is_whole=True)
    for publisher in publishers:
        wait_until("every publish to be answered", lambda: len(publisher.frames) == EACH)
        assert all(answer["type"] == "published" for answer in publisher.json())
    metrics = gateway.metrics()
    grown = metrics["process_resident_memory_bytes"] - before
    print(f"    {MESSAGES} messages to {len(healthy)} healthy clients in {took:.1f} s: "
          f"{MESSAGES * len(healthy) / took:,.0f} deliveries/s; memory grew by {grown / 2**20:.0f} MiB; "
          f"{metrics['corelay_gateway_sent_bytes_total'] / max(1, metrics['corelay_gateway_writes_total']):,.0f} "
          f"bytes a write")
    assert grown < bytes_allowed(200), grown
    lagged_clients = 0
    for client in stalled + slow:
        client.socket.setblocking(True)
        numbers, lost = [], 0
        while len(numbers) + lost < MESSAGES:
            for opcode, data in frames_of(client):
                text = data.decode()
                if text.startswith('{"type":"lagged"'):
                    lost += int(text.split('"count":')[1].split(",")[0])
                elif opcode == 1:
                    numbers.append(int(text[:8]))
        check_order(numbers, is_whole=False)
        assert len(numbers) + lost == MESSAGES
        lagged_clients += 1 if lost else 0
        if client in stalled:
            assert lost > 0, "a stalled client was not told that it lost messages"
    print(f"    {lagged_clients} of {SLOW + STALLED} slow and stalled clients were told what they lost")
    gateway.stop()


def frames_of(client):
    out, client.buffer = frames(client.buffer)
    if not out:
        data = client.socket.recv(1 << 20)
        assert data, "closed"
        client.buffer += data
    return out


main()
