"""Nothing is lost silently: a publisher alone is told or served late, and the first publish after a start arrives."""

import os
import socket
import subprocess
import time

from fleet import CORELAY, Fleet, Subscriber, corelay, main, publish, sha256, start_process, wait_until


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_alone_is_refused_after_the_hold():
    fleet = Fleet(1, {"CORELAY_PUBLISH_HOLD_MS": "700"}, is_started=False)
    fleet[1].start().wait_live()
    start = time.monotonic()
    done = corelay("publish", "--addr", fleet[1].sidecar, "--topic", "alone", "--message", "anybody?")
    took = time.monotonic() - start
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert "peer" in done.stderr, done.stderr
    assert took > 0.6, f"refused after {took:.2f} s, with a hold of 0.7 s"
    print("    " + done.stderr.strip())


def test_held_until_a_peer_comes():
    fleet = Fleet(2, {"CORELAY_PUBLISH_HOLD_MS": "20000"}, is_started=False)
    fleet[1].start().wait_live()
    publishing = start_process([CORELAY, "publish", "--addr", fleet[1].sidecar, "--topic", "held",
                                "--message", "early"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)
    assert publishing.poll() is None, "the publish was answered while the node had no peers"
    fleet[2].start()
    wait_until("the sidecar", lambda: is_listening(fleet[2].sidecar_port))
    subscriber = Subscriber(fleet[2], "held")
    subscriber.wait_for([sha256(b"early")])
    out, _ = publishing.communicate(timeout=60)
    assert publishing.returncode == 0 and out == 'Published "early" to "held"\n', out


def test_first_publish_right_after_start():
    for turn in range(5):
        fleet = Fleet(4, is_started=False)
        for node in fleet.nodes:
            node.start()
        subscribers = []
        for node in fleet.others(2):
            wait_until("the sidecar", lambda port=node.sidecar_port: is_listening(port))
            subscribers.append(Subscriber(node, "first"))
        wait_until("the sidecar", lambda: is_listening(fleet[2].sidecar_port))
        digests = publish(fleet[2], "first", os.urandom(20000 + turn), f"small {turn}".encode())
        for subscriber in subscribers:
            subscriber.wait_for(digests)
            subscriber.stop()
        fleet.stop()


main()
