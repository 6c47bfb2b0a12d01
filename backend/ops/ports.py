"""A port of our own, or a sentence that says why not."""

import errno
import os
import socket

from backend.errors import StartError

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises StartError with a sentence where the port is taken or the address is not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise StartError(f"The host {host!r} is unknown: {error.strerror}.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"Port {port} on {host} is taken: end what uses it, or choose another port.") from None
        raise StartError(f"Port {port} on {host} cannot be used: {os.strerror(error.errno or 0)}.") from None
    listener.setblocking(False)
    return listener
