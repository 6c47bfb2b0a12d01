"""The one way out to addresses that people write: nothing private is reached, and nothing takes long or grows large.

A name is looked up once, every address that it has is checked, and one that was checked is connected to, under the
name that was asked for (SNI, Host, certificate). No redirect is followed and no proxy of the environment is used.
"""

import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from backend.channels.base import CHANNEL_DOWN
from backend.domain.web_address import WebAddress, parse_web_address
from backend.errors import DeliveryError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

USUAL_PORT = 443
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MOST_READ = 64 * 1024

TARGET_REFUSED = "target_refused"
"""`DeliveryError.code`: the settings do not let anybody call there."""

DENIED_4 = tuple(
    IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
"""This host, private networks, carriers' own, link-local, for documentation and tests, multicast, reserved."""

PUBLIC_6 = IPv6Network("2000::/3")
"""All that is given out to anybody: not `::1`, `::127.0.0.1`, `64:ff9b::`, `fc00::`, `fe80::`, `fec0::`, `ff00::`."""

DENIED_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Parts of it that lead to IPv4 addresses, or nowhere."""


def is_public(address: Address) -> bool:
    """Whether it belongs to the internet, by our own lists: Python's `is_global` lets too much pass."""
    bare = ip_address(address.packed)  # without an IPv6 zone
    if isinstance(bare, IPv6Address) and bare.ipv4_mapped is not None:
        bare = bare.ipv4_mapped
    if isinstance(bare, IPv4Address):
        return not any(bare in network for network in DENIED_4)
    return bare in PUBLIC_6 and not any(bare in network for network in DENIED_6)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be called although it is private, on any port and by http too: as the setting says.

    `places` are (host, port), with port None for every one.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    places: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def of(cls, setting: str) -> "Allowed":
        """From `CHIMEIN_ALLOW_PRIVATE` as the settings hold it."""
        networks: list[IPv4Network | IPv6Network] = []
        places: set[tuple[str, int | None]] = set()
        for entry in filter(None, setting.split(",")):
            try:
                networks.append(ip_network(entry))
            except ValueError:
                host, colon, port = entry.rpartition(":")
                places.add((host.strip("[]"), int(port)) if colon else (entry, None))
        return cls(tuple(networks), frozenset(places))

    def names(self, place: WebAddress) -> bool:
        """Whether this host and port are allowed by name."""
        return (place.host, None) in self.places or (place.host, place.port) in self.places

    def holds(self, address: Address) -> bool:
        """Whether this IP address is allowed as such."""
        bare = ip_address(address.packed)
        if isinstance(bare, IPv6Address) and bare.ipv4_mapped is not None:
            bare = bare.ipv4_mapped
        return any(bare in network for network in self.networks)


def refusal(place: WebAddress, allowed: Allowed) -> str | None:
    """Why this address is not called, as far as that can be told without looking its name up; None where it may be."""
    if allowed.names(place):
        return None
    literal = _literal(place.host)
    if literal is None:
        if place.host == "localhost" or place.host.endswith(".localhost") or "." not in place.host:
            return None if allowed.networks else PRIVATE
        # A name that leads into an allowed network may be called as that network may.
        return None if allowed.networks else _unusual(place)
    if allowed.holds(literal):
        return None
    return PRIVATE if not is_public(literal) else _unusual(place)


PRIVATE = "This address is private or reserved: CHIMEIN_ALLOW_PRIVATE can allow it."


def _unusual(place: WebAddress) -> str | None:
    if place.scheme != "https":
        return "Only https: is called; CHIMEIN_ALLOW_PRIVATE can allow a host by http too."
    if place.port != USUAL_PORT:
        return f"Only port {USUAL_PORT} is called; CHIMEIN_ALLOW_PRIVATE can allow others, as in {place.target}."
    return None


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def look_up(host: str, port: int) -> list[str]:
    """Every IP address of a host, as the system tells; OSError where there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@dataclass(frozen=True, kw_only=True)
class Outbound:
    """How to get out: what is allowed beyond the internet, who looks names up, and the limits."""

    allowed: Allowed = field(default_factory=Allowed)
    resolve: Resolve = look_up
    trusted: str | None = None
    """A file of certificates of authorities to be trusted instead of the system's."""
    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = TOTAL_SECONDS
    most_read: int = MOST_READ

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """What servers' certificates are checked by."""
        return ssl.create_default_context(cafile=self.trusted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: the body as far as it was read, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch_out(
    out: Outbound, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """One request to an address that somebody wrote; returns whatever was answered, redirects and errors included.

    Raises DeliveryError: permanent with `TARGET_REFUSED` where it must not be called; with `CHANNEL_DOWN` where nobody
    is there or no answer came in time; ambiguous where the request may have been read.
    """
    with answered(out, method, url, headers, body) as (response, told):
        return Answer(status=response.status, headers=told, body=_read(response, out.most_read))


@contextmanager
def answered(
    out: Outbound, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None
) -> Iterator[tuple[Any, dict[str, str]]]:
    """The answer to one request, and its headers by their names in lower case; while it is read the time is running."""
    ends_at = time.monotonic() + out.total_seconds
    place = _placed(url)
    sock = _connect(out, place, checked_addresses(out, place), ends_at)
    asked = False
    try:
        with closing(sock), closing(_Connection(place, _Timed(sock, ends_at))) as connection:
            connection.putrequest(method, place.path, skip_host=True, skip_accept_encoding=True)
            fixed = {"Host": place.origin.partition("://")[2], "Accept-Encoding": "identity", "Connection": "close"}
            if body is not None:
                fixed["Content-Length"] = str(len(body))
            for name, value in {**fixed, "User-Agent": "chimein", **(headers or {})}.items():
                connection.putheader(name, value)
            asked = True
            connection.endheaders(body)
            response = connection.getresponse()
            yield response, {name.lower(): value for name, value in response.getheaders()}
    except (OSError, HTTPException, ValueError) as error:
        late = isinstance(error, TimeoutError) or time.monotonic() >= ends_at
        what = f"No answer within {out.total_seconds:g} s" if late else f"The answer got lost: {_said(error)}"
        raise DeliveryError(f"{what}.", code=CHANNEL_DOWN if late else None, ambiguous=asked) from error


def _read(response: Any, most: int) -> bytes:
    """The body up to `most` bytes; one that is cut short, or comes too slowly, counts as far as it came.

    The status was clear already.
    """
    got = b""
    try:
        while len(got) < most and (piece := response.read1(most - len(got))):
            got += piece
    except (OSError, HTTPException, ValueError):
        pass
    return got


def _placed(url: str) -> WebAddress:
    try:
        place = parse_web_address(url)
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True, code=TARGET_REFUSED) from None
    return place


def checked_addresses(out: Outbound, place: WebAddress) -> list[Address]:
    """The addresses of the host, every one of them checked; raises DeliveryError where one may not be called."""
    refused = refusal(place, out.allowed)
    if refused is not None:
        raise DeliveryError(refused, permanent=True, code=TARGET_REFUSED)
    literal = _literal(place.host)
    try:
        told = [place.host] if literal is not None else out.resolve(place.host, place.port)
        found = [ip_address(each) for each in told]
    except (OSError, ValueError) as error:
        raise DeliveryError(f"The name {place.host} leads nowhere: {_said(error)}.", code=CHANNEL_DOWN) from error
    if not found:
        raise DeliveryError(f"The name {place.host} leads nowhere.", code=CHANNEL_DOWN)
    if not out.allowed.names(place):
        outside = [each for each in found if not out.allowed.holds(each)]
        # Which address it is remains untold: who writes rules need not know the network inside.
        refused = PRIVATE if not all(map(is_public, outside)) else _unusual(place) if outside else None
        if refused is not None:
            raise DeliveryError(refused, permanent=True, code=TARGET_REFUSED)
    return found


def _connect(out: Outbound, place: WebAddress, addresses: Sequence[Address], ends_at: float) -> socket.socket:
    """A connection to the first of these that takes it, encrypted where the address says so."""
    ends_at = min(ends_at, time.monotonic() + out.connect_seconds)
    for number, address in enumerate(addresses):
        left = ends_at - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError("timed out")
            # What is left is shared out: the last address must get its turn too.
            sock = socket.create_connection((str(address), place.port), left / (len(addresses) - number))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _encrypted(out, place, sock, ends_at) if place.scheme == "https" else sock
        except (OSError, ValueError) as error:
            if number + 1 == len(addresses):
                told = f"{place.target} cannot be reached: {_said(error)}."
                raise DeliveryError(told, code=CHANNEL_DOWN) from error
    raise AssertionError("there is at least one address")


def _encrypted(out: Outbound, place: WebAddress, sock: socket.socket, ends_at: float) -> ssl.SSLSocket:
    sock.settimeout(max(ends_at - time.monotonic(), 0.001))
    try:
        return out.tls.wrap_socket(sock, server_hostname=place.host)
    except BaseException:
        sock.close()
        raise


class _Connection(HTTPConnection):
    """HTTP over a socket that is there already."""

    def __init__(self, place: WebAddress, sock: "_Timed") -> None:
        super().__init__(place.host, place.port)
        self.sock: Any = sock
        self.auto_open = 0


class _Timed:
    """A socket with one end for everything that is done with it, however it drips."""

    def __init__(self, sock: socket.socket, ends_at: float) -> None:
        self._sock = sock
        self._ends_at = ends_at

    @contextmanager
    def in_time(self) -> Iterator[socket.socket]:
        """The socket, for as long as is left."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        yield self._sock

    def sendall(self, data: Any) -> None:
        """Sends all of it, piece by piece."""
        rest = memoryview(data)
        while rest:
            with self.in_time() as sock:
                rest = rest[sock.send(rest) :]

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        """The side that reads."""
        return io.BufferedReader(_Reading(self))

    def close(self) -> None:
        """Nothing: the answer may still be read, and whoever opened the socket closes it."""


class _Reading(io.RawIOBase):
    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._timed.in_time() as sock:
            return sock.recv_into(buffer)


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message.rstrip('.')})"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "".join(each for each in " ".join(str(text).split()) if each.isprintable())[:200].rstrip(".")
