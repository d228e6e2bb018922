"""The lab on the simulator's links, small: four real nodes behind the router, with jitter, random loss and bursts.

Everything arrives, control goes through the router as well, nothing arrives sooner than physics permits, and a lab
that is killed leaves no process, device or namespace. Skipped (77) where namespaces or TUN devices are not permitted.
How well the lab agrees with the simulator is measured, not tested: tools/bench lab.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
from lab import nodes, routed, sandbox  # noqa: E402

SCENARIO = str(pathlib.Path(__file__).resolve().parent / "lab_small.toml")


def commands():
    """The command lines of all processes that a lab starts, in this namespace and those inside of it."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(nodes.build_folder()) in line and ("bin/corelayd" in line or "bin/lab " in line or "lab_driver" in line):
            found.append(line)
    return found


class LabSmall(unittest.TestCase):
    def test_messages_arrive_through_the_router(self):
        plan = routed.plan(SCENARIO)
        bound_ms = plan["size_bytes"] * 8 / 20e6 * 1e3 + 5
        with routed.RoutedLab(SCENARIO, plan) as lab:
            lab.start_all()
            self.assertEqual(lab.degrees(), {number: 3 for number in lab.nodes})
            stats = lab.network.stats()
            self.assertEqual(stats["lost"], 0, "no loss while the nodes find each other")
            self.assertTrue(all(tcp > 1000 for _, _, tcp in stats["sent"]), stats["sent"])
            lab.network.set_lossy(True)
            for publisher in plan["publishers"]:
                result = lab.publish(publisher + 1, plan["size_bytes"])
                self.assertEqual(len(result["delivered"]), 3, result)
                self.assertEqual((result["duplicates"], result["corrupt"]), (0, 0))
                self.assertGreater(min(result["delivered"].values()), bound_ms)
                for number, ms in result["delivered"].items():
                    self.assertLess(ms, result["arrivals"][number], "a subscriber has it after its node")
            stats = lab.network.stats()
            self.assertGreater(stats["lost"], 0)
            self.assertEqual(stats["refused"], 0)
            self.assertGreater(sum(sent[0] for sent in stats["sent"]), 4 * 3 * plan["size_bytes"])
            print(f"router late {stats['late']}, turns {stats['turn']}", file=sys.stderr)


def leftovers_of_a_killed_lab(number):
    """Starts `tools/bench lab` itself, ends it by a signal in the middle and returns what is still there."""
    child = subprocess.Popen([sys.executable, BENCH / "lab.py", "--scenarios", SCENARIO, "--messages", "500"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in child.stderr:
        if "mesh formed" in line:
            break
    else:
        return [f"the lab ended with {child.wait()} before its mesh was formed"]
    time.sleep(1)
    if len(commands()) < 6:
        return [f"not running: {commands()}"]
    os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
    child.wait(20)
    end = time.monotonic() + 10
    while commands() and time.monotonic() < end:
        time.sleep(0.1)
    interfaces = [link["ifname"] for link in json.loads(subprocess.check_output(["ip", "-j", "link"]))]
    return commands() + [name for name in interfaces if name.startswith(("mesh", "ctl"))]


if __name__ == "__main__":
    if os.environ.get(sandbox.INSIDE) != "1":
        sandbox.check(needs_tun=True)
        for which in (signal.SIGINT, signal.SIGKILL):
            left = leftovers_of_a_killed_lab(which)
            if left:
                sys.exit(f"after {which.name} these were left: {left}")
            print(f"{which.name}: nothing left", file=sys.stderr)
    sandbox.enter(wait=True, needs_tun=True)
    unittest.main()
