"""The gateway beside nats-server: publishes, fan-out and latency at 1 KiB, in one run, interleaved.

The server measured, corelay-gateway or nats-server, has the first core of this machine; everything else (the load
generator, which is all clients of either, and what is behind the gateway) has the others. Behind the gateway are, by
row: "stand-in", a sidecar that delivers at once what is published through it, so that the gateway alone is measured;
or real corelayd nodes, their number.

A row: what ("fan-out": one publisher, so many subscribed clients, as fast as the slowest client takes it; "latency":
the same at a fixed rate that both can do; "publish": answered publishes, nats-server with verbose on, which answers
each too); server, protocol, behind, clients (subscribers; of publish: publishing connections); messages_s (published),
delivered_s (to all clients together); p50_ms, p99_ms (publish to delivery, of publish: to its answer); ratio (of the
gateway's delivered_s, or messages_s, to nats-server's in this run); ratio_jetstream (to that of nats-server's
"jetstream", which does what a gateway does besides: an id looked for among those of two minutes, a window of messages
kept, in memory, with a place in it for each subscriber, and an answer to each publish; "nats" is told fire-and-forget
publishes in fan-out and keeps nothing); server_busy, load_busy, nodes_busy (cores); server_us (CPU time of the server a
published message: it moves less than rates do where other work is on the machine); limit (who had no core left;
"waiting": nobody, or work that is not of this benchmark took it). Every figure is the median of the rounds. Every
client is checked to get every message, in order and once.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("CORELAY_BUILD") or ROOT / "build/dev")
os.environ.update({"CORELAY": str(BUILD / "bin/corelay"), "CORELAYD": str(BUILD / "bin/corelayd"),
                   "CORELAY_GATEWAY": str(BUILD / "bin/corelay-gateway"), "CORELAY_SOURCE": str(ROOT)})
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "bench")]
from fleet import Fleet, Ports, end_process, start_process, wait_until  # noqa: E402
from gateway import Gateway  # noqa: E402
from lab import cores as machine  # noqa: E402

TARGETS = ["corelay", "corelayd", "corelay-gateway", "gateway_load", "gateway_sidecar"]
STAND_IN = "stand-in"
WINDOW_BYTES = 64 << 20  # under way to all clients together
RATES = {1: 2000, 100: 300, 1000: 40}  # messages a second, of the latency rows


PUBLISHERS = {"rest": (16, 1), "ws": (4, 32), "grpc": (4, 32)}  # connections, unanswered publishes on each


class Cores:
    """Whose which core is: the first is the server's under test, the others everybody else's."""

    def __init__(self):
        have = sorted(os.sched_getaffinity(0))
        self.of_server, self.of_others = have[:1], have[1:] or have
        os.sched_setaffinity(0, self.of_others)

    def start_server(self, start):
        """What start() starts belongs on the server's core."""
        os.sched_setaffinity(0, self.of_server)
        try:
            return start()
        finally:
            os.sched_setaffinity(0, self.of_others)


class Nats:
    """One nats-server."""

    name, behind = "nats-server", "-"

    def __init__(self, cores):
        self.ports = Ports()
        self.port = self.ports.base
        self.store = tempfile.TemporaryDirectory()
        self.process = cores.start_server(lambda: start_process(
            ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.store.name],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until("nats-server", self._answers)
        self.watched = [self.process.pid]

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        end_process(self.process)
        self.store.cleanup()

    def port_of(self, _):
        return self.port


class GatewayAndNodes:
    """One gateway, and what is behind it."""

    name = "corelay-gateway"

    def __init__(self, cores, behind, sets):
        self.behind = behind if behind == STAND_IN else f"{behind} nodes"
        self.processes = []
        if behind == STAND_IN:
            self.fleet, self.ports = Fleet(0), Ports()
            self.processes.append(start_process([BUILD / "bench/gateway_sidecar", str(self.ports.base)],
                                                stdin=subprocess.PIPE))
            sidecars = [f"127.0.0.1:{self.ports.base}"]
        else:
            self.fleet = Fleet(int(behind), environment={"LOG_LEVEL": "warn"})
            self.processes += [node.process for node in self.fleet.nodes]
            sidecars = [node.sidecar for node in self.fleet.nodes]
        self.gateway = Gateway(sidecars, self.fleet.directory, environment={
            "LOG_LEVEL": "warn", "CORELAY_DELIVERY_UNASSIGNED_TOPICS": "true", **sets})
        cores.start_server(self.gateway.start)
        self.gateway.wait_nodes(len(sidecars))
        self.watched = [self.gateway.process.pid] + [process.pid for process in self.processes]

    def stop(self):
        self.gateway.stop()
        for process in self.processes:
            end_process(process)

    def port_of(self, protocol):
        return self.gateway.grpc_port if protocol == "grpc" else self.gateway.port


def load(server, mode, protocol, seconds, **options):
    """One measurement of gateway_load."""
    command = [BUILD / "bench/gateway_load", mode, "--protocol", protocol, "--port", str(server.port_of(protocol)),
               "--seconds", str(seconds), "--warm", str(min(0.5, seconds)),
               "--watch", ",".join(map(str, server.watched))]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name} {mode} {protocol} {options}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def limit_of(what, busy, cores):
    """Who had no core left."""
    load_, server, *nodes = busy
    if what == "latency":
        return "the rate"
    if server > 0.85 * len(cores.of_server):
        return "the server's core"
    if load_ + sum(nodes) > 0.85 * len(cores.of_others):
        return "the load's core" if load_ >= sum(nodes) else "the nodes' core"
    return "waiting"


def row_of(what, server, protocol, clients, results, cores):
    def median(key):
        return statistics.median(result[key] for result in results)

    busy = [statistics.median(values) for values in zip(*(result["busy"] for result in results))]
    delivered = median("delivered_s") if what != "publish" else None
    messages = median("answered_s") if what == "publish" else delivered / clients
    return {"what": what, "server": server.name, "protocol": protocol, "behind": server.behind, "clients": clients,
            "messages_s": messages, "delivered_s": delivered, "p50_ms": median("p50_ms"), "p99_ms": median("p99_ms"),
            "ratio": None, "ratio_jetstream": None, "server_busy": busy[1], "load_busy": busy[0],
            "nodes_busy": sum(busy[2:]), "server_us": 1e6 * busy[1] / messages, "limit": limit_of(what, busy, cores)}


def compare(what, cases, rounds, cores):
    """Rows of one comparison: `cases` are (server, protocol, clients, measure), the last of nats-server."""
    results = [[] for _ in cases]
    for _ in range(rounds):
        for (_, _, _, measure), found in zip(cases, results):
            found.append(measure())
    rows = [row_of(what, server, protocol, clients, found, cores)
            for (server, protocol, clients, _), found in zip(cases, results)]
    base = rows[-1]
    for row in rows[:-1]:
        if what != "latency" and base["server"] == Nats.name:
            row["ratio"] = row["messages_s"] / base["messages_s"]
            if row["server"] != Nats.name:
                row["ratio_jetstream"] = row["messages_s"] / rows[-2]["messages_s"]
    for row in rows:
        delivered = f", {row['delivered_s']:,.0f} delivered/s" if row["delivered_s"] is not None else ""
        print(f"{what}, {row['clients']} clients, {row['server']} {row['protocol']} ({row['behind']}): "
              f"{row['messages_s']:,.0f} messages/s{delivered}, p50 {row['p50_ms']:.2f} ms, "
              f"{row['server_us']:.1f} us of the server's core a message", file=sys.stderr)
    return rows


def fanout_rows(gateway, nats, arguments, cores):
    for clients in arguments.clients:
        window = max(32, min(1024, WINDOW_BYTES // (clients * arguments.bytes)))
        rate = next((RATES[n] for n in sorted(RATES, reverse=True) if n <= clients), RATES[1])
        for what, options in (("fan-out", {}), ("latency", {"rate": rate})):
            cases = [(server, protocol, clients,
                      lambda server=server, protocol=protocol: load(
                          server, "fanout", protocol, arguments.seconds, clients=clients, window=window,
                          bytes=arguments.bytes, **options))
                     for server, protocol in ((gateway, "ws"), (nats, "jetstream"), (nats, "nats"))
                     if server]
            yield from compare(what, cases, arguments.rounds, cores)


def publish_rows(gateway, nats, arguments, cores):
    cases = []
    for server, protocol, (connections, window) in [
            *((gateway, protocol, PUBLISHERS[protocol]) for protocol in PUBLISHERS),
            *((nats, protocol, PUBLISHERS["ws"]) for protocol in ("jetstream", "nats"))]:
        if server:
            cases.append((server, protocol, connections,
                          lambda server=server, protocol=protocol, connections=connections, window=window: load(
                              server, "publish", protocol, arguments.seconds, connections=connections, window=window,
                              bytes=arguments.bytes)))
    yield from compare("publish", cases, arguments.rounds, cores)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/bench gateway", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=lambda text: [int(word) for word in text.split(",")], default=[1, 100, 1000])
    parser.add_argument("--behind", type=lambda text: text.split(","), default=[STAND_IN, "2", "4"],
                        help="stand-in, or a number of nodes, at least 2; several, with commas")
    parser.add_argument("--bytes", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["fan-out", "publish"])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="an environment variable of the gateway")
    parser.add_argument("--smoke", action="store_true", help="tiny, to see that it runs")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.clients, arguments.behind, arguments.seconds, arguments.rounds = [3], [STAND_IN, "2"], 0.2, 1
    return arguments


def main():
    arguments = parse_arguments()
    sets = dict(pair.split("=", 1) for pair in arguments.set)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cores = Cores()
    host = machine.Cores()
    has_nats = shutil.which("nats-server") is not None
    if not has_nats:
        print("gateway: nats-server is not installed: measured without it", file=sys.stderr)
    rows = []
    for behind in arguments.behind:
        gateway = GatewayAndNodes(cores, behind, sets)
        nats = Nats(cores) if has_nats else None
        for part, measure in (("fan-out", fanout_rows), ("publish", publish_rows)):
            if part in arguments.parts:
                rows += measure(gateway, nats, arguments, cores)
        gateway.stop()
        if nats:
            nats.stop()
    if host.share_stolen() > 0.05:
        print(f"gateway: the host took {host.share_stolen():.0%} of this machine's cores", file=sys.stderr)
    print(json.dumps({"bench": "gateway", "rows": rows}))


if __name__ == "__main__":
    main()
