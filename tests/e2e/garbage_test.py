"""Garbage at every open port changes nothing but counters."""

import os
import random
import socket

from fleet import Fleet, Subscriber, main, publish, wait_until

SEED = 20261121


def send_udp(port, payloads):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for payload in payloads:
            out.sendto(payload, ("127.0.0.1", port))


def send_tcp(port, payload):
    """Sends, reads what comes until the node closes or a moment has passed."""
    with socket.create_connection(("127.0.0.1", port), 2) as out:
        out.settimeout(0.3)
        try:
            out.sendall(payload)
            while out.recv(65536):
                pass
        except OSError:
            pass


def test_garbage_changes_nothing_but_counters():
    print(f"    seed {SEED}")
    rng = random.Random(SEED)
    fleet = Fleet(3)
    subscribers = [Subscriber(node, "calm") for node in fleet.nodes]
    victim = fleet[1]
    before = victim.metrics()

    sizes = [0, 1, 8, 15, 16, 17, 64, 1400, 1500, 9000, 65000]
    send_udp(victim.p2p_port, [rng.randbytes(rng.choice(sizes)) for _ in range(500)])
    # Headers as they should be, and everything else wrong: version, lanes, zero, key id, packet number (proto/wire.md).
    send_udp(victim.p2p_port, [b"\x01\0\0\0" + rng.randbytes(4) + (1 + rng.getrandbits(40)).to_bytes(8, "little") +
                               rng.randbytes(rng.choice([17, 40, 1384])) for _ in range(500)])
    for port in (victim.p2p_port, victim.sidecar_port, victim.api_port):
        for payload in (b"\x00", rng.randbytes(10), rng.randbytes(5000), b"\xff" * 100000, b"GET / HTTP/1.1\r\n\r\n",
                        b"GET /" + b"a" * 200000, b"\x13/multistream/1.0.0\n\x07/noise\n" + rng.randbytes(300),
                        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(500),
                        b"POST /api/v1/health HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n"):
            send_tcp(port, payload)

    def drops():
        after = victim.metrics()
        return sum(after[name] - before[name] for name in after
                   if name.startswith("corelay_drop_") and name in before)
    wait_until("a counter for the datagrams", lambda: drops() >= 990)
    after = victim.metrics()
    for name in ("corelay_drop_unknown_key_total", "corelay_drop_malformed_datagram_total"):
        print(f"    {name} {after[name] - before[name]:.0f}")
        assert after[name] - before[name] >= 490, name

    assert all(node.is_running() for node in fleet.nodes)
    assert len(victim.peers()) == 2
    digests = publish(fleet[2], "calm", os.urandom(50_000), b"small") + publish(victim, "calm", b"from the victim")
    for subscriber in subscribers:
        subscriber.wait_for(digests)
        assert sorted(subscriber.digests()) == sorted(digests)


main()
