"""corelayd's settings: wrong ones are refused in words that help, right ones are shown with where they came from."""

import os
import pathlib
import subprocess
import tempfile
import time

from fleet import CORELAYD, Ports, end_process, main, start_process


def corelayd(*arguments, **environment):
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("OPTIMUM_", "GOSSIPSUB_", "CORELAY_"))}
    return subprocess.run([CORELAYD, *arguments], env={**clean, **environment}, capture_output=True, text=True,
                          timeout=60, check=False)


def refused(done, *words):
    text = done.stdout + done.stderr
    assert done.returncode not in (0, None) and done.returncode > 0, (done.returncode, text)
    for word in words:
        assert word in text, (word, text)
    print("    " + text.strip().splitlines()[-1])
    return done.returncode


def with_file(text):
    folder = tempfile.TemporaryDirectory(prefix="corelay-e2e-")
    path = pathlib.Path(folder.name) / "node.toml"
    path.write_text(text)
    return folder, str(path)


def test_an_unknown_key_names_the_nearest():
    folder, path = with_file("[relay]\nmesage_bytes_max = 5\n")
    with folder:
        refused(corelayd("--config", path), "mesage_bytes_max", "message_bytes_max")
        refused(corelayd("config", "check", "--config", path), "message_bytes_max")


def test_bad_values_name_key_and_value():
    refused(corelayd(OPTIMUM_MAX_MSG_SIZE="lots"), "OPTIMUM_MAX_MSG_SIZE", "lots")
    refused(corelayd(SIDECAR_PORT="70000"), "SIDECAR_PORT", "70000")
    refused(corelayd(OPTIMUM_THRESHOLD="7"), "OPTIMUM_THRESHOLD", "7")
    refused(corelayd(BOOTSTRAP_PEERS="/ip4/1.2.3.4"), "/ip4/1.2.3.4")
    refused(corelayd(NODE_MODE="turbo"), "NODE_MODE", "turbo", "optimum")
    folder, path = with_file("[sidecar]\nport = \"high\"\n")
    with folder:
        refused(corelayd("--config", path), "sidecar.port")
    folder, path = with_file("[sidecar\nport = 1\n")
    with folder:
        refused(corelayd("--config", path), path)
    refused(corelayd("--config", "/nowhere/node.toml"), "/nowhere/node.toml")


def test_wrong_arguments_are_answered_as_corelay_does():
    for arguments, words in ((["--prot", "7"], ("there is no flag '--prot'", "try: '--port' instead of '--prot'")),
                             (["--port"], ("--port needs a value", "try: ")),
                             (["blah"], ("there is no command 'blah'", "try: corelayd --help")),
                             (["--set", "x"], ("--set x", "try: --set")),
                             (["--port", "70000"], ("p2p.port = 70000 (flag --port)", "from 0 to 65535", "try: ")),
                             (["--port", ""], ('p2p.port = ""', "try: ")),
                             (["--set", "relay.cells_max=nan"], ("relay.cells_max", "try: ")),
                             (["--set", "cells_max=5"], ("did you mean relay.cells_max?",)),
                             (["--set", "nothing.like_it=5"], ("unknown key nothing.like_it", "lists all")),
                             (["--bootstrap", "here"], ("node.bootstrap_peers", "try: /ip4/"))):
        assert refused(corelayd(*arguments), "corelayd: ", *words) == 2, arguments


def test_a_folder_is_no_configuration():
    assert refused(corelayd("--config", "/tmp", "config", "check"), "/tmp cannot be read", "directory", "try: ") == 2
    assert refused(corelayd("config"), "check, print, default", "try: ") == 2


def test_one_node_at_a_time_uses_an_identity():
    ports = Ports()
    with tempfile.TemporaryDirectory(prefix="corelay-e2e-") as folder:
        settings = {"IDENTITY_DIR": folder, "CORELAY_P2P_ADDRESS": "127.0.0.1", "CORELAY_DATAPLANE_PIN_LCORES": "false"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPTIMUM_", "CORELAY_"))}
        first = start_process([CORELAYD], env={**clean, **settings, "OPTIMUM_PORT": str(ports.base),
                                               "SIDECAR_PORT": str(ports.base + 1), "API_PORT": str(ports.base + 2)},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while "API:" not in first.stdout.readline():
            assert first.poll() is None
        second = {**settings, "OPTIMUM_PORT": str(ports.base + 3), "SIDECAR_PORT": str(ports.base + 4),
                  "API_PORT": str(ports.base + 5)}
        assert refused(corelayd(**second), "another corelayd runs with", folder, "IDENTITY_DIR") == 1
        first.kill()  # the lock goes with the process, whatever way that ends
        first.wait()
        again = start_process([CORELAYD], env={**clean, **second}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        while "API:" not in again.stdout.readline():
            assert again.poll() is None
        end_process(again)
        assert again.returncode == 0, (again.returncode, again.stdout.read())


def test_a_taken_udp_port_is_waited_for_once_and_said():
    import socket
    ports = Ports()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder, \
            tempfile.TemporaryDirectory(prefix="corelay-e2e-") as folder:
        holder.bind(("127.0.0.1", ports.base))
        start = time.monotonic()
        done = corelayd(IDENTITY_DIR=folder, CORELAY_P2P_ADDRESS="127.0.0.1", OPTIMUM_PORT=str(ports.base),
                        SIDECAR_PORT=str(ports.base + 1), API_PORT=str(ports.base + 2))
        print(f"    refused after {time.monotonic() - start:.2f} s")
        assert refused(done, f"UDP 127.0.0.1 port {ports.base} is taken: waiting up to 2.4 s", "OPTIMUM_PORT") == 1
        text = done.stdout + done.stderr
        assert text.count("is taken: waiting") == 1, text


def test_gossipsub_is_not_built_yet():
    refused(corelayd(NODE_MODE="gossipsub"), "not built yet")


def test_layers_and_their_origins():
    folder, path = with_file("[sidecar]\nport = 4001\n[api]\nport = 4002\n[p2p]\nport = 4003\n")
    with folder:
        shown = corelayd("config", "print", "--config", path, "--set", "sidecar.port=6001", SIDECAR_PORT="5001",
                         API_PORT="5002")
        assert shown.returncode == 0, shown.stderr
        section, values = "", {}
        for line in shown.stdout.splitlines():
            text = line.split("#")[0].strip()
            if text.startswith("["):
                section = text.strip("[]")
            elif "=" in text:
                key, value = (part.strip() for part in text.split("=", 1))
                values[f"{section}.{key}"] = value
        assert values["sidecar.port"] == "6001"  # flag
        assert values["api.port"] == "5002"      # environment
        assert values["p2p.port"] == "4003"      # file
        assert values["mesh.degree_target"] == "6"  # default
        checked = corelayd("config", "check", "--config", path)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_taken_port_is_named():
    import socket
    with socket.socket() as holder, tempfile.TemporaryDirectory(prefix="corelay-e2e-") as folder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = corelayd("--set", "p2p.port=0", "--set", "api.port=0", IDENTITY_DIR=folder, SIDECAR_PORT=str(port))
        refused(done, str(port))


main()
