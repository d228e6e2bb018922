"""Several gateways: subscriptions over NATS, a client that comes from a killed gateway, quotas over Redis."""

import shutil
import subprocess
import time

from fleet import Fleet, Ports, Skip, main, start_process, wait_until
from gateway import Gateway, WebSocket


def test_a_killed_gateway_loses_nothing():
    if shutil.which("nats-server") is None:
        raise Skip("nats-server is not installed")
    fleet = Fleet(2)
    ports = Ports()
    start_process(["nats-server", "-a", "127.0.0.1", "-p", str(ports.base)], stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL)
    environment = {"CORELAY_BUS_URL": f"nats://127.0.0.1:{ports.base}"}
    sidecars = [node.sidecar for node in fleet.nodes]
    first = Gateway(sidecars, fleet.directory, "first", environment).start()
    second = Gateway(sidecars, fleet.directory, "second", environment).start()
    for gateway in (first, second):
        gateway.wait_nodes(2)
        wait_until("the bus", lambda: gateway.metrics()["corelay_gateway_bus_connected"] == 1)
    first.subscribe("c", "t")
    wait_until("the subscription at the second", lambda: '"t"' in second.get("/api/v1/topics?client_id=c")[1])
    client = WebSocket(first, "client_id=c")
    sent = []
    for i in range(200):
        sent.append(f"m{i}")
        second.publish("t", sent[-1])  # a topic is assigned where anybody subscribed to it
    client.wait_for(150)
    first.kill()
    wait_until("the socket to close", lambda: client.is_closed)
    got = [payload.decode() for payload in client.payloads()]
    offset = client.json("message")[-1]["offset"]
    for i in range(200, 260):
        sent.append(f"m{i}")
        second.publish("t", sent[-1])
    again = WebSocket(second, f"client_id=c&offset={offset}")
    wait_until("the rest", lambda: set(sent) <= set(got) | {payload.decode() for payload in again.payloads()})
    time.sleep(0.3)
    rest = [payload.decode() for payload in again.payloads()]
    repeated = set(got) & set(rest)
    print(f"    {len(got)} from the first, {len(rest)} from the second, {len(repeated)} by both")
    assert not again.json("lagged") and len(rest) == len(set(rest))
    assert len(repeated) <= 20, len(repeated)  # what was delivered in the last moment of the first
    third = Gateway(sidecars, fleet.directory, "third", environment).start()  # comes later, and hears of everything
    wait_until("the subscription at the third", lambda: '"t"' in third.get("/api/v1/topics?client_id=c")[1])
    second.stop()
    third.stop()


main()
