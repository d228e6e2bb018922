"""tools/up from another folder, on the default ports: the README's first command, and the setup guide's next ones."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from default_ports import skip_if_taken
from fleet import CORELAY, SOURCE, Skip, corelay, main, start_process


def test_tools_up_on_the_default_ports():
    build = pathlib.Path(os.environ["CORELAY"]).parent.parent
    if build != SOURCE / "build" / "dev":
        raise Skip("tools/up builds the preset dev, and this is another build folder")
    skip_if_taken()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CORELAY_DIR": f"{folder}/run", "NO_COLOR": "1"}
        up = subprocess.run([SOURCE / "tools" / "up", "--detach"], cwd=folder, env=environment, capture_output=True,
                            text=True, timeout=600, check=False)
        try:
            print("    " + (up.stdout + up.stderr).replace("\n", "\n    "))
            assert up.returncode == 0
            assert up.stdout.count("✓ the same") == 3, "the file did not reach three nodes"
            assert "Mesh formed in" in up.stdout
            assert "open http://localhost:8081/ in a browser" in up.stdout
            curl = shutil.which("curl")
            if curl:
                state = subprocess.run([curl, "-s", "http://localhost:9091/api/v1/node-state"], capture_output=True,
                                       text=True, timeout=10, check=True)
                assert state.stdout.count("12D3KooW") == 4, state.stdout
                page = subprocess.run([curl, "-s", "http://localhost:8082/"], capture_output=True, text=True,
                                      timeout=10, check=True)
                assert "<title>Corelay gateway</title>" in page.stdout, page.stdout
            subscriber = start_process([CORELAY, "subscribe", "--addr", "localhost:33221", "--topic", "mytopic",
                                        "--count", "1", "--timeout", "10s"], stdout=subprocess.PIPE, text=True)
            assert subscriber.stdout.readline() == 'Subscribed to topic "mytopic", waiting for messages…\n'
            sent = corelay("publish", "--addr", "localhost:33222", "--topic", "mytopic", "--message", "random")
            assert sent.stdout == 'Published "random" to "mytopic"\n', (sent.stdout, sent.stderr)
            assert subscriber.stdout.readline() == 'Received message: "random"\n'
            assert subscriber.wait(10) == 0
        finally:
            down = corelay("down", env=environment)
        assert down.stdout == "Stopped 4 nodes and 2 gateways\n", (down.stdout, down.stderr)


def test_help_comes_whatever_else_is_there():
    build = pathlib.Path(os.environ["CORELAY"]).parent.parent
    if build != SOURCE / "build" / "dev":
        raise Skip("tools/up builds the preset dev, and this is another build folder")
    for words in (["--help"], ["--base", "70000", "--help"], ["-h", "--nodes"]):
        done = subprocess.run([SOURCE / "tools" / "up", *words], capture_output=True, text=True, timeout=600,
                              check=False)
        assert done.returncode == 0 and "--gateways" in done.stdout, done


main()
