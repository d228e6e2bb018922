"""The ports of the published setup guide, for the tests that need those and no others."""

import socket

from fleet import Skip

PORTS = [33221, 33222, 33223, 33224, 9091, 9092, 9093, 9094, 7071, 7072, 7073, 7074, 8081, 8082, 50051, 50052]


def skip_if_taken():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for port in PORTS:
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise Skip(f"port {port}, one of the defaults, is in use on this machine") from None
