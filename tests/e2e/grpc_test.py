"""The sidecar as an independent gRPC implementation sees it (@grpc/grpc-js)."""

import subprocess

from fleet import SOURCE, Fleet, main
from node_client import installed_client


def test_grpc_js():
    folder = installed_client()
    fleet = Fleet(3, {"CORELAY_PUBLISH_HOLD_MS": "500"})  # some publishes are to topics nobody takes part in
    done = subprocess.run(["node", "client.mjs", str(SOURCE / "proto" / "sidecar.proto"), fleet[2].sidecar,
                           fleet[3].sidecar], cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    print("    " + (done.stdout + done.stderr).strip().replace("\n", "\n    "))
    assert done.returncode == 0


main()
