"""Delivery and latency under loss: 8 real nodes on 100 Mbit/s links in network namespaces of this machine.

Each node has one link, shaped both ways by tbf (bench/lab/network.py says how), and keeps 3 to 4 mesh peers. Messages
are published in turn at each node through its sidecar; every other node's subscriber reports when it has the message.
Loss is random and hits every packet between nodes, control as well as data. Sizes and loss levels are interleaved in
rounds, so that a slow spell of the machine does not fall on one of them.

A row: size_bytes; loss (share of packets); messages; delivered (share of all (message, receiving node) pairs within
the timeout); mean_ms and p99_ms from the publish call to the arrival at the subscriber, over all those pairs;
bytes_sent_per_node (what a node's uplink carried for one message, mean over the nodes, everything included).
"""
import argparse
import json
import math
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import nodes, sandbox  # noqa: E402
from lab.cores import Cores  # noqa: E402

TARGETS = ["corelayd", "lab_driver"]
COUNTS = {1 << 10: 50, 100 << 10: 40, 1 << 20: 20, 8 << 20: 10}
TIMEOUT_S = 30
SPACING_S = 0.15   # after a message is through: late repair traffic ends and belongs to it
SETTLE_S = 0.5     # after a change of the loss
ROUNDS = 5


def percentile(values, share):
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/bench lab-loss", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=list(COUNTS),
                        help="message sizes in bytes, comma-separated")
    parser.add_argument("--loss", type=lambda text: [float(word) for word in text.split(",")],
                        default=[0.0, 0.05, 0.10, 0.20], help="loss levels as shares, comma-separated")
    parser.add_argument("--messages", type=int, help="messages for each size and loss (50, 40, 20 and 10 by size)")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--rate-mbit", type=float, default=100)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every node")
    parser.add_argument("--quick", action="store_true", help="a fifth of the messages")
    parser.add_argument("--smoke", action="store_true", help="two messages of two sizes at two loss levels")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="copy the nodes' logs there at the end")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.sizes, arguments.loss, arguments.messages = [1 << 10, 100 << 10], [0.0, 0.10], 2
    return arguments


class Case:
    """One row in the making."""

    def __init__(self, size, loss, messages):
        self.size, self.loss, self.messages = size, loss, messages
        self.latencies_ms = []
        self.expected = 0
        self.sent_bytes = 0.0
        self.published = 0

    def row(self):
        return {
            "size_bytes": self.size, "loss": self.loss, "messages": self.published,
            "delivered": len(self.latencies_ms) / self.expected if self.expected else 0.0,
            "mean_ms": sum(self.latencies_ms) / len(self.latencies_ms) if self.latencies_ms else None,
            "p99_ms": percentile(self.latencies_ms, 0.99) if self.latencies_ms else None,
            "bytes_sent_per_node": round(self.sent_bytes / max(1, self.published)),
        }


class Measurement:
    def __init__(self, lab):
        self.lab = lab
        self.publisher = 0
        self.faults = 0

    def publish(self, case):
        """One message from the next node in turn."""
        self.publisher = self.publisher % len(self.lab.nodes) + 1
        before = self.lab.network.sent()
        result = self.lab.publish(self.publisher, case.size, TIMEOUT_S)
        time.sleep(SPACING_S)
        after = self.lab.network.sent()
        case.published += 1
        case.expected += len(self.lab.nodes) - 1
        case.latencies_ms += result["arrivals"].values()
        case.sent_bytes += sum(after[node][0] - before[node][0] for node in after) / len(after)
        self.faults += result["duplicates"] + result["corrupt"]
        if result["duplicates"] or result["corrupt"] or len(result["arrivals"]) < len(self.lab.nodes) - 1:
            print(f"  {case.size} bytes from node {self.publisher} at loss {case.loss}: {result}; "
                  f"mesh peers {self.lab.degrees()}", file=sys.stderr)

    def run(self, arguments):
        cases = []
        for size in arguments.sizes:
            count = arguments.messages or max(2, COUNTS.get(size, 10) // (5 if arguments.quick else 1))
            cases += [Case(size, loss, count) for loss in arguments.loss]
        rounds = min(ROUNDS, max(case.messages for case in cases))
        for turn in range(rounds):
            for loss in arguments.loss:
                self.lab.network.set_loss(loss)
                time.sleep(SETTLE_S)
                for case in cases:
                    if case.loss == loss:
                        while case.published < math.ceil(case.messages * (turn + 1) / rounds):
                            self.publish(case)
            print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
        return [case.row() for case in cases]


def main():
    arguments = parse_arguments()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    start = time.monotonic()
    with nodes.Lab(arguments.nodes, arguments.rate_mbit, settings=settings) as lab:
        lab.start_all()
        print(f"{arguments.nodes} nodes, mesh formed after {time.monotonic() - start:.1f} s", file=sys.stderr)
        measurement = Measurement(lab)
        cores = Cores()
        try:
            measurement.publish(Case(1 << 10, 0.0, 1))   # connections and allocators warm up
            measurement.publish(Case(1 << 20, 0.0, 1))
            rows = measurement.run(arguments)
        finally:
            if arguments.keep_logs:
                lab.keep_logs(pathlib.Path(arguments.keep_logs))
        drops = lab.network.queue_drops()
        others = cores.share_of_others()
    print(f"{time.monotonic() - start:.0f} s in all; packets dropped by full link queues: {sum(drops.values())}",
          file=sys.stderr)
    if others > 0.15:
        print(f"this machine was busy: other work took {others:.0%} of its cores, so latencies are too high",
              file=sys.stderr)
    if measurement.faults:
        sys.exit(f"lab-loss: {measurement.faults} duplicate or corrupt deliveries")
    print(json.dumps({"bench": "lab-loss", "rows": rows}))


if __name__ == "__main__":
    if not {"-h", "--help"}.intersection(sys.argv):
        sandbox.enter()
    main()
