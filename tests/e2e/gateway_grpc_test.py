"""The gateway's gRPC API as an independent implementation sees it (@grpc/grpc-js)."""

import os
import pathlib
import re
import subprocess

from fleet import SOURCE, Fleet, main
from gateway import Gateway, bytes_allowed
from node_client import installed_client

# 10,000 where there is time for it: 1 GiB through two nodes.
FLOOD = os.environ.get("CORELAY_FLOOD_MESSAGES", "300")
WINDOW_MIB = 1024


def peak_mib(process):
    """The most memory that a process has had."""
    status = pathlib.Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) >> 10


def test_grpc_js():
    folder = installed_client()
    fleet = Fleet(2)
    window = str(WINDOW_MIB << 20)  # the flood's reader may be slower than its publisher, and is to miss nothing
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment={
        "CORELAY_REPLAY_BYTES_MAX": window, "CORELAY_REPLAY_TOTAL_BYTES_MAX": window}).start()
    gateway.wait_nodes(2)
    done = subprocess.run(["node", "gateway.mjs", str(SOURCE / "proto" / "gateway.proto"), gateway.grpc,
                           f"127.0.0.1:{gateway.port}", FLOOD], cwd=folder, capture_output=True, text=True,
                          timeout=220 if FLOOD == "300" else 3600, check=False)
    print("    " + (done.stdout + done.stderr).strip().replace("\n", "\n    "))
    assert done.returncode == 0
    assert gateway.is_running()
    most, nodes = peak_mib(gateway.process.pid), [peak_mib(node.process.pid) for node in fleet.nodes]
    print(f"    most memory: gateway {most} MiB (replay window {WINDOW_MIB} MiB), nodes {nodes} MiB")
    assert most << 20 < bytes_allowed(WINDOW_MIB + 512), most
    gateway.stop()


main()
