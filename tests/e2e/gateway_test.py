"""A gateway in front of real nodes: REST, WebSocket, event streams, as the published API has them."""

import base64
import hashlib
import json
import os
import socket
import time

from fleet import Fleet, main, sha256, wait_until
from gateway import Gateway, WebSocket


def world(count, environment=None):
    fleet = Fleet(count)
    return fleet, Gateway([node.sidecar for node in fleet.nodes], fleet.directory, environment=environment).start()


def test_thin_path():
    """The three commands of the published guide, as they are written there."""
    fleet, gateway = world(2)
    gateway.wait_nodes(2)
    reply = gateway.subscribe("your-client-id", "example-topic", 0.7, path="/api/subscribe")
    assert reply.strip() == '{"client":"your-client-id","status":"subscribed"}', reply
    socket_ = WebSocket(gateway, "client_id=your-client-id", path="/api/ws")
    assert socket_.status == 101, socket_.head
    done = gateway.publish("example-topic", "Hello, world!", client="your-client-id", path="/api/publish")
    assert done == {"status": "published", "topic": "example-topic", "message_id": sha256(b"Hello, world!")}, done
    socket_.wait_for(1)
    assert socket_.frames == [(1, b"Hello, world!")]
    gateway.stop()
    assert fleet.nodes[0].is_running()


main()
