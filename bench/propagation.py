"""Propagation against the goals: the simulator's figures for Corelay and its rivals, a row a figure.

Runs `corelay sim` on the built-in scenarios (`corelay sim list`) and takes medians over the seeds. Rivals run on an
ideal transport: no congestion window, no handshake, lost segments known and sent again one round trip later.

A row: goal, "-" where there is none (--goals=- takes these alone); what is measured; scenario; value, its must and
target; met ("target", "must", "no" or "-"). Where a larger value is better, must and target are the least allowed. The
figures behind the rows go to --runs FILE, a row for each scenario, router and seed.

--short takes seconds instead of hours: small networks, one seed, a row for each run, and the same figures each time.
With --against FILE, an earlier --runs document, it fails where T99 or the bytes sent are more than 10 % worse, or a run
is in one of the two only. The test suite holds --short against bench/propagation_short.json.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

TARGETS = ["corelay"]
ROOT = pathlib.Path(__file__).resolve().parent.parent
REGRESSION = 1.10
PS, SEQ, RS, ORACLE = "gossipsub-v1.1", "gossipsub-v1.2-seq", "rs-bitmap-64", "oracle"
SHORT = [("S1-1MiB", 150), ("S1-128KiB", 150), ("S2-1MiB", 150), ("S3-256KiB-loss10", 150)]
SMOKE = [("S1-32KiB", 20)]


class Runs:
    """Results of `corelay sim run` by scenario and router, each run once."""

    def __init__(self, program, seeds, jobs):
        self.program, self.seeds, self.jobs = program, seeds, jobs
        self.rows = {}

    def one(self, key):
        scenario, router, nodes = key
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [self.program, "sim", "run", scenario, "--router", router, "--seeds", self.seeds]
            command += ["--json", file.name]
            if nodes:
                command += ["--nodes", str(nodes)]
            print(" ".join(map(str, command[1:])), file=sys.stderr, flush=True)
            done = subprocess.run(command, stdout=subprocess.DEVNULL)
            if done.returncode != 0:
                sys.exit(f"propagation: {' '.join(map(str, command))} ended with {done.returncode}")
            return key, json.load(file)["rows"]

    def fetch(self, keys):
        wanted = [key for key in dict.fromkeys(keys) if key not in self.rows]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for key, rows in pool.map(self.one, wanted):
                self.rows[key] = rows

    def median(self, scenario, field, router="corelay"):
        """Over the seeds; infinite where a run did not get there."""
        values = [row[field] for row in self.rows[(scenario, router, None)]]
        return statistics.median(float("inf") if value is None else value for value in values)

    def worst(self, scenario, field, router="corelay"):
        return min(row[field] for row in self.rows[(scenario, router, None)])


class Goal:
    """A figure with what it must be and what it should be."""

    def __init__(self, name, what, scenario, needs, value, must, target, is_more_better=False):
        self.name, self.what, self.scenario = name, what, scenario
        self.needs, self.value = needs, value
        self.must, self.target, self.is_more_better = must, target, is_more_better

    def row(self, runs):
        value = self.value(runs)
        reaches = (lambda bound: value >= bound) if self.is_more_better else (lambda bound: value <= bound)
        met = "-" if self.must is None else "target" if reaches(self.target) else "must" if reaches(self.must) else "no"
        return {"goal": self.name, "what": self.what, "scenario": self.scenario,
                "value": round(value, 3) if value != float("inf") else None, "must": self.must, "target": self.target,
                "met": met}


def plain(name, what, scenario, field, must, target):
    return Goal(name, what, scenario, [(scenario, "corelay", None)], lambda runs: runs.median(scenario, field), must,
                target)


def faster(name, scenario, rival, must, target):
    return Goal(name, f"T99 of {rival} / ours", scenario, [(scenario, "corelay", None), (scenario, rival, None)],
                lambda runs: runs.median(scenario, "t99_ms", rival) / runs.median(scenario, "t99_ms"), must, target,
                True)


def slower(name, scenario, base, must, target):
    return Goal(name, f"T99 / that of {base}", scenario, [(scenario, "corelay", None), (base, "corelay", None)],
                lambda runs: runs.median(scenario, "t99_ms") / runs.median(base, "t99_ms"), must, target)


def covered(scenario):
    return Goal("G11", "coverage at 4 x LB99, worst seed", scenario, [(scenario, "corelay", None)],
                lambda runs: runs.worst(scenario, "coverage_4lb"), 1.0, 1.0, True)


def best_degree(runs):
    return min(runs.median(name, "ratio_lb99") for name in ("S2-1MiB", "S2-1MiB-d12", "S2-1MiB-d16"))


def goals():
    mix = [(name, "corelay", None) for name in ("S2-1MiB", "S2-1MiB-d12", "S2-1MiB-d16")]
    yield plain("G1", "T99 / LB99", "S1-1MiB", "ratio_lb99", 1.5, 1.3)
    yield Goal("G2", "T99 / LB99, best degree up to 16", "S2-1MiB", mix, best_degree, 2.0, 1.6)
    yield plain("G3", "messages sent per node, mean", "S1-1MiB", "sent_mean", 1.6, 1.3)
    yield plain("G4", "messages sent per node, mean", "S2-1MiB", "sent_mean", 1.8, 1.5)
    yield plain("G4", "messages sent by the worst node", "S2-1MiB", "sent_max", 10, 8)
    yield plain("G5", "messages sent per node, mean", "S1-128KiB", "sent_mean", 2.5, 1.8)
    for scenario, must, target in (("S1-128KiB", 2.5, 3), ("S1-1MiB", 10, 12), ("S1-2.5MiB", 13, 17)):
        yield faster("G6", scenario, PS, must, target)
    for scenario, must, target in (("S1-128KiB", 1.5, 1.8), ("S1-1MiB", 4.5, 5.5), ("S1-2.5MiB", 6, 7.5)):
        yield faster("G7", scenario, SEQ, must, target)
    for scenario, must, target in (("S1-1MiB", 1.0, 1.1), ("S3-1MiB-loss10", 1.1, 1.3), ("S5-silent20", 1.1, 1.3)):
        yield faster("G8", scenario, RS, must, target)
    yield slower("G9", "S3-1MiB-loss10", "S1-1MiB", 1.2, 1.1)
    yield slower("G9", "S3-1MiB-loss20", "S1-1MiB", 1.4, 1.25)
    yield slower("G10", "S4-10000", "S1-1MiB", 1.2, 1.12)
    for scenario in ("S1-1MiB", "S2-1MiB", "S3-1MiB-loss20", "S5-silent20", "S5-churn", "S5-publisher-leaves"):
        yield covered(scenario)
    yield plain("G12", "T99 / LB99", "S1-1200B", "ratio_lb99", 1.05, 1.02)
    yield plain("G12", "messages sent per node, mean", "S1-1200B", "sent_mean", 4, 3)
    yield plain("G13", "wrong deliveries", "S7-polluters5", "wrong_deliveries", 0, 0)
    yield slower("G13", "S7-polluters5", "S2-1MiB", 2.0, 1.3)
    yield plain("G15", "T100, ms", "S8-1000KB", "t100_ms", 1100, 850)


def seen(scenario, router, what, field):
    """A figure without a goal."""
    return Goal("-", f"{router}: {what}", scenario, [(scenario, router, None)],
                lambda runs: runs.median(scenario, field, router), None, None)


def table_cells():
    """The rows of the README's tables and text."""
    for scenario in ("S1-1MiB", "S3-1MiB-loss10", "S2-1MiB", "S5-silent20"):
        routers = ["corelay", RS] + ([SEQ, ORACLE] if scenario != "S5-silent20" else [])
        for router in routers + ([PS] if scenario == "S1-1MiB" else []):
            yield seen(scenario, router, "T99 / LB99", "ratio_lb99")
            yield seen(scenario, router, "messages sent per node, mean", "sent_mean")
    for scenario in ("S1-128KiB", "S1-1MiB", "S1-2.5MiB"):
        for router in ("corelay", SEQ, PS):
            yield seen(scenario, router, "T99, ms", "t99_ms")
    yield seen("S2-1MiB-d16", "corelay", "T99 / LB99", "ratio_lb99")
    yield seen("S2-1MiB-d16", "corelay", "messages sent per node, mean", "sent_mean")
    yield seen("S1-1200B", SEQ, "T99 / LB99", "ratio_lb99")
    yield seen("S1-1200B", SEQ, "messages sent per node, mean", "sent_mean")


def name_of(row):
    return f"{row['scenario']} {row['router']}, seed {row['seed']}, {row['nodes']} nodes"


def regressions(rows, earlier):
    """What became more than a tenth worse than in an earlier document, and what cannot be compared."""
    known = {name_of(row): row for row in earlier}
    for row in rows:
        before = known.pop(name_of(row), None)
        if before is None:
            yield f"{name_of(row)}: not in the earlier document"
            continue
        for field in ("t99_ms", "sent_mean"):
            if before[field] is None:  # it never got there; it can only be better now
                continue
            if row[field] is None or row[field] > before[field] * REGRESSION:
                yield f"{name_of(row)}: {field} {row[field]}, was {before[field]}"
    for name in known:
        yield f"{name}: in the earlier document only"


def short_rows(runs, cases):
    runs.fetch([(scenario, router, nodes) for scenario, nodes in cases for router in ("corelay", RS)])
    fields = ("scenario", "router", "seed", "nodes", "t50_ms", "t99_ms", "lb99_ms", "ratio_lb99", "coverage",
              "sent_mean", "sent_max")
    return [{field: row[field] for field in fields} for rows in runs.rows.values() for row in rows]


def main():
    parser = argparse.ArgumentParser(prog="tools/bench propagation", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="1..5")
    parser.add_argument("--goals", default="", help="only these, separated by commas: G1,G3")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--runs", metavar="FILE", help="where the figures of every run go")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--against", metavar="FILE")
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(os.environ.get("CORELAY_BUILD", ROOT / "build/dev"))
    is_short = arguments.short or arguments.smoke
    runs = Runs(folder / "bin/corelay", "1..1" if is_short else arguments.seeds, arguments.jobs)
    if is_short:
        rows = short_rows(runs, SMOKE if arguments.smoke else SHORT)
    else:
        wanted = arguments.goals.split(",") if arguments.goals else []
        chosen = [goal for goal in (*goals(), *table_cells()) if not wanted or goal.name in wanted]
        runs.fetch([key for goal in chosen for key in goal.needs])
        rows = [goal.row(runs) for goal in chosen]
    every = [row for each in runs.rows.values() for row in each]
    if arguments.runs:
        document = {"rows": rows if is_short else every}  # short ones without times of this machine
        pathlib.Path(arguments.runs).write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({"bench": "propagation", "rows": rows}))
    worse = []
    if arguments.against:
        worse = list(regressions(every, json.loads(pathlib.Path(arguments.against).read_text())["rows"]))
        print("\n".join(f"propagation: {line}" for line in worse) or "propagation: no regression", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
