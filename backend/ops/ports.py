"""A port of our own, or a sentence that says why not."""

import errno
import os
import socket
from urllib.parse import urlsplit

from backend.errors import StartError
from backend.settings import Settings

BACKLOG = 2048
MAIL_IN = "smtp://127.0.0.1:2525"
"""Where `chimein mail-in` listens when nobody says where."""


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


def mail_address(settings: Settings) -> tuple[str, str, int]:
    """Where mails come in: `smtp` or `lmtp`, host, and port."""
    parsed = urlsplit(settings.mail_in or MAIL_IN)
    return parsed.scheme, parsed.hostname or "127.0.0.1", parsed.port or 2525


def listen_for_mail(settings: Settings) -> socket.socket:
    """The socket on which mails come in; StartError with a sentence where it cannot be had."""
    _, host, port = mail_address(settings)
    try:
        return listen(host, port)
    except StartError as error:
        told = f"Mails cannot come in at CHIMEIN_MAIL_IN: {error.message}"
        if isinstance(error.__context__, PermissionError):
            told += " Ports below 1024 need a right of their own: listen on 2525, and let your mail server send there."
        raise StartError(told) from None
