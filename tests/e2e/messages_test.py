"""Messages of all sizes cross the mesh whole; one over the limit is refused in words."""

import os
import subprocess
import sys

from fleet import CORELAY, Fleet, Subscriber, corelay, main, publish, sha256, start_process

LIMIT = 6 << 20


def test_sizes_reach_every_node():
    fleet = Fleet(4, {"OPTIMUM_MAX_MSG_SIZE": str(LIMIT)})
    subscribers = [Subscriber(node, "sizes") for node in fleet.nodes]
    for turn, size in enumerate([0, 1, 1024, 100 << 10, 5 << 20, LIMIT]):
        publisher = fleet.nodes[turn % 4]
        payload = os.urandom(size)
        publish(publisher, "sizes", payload)
        for subscriber in subscribers:
            subscriber.wait_for([sha256(payload)])
            message = subscriber.messages[-1]
            assert message["bytes"] == size, message
            assert message["message_id"] == sha256(payload)
            assert message["source_node_id"] == publisher.peer_id
            assert message["topic"] == "sizes"
    for subscriber in subscribers:
        assert len(subscriber.messages) == 6, f"node {subscriber.node.number}: {len(subscriber.messages)} messages"


def test_over_the_limit_is_an_error_that_names_it():
    fleet = Fleet(2, {"OPTIMUM_MAX_MSG_SIZE": str(LIMIT)})
    subscriber = Subscriber(fleet[1], "limit")
    path = fleet.directory / "big"
    path.write_bytes(os.urandom(LIMIT + 1))
    done = corelay("publish", "--addr", fleet[2].sidecar, "--topic", "limit", "--file", str(path))
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert str(LIMIT) in done.stderr, done.stderr
    assert str(LIMIT + 1) in done.stderr, done.stderr
    print("    " + done.stderr.strip())
    assert f"relay.message_bytes_max = {LIMIT} bytes" in done.stderr, done.stderr
    path.write_bytes(bytes(64 << 20))  # the node does not take that in: gRPC refuses it, and corelay says it in words
    far = corelay("publish", "--addr", fleet[2].sidecar, "--topic", "limit", "--file", str(path))
    assert far.returncode == 4 and f"over relay.message_bytes_max = {LIMIT} bytes" in far.stderr, far.stderr
    assert "larger than max" not in far.stderr, far.stderr
    after = publish(fleet[2], "limit", b"after")  # the refusal did no harm
    subscriber.wait_for(after)
    assert subscriber.digests() == after


def test_the_same_bytes_again_are_refused():
    fleet = Fleet(2)
    subscriber = Subscriber(fleet[1], "again")
    digests = publish(fleet[2], "again", b"once")
    subscriber.wait_for(digests)
    done = corelay("publish", "--addr", fleet[2].sidecar, "--topic", "again", "--message", "once")
    assert done.returncode == 4, (done.returncode, done.stdout, done.stderr)
    assert "duplicate" in done.stderr and "relay.seen_s" in done.stderr, done.stderr
    print("    " + done.stderr.strip())
    publish(fleet[2], "again", b"twice")
    subscriber.wait_for([sha256(b"twice")])
    assert len(subscriber.messages) == 2


def test_subscribe_prints_nothing_but_json():
    fleet = Fleet(2)
    subscriber = start_process([CORELAY, "subscribe", "--addr", fleet[1].sidecar, "--topic", "lines", "--output",
                                "json", "--count", "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert subscriber.stderr.readline().startswith(b"Subscribed to topic")
    script = "import json,sys\nfor line in sys.stdin: print(json.loads(line)['bytes'])"
    check = start_process([sys.executable, "-c", script], stdin=subscriber.stdout, stdout=subprocess.PIPE,
                          text=True)
    publish(fleet[2], "lines", b"one\ntwo", b"\x00\xff\n", os.urandom(3000))
    out, _ = check.communicate(timeout=60)
    assert check.returncode == 0 and out.split() == ["7", "3", "3000"], out
    assert subscriber.wait(10) == 0


def test_a_full_table_of_topics_is_told_to_the_subscriber():
    fleet = Fleet(2, {"CORELAY_RELAY_TOPICS_MAX": "1"})
    Subscriber(fleet[1], "first")
    done = corelay("subscribe", "--addr", fleet[1].sidecar, "--topic", "second", "--count", "1", "--timeout", "20s")
    assert done.returncode == 4 and "relay.topics_max = 1" in done.stderr, (done.returncode, done.stderr)


def test_a_wrong_port_is_answered_with_the_right_one():
    fleet = Fleet(1, is_started=False)
    node = fleet[1].start()
    node.wait_live()
    to_api = corelay("publish", "--addr", node.api, "--topic", "t", "--message", "m")
    assert to_api.returncode == 3 and f"the sidecar is 127.0.0.1:{node.sidecar_port}" in to_api.stderr, to_api.stderr
    to_p2p = corelay("subscribe", "--addr", f"127.0.0.1:{node.p2p_port}", "--topic", "t")
    assert to_p2p.returncode == 3 and "the p2p port of a node" in to_p2p.stderr and "SIDECAR_PORT" in to_p2p.stderr
    for port, name in ((node.sidecar_port, "the sidecar of a node"), (node.p2p_port, "the p2p port of a node")):
        done = corelay("node", "health", "--api", f"127.0.0.1:{port}", "--timeout", "2s")
        assert done.returncode in (3, 5) and name in done.stderr and "API_PORT" in done.stderr, done.stderr


def test_nothing_piped_is_nothing_to_publish():
    fleet = Fleet(1, is_started=False)
    fleet[1].start().wait_live()
    done = corelay("publish", "--addr", fleet[1].sidecar, "--topic", "t", stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "standard input is empty" in done.stderr and "--message" in done.stderr, done.stderr


main()
