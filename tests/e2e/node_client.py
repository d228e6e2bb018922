"""JavaScript clients of the tests, installed from npm once a build folder."""

import os
import pathlib
import shutil
import subprocess

from fleet import SOURCE, Skip


def installed_client(name="grpc_client", what="@grpc/grpc-js"):
    """The folder tests/e2e/`name` copied into the build folder, with its packages."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Skip("node and npm are not installed")
    source = SOURCE / "tests" / "e2e" / name
    folder = pathlib.Path(os.environ["CORELAY_E2E_CACHE"]) / name
    folder.mkdir(parents=True, exist_ok=True)
    lock = (source / "package-lock.json").read_bytes()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_bytes() != lock:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, folder)
        try:
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1",
                                   "--fetch-timeout=30000"], cwd=folder, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=100, check=False)
        except subprocess.TimeoutExpired:
            raise Skip(f"npm cannot install {what}: no answer in 100 s") from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["npm ci failed"]
            raise Skip(f"npm cannot install {what}: " + lines[0])
        stamp.write_bytes(lock)
    for path in source.glob("*.*"):
        if path.suffix in (".mjs", ".proto"):
            shutil.copy(path, folder)
    return folder
