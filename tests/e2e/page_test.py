"""The gateway's live page: its files and their headers, the arrivals it shows, and the page in a real browser."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from fleet import Fleet, Skip, main, wait_until
from gateway import Gateway
from node_client import installed_client


def world(count, environment=None):
    fleet = Fleet(count)
    gateway = Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment=environment).start()
    gateway.wait_nodes(count)
    return fleet, gateway


def test_files():
    _, gateway = world(2)
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css"),
                       ("/page.svg", "image/svg+xml")):
        status, text, headers = gateway.get(path)
        assert status == 200 and headers["content-type"].startswith(kind) and text, (path, status, headers)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy, policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "https://" not in text and text.replace("http://www.w3.org/", "").count("http://") == 0, path
    page = gateway.get("/")[1]
    assert not re.search(r"<[^>]*\s(style|on\w+)=", page), "an inline style or script, which the policy stops"
    assert gateway.request("POST", "/")[0] == 405 and gateway.get("/page")[0] == 404
    assert gateway.request("HEAD", "/")[:2] == (200, "")
    documented = json.loads(gateway.get("/openapi.json")[1])["paths"]
    assert {"/", "/page.js", "/page.css", "/page.svg", "/api/v1/arrivals", "/api/arrivals"} <= set(documented)
    gateway.stop()


def arrivals(gateway, after=0):
    status, text, _ = gateway.get(f"/api/v1/arrivals?after={after}")
    assert status == 200, (status, text)
    return json.loads(text)


def test_arrivals():
    _, gateway = world(3)
    gateway.subscribe("c", "t")
    gateway.publish("t", "before anybody asked")
    empty = arrivals(gateway)
    assert empty["messages"] == [] and empty["epoch"], empty
    gateway.publish("t", "one")
    # A slow node may have the one before only now, and say so.
    ones = lambda: [each for each in arrivals(gateway)["messages"] if each["preview"] == "one"]
    wait_until("three nodes", lambda: ones() and len(ones()[0]["arrivals"]) == 3)
    seen = arrivals(gateway)
    [message] = ones()
    assert (message["topic"], message["preview"], message["bytes"]) == ("t", "one", 3), message
    assert message["published_here"] and sorted(a["node"] for a in message["arrivals"]) == [0, 1, 2], message
    times = [a["ms"] for a in message["arrivals"]]
    assert times == sorted(times) and times[0] >= 0 and times[-1] < 60000, times
    assert arrivals(gateway, seen["next"])["messages"] == []
    # Equal bytes again are wrapped on their way; nobody sees the wrapping.
    again = gateway.publish("t", "one", no_dedup=True)
    wait_until("the second", lambda: len(arrivals(gateway, seen["next"])["messages"]) == 1)
    [message] = arrivals(gateway, seen["next"])["messages"]
    assert (message["preview"], message["bytes"]) == ("one", 3), message
    assert message["message_id"] == again["message_id"]
    for i in range(100):
        gateway.publish("t", f"many {i}")
    wait_until("the last", lambda: arrivals(gateway)["messages"][-1]["preview"] == "many 99")
    assert len(arrivals(gateway)["messages"]) == 64
    for text in ("-1", "x", "1e30"):
        assert gateway.get(f"/api/v1/arrivals?after={text}")[0] == 400, text
    nodes = json.loads(gateway.get("/api/v1/nodes")[1])["nodes"]
    ids = {node["peer_id"] for node in nodes}
    assert len(ids) == 3
    for node in nodes:
        assert set(node["peers"]) == ids - {node["peer_id"]}, nodes
    wait_until("mesh neighbours", lambda: all(
        node["mesh_peers"] for node in json.loads(gateway.get("/api/v1/nodes")[1])["nodes"]))
    gateway.stop()


def test_previews():
    _, gateway = world(2)
    gateway.subscribe("c", "t")
    arrivals(gateway)
    for text in ("€" * 1000, "\x00\x01", "", "é" * 80):
        gateway.publish("t", text, path="/api/publish")
    wait_until("four", lambda: len([m for m in arrivals(gateway)["messages"] if m["arrivals"]]) == 4)
    # Long text ends at a whole character; what is not text is not shown.
    shown = [(m["preview"], m["bytes"]) for m in arrivals(gateway)["messages"]]
    assert shown == [("€" * 53 + "…", 3000), (None, 2), ("", 0), ("é" * 80, 160)], shown
    gateway.stop()


def test_with_tokens_the_page_is_open_and_its_data_are_not():
    fleet = Fleet(2)
    gateway = Gateway([fleet[1].sidecar], fleet.directory, environment={
        "ENABLE_AUTH": "true", "AUTH0_DOMAIN": "127.0.0.1:1", "AUTH0_AUDIENCE": "x",
        "CORELAY_HTTP_ADDRESS": "127.0.0.1", "CORELAY_GRPC_ADDRESS": "127.0.0.1"}).start(wait_ready=False)
    gateway.wait_ready("/livez")
    assert gateway.get("/")[0] == 200 and gateway.get("/page.js")[0] == 200
    assert gateway.get("/api/v1/arrivals")[0] == 401 and gateway.get("/api/v1/nodes")[0] == 401
    gateway.stop()


def chromium():
    for name in (os.environ.get("CORELAY_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and shutil.which(name):
            return shutil.which(name)
    raise Skip("no Chromium (Debian: chromium; CORELAY_CHROMIUM names another)")


def test_in_a_browser():
    program = chromium()
    folder = installed_client("browser", "playwright-core")
    _, gateway = world(4)
    pictures = pathlib.Path(os.environ["CORELAY_E2E_CACHE"]) / "pictures"
    pictures.mkdir(exist_ok=True)
    done = subprocess.run(["node", "page.mjs", program, f"http://127.0.0.1:{gateway.port}/", str(pictures)], cwd=folder,
                          capture_output=True, text=True, timeout=200, check=False)
    print("    " + (done.stdout + done.stderr).strip().replace("\n", "\n    "))
    print(f"    pictures: {pictures}")
    assert done.returncode == 0
    gateway.stop()


main()
