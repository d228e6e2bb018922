"""corelay top, tracer, multi-publish, multi-subscribe and completion: what is shown against what nodes and gateways
say."""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import time

from fleet import CORELAY, Fleet, corelay, main, start_process, wait_until
from gateway import Gateway


def network(nodes=2):
    fleet = Fleet(nodes)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory).start()
    gateway.wait_nodes(nodes)
    return fleet, gateway, f"http://127.0.0.1:{gateway.port}"


def value_of(*arguments):
    done = corelay(*arguments, "--output", "json")
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def test_load_tracer_and_top():
    fleet, gateway, url = network()
    listening = start_process([CORELAY, "multi-subscribe", "--service-url", url, "--topic", "load", "--clients", "3",
                               "--count", "200", "--timeout", "60s", "--output", "json"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    assert "3 subscribers on topic" in listening.stderr.readline()
    top = start_process([CORELAY, "top", "--api", f"{fleet[1].api},{fleet[2].api}", "--once", "--interval", "3s",
                         "--output", "json"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    sent = value_of("multi-publish", "--service-url", url, "--topic", "load", "--clients", "4", "--count", "50",
                    "--size", "4KiB")
    assert sent["published"] == 200 and sent["failed"] == 0 and sent["p50_ms"] > 0, sent
    got = json.loads(listening.communicate(timeout=60)[0])
    assert listening.returncode == 0
    assert got["received"] == 600 and got["missing"] == 0 and got["repeated"] == 0 and got["lagged"] == 0, got
    assert 0 < got["p50_ms"] <= got["p99_ms"] <= got["max_ms"] and got["bytes"] == 600 * 4096, got
    seen = json.loads(top.communicate(timeout=60)[0])["nodes"]
    assert [node["node"] for node in seen] == [fleet[1].api, fleet[2].api]
    for node in seen:
        assert node["peers"] == 1 and node["topics"] == 1 and len(node["lanes"]) == 1, node
        assert node["rx_bytes_per_s"] > 0 and 0 < node["lanes"][0]["busy_percent"] <= 100, node
        assert 0 <= node["waste_percent"] <= 100 and node["cpu_percent"] > 0, node
    snapshot = value_of("tracer", "dashboard", "--service-url", url, "--window", "60s", "--once")
    assert snapshot["published_messages"] == 200 and snapshot["active_nodes"] == 2, snapshot
    shown = corelay("tracer", "dashboard", "--service-url", url, "--window", "60s", "--once", "--rows", "3").stdout
    assert "2 active, 0 not" in shown and "200 published" in shown and "and 197 more" in shown, shown
    assert value_of("tracer", "reset", "--service-url", url)["status"] == "reset"
    assert value_of("tracer", "dashboard", "--service-url", url, "--once")["published_messages"] == 0
    load = corelay("tracer", "load", "--service-url", url, "--endpoint2", url, "--size", "100000", "--count", "4",
                   "--interval-ms", "50")
    assert load.returncode == 0 and "Published 4 messages of 97.7 KiB" in load.stdout, load
    assert load.stdout.count("4 published") == 2, load.stdout
    topics = json.loads(gateway.get("/api/v1/topics")[1])["topics"]
    assert json.loads(gateway.get("/api/v1/topics?client_id=corelay-multi")[1])["topics"] == [], topics
    # A message that has no subscriber is refused; the reason is told once, with its count.
    done = corelay("multi-publish", "--service-url", url, "--topic", "nobody", "--clients", "2", "--count", "3")
    assert done.returncode == 4 and "6 × status 404: topic not assigned" in done.stderr, done
    done = corelay("multi-subscribe", "--service-url", url, "--topic", "t", "--clients", "2", "--count", "1",
                   "--timeout", "1s")
    assert done.returncode == 5 and "0 of 2 messages came" in done.stderr, done
    gateway.stop()


def test_top_with_a_node_that_is_gone():
    fleet = Fleet(2)
    fleet[2].kill()
    done = corelay("top", "--api", f"{fleet[1].api},{fleet[2].api}", "--once", "--interval", "200ms")
    assert done.returncode == 0 and f"{fleet[2].api}: connection refused" in done.stdout, done
    assert re.search(rf"{fleet[1].api} +\d+ %", done.stdout) and "Drops since the start" in done.stdout, done.stdout
    nobody = corelay("top", "--api", fleet[2].api, "--once")
    assert nobody.returncode == 3 and fleet[2].api in nobody.stderr and "connection refused" in nobody.stderr, nobody
    wrong = corelay("top", "--api", "localhost", "--once")
    assert wrong.returncode == 2 and "'localhost' is not HOST:PORT" in wrong.stderr, wrong
    lonely = corelay("top", "--once", env={**os.environ, "CORELAY_DIR": "/nonexistent"})
    assert lonely.returncode == 2 and "--api" in lonely.stderr, lonely
    # On a terminal it draws again and again, and leaves the screen as it was.
    master, slave = pty.openpty()
    process = start_process([CORELAY, "top", "--api", fleet[1].api, "--interval", "100ms"], stdout=slave,
                            stdin=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    seen = b""
    while seen.count(b"\x1b[H\x1b[J") < 3:
        seen += os.read(master, 65536)
    process.terminate()
    assert process.wait(10) == 0
    seen += os.read(master, 65536)
    assert seen.startswith(b"\x1b[?1049h") and b"\x1b[?1049l" in seen and b"Nodes" in seen
    # Ctrl-C twice, while an answer is waited for: gone at once, and the screen as it was all the same.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        master, slave = pty.openpty()
        process = start_process([CORELAY, "top", "--api", f"{fleet[1].api},127.0.0.1:{silent.getsockname()[1]}",
                                 "--interval", "100ms"], stdout=slave, stdin=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        seen = b""
        while b"\x1b[H\x1b[J" not in seen:
            seen += os.read(master, 65536)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
        seen += os.read(master, 65536)
        assert seen.endswith(b"\x1b[?1049l"), seen[-100:]


BASH = """
source {script}
ask() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _corelay; echo "${{COMPREPLY[*]}}"; }}
ask corelay pub
ask corelay node ''
ask corelay publish --serv
ask corelay --output ''
ask corelay node --api x --output y
ask corelay publish --topic sub --m
ask corelay tracer load --endp
ask corelay completion z
ask corelay subscribe --persist {folder}/scr
"""


def test_completion():
    folder = pathlib.Path(Fleet(0).directory)
    for shell in ("bash", "zsh", "fish"):
        done = corelay("completion", shell)
        assert done.returncode == 0 and "multi-subscribe" in done.stdout and "webhook-schema" in done.stdout, done
        (folder / f"script.{shell}").write_text(done.stdout)
    script = folder / "script.bash"
    done = subprocess.run(["bash", "-c", BASH.format(script=script, folder=folder)], capture_output=True, text=True,
                          check=True)
    lines = done.stdout.splitlines()
    assert lines[:4] == ["publish", "health state version peers", "--service-url", "table json yaml"], done
    assert lines[4:8] == ["yaml", "--message --msg", "--endpoint2", "zsh"], done
    assert sorted(lines[8].split()) == sorted(f"{folder}/script.{shell}" for shell in ("bash", "zsh", "fish")), lines
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n", str(folder / "script.zsh")], check=True)
        asked = subprocess.run(
            ["zsh", "-fc", f"compdef() {{ :; }}; compadd() {{ shift; print -r -- $*; }}; source {folder}/script.zsh; "
                           "words=(corelay node ''); CURRENT=3; _corelay; "
                           "words=(corelay publish --serv); CURRENT=3; _corelay; "
                           "words=(corelay --output ''); CURRENT=3; _corelay; "
                           "words=(corelay tracer load --end); CURRENT=4; _corelay"],
            capture_output=True, text=True, check=True)
        lines = asked.stdout.splitlines()
        assert lines[0] == "health state version peers" and "--service-url" in lines[1], asked
        assert lines[2] == "table json yaml" and "--endpoint2" in lines[3], asked
    if shutil.which("fish"):
        for words, wanted in (("corelay pub", "publish"), ("corelay node ", "health"), ("corelay --output ", "yaml"),
                              ("corelay publish --serv", "--service-url"),
                              ("corelay tracer load --endp", "--endpoint2")):
            asked = subprocess.run(["fish", "-c", f"source {folder}/script.fish; complete -C '{words}'"],
                                   capture_output=True, text=True, check=True)
            assert wanted in [line.split("\t")[0] for line in asked.stdout.splitlines()], (words, asked)
    assert corelay("completion", "tcsh").returncode == 2


main()
