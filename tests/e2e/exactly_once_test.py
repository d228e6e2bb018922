"""Five hundred messages of mixed sizes from two publishers: every subscriber gets each exactly once."""

import random
import threading
import time

from fleet import Fleet, Subscriber, main, publish

SEED = 20261121
COUNT = 250  # from each publisher


def payloads(rng):
    """Different bytes each, for both publishers: the same bytes twice are one message."""
    sizes = [1, 8, 100, 1100, 1300, 3000, 20_000, 150_000]
    made = {b""}
    while len(made) < 2 * COUNT:
        made.add(rng.randbytes(rng.choice(sizes)))
    return sorted(made)


def test_each_exactly_once():
    print(f"    seed {SEED}")
    fleet = Fleet(4)
    subscribers = [Subscriber(node, "once") for node in fleet.nodes]
    subscribers.append(Subscriber(fleet[3], "once"))  # a second one on the same node
    rng = random.Random(SEED)
    messages = payloads(rng)
    senders, digests = [], []

    def send(node, mine):
        digests.extend(publish(node, "once", *mine))

    for number, mine in ((1, messages[::2]), (4, messages[1::2])):
        senders.append(threading.Thread(target=send, args=(fleet[number], mine)))
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(set(digests)) == 2 * COUNT
    for subscriber in subscribers:
        subscriber.wait_for(digests)
    time.sleep(0.5)  # a late second copy would come now
    for subscriber in subscribers:
        got = subscriber.digests()
        assert sorted(got) == sorted(digests), f"node {subscriber.node.number}: {len(got)} messages"


main()
