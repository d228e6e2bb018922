"""kill -9 of a relay in mid-transfer: everybody else gets everything, and the dead node comes back as itself."""

import os
import threading
import time

from fleet import Fleet, Subscriber, main, publish, sha256, wait_until

SIZE = 8 << 20
# Slow enough that the transfer takes a second or two, so that the kill falls in the middle of it.
SLOW = {"CORELAY_RELAY_RATE_BYTES_PER_SECOND_MAX": str(12 << 20)}


def crash_in_transfer(fleet, publisher, victim):
    subscribers = {node.number: Subscriber(node, "crash") for node in fleet.nodes}
    payload = os.urandom(SIZE)
    sending = threading.Thread(target=publish, args=(publisher, "crash", payload))
    before = victim.metrics()["corelay_rx_coded_innovative_total"]
    sending.start()
    wait_until("the transfer to be under way",
               lambda: victim.metrics()["corelay_rx_coded_innovative_total"] > before + 50)
    assert not subscribers[victim.number].messages, "the message arrived before the kill: nothing is tested"
    victim.kill()
    assert not subscribers[victim.number].messages, "the message arrived before the kill: nothing is tested"
    for node in fleet.others(victim.number):
        subscribers[node.number].wait_for([sha256(payload)])
    sending.join()

    victim.start()
    victim.wait_ready()
    assert victim.json("/api/v1/node-state")["pub_key"] == victim.peer_id
    again = Subscriber(victim, "crash")
    subscribers[victim.number] = again
    fleet.wait_for_mesh()
    digests = publish(publisher, "crash", b"back " + str(time.monotonic()).encode())
    for subscriber in subscribers.values():
        subscriber.wait_for(digests)
    for subscriber in subscribers.values():
        assert len(set(subscriber.digests())) == len(subscriber.digests()), "a message came twice"
        subscriber.stop()


def test_kill_of_each_relay():
    fleet = Fleet(4, SLOW)
    for number in (1, 3, 4):
        print(f"    killing node {number}", flush=True)
        crash_in_transfer(fleet, fleet[2], fleet[number])


main()
