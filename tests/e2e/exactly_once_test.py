"""Five hundred messages of mixed sizes from two publishers: every subscriber gets each exactly once."""

import random
import threading
import time

from fleet import Fleet, Subscriber, main, publish

SEED = 20261121
COUNT = 250  # from each publisher


def payloads(rng):
    sizes = [0, 1, 100, 1100, 1300, 3000, 20_000, 150_000]
    made = set()
    while len(made) < COUNT:
        size = rng.choice(sizes)
        made.add(rng.randbytes(size) if size > 0 else rng.randbytes(8))
    return list(made)


def test_each_exactly_once():
    print(f"    seed {SEED}")
    fleet = Fleet(4)
    subscribers = [Subscriber(node, "once") for node in fleet.nodes]
    subscribers.append(Subscriber(fleet[3], "once"))  # a second one on the same node
    rng = random.Random(SEED)
    senders, digests = [], []
    for number in (1, 4):
        mine = sorted(payloads(rng))
        senders.append(threading.Thread(target=lambda n=number, m=mine: digests.extend(publish(fleet[n], "once", *m))))
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(set(digests)) == 2 * COUNT
    for subscriber in subscribers:
        subscriber.wait_for(digests, 30)
    time.sleep(0.5)  # a late second copy would come now
    for subscriber in subscribers:
        got = subscriber.digests()
        assert sorted(got) == sorted(digests), f"node {subscriber.node.number}: {len(got)} messages"


main()
