"""kill -9 of any one node in the middle of a transfer: every other node still gets the message, exactly once.

8 real nodes on 100 Mbit/s links with 5 % loss, 8 MiB messages; each node but the publisher is killed in turn half-way
through a transfer and started again. Then SIGTERM must end every node with code 0, and a node that was killed must have
come back with the identity it had. Skipped (77) where namespaces cannot be made.
"""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
from lab import nodes, sandbox  # noqa: E402

SIZE = 8 << 20
TRANSFER_S = SIZE * 8 / 100e6  # at least, at 100 Mbit/s
PUBLISHER = 2
TIMEOUT_S = 60


class LabKill(unittest.TestCase):
    def kill_in_transfer(self, lab, victim):
        """Publishes, kills the victim half-way, and returns the result for the others."""
        others = [number for number in lab.nodes if number not in (PUBLISHER, victim)]
        identity = lab.nodes[victim].api("/api/v1/node-state")["pub_key"]
        lab.driver.begin(PUBLISHER, SIZE, others, TIMEOUT_S)
        time.sleep(TRANSFER_S / 2)
        lab.nodes[victim].kill()
        result = lab.driver.finish(TIMEOUT_S)
        lab.check_alive()
        lab.start_node(victim)
        lab.wait_mesh([victim])
        times = [f"{ms:.0f}" for _, ms in sorted(result["arrivals"].items())]
        print(f"node {victim} killed: arrivals after {', '.join(times)} ms", file=sys.stderr)
        self.assertEqual(sorted(result["arrivals"]), others)
        self.assertGreater(min(result["arrivals"].values()), TRANSFER_S / 2 * 1e3, "through before the kill: no test")
        self.assertEqual((result["duplicates"], result["corrupt"]), (0, 0))
        self.assertEqual(lab.nodes[victim].api("/api/v1/node-state")["pub_key"], identity)

    def test_kill_any_node_in_transfer(self):
        with nodes.Lab(8) as lab:
            lab.start_all()
            lab.publish(PUBLISHER, 1 << 20)
            lab.network.set_loss(0.05)
            for victim in lab.nodes:
                if victim != PUBLISHER:
                    with self.subTest(victim=victim):
                        self.kill_in_transfer(lab, victim)
            lab.network.set_loss(0.0)
            for number, node in lab.nodes.items():
                with self.subTest(stopped=number):
                    self.assertEqual(node.stop(), 0, node.log_tail())


if __name__ == "__main__":
    sandbox.enter(wait=True)
    unittest.main()
