"""The JavaScript gRPC client of the tests, installed once a build folder."""

import os
import pathlib
import shutil
import subprocess

from fleet import SOURCE, Skip

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
