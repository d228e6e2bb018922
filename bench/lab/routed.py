"""The lab on the simulator's links: real nodes behind one userspace router, on the scenario's own graph.

    node i:  namespace "node<i>"   mesh0 10.77.0.<i>  TUN device --> build/<preset>/bin/lab route --> the others' mesh0

The router (tools/lab) applies the link model of `corelay sim` to every IP packet between nodes, TCP as well as UDP:
rates with bounded queues, delays, jitter, loss. Who is whose neighbour is the scenario's: each node dials its
neighbours of lower number and nobody else, and takes all of them into its mesh.
"""
import json
import pathlib
import subprocess

from . import network, nodes

KEEP_S = 5  # a complete message is served this long: memory for dozens of nodes
MTU = 1500


def plan(scenario, seed=1, messages=0):
    """What `lab plan` says of a scenario: its nodes, publishers and what the simulator makes of it."""
    command = [nodes.build_folder() / "bin/lab", "plan", scenario, "--seed", str(seed)]
    command += ["--messages", str(messages)] if messages else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


class RoutedNetwork(network.Nodes):
    """The mesh's links lead to the router, which runs until close()."""

    def __init__(self, count, scenario, seed, log):
        super().__init__(count)
        self.process = subprocess.Popen(
            [nodes.build_folder() / "bin/lab", "route", scenario, "--seed", str(seed), "--netns", "/run/netns/node"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self._answer()
        for node in self.nodes():
            inside = self.namespace(node)
            network.run("ip", "address", "add", f"{self.mesh_address(node)}/24", "dev", "mesh0", namespace=inside)
            network.run("ip", "link", "set", "mesh0", "mtu", str(MTU), "txqueuelen", "2000", "up", namespace=inside)

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the router ended with {self.process.wait()}")
        return json.loads(line)

    def _tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def set_lossy(self, is_lossy):
        """The scenario's loss, on at first; off while the nodes find each other."""
        self._tell("loss on" if is_lossy else "loss off")

    def reset(self):
        """The figures of lateness start anew."""
        self._tell("reset")

    def stats(self):
        """{"late", "turn": {"p50_ms", "p99_ms", "max_ms"}, "sent": per node [bytes, packets, of them TCP bytes], ...}
        of the IP packets that the router has seen."""
        return self._tell("stats")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class RoutedLab(nodes.Lab):
    """Real nodes as a plan says."""

    def __init__(self, scenario, the_plan, seed=1, settings=None):
        self.plan = the_plan
        self._router_log = open("/run/router.log", "w")
        links = RoutedNetwork(len(the_plan["nodes"]), scenario, seed, self._router_log)
        links.set_lossy(False)
        self._open(links.count, links, {
            "mesh.connections_target": 0, "sidecar.traces": "true", "dataplane.spin_us": 0,
            "relay.keep_s": KEEP_S, "relay.cells_max": 16384, "relay.seen_max": 4096,
            "relay.path_mtu_bytes": the_plan["relay"]["path_mtu_bytes"],
            "relay.redundancy": the_plan["relay"]["redundancy"], **(settings or {})}, self._settings_of)

    def _settings_of(self, number):
        node = self.plan["nodes"][number - 1]
        degree = len(node["neighbours"])
        return {"mesh.degree_target": degree, "mesh.degree_min": degree, "mesh.degree_max": degree,
                "relay.rate_bytes_per_second_max": node["rate_bytes_per_second"]}

    def bootstraps(self, number):
        return [other + 1 for other in self.plan["nodes"][number - 1]["neighbours"] if other + 1 < number]

    def waited_s(self):
        """How long the nodes' threads that carry packets were ready and had no core, all together, since they began."""
        waited_ns = 0
        for node in self.nodes.values():
            for task in pathlib.Path(f"/proc/{node.process.pid}/task").iterdir():
                if (task / "comm").read_text().startswith("lcore"):
                    waited_ns += int((task / "schedstat").read_text().split()[1])
        return waited_ns / 1e9

    def close(self):
        self.network.close()
        super().close()
        self._router_log.close()
