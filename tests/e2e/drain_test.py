"""SIGTERM: what was taken is sent, clients are let go, and the exit code is 0."""

import os
import subprocess
import time

from fleet import CORELAY, Fleet, Subscriber, main, publish, sha256, start_process, wait_until


def test_sigterm_of_an_idle_node():
    fleet = Fleet(2)
    subscriber = Subscriber(fleet[1], "idle")
    publish(fleet[2], "idle", b"before")
    subscriber.wait_for([sha256(b"before")])
    assert fleet[1].stop() == 0
    assert subscriber.process.wait(60) == 3  # told that the node went away
    assert fleet[2].is_running()
    assert fleet[2].stop() == 0


def test_sigterm_while_a_message_leaves():
    fleet = Fleet(3, {"CORELAY_RELAY_RATE_BYTES_PER_SECOND_MAX": str(12 << 20)})
    subscribers = [Subscriber(node, "drain") for node in fleet.others(2)]
    payload = os.urandom(4 << 20)
    path = fleet.directory / "payload"
    path.write_bytes(payload)
    before = fleet[1].metrics()["corelay_rx_coded_innovative_total"]
    publishing = start_process([CORELAY, "publish", "--addr", fleet[2].sidecar, "--topic", "drain",
                                "--file", str(path)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until("the transfer to be under way",
               lambda: fleet[1].metrics()["corelay_rx_coded_innovative_total"] > before + 50)
    assert fleet[2].stop() == 0
    _, errors = publishing.communicate(timeout=60)
    assert publishing.returncode == 0, errors
    for subscriber in subscribers:
        subscriber.wait_for([sha256(payload)])


def test_sigterm_under_load_ends_within_the_deadline():
    """Publishes that no peer can take keep coming; the stop is bounded by node.drain_ms all the same, with exit 0."""
    fleet = Fleet(2, {"CORELAY_NODE_DRAIN_MS": "500", "CORELAY_RELAY_RATE_BYTES_PER_SECOND_MAX": "300000"})
    subscribers = [Subscriber(node, "load") for node in fleet.nodes]
    load = [start_process([CORELAY, "publish", "--addr", node.sidecar, "--topic", "load", "--random", "2MiB",
                           "--count", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for node in fleet.nodes for _ in range(3)]
    wait_until("publishes under way", lambda: fleet[2].metrics()["corelay_publishes_in_flight"] >= 3)
    start = time.monotonic()
    assert fleet[2].stop() == 0
    took = time.monotonic() - start
    print(f"    stopped in {took:.2f} s")
    assert took < 5, took  # 0.5 s of drain, at most 1 s for the rest, and a busy machine
    for process in load:
        process.wait(60) if process in load[3:] else process.kill()
    assert len(subscribers) == 2


main()
