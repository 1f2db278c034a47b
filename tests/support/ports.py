"""Ports for programs that tests start."""

import socket


def free_port() -> int:
    """Return a loopback port that no program listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
