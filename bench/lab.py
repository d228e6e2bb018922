"""Real nodes against the simulator: the same scenario on both, T50, T99 and bytes side by side.

The nodes are corelayd processes in network namespaces of this machine, behind a userspace router that applies the
simulator's link model (bench/lab/routed.py, tools/lab). Topology, delays and publishers are the simulated run's;
times are from the publish call to the moment a node has decoded and verified, by its own clock, which is this
machine's.

A row: id; nodes; size_bytes; messages; delivered (share of all (message, receiving node) pairs); t50_ms, t99_ms
(medians over the messages, as the simulator takes them); bytes_sent_per_node (IP packets on a node's uplink for one
message, mean over the nodes, everything included); sim_t50_ms, sim_t99_ms, sim_bytes; t50_ratio, t99_ratio,
bytes_ratio (lab over simulator); agrees ("10 %", "15 %" or "no": the worst of the three); late_p99_ms (of packets
that left the router, against when they were due: the worst message's), late_max_ms; waited_ms (for a core, by a
node's lcore, a message); void (messages left out); others_cpu (share of this machine's cores that other work took).

A message is void where the router's p99 lateness was above 1 ms, or its p99 turn, the time between two looks at a
device, or where the host of this virtual machine took more than 2 % of its cores' time away meanwhile. It is left
out, whatever came of it, and published again. Too many of those, and the run is void: the benchmark fails.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import routed, sandbox  # noqa: E402
from lab.cores import Cores  # noqa: E402

TARGETS = ["corelayd", "lab", "lab_driver"]
SCENARIOS = ["L1", "L2", "L4-loss1", "L4-loss5", "L4-loss10"]
LATE_MS = 1.0
STOLEN = 0.02
VOID_MORE = 10  # void messages beyond as many as there are to count
WARM_UP = 2  # messages: connections, allocators, the first rates


def quantile(values, all_of_them, share):
    """The least value that `share` of all do not exceed, None where too few are there: as the simulator has it."""
    index = max(0, math.ceil(share * all_of_them - 1e-9) - 1)
    return sorted(values)[index] if index < len(values) else None


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/bench lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=lambda text: text.split(","), default=SCENARIOS,
                        help="built-in names (corelay sim list) or files, comma-separated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", type=int, default=0, help="in place of the scenario's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every node")
    parser.add_argument("--each", action="store_true", help="show every message")
    parser.add_argument("--smoke", action="store_true",
                        help="three messages of L2, which count also where the router was late")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="copy the nodes' logs there at the end")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.scenarios, arguments.messages = ["L2"], 3
    return arguments


class Run:
    """One scenario in the lab: the figures of its messages that count."""

    def __init__(self, lab, plan, arguments):
        self.lab, self.plan, self.is_each_shown, self.is_smoke = lab, plan, arguments.each, arguments.smoke
        self.receivers = len(plan["nodes"]) - 1
        self.t50, self.t99, self.sent, self.tcp, self.late, self.late_max, self.waited = [], [], [], [], [], [], []
        self.pairs = self.faults = self.void = 0

    def publish(self, publisher):
        """One message and what comes after it; true where it counts."""
        network = self.lab.network
        network.reset()
        before, waited = network.stats(), self.lab.waited_s()
        machine = Cores()
        result = self.lab.publish(publisher + 1, self.plan["size_bytes"], min(30.0, self.plan["timeout_ms"] / 1e3))
        time.sleep(max(0.0, self.plan["spacing_ms"] / 1e3 - 0.05))  # the driver has waited 50 ms for second copies
        stolen = machine.share_stolen()
        after = network.stats()
        self.faults += result["duplicates"] + result["corrupt"]
        times = list(result["delivered"].values())
        t50, t99 = (quantile(times, self.receivers, share) for share in (0.5, 0.99))
        late, turn = after["late"]["p99_ms"], after["turn"]["p99_ms"]
        is_void = not self.is_smoke and (max(late, turn) > LATE_MS or stolen > STOLEN)
        if self.is_each_shown or len(times) < self.receivers:
            print(f"  {self.plan['name']} from node {publisher + 1}: T50 {t50} ms, T99 {t99} ms, {len(times)} of "
                  f"{self.receivers} by their traces, {len(result['arrivals'])} by their sidecars; router late p99 "
                  f"{late} ms, turns {turn} ms, stolen {stolen:.1%}{': void' if is_void else ''}", file=sys.stderr)
        if is_void:
            return False
        self.pairs += len(times)
        self.t50.append(t50)
        self.t99.append(t99)
        for figures, column in ((self.sent, 0), (self.tcp, 2)):
            figures.append(statistics.mean(b[column] - a[column] for a, b in zip(before["sent"], after["sent"])))
        self.late.append(late)
        self.late_max.append(after["late"]["max_ms"])
        self.waited.append((self.lab.waited_s() - waited) * 1e3 / len(after["sent"]))
        return True

    def all(self):
        """Every message of the plan, void ones again."""
        publishers = self.plan["publishers"]
        for publisher in publishers[:WARM_UP]:
            self.lab.publish(publisher + 1, self.plan["size_bytes"])
        self.lab.network.set_lossy(True)
        for publisher in publishers:
            while not self.publish(publisher):
                self.void += 1
                if self.void > len(publishers) + VOID_MORE:
                    return


def median(values):
    return None if None in values or not values else statistics.median(values)


def agreement(ratios):
    worst = max(math.inf if ratio is None else abs(ratio - 1) for ratio in ratios)
    return "10 %" if worst <= 0.10 else "15 %" if worst <= 0.15 else "no"


def run_scenario(scenario, arguments):
    """The row, and whether as many messages counted as there are."""
    plan = routed.plan(scenario, arguments.seed, arguments.messages)
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    start = time.monotonic()
    with routed.RoutedLab(scenario, plan, arguments.seed, settings) as lab:
        lab.start_all()
        lab.put_packets_first()
        print(f"{plan['name']}: {len(plan['nodes'])} nodes, mesh formed after {time.monotonic() - start:.1f} s",
              file=sys.stderr)
        time.sleep(1.0)  # the heartbeats of the start are over
        run = Run(lab, plan, arguments)
        cores = Cores()
        try:
            run.all()
        finally:
            if arguments.keep_logs:
                lab.keep_logs(pathlib.Path(arguments.keep_logs) / plan["name"])
        stats = lab.network.stats()
        others = cores.share_of_others()
    if run.faults:
        sys.exit(f"lab: {plan['name']}: {run.faults} duplicate or corrupt deliveries")
    row = row_of(plan, run, others)
    print(f"{plan['name']}: {time.monotonic() - start:.0f} s, {run.void} void messages; of the bytes "
          f"{sum(run.tcp) / max(1, sum(run.sent)):.1%} were TCP's; dropped by full queues: {stats['drops_uplink']} on "
          f"uplinks, {stats['drops_downlink']} on downlinks, {stats['refused']} in nodes; lost on the way: "
          f"{stats['lost']}", file=sys.stderr)
    is_whole = len(run.t50) == len(plan["publishers"])
    if not is_whole:
        print(f"lab: {plan['name']} is void: {run.void} messages left out, {len(run.t50)} counted; other work took "
              f"{others:.0%} of the cores", file=sys.stderr)
    return row, is_whole


def row_of(plan, run, others):
    simulated = plan["simulated"]
    messages = len(run.t50)
    lab = {"t50": median(run.t50), "t99": median(run.t99), "bytes": statistics.mean(run.sent or [0])}
    sim = {"t50": simulated["t50_ms"], "t99": simulated["t99_ms"],
           "bytes": simulated["sent_mean"] * plan["size_bytes"]}
    ratios = {key: lab[key] / sim[key] if lab[key] and sim[key] else None for key in lab}
    return {
        "id": plan["name"], "nodes": len(plan["nodes"]), "size_bytes": plan["size_bytes"], "messages": messages,
        "delivered": run.pairs / max(1, messages * run.receivers),
        "t50_ms": lab["t50"], "t99_ms": lab["t99"], "bytes_sent_per_node": round(lab["bytes"]),
        "sim_t50_ms": sim["t50"], "sim_t99_ms": sim["t99"], "sim_bytes": round(sim["bytes"]),
        **{f"{key}_ratio": ratio for key, ratio in ratios.items()}, "agrees": agreement(ratios.values()),
        "late_p99_ms": max(run.late, default=None), "late_max_ms": max(run.late_max, default=None),
        "waited_ms": statistics.mean(run.waited or [0]), "void": run.void, "others_cpu": others,
    }


def main():
    arguments = parse_arguments()
    runs = [run_scenario(scenario, arguments) for scenario in arguments.scenarios]
    print(json.dumps({"bench": "lab", "rows": [row for row, _ in runs]}))
    if not arguments.smoke and not all(is_whole for _, is_whole in runs):
        sys.exit(1)


def each_by_itself(scenarios):
    """Every scenario in namespaces of its own; the worst exit code."""
    rows, worst = [], 0
    for scenario in scenarios:
        done = subprocess.run([sys.executable, *sys.argv, "--scenarios", scenario], stdout=subprocess.PIPE, text=True)
        worst = max(worst, abs(done.returncode))
        if done.stdout:
            rows += json.loads(done.stdout)["rows"]
    print(json.dumps({"bench": "lab", "rows": rows}))
    return worst


if __name__ == "__main__":
    wanted = parse_arguments().scenarios
    if len(wanted) > 1:
        sys.exit(each_by_itself(wanted))
    sandbox.enter(needs_tun=True)
    main()
