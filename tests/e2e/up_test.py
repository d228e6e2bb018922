"""`corelay up` and `down`: the fleet, its file, its records, and what happens when things go wrong."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

from fleet import CORELAY, CORELAYD, Ports, corelay, end_process, main, start_process, wait_until


def base_flags(ports):
    base = ports.base
    return ["--sidecar-port", str(base), "--api-port", str(base + 5), "--p2p-port", str(base + 10),
            "--gateway-port", str(base + 15), "--gateway-grpc-port", str(base + 17), "--timeout", "60s"]


def processes_of(fleet):
    return [member["pid"] for member in fleet["nodes"] + fleet.get("gateways", [])]


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def knows_all(gateway):
    with urllib.request.urlopen(gateway["page"] + "api/v1/nodes", timeout=10) as reply:
        nodes = json.load(reply)["nodes"]
    return len(nodes) == 4 and all(node["reachable"] and len(node["peers"]) == 3 for node in nodes)


def test_detached_fleet_and_down():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        done = corelay("up", "--detach", "--dir", folder, *base_flags(ports), "--output", "json")
        assert done.returncode == 0, done.stderr
        fleet = json.loads(done.stdout)
        try:
            print(f"    mesh formed in {fleet['mesh_formed_ms']:.0f} ms")
            demo = fleet["demo"]
            sent = pathlib.Path(demo["file"]).read_bytes()
            assert len(sent) == 4 << 20 and hashlib.sha256(sent).hexdigest() == demo["sha256"]
            assert sorted(arrival["node"] for arrival in demo["arrivals"]) == [1, 3, 4]
            assert all(arrival["sha256_matches"] and arrival["bytes"] == len(sent) for arrival in demo["arrivals"])
            pids = processes_of(fleet)
            members = [f"node{n}" for n in (1, 2, 3, 4)] + ["gateway1", "gateway2"]
            assert [int(pathlib.Path(folder, name, "pid").read_text()) for name in members] == pids
            for gateway in fleet["gateways"]:
                with urllib.request.urlopen(gateway["page"], timeout=10) as page:
                    assert b"Corelay gateway" in page.read(), gateway
                wait_until("the gateway to know every node's peers", lambda: knows_all(gateway))
            again = corelay("up", "--dir", folder, *base_flags(ports))
            assert again.returncode == 1 and "already runs" in again.stderr and "corelay down" in again.stderr
        finally:
            down = corelay("down", "--dir", folder)
        assert down.returncode == 0 and down.stdout == "Stopped 4 nodes and 2 gateways\n", (down.stdout, down.stderr)
        assert not any(is_alive(pid) for pid in pids)
        assert not pathlib.Path(folder, "fleet.json").exists()
        nothing = corelay("down", "--dir", folder)
        assert nothing.returncode == 1 and "no fleet" in nothing.stderr


def test_a_lone_node_claims_no_mesh():
    with tempfile.TemporaryDirectory() as folder:
        done = corelay("up", "--detach", "--nodes", "1", "--gateways", "0", "--dir", folder,
                       *base_flags(Ports()))
        try:
            assert done.returncode == 0, done.stderr
            assert "1 node on" in done.stdout and "Node 1 is up" in done.stdout, done.stdout
            assert "gateway" not in done.stdout, done.stdout
            assert "Passed 4.0 MiB on to a subscriber of the same node" in done.stdout, done.stdout
            assert "Published" not in done.stdout and "Mesh formed" not in done.stdout, done.stdout
        finally:
            corelay("down", "--dir", folder)


def test_a_fifth_node_joins_with_what_up_prints():
    """The README's recipe: the address comes from `corelay up` and, the same, from `corelay node state`."""
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        done = corelay("up", "--detach", "--no-demo", "--dir", folder, *base_flags(ports))
        assert done.returncode == 0, done.stderr
        fifth = None
        try:
            printed = done.stdout.split("A further node joins with\n", 1)[1].split("corelayd\n", 1)[0]
            words = dict(word.split("=", 1) for word in printed.split() if "=" in word)
            state = corelay("node", "state", "--api", f"127.0.0.1:{ports.base + 5}").stdout
            assert f"Bootstrap     {words['BOOTSTRAP_PEERS']}\n" in state, (words, state)
            environment = {**os.environ, **words, "CORELAY_P2P_ADDRESS": "127.0.0.1",
                           "IDENTITY_DIR": f"{folder}/fifth", "CORELAY_DATAPLANE_PIN_LCORES": "false"}
            fifth = start_process([CORELAYD], env=environment, stderr=subprocess.DEVNULL)
            api = f"127.0.0.1:{words['API_PORT']}"
            wait_until("four peers", lambda: len(corelay("node", "peers", "--api", api).stdout.split()) == 4)
        finally:
            if fifth is not None:
                end_process(fifth)
            corelay("down", "--dir", folder)


def test_ctrl_c_stops_the_children_and_a_second_start_keeps_the_identities():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        peer_ids = []
        for _ in range(2):
            up = start_process([CORELAY, "up", "--nodes", "3", "--no-demo", "--dir", folder, *base_flags(ports)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            record = pathlib.Path(folder, "fleet.json")
            seen = ""
            while "Ctrl-C" not in seen:
                line = up.stdout.readline()
                assert line, seen + up.stderr.read()
                seen += line
            fleet = json.loads(record.read_text())
            peer_ids.append([node["peer_id"] for node in fleet["nodes"]])
            up.send_signal(signal.SIGINT)
            rest, errors = up.communicate(timeout=60)
            assert up.returncode == 0 and "Stopped 3 nodes and 2 gateways" in rest, (up.returncode, rest, errors)
            assert not any(is_alive(pid) for pid in processes_of(fleet))
        assert peer_ids[0] == peer_ids[1] and len(set(peer_ids[0])) == 3


def test_down_finds_a_node_whose_program_was_rebuilt():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "corelayd")
        shutil.copy(CORELAYD, program)
        done = corelay("up", "--detach", "--nodes", "2", "--gateways", "1", "--no-demo", "--dir", folder,
                       "--corelayd", str(program), *base_flags(ports), "--output", "json")
        assert done.returncode == 0, done.stderr
        program.rename(program.with_name(".old"))  # as a linker does with a file in use
        program.with_name(".old").unlink()
        shutil.copy(CORELAYD, program)
        down = corelay("down", "--dir", folder)
        assert down.stdout == "Stopped 2 nodes and 1 gateway\n", (down.stdout, down.stderr)
        assert not any(is_alive(pid) for pid in processes_of(json.loads(done.stdout)))


def test_children_die_with_a_killed_parent():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        up = start_process([CORELAY, "up", "--nodes", "2", "--no-demo", "--dir", folder, *base_flags(ports)],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        record = pathlib.Path(folder, "fleet.json")
        wait_until("the record", record.exists)
        time.sleep(0.2)
        pids = processes_of(json.loads(record.read_text()))
        assert all(is_alive(pid) for pid in pids)
        up.kill()
        up.wait()
        wait_until("the children to end", lambda: not any(is_alive(pid) for pid in pids))


def test_what_it_prints_works_when_pasted():
    """By CORELAY_DIR, and where the fleet usually is; in both the further node has a folder that no fleet uses."""
    for is_named in (True, False):
        ports = Ports()
        with tempfile.TemporaryDirectory() as home:
            state = f"{home}/the state"
            elsewhere = {name: value for name, value in os.environ.items() if name != "CORELAY_DIR"}
            elsewhere["XDG_STATE_HOME"] = state
            folder = f"{home}/our fleet" if is_named else f"{state}/corelay/fleet"
            environment = {**elsewhere, "CORELAY_DIR": folder} if is_named else elsewhere
            up = corelay("up", "--detach", "--nodes", "1", "--gateways", "0", "--no-demo", *base_flags(ports),
                         env=environment)
            assert up.returncode == 0, up.stderr
            further = None
            try:
                identity = f"{folder if is_named else state + '/corelay'}/further2"
                assert f"IDENTITY_DIR='{identity}'" in up.stdout, up.stdout
                joining = up.stdout.split("A further node joins with\n", 1)[1].split("\n\n", 1)[0]
                further = start_process(["sh", "-c", joining.replace("\\\n", "").strip().replace(
                    "CLUSTER_ID", "exec env CLUSTER_ID", 1)], stderr=subprocess.DEVNULL,
                    env={**elsewhere, "CORELAY_P2P_ADDRESS": "127.0.0.1", "CORELAY_DATAPLANE_PIN_LCORES": "false"})
                api = f"127.0.0.1:{ports.base + 6}"
                wait_until("a peer", lambda: len(corelay("node", "peers", "--api", api).stdout.split()) == 1)
                assert pathlib.Path(identity, "p2p.key").exists(), list(pathlib.Path(home).rglob("*"))
            finally:
                if further is not None:
                    end_process(further)
                line = up.stdout.splitlines()[-1]
                down = subprocess.run(line, shell=True, env=elsewhere, capture_output=True, text=True, timeout=60,
                                      check=False)
            assert line.endswith(f" down --dir '{folder}'" if is_named else " down"), up.stdout
            assert down.stdout == "Stopped 1 node\n", (down.stdout, down.stderr)


def test_down_touches_nobody_else():
    """A record whose ids now belong to other programs, or to a later process, stops nothing."""
    with tempfile.TemporaryDirectory() as folder:
        bystander = start_process(["sleep", "60"])
        ticks = int(pathlib.Path(f"/proc/{bystander.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
        node = {"number": 1, "pid": bystander.pid, "start_ticks": ticks, "peer_id": "x", "sidecar_port": 1,
                "api_port": 2, "p2p_port": 3}
        gateway = {"number": 1, "pid": bystander.pid, "start_ticks": ticks, "port": 1, "grpc_port": 2}
        pathlib.Path(folder, "fleet.json").write_text(json.dumps({"nodes": [node], "gateways": [gateway]}))
        done = corelay("down", "--dir", folder)
        assert done.stdout == "Stopped 0 nodes; 2 had ended before\n", (done.stdout, done.stderr)
        assert bystander.poll() is None
        end_process(bystander)
        pathlib.Path(folder, "fleet.json").write_text("{\"nodes\": [{\"pid\": 1}]}")
        damaged = corelay("down", "--dir", folder)
        assert damaged.returncode == 1 and "damaged" in damaged.stderr


def test_a_taken_port_is_named_with_its_holder():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as holder:
        holder.bind(("127.0.0.1", ports.base + 6))
        holder.listen()
        done = corelay("up", "--dir", folder, *base_flags(ports))
        assert done.returncode == 1
        for word in (str(ports.base + 6), "API of node 2", f"pid {os.getpid()}", "--base"):
            assert word in done.stderr, (word, done.stderr)
        print("    " + done.stderr.strip().replace("\n", "\n    "))


def test_a_taken_gateway_port_is_named():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as holder:
        holder.bind(("127.0.0.1", ports.base + 16))
        holder.listen()
        done = corelay("up", "--dir", folder, *base_flags(ports))
        assert done.returncode == 1 and f"{ports.base + 16} (the HTTP API of gateway 2)" in done.stderr, done.stderr


def test_a_gateway_that_ends_is_shown():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        broken = {**os.environ, "SUBSCRIBER_THRESHOLD": "much"}
        done = corelay("up", "--dir", folder, "--nodes", "2", "--no-demo", *base_flags(ports), env=broken)
        assert done.returncode == 1 and "gateway 1 ended at once" in done.stderr, (done.returncode, done.stderr)
        assert "SUBSCRIBER_THRESHOLD" in done.stderr, done.stderr  # from the log of the gateway
        assert not pathlib.Path(folder, "fleet.json").exists()


def test_a_node_that_cannot_start_is_shown_with_its_log():
    ports = Ports()
    with tempfile.TemporaryDirectory() as folder:
        done = corelay("up", "--dir", folder, *base_flags(ports), env={**os.environ, "OPTIMUM_MESH_MAX": "none"})
        assert done.returncode == 1 and "ended at once" in done.stderr, (done.returncode, done.stderr)
        assert "OPTIMUM_MESH_MAX" in done.stderr, done.stderr  # from the log of the node
        assert not pathlib.Path(folder, "fleet.json").exists()
        missing = corelay("up", "--dir", folder, "--corelayd", "/nowhere/corelayd", *base_flags(ports))
        assert missing.returncode == 1 and "/nowhere/corelayd" in missing.stderr


main()
