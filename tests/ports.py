"""Ports that nobody uses, for servers in tests."""

import socket


def free_port() -> int:
    """A loopback port that was free a moment ago, and whose neighbour was too (live takes the next one)."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("No two neighbouring ports are free.")
