"""tools/up from another folder, on the default ports: the README's first command, and the setup guide's next ones."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from fleet import CORELAY, SOURCE, Skip, corelay, main, start_process

PORTS = [33221, 33222, 33223, 33224, 9091, 9092, 9093, 9094, 7071, 7072, 7073, 7074]


def taken():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for port in PORTS:
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return port
    return None


def test_tools_up_on_the_default_ports():
    build = pathlib.Path(os.environ["CORELAY"]).parent.parent
    if build != SOURCE / "build" / "dev":
        raise Skip("tools/up builds the preset dev, and this is another build folder")
    if taken():
        raise Skip(f"port {taken()}, one of the defaults, is in use on this machine")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CORELAY_DIR": f"{folder}/run", "NO_COLOR": "1"}
        up = subprocess.run([SOURCE / "tools" / "up", "--detach"], cwd=folder, env=environment, capture_output=True,
                            text=True, timeout=600, check=False)
        try:
            print("    " + (up.stdout + up.stderr).replace("\n", "\n    "))
            assert up.returncode == 0
            assert up.stdout.count("✓ the same") == 3, "the file did not reach three nodes"
            assert "Mesh formed in" in up.stdout
            curl = shutil.which("curl")
            if curl:
                state = subprocess.run([curl, "-s", "http://localhost:9091/api/v1/node-state"], capture_output=True,
                                       text=True, timeout=10, check=True)
                assert state.stdout.count("12D3KooW") == 4, state.stdout
            subscriber = start_process([CORELAY, "subscribe", "--addr", "localhost:33221", "--topic", "mytopic",
                                        "--count", "1", "--timeout", "10s"], stdout=subprocess.PIPE, text=True)
            assert subscriber.stdout.readline() == 'Subscribed to topic "mytopic", waiting for messages…\n'
            sent = corelay("publish", "--addr", "localhost:33222", "--topic", "mytopic", "--message", "random")
            assert sent.stdout == 'Published "random" to "mytopic"\n', (sent.stdout, sent.stderr)
            assert subscriber.stdout.readline() == 'Received message: "random"\n'
            assert subscriber.wait(10) == 0
        finally:
            down = corelay("down", env=environment)
        assert down.stdout == "Stopped 4 nodes\n", (down.stdout, down.stderr)


main()
