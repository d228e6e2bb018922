"""The links of the lab: a bridge and one shaped, lossy access link per node.

    node i:  namespace "node<i>"   mesh0 10.77.0.<i>  --tbf-->  hub  --tbf-->  mesh0 of the others     shaped, lossy
                                   ctl0  10.78.0.<i>  ------->  the script's own namespace, 10.78.0.254    neither

Shape: token buckets of `rate_mbit` both ways, on the node's egress (uplink) and on the hub's egress towards it
(downlink), each with a bucket of BURST_BYTES and a queue of QUEUE_MS at that rate, then tail drop. Loss: each IP
packet that arrives at a node, data and control alike, is dropped with the set probability, once. Between a node and
the script nothing is lost, and nodes cannot see each other there.
Segmentation and receive offloads are off on every link, so that a packet is a wire packet of at most 1,500 bytes for
shaping, loss and counters alike; tests/e2e/lab_links_test.py measures that.
"""
import ctypes
import json
import socket
import subprocess
import threading

BURST_BYTES = 16 * 1024  # 1.3 ms at 100 Mbit/s: enough to hold the rate, too small to favour a small message by much
QUEUE_MS = 50            # as an access link has; a deeper queue would only hide congestion
LOSS_STEPS = 10000
CONTROL_ADDRESS = "10.78.0.254"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*command, namespace=None, text=None):
    """Runs a command (in a namespace) and returns its output; failing raises with the command's own words."""
    prefix = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    done = subprocess.run([*prefix, *command], input=text, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Nodes:
    """Namespaces of `count` nodes, numbered from 1, each with its link to the script."""

    def __init__(self, count):
        self.count = count
        self._make_bridge(None, "ctlbr")
        run("ip", "address", "add", f"{CONTROL_ADDRESS}/24", "dev", "ctlbr")
        for node in self.nodes():
            inside = self.namespace(node)
            run("ip", "netns", "add", inside)
            run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1",
                namespace=inside)
            run("ip", "link", "set", "lo", "up", namespace=inside)
            self._make_link(node, "ctl0", f"ctl{node}", "ctlbr", None, self.control_address(node))
            run("bridge", "link", "set", "dev", f"ctl{node}", "isolated", "on")

    def socket_in(self, node, kind):
        """A socket of a node's namespace."""
        made = []

        def make():
            with open(f"/run/netns/{self.namespace(node)}") as handle:
                if LIBC.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.socket(socket.AF_INET, kind))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    @staticmethod
    def _make_bridge(namespace, name):
        run("ip", "link", "add", "name", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0",
            namespace=namespace)
        run("ip", "link", "set", name, "up", namespace=namespace)

    def _make_link(self, node, own, peer, bridge, hub, address):
        inside = self.namespace(node)
        run("ip", "link", "add", "name", own, "netns", inside, "type", "veth", "peer", "name", peer, namespace=hub)
        run("ip", "link", "set", peer, "master", bridge, "up", namespace=hub)
        run("ip", "address", "add", f"{address}/24", "dev", own, namespace=inside)
        run("ip", "link", "set", own, "up", namespace=inside)

    def nodes(self):
        return range(1, self.count + 1)

    @staticmethod
    def namespace(node):
        return f"node{node}"

    @staticmethod
    def mesh_address(node):
        return f"10.77.0.{node}"

    @staticmethod
    def control_address(node):
        return f"10.78.0.{node}"

class Network(Nodes):
    """The mesh's links are shaped veth pairs to a bridge."""

    def __init__(self, count, rate_mbit=100):
        super().__init__(count)
        self.rate_mbit = rate_mbit
        run("ip", "netns", "add", "hub")
        self._make_bridge("hub", "meshbr")
        for node in self.nodes():
            self._make_link(node, "mesh0", f"mesh{node}", "meshbr", "hub", self.mesh_address(node))
            for namespace, device in ((self.namespace(node), "mesh0"), ("hub", f"mesh{node}")):
                run("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off",
                    namespace=namespace)
                self._shape(namespace, device, "add", rate_mbit)
        self.set_loss(0.0)

    @staticmethod
    def _shape(namespace, device, action, rate_mbit):
        limit = BURST_BYTES + int(rate_mbit * 1e6 / 8 * QUEUE_MS / 1e3)
        run("tc", "qdisc", action, "dev", device, "root", "tbf", "rate", f"{rate_mbit}mbit",
            "burst", str(BURST_BYTES), "limit", str(limit), namespace=namespace)

    def set_rate(self, rate_mbit, nodes=None):
        """Both directions of the named nodes' links (all of them) get a new rate."""
        if nodes is None:
            self.rate_mbit = rate_mbit
        for node in nodes or self.nodes():
            self._shape(self.namespace(node), "mesh0", "change", rate_mbit)
            self._shape("hub", f"mesh{node}", "change", rate_mbit)

    def set_loss(self, share, nodes=None):
        """Packets arriving at the named nodes (all) are lost with this probability from now on; counters restart."""
        below = round(share * LOSS_STEPS)
        drop = f"meta protocol ip numgen random mod {LOSS_STEPS} < {below} counter name lost drop" if below else ""
        rules = f"""
            table netdev lab
            delete table netdev lab
            table netdev lab {{
              counter arrived {{ }}
              counter lost {{ }}
              chain arriving {{
                type filter hook ingress device "mesh0" priority 0; policy accept;
                meta protocol ip counter name arrived
                {drop}
              }}
            }}
            """
        for node in nodes or self.nodes():
            run("nft", "-f", "-", namespace=self.namespace(node), text=rules)

    def loss_counters(self, node):
        """(packets that arrived at the node's link, of these lost) since set_loss()."""
        found = {}
        for entry in json.loads(run("nft", "-j", "list", "counters", namespace=self.namespace(node)))["nftables"]:
            if "counter" in entry:
                found[entry["counter"]["name"]] = entry["counter"]["packets"]
        return found["arrived"], found["lost"]

    def sent(self):
        """Per node: (bytes, packets) that its uplink has carried, behind the shaper; Ethernet headers included."""
        return self._carried("hub's rx")

    def received(self):
        """The same of its downlink."""
        return self._carried("hub's tx")

    @staticmethod
    def _carried(side):
        found = {}
        for link in json.loads(run("ip", "-j", "-s", "link", "show", namespace="hub")):
            name = link["ifname"]
            if name.startswith("mesh") and name[4:].isdigit():
                carried = link["stats64"][side[-2:]]
                found[int(name[4:])] = (carried["bytes"], carried["packets"])
        return found

    def queue_drops(self):
        """Per node: packets that its uplink's and downlink's shapers have dropped."""
        found = {}
        for node in self.nodes():
            drops = 0
            for namespace, device in ((self.namespace(node), "mesh0"), ("hub", f"mesh{node}")):
                for qdisc in json.loads(run("tc", "-j", "-s", "qdisc", "show", "dev", device, namespace=namespace)):
                    drops += qdisc.get("drops", 0) if qdisc.get("kind") == "tbf" else 0
            found[node] = drops
        return found
