"""The sidecar as an independent gRPC implementation sees it (@grpc/grpc-js)."""

import os
import pathlib
import shutil
import subprocess

from fleet import SOURCE, Fleet, Skip, main

CLIENT = SOURCE / "tests" / "e2e" / "grpc_client"


def installed_client():
    """A folder with the client and its packages, installed once a build folder."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Skip("node and npm are not installed")
    folder = pathlib.Path(os.environ["CORELAY_E2E_CACHE"]) / "grpc_client"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (CLIENT / "package-lock.json").read_bytes()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_bytes() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENT / name, folder)
        try:
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1",
                                   "--fetch-timeout=30000"], cwd=folder, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=100, check=False)
        except subprocess.TimeoutExpired:
            raise Skip("npm cannot install @grpc/grpc-js: no answer in 100 s") from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["npm ci failed"]
            raise Skip("npm cannot install @grpc/grpc-js: " + lines[0])
        stamp.write_bytes(lock)
    for path in CLIENT.glob("*.*"):
        if path.suffix in (".mjs", ".proto"):
            shutil.copy(path, folder)
    return folder


def test_grpc_js():
    folder = installed_client()
    fleet = Fleet(3, {"CORELAY_PUBLISH_HOLD_MS": "500"})  # some publishes are to topics nobody takes part in
    done = subprocess.run(["node", "client.mjs", str(SOURCE / "proto" / "sidecar.proto"), fleet[2].sidecar,
                           fleet[3].sidecar], cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    print("    " + (done.stdout + done.stderr).strip().replace("\n", "\n    "))
    assert done.returncode == 0


main()
