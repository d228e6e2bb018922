"""The node's HTTP API: the published JSON, key for key; probes and metrics; plain errors for the rest."""

import json
import re

from fleet import Fleet, Subscriber, corelay, main, wait_until


def test_published_json():
    fleet = Fleet(2)
    node = fleet[1]
    health = node.json("/api/v1/health")
    assert list(health) == ["cpu_used", "disk_used", "memory_used", "mode", "status"], health
    assert health["mode"] == "optimum" and health["status"] == "ok"
    for key in ("cpu_used", "disk_used", "memory_used"):
        assert re.fullmatch(r"\d{1,3}\.\d\d", health[key]), health

    state = node.json("/api/v1/node-state")
    assert list(state) == ["pub_key", "peers", "addresses", "topics"], state
    assert state["pub_key"] == node.peer_id
    assert state["peers"] == [fleet[2].peer_id]
    assert state["addresses"] == [f"/ip4/127.0.0.1/tcp/{node.p2p_port}"], state
    assert state["topics"] == []
    subscriber = Subscriber(node, "news")
    wait_until("the topic", lambda: node.json("/api/v1/node-state")["topics"] == ["news"])
    subscriber.stop()

    version = node.json("/api/v1/version")
    assert list(version) == ["commit_hash", "version"], version


def test_snapshot_and_topics():
    fleet = Fleet(2)
    snapshot = fleet[1].json("/api/v1/p2p-snapshot")
    assert set(snapshot) == {"seen_message_hashes", "fully_decoded_message_hashes", "undecoded_shard_buffer_sizes",
                             "total_peer_count", "full_message_node_count", "partial_message_node_count",
                             "connected_peers"}, snapshot
    assert snapshot["total_peer_count"] == 1
    fleet[1].json("/api/v1/topics")


def test_probes_and_metrics():
    fleet = Fleet(1, is_started=False)
    fleet[1].start().wait_live()
    assert fleet[1].get("/livez")[0] == 200
    metrics = fleet[1].metrics()
    assert metrics["corelay_cycles_total"] > 0
    for reason in ("malformed_datagram", "authentication", "replayed", "digest", "memory_full"):
        assert f"corelay_drop_{reason}_total" in metrics


def test_what_is_not_there():
    fleet = Fleet(1, is_started=False)
    fleet[1].start().wait_live()
    assert fleet[1].get("/nothing")[0] == 404
    assert fleet[1].get("/api/v1/health/more")[0] == 404


def test_the_command_line_shows_it():
    fleet = Fleet(2)
    state = corelay("node", "state", "--api", fleet[1].api, "--output", "json")
    assert json.loads(state.stdout) == fleet[1].json("/api/v1/node-state")
    peers = corelay("node", "peers", "--api", fleet[1].api)
    assert peers.stdout == fleet[2].peer_id + "\n"
    health = corelay("node", "health", "--api", fleet[1].api).stdout
    assert health.splitlines()[0].split() == ["Status", "ok"], health
    version = corelay("node", "version", "--api", fleet[1].api, "--output", "yaml")
    assert version.stdout.startswith("---\ncommit_hash: "), version.stdout


main()
