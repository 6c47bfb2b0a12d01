"""What is an address on the web that a person wrote? Its scheme, host and port, told apart without a doubt."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote

LONGEST_ADDRESS = 2_000

_WRITTEN = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#\\]*)(?P<rest>[/?#\\].*)?", re.DOTALL)
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\.?")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\.?")
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class WebAddress:
    """An http or https address; `host` is lower case ASCII or a canonical IP address, `path` begins with a slash.

    `path` holds the query too, is pure ASCII, and has no fragment and no steps such as `..`.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def target(self) -> str:
        """Host and port, as `shop.example:443` or `[::1]:80`."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, the latter only where it is not the usual one."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{_bracketed(self.host)}{port}"

    def __str__(self) -> str:
        return self.origin + self.path


def parse_web_address(text: object) -> WebAddress:
    """Read an absolute http(s) address; anything else, and all that clients read differently, is a ValueError."""
    if not isinstance(text, str) or (found := _WRITTEN.fullmatch(text.strip(" "))) is None:
        raise ValueError("Expected an address such as https://shop.example/hook.")
    if len(text) > LONGEST_ADDRESS:
        raise ValueError(f"An address is at most {LONGEST_ADDRESS} characters long.")
    scheme = found["scheme"].lower()
    if scheme not in _PORTS:
        raise ValueError("An address starts with https://.")
    if "@" in found["authority"]:
        raise ValueError("Name and password do not belong into an address: use a header.")
    place = _PLACE.fullmatch(found["authority"])
    port = int(place["port"]) if place is not None and place["port"] else _PORTS[scheme]
    if place is None or not 0 < port < 65536:
        raise ValueError("The address has no host, or a port that is none.")
    return WebAddress(scheme=scheme, host=_host(place["host"]), port=port, path=_path(found["rest"] or "/"))


def _host(text: str) -> str:
    """The host in the one way of writing it; numbers that only some take for an IP address are refused."""
    if text.startswith("["):
        try:
            return IPv6Address(text[1:-1]).compressed
        except ValueError:
            raise ValueError("The host in brackets is no IPv6 address.") from None
    try:
        name = (text if text.isascii() else text.encode("idna").decode("ascii")).lower()
    except UnicodeError:
        name = ""
    try:
        return ip_address(name).compressed
    except ValueError:
        pass
    if not _NAME.fullmatch(name):
        raise ValueError("The host of the address is no name of a host.")
    if _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]):
        raise ValueError("The host of the address is neither a name nor an IP address such as 203.0.113.7.")
    return name.rstrip(".")


def _path(text: str) -> str:
    """Path and query in ASCII; what is escaped stays so."""
    bare = text.partition("#")[0]
    if re.search(r"[\x00-\x1f\x7f\\]", bare):
        raise ValueError("The address holds a backslash or a control character.")
    path, mark, query = bare.partition("?")
    if any(_DOTS.fullmatch(part) for part in path.split("/")):
        raise ValueError('The path of the address holds a step such as "..".')
    path = path if path.startswith("/") else f"/{path}"
    kept = "/:@!$&'()*+,;=-._~%[]"
    try:
        return quote(path, safe=kept) + mark + quote(query, safe=kept + "?")
    except UnicodeEncodeError:
        raise ValueError("The address holds half a character.") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
