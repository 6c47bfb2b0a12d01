"""Which page is it? Addresses compared as people mean them: not letter by letter, but by what they lead to."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from backend.domain.condition.patterns import read_glob, text_matcher
from backend.domain.condition.values import Check

LONGEST_ADDRESS = 2048
LONGEST_PARAMETER = 500
MOST_PARAMETERS = 20
DEFAULT_PORTS = {"http": "80", "https": "443"}

_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?(?://(?P<host>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_KEPT = re.compile(r"%(2F|3F|23|25)", re.IGNORECASE)
"""Signs that would mean something else in a path if they were not escaped: / ? # and %."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address in its normal form: host in small letters and without the port of its scheme, path unescaped.

    Every path begins with a slash, and only the shortest ends with one. `scheme` and `host` are empty where not told.
    """

    scheme: str
    host: str
    path: str
    query: str = ""


@lru_cache(maxsize=256)
def read_address(text: str) -> Address | None:
    """The normal form of an address, or of its end from the path or the query on; None for other text."""
    text = text.strip()
    found = _ADDRESS.fullmatch(text)
    if found is None or not (found["host"] or text.startswith(("/", "?"))):
        return None
    scheme, host = (found["scheme"] or "").lower(), found["host"] or ""
    path = "" if text.startswith("?") else _path(found["path"])
    return Address(scheme, _host(host, scheme), path, found["query"] or "")


@lru_cache(maxsize=256)
def parameters(query: str) -> dict[str, list[str]]:
    """The values of each parameter, in order; one without a value has the empty text."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        found.setdefault(name, []).append(value)
    return found


def read_whole_address(value: Any) -> str:
    """Accept an address with its host: `https://shop.example/kettles`, or `shop.example/kettles` for any scheme."""
    text = _read_text(value)
    scheme, host = _scheme_and_host(text)
    if not host or text.startswith("://") or re.search(r"[\s*]", host):
        raise ValueError("Expected an address such as https://shop.example/kettles; for the path alone use url_path.")
    if scheme not in ("", *DEFAULT_PORTS):
        raise ValueError("Expected an address that starts with https:// or http://.")
    return text


def read_path(value: Any) -> str:
    """Accept the path of an address: `/kettles`."""
    text = _read_text(value)
    if not text.startswith("/") or text.startswith("//") or "?" in text or "#" in text:
        raise ValueError("Expected a path such as /kettles, without host, query and fragment.")
    return text


def read_url_glob(value: Any) -> str:
    """Accept a glob for addresses: `https://shop.example/*`, `*.shop.example/*` for any scheme, `/kettles/*`."""
    pattern = read_glob(value)
    if pattern.startswith("://"):
        raise ValueError("Expected a pattern such as https://shop.example/*, or without https:// at all.")
    if "#" in pattern:
        raise ValueError("url_glob does not look at the fragment: leave out # and what follows.")
    if "?" in pattern.partition("[")[0] and "=" in pattern.partition("?")[2]:
        raise ValueError("url_glob does not look at the query: use url_query for parameters.")
    return pattern


def read_parameters(value: Any) -> tuple[tuple[str, str | None], ...]:
    """Accept the parameters that an address must have: `{"utm_source": "news", "ref": null}`."""
    if not isinstance(value, dict):
        raise ValueError('Expected an object of parameters such as {"utm_source": "news", "ref": null}.')
    if not value:
        raise ValueError("Name at least one parameter; null stands for any value.")
    if len(value) > MOST_PARAMETERS:
        raise ValueError(f"At most {MOST_PARAMETERS} parameters can be asked for.")
    for name, wanted in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_PARAMETER:
            raise ValueError(f"The name of a parameter is 1 to {LONGEST_PARAMETER} characters long.")
        if wanted is not None and not isinstance(wanted, str):
            raise ValueError('The value of a parameter is text, such as "2", or null for any.')
        if wanted is not None and len(wanted) > LONGEST_PARAMETER:
            raise ValueError(f"The value of a parameter is at most {LONGEST_PARAMETER} characters long.")
    return tuple(sorted(value.items()))


def is_address(text: str) -> Check:
    """The check for being the same address, whatever query and fragment; without a scheme, whatever scheme."""
    scheme, host = _scheme_and_host(text)
    path = _path(re.split(r"[?#]", text.partition("://")[2] if scheme else text, maxsplit=1)[0][len(host) :])
    hosts = {each: _host(host, each) for each in ([scheme] if scheme else ["", *DEFAULT_PORTS])}

    def check(x: Any) -> bool:
        found = read_address(x) if x.__class__ is str else None
        return found is not None and found.path == path and found.host == hosts.get(found.scheme)

    return check


def has_path(text: str) -> Check:
    """The check for this path, on whatever host."""
    path = _path(text)

    def check(x: Any) -> bool:
        found = read_address(x) if x.__class__ is str else None
        return found is not None and found.path == path

    return check


def fits_glob(pattern: str) -> Check:
    """The check for addresses that the glob describes, without query and fragment, with or without a last slash.

    A pattern that starts with a slash describes the path, one without scheme host and path.
    """
    scheme, separator, rest = pattern.partition("://")
    host, slash, path = (rest if separator else pattern).partition("/")
    labels = ".".join(each if any(sign in each for sign in "*?[") else _host(each, "") for each in host.split("."))
    told = f"{scheme.lower()}://" if separator else ""
    matches = text_matcher(f"{told}{labels.lower()}{slash}{path}", glob=True)

    def check(x: Any) -> bool:
        found = read_address(x) if x.__class__ is str else None
        if found is None:
            return False
        text = found.path if not host else f"{found.host}{found.path}"
        text = f"{found.scheme}://{text}" if separator else text
        return matches(text) or matches(text[:-1] if text.endswith("/") and len(text) > 1 else f"{text}/")

    return check


def has_parameters(wanted: tuple[tuple[str, str | None], ...]) -> Check:
    """The check for addresses that have all these parameters, each with this value among its own."""

    def check(x: Any) -> bool:
        address = read_address(x) if x.__class__ is str else None
        if address is None:
            return False
        found = parameters(address.query)
        for name, value in wanted:
            values = found.get(name)
            if values is None or (value is not None and value not in values):
                return False
        return True

    return check


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("Expected an address as text.")
    if len(value) > LONGEST_ADDRESS:
        raise ValueError(f"An address is at most {LONGEST_ADDRESS} characters long.")
    return value.strip()


def _scheme_and_host(text: str) -> tuple[str, str]:
    """What stands before `://`, in small letters, and the host after it or, without it, at the beginning."""
    scheme, separator, rest = text.partition("://")
    return (scheme.lower() if separator else "", re.split(r"[/?#]", rest if separator else text, maxsplit=1)[0])


def _host(told: str, scheme: str) -> str:
    """The host without user and default port, in small letters and in the spelling of the network."""
    host = told.rpartition("@")[2].lower()
    name, colon, port = host.rpartition(":")
    if colon and not port.endswith("]"):
        host = name if port in ("", DEFAULT_PORTS.get(scheme)) else host
    if host.isascii():
        return host.rstrip(".")
    try:
        return host.encode("idna").decode().rstrip(".")
    except UnicodeError:
        return host


def _path(told: str) -> str:
    """The path unescaped, beginning with a slash, without one at its end; bytes that are no text stay escaped."""
    path = told if told.startswith("/") else f"/{told}"
    if "%" in path:
        kept = _KEPT.sub(lambda found: f"%25{found[1].upper()}", path)
        try:
            path = unquote_to_bytes(kept).decode()
        except UnicodeDecodeError:
            path = quote(unquote_to_bytes(kept), safe="/%:@!$&'()*+,;=~")
        except UnicodeEncodeError:  # half a character (a lone surrogate)
            path = kept
    return path.rstrip("/") or "/"
