"""SIGTERM: what was taken is sent, clients are let go, and the exit code is 0."""

import os
import subprocess

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


main()
