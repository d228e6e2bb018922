"""Messages of all sizes cross the mesh whole; one over the limit is refused in words."""

import os

from fleet import Fleet, Subscriber, corelay, main, publish, sha256

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
    print("    " + done.stderr.strip())
    publish(fleet[2], "again", b"twice")
    subscriber.wait_for([sha256(b"twice")])
    assert len(subscriber.messages) == 2


main()
