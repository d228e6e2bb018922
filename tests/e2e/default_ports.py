"""The ports of the published setup guide, for the tests that need those and no others."""

import socket
import time

from fleet import Skip

PORTS = [33221, 33222, 33223, 33224, 9091, 9092, 9093, 9094, 7071, 7072, 7073, 7074, 8081, 8082, 50051, 50052]
# Some lie where the system takes ports for outgoing connections from, and closed ones keep theirs for a minute.
PATIENCE_S = 65


def is_free(kind, port):
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def skip_if_taken():
    end = time.monotonic() + PATIENCE_S
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for port in PORTS:
            while not is_free(kind, port):
                if is_listening(port) or time.monotonic() > end:
                    raise Skip(f"port {port}, one of the defaults, is in use on this machine")
                time.sleep(0.5)
