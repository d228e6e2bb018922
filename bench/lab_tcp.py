"""Fairness: TCP flows on the bottleneck that 8 MiB messages pass, what each of them keeps and what we do.

16 real nodes in network namespaces, every link tbf 100 Mbit/s with 50 ms of queue (bench/lab/network.py), and hosts
with wide links that are no nodes. Bulk TCP flows, each with a congestion control of its own, run between node 1 and
those hosts: first alone, then beside messages published one after the other. Two bottlenecks: node 1's uplink, with
node 1 as the publisher, and node 1's downlink, with the others publishing in turn. Nodes are not told their rates.

A row: bottleneck; party ("bbr", "cubic" or "corelay"); beside (the others on the link); mbit_without (what a TCP flow
had before the messages, among the TCP flows, and Corelay where there was no TCP); mbit (its rate while messages pass:
from each publish call until the last node has the message); share (of what the link carried); kept (mbit over the
fair share: an equal part of the link's rate, or mbit_without where that is less); ok (kept at least half); messages,
mean_ms (until the last node has it). Rates count headers.
"""
import argparse
import itertools
import json
import pathlib
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import network, nodes, sandbox  # noqa: E402
from lab.cores import Cores  # noqa: E402

TARGETS = ["corelayd", "lab_driver"]
NODES = 16
SIZE = 8 << 20
WIDE_MBIT = 1000
RAMP_S = 2.0  # of a TCP flow, not counted
BEFORE_S = 2.0
TCP_WIRE = 1514 / 1448  # bytes on the wire for one of payload
PORT = 6000


class Flow:
    """One bulk TCP flow between two namespaces of the network."""

    def __init__(self, net, control, source, sink, port):
        self.control, self.received, self._is_over = control, 0, False
        listener = net.socket_in(sink, socket.SOCK_STREAM)
        listener.bind((net.mesh_address(sink), port))
        listener.listen()
        self._sender = net.socket_in(source, socket.SOCK_STREAM)
        self._sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        self._sender.connect((net.mesh_address(sink), port))
        self._receiver, _ = listener.accept()
        listener.close()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        block = bytes(1 << 18)
        try:
            while not self._is_over:
                self._sender.sendall(block)
        except OSError:
            pass  # closed by stop()

    def _receive(self):
        block = bytearray(1 << 18)
        while count := self._receiver.recv_into(block):
            self.received += count

    def stop(self):
        self._is_over = True
        self._sender.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._sender.close()
        self._receiver.close()


class Meter:
    """Bytes of each party on the bottleneck while it is running."""

    def __init__(self, net, flows, bottleneck):
        self.net, self.flows, self.direction = net, flows, {"uplink": "sent", "downlink": "received"}[bottleneck]
        self.seconds, self.link, self.of_flows = 0.0, 0, [0] * len(flows)

    def _now(self):
        return (time.monotonic(), getattr(self.net, self.direction)()[1][0], [flow.received for flow in self.flows])

    def measure(self, what):
        before = self._now()
        what()
        after = self._now()
        self.seconds += after[0] - before[0]
        self.link += after[1] - before[1]
        self.of_flows = [sum(parts) for parts in zip(self.of_flows, (b - a for a, b in zip(before[2], after[2])))]

    def mbit(self):
        """{party: Mbit/s, headers included}: the flows and, as what is left, Corelay."""
        rates = {flow.control: received * TCP_WIRE * 8e-6 / self.seconds
                 for flow, received in zip(self.flows, self.of_flows)}
        return {**rates, "corelay": max(0.0, self.link * 8e-6 / self.seconds - sum(rates.values()))}


def available_controls():
    words = pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    found = [control for control in ("bbr", "cubic") if control in words]
    if len(found) < 2:
        print(f"lab-tcp: this kernel has {', '.join(words)} alone (try modprobe tcp_bbr): measured with "
              f"{', '.join(found)}", file=sys.stderr)
    return found


def publish_for(lab, publishers, seconds, meter):
    """Messages one after the other until the time is over; the times until their last node had them."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 2:
        publisher = next(publishers)
        expect = [number for number in lab.nodes if number != publisher]
        meter.measure(lambda: (lab.driver.begin(publisher, SIZE, expect, 60),
                               times.append(lab.driver.finish(60))))
        lab.check_alive()
    for result in times:
        if result["duplicates"] or result["corrupt"]:
            raise RuntimeError(f"duplicate or corrupt deliveries: {result}")
    return [max(result["arrivals"].values()) if len(result["arrivals"]) == len(lab.nodes) - 1 else None
            for result in times]


def run_case(lab, bottleneck, controls, seconds):
    """Rates before the messages and beside them, and the messages' times, with these flows on the bottleneck."""
    net = lab.network
    hosts = [NODES + 1 + i for i in range(len(controls))]
    flows = [Flow(net, control, *((1, host) if bottleneck == "uplink" else (host, 1)), PORT + i)
             for i, (control, host) in enumerate(zip(controls, hosts))]
    try:
        before = Meter(net, flows, bottleneck)
        if flows:
            time.sleep(RAMP_S)
            before.measure(lambda: time.sleep(BEFORE_S))
        meter = Meter(net, flows, bottleneck)
        publishers = itertools.cycle([1] if bottleneck == "uplink" else range(2, NODES + 1))
        times = publish_for(lab, publishers, seconds, meter)
    finally:
        for flow in flows:
            flow.stop()
    return before.mbit() if flows else meter.mbit(), meter.mbit(), times


def rows_of(bottleneck, rate_mbit, without, rates, times):
    complete = [ms for ms in times if ms is not None]
    for party, mbit in rates.items():
        kept = mbit / min(rate_mbit / len(rates), without[party])
        yield {"bottleneck": bottleneck, "party": party, "beside": ", ".join(p for p in rates if p != party),
               "mbit_without": without[party], "mbit": mbit, "share": mbit / sum(rates.values()), "kept": kept,
               "ok": kept >= 0.5, "messages": len(times),
               "mean_ms": statistics.mean(complete) if len(complete) == len(times) else None}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/bench lab-tcp", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of messages for each case")
    parser.add_argument("--bottlenecks", type=lambda text: text.split(","), default=["uplink", "downlink"])
    parser.add_argument("--flows", type=lambda text: [word.split("+") for word in text.split(",")],
                        help="cases, such as bbr,cubic,bbr+cubic (the default)")
    parser.add_argument("--rate-mbit", type=float, default=100)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every node")
    parser.add_argument("--smoke", action="store_true", help="one case, two messages")
    arguments = parser.parse_args()
    controls = available_controls()
    if arguments.flows is None:
        arguments.flows = [[control] for control in controls] + ([controls] if len(controls) > 1 else [])
    if arguments.smoke:
        arguments.seconds, arguments.flows, arguments.bottlenecks = 0.0, arguments.flows[:1], ["uplink"]
    return arguments


def main():
    arguments = parse_arguments()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    hosts = max(len(case) for case in arguments.flows)
    rows = []
    with nodes.Lab(NODES, arguments.rate_mbit, settings=settings, hosts=hosts) as lab:
        lab.network.set_rate(WIDE_MBIT, range(NODES + 1, NODES + hosts + 1))
        lab.start_all()
        lab.put_packets_first()
        print("mesh formed", file=sys.stderr)
        lab.publish(1, 1 << 20)
        cores = Cores()
        for bottleneck in arguments.bottlenecks:
            _, free, times = run_case(lab, bottleneck, [], arguments.seconds)
            rows += rows_of(bottleneck, arguments.rate_mbit, free, free, times)
            for case in arguments.flows:
                before, rates, times = run_case(lab, bottleneck, case, arguments.seconds)
                rows += rows_of(bottleneck, arguments.rate_mbit, {**before, **free}, rates, times)
                print(f"{bottleneck} with {', '.join(case)}: " + ", ".join(
                    f"{party} {mbit:.1f} Mbit/s" for party, mbit in rates.items()), file=sys.stderr)
        others, stolen = cores.share_of_others(), cores.share_stolen()
    if others > 0.15 or stolen > 0.05:
        print(f"this machine was busy: other work took {others:.0%} of its cores, the host {stolen:.0%}",
              file=sys.stderr)
    print(json.dumps({"bench": "lab-tcp", "rows": rows}))


if __name__ == "__main__":
    if not {"-h", "--help"}.intersection(sys.argv):
        sandbox.enter()
    main()
