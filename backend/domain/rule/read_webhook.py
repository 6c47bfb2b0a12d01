"""How is the webhook of a journey written? An address, and what is sent there; texts are Liquid."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.rule.model import CallOut
from backend.domain.template import TemplateError, parse_template
from backend.domain.web_address import parse_web_address
from backend.domain.webhook import METHODS

Path: TypeAlias = tuple[str | int, ...]

KEYS = ("url", "method", "headers", "body")
MOST_HEADERS = 20
LONGEST_HEADER = 2_000
MOST_PARTS = 200
DEEPEST_BODY = 8
LONGEST_KEY = 100

OURS = frozenset(
    {
        *("host", "content-length", "content-type", "content-encoding", "user-agent", "accept-encoding", "expect"),
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("idempotency-key", "http2-settings"),
    }
)
"""Headers that chimein sets itself, or that concern one connection only; so do those below."""

OUR_PREFIXES = ("webhook-", "proxy-")

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEAD = re.compile(r"\s*[A-Za-z]+://[^/?#\\{}]+(?=[/?#]|\Z)")
_OUTPUT = re.compile(r"\{\{(-?)(.*?)(-?)\}\}", re.DOTALL)
_ESCAPED = re.compile(r"\|\s*url_encode\s*\Z")


def read_webhook(value: object, path: Path, name: str, mistakes: Mistakes) -> CallOut | None:
    """Read `{"url", "method", "headers", "body"}`; what is left out of it is as in `CallOut`."""
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"url": "https://shop.example/hook"}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, KEYS, path)
    url = mistakes.attempt(_read_url, value.get("url"), (*path, "url"))
    method = value.get("method", "POST")
    if method not in METHODS:
        mistakes.add((*path, "method"), f"Expected POST or PUT, not {quoted(method)}.{nearest(method, METHODS)}")
    headers = _read_headers(value.get("headers") or {}, (*path, "headers"), mistakes)
    body = value.get("body")
    if body is not None:
        if isinstance(body, dict):
            _Body(mistakes).check(body, (*path, "body"), 1)
        else:
            mistakes.add((*path, "body"), 'Expected an object such as {"order": "{{ event.properties.order_id }}"}.')
    if mistakes.total > noted or url is None:
        return None
    return CallOut(name=name, method=method, url=url, headers=headers, body=body)


def escaped(url: str) -> str:
    """The source of an address whose values are percent-encoded, so that none of them can lead elsewhere."""

    def one(found: re.Match[str]) -> str:
        inner = found[2]
        more = "" if _ESCAPED.search(inner) else ' | url_encode | replace: "+", "%20" '
        return f"{{{{{found[1]}{inner}{more}{found[3]}}}}}"

    return _OUTPUT.sub(one, url)


def constant_part(url: str) -> str:
    """What comes before the path of an address that was read without a mistake: scheme, host and port."""
    head = _HEAD.match(url)
    return url if head is None else head[0]


def _read_url(value: object) -> str:
    """A Liquid source whose scheme and host are constant."""
    if not isinstance(value, str):
        raise ValueError("Expected an address such as https://shop.example/hook.")
    head = _HEAD.match(value)
    if head is None and "{" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("Only the path and the query of an address may be filled in, not its host.")
    parse_web_address(value if head is None else head[0])
    if "{" not in value:
        parse_web_address(value)
    _template(escaped(value))
    return value.strip()


def _read_headers(value: object, path: Path, mistakes: Mistakes) -> Mapping[str, str]:
    if not isinstance(value, dict) or len(value) > MOST_HEADERS:
        mistakes.add(path, f"Expected an object of at most {MOST_HEADERS} names and texts.")
        return {}
    seen: set[str] = set()
    for name, text in value.items():
        here = (*path, str(name)[:LONGEST_KEY])
        lower = str(name).lower()
        if not isinstance(name, str) or not _HEADER.fullmatch(name):
            mistakes.add(here, "This is no name of a header.")
        elif lower in OURS or lower.startswith(OUR_PREFIXES):
            mistakes.add(here, "This header cannot be set.")
        elif lower in seen:
            mistakes.add(here, "This header is there twice.")
        seen.add(lower)
        mistakes.attempt(_read_header, text, here)
    return value


def _read_header(text: object) -> None:
    if not isinstance(text, str) or len(text) > LONGEST_HEADER:
        raise ValueError(f"Expected a text of at most {LONGEST_HEADER} characters.")
    if not is_header_text(text):
        raise ValueError("A header is one line of ASCII.")
    _template(text)


def is_header_text(text: str) -> bool:
    """Whether it can stand in a header: printable ASCII, and so on one line."""
    return text.isascii() and all(each.isprintable() for each in text)


def _template(text: str) -> None:
    try:
        parse_template(text)
    except TemplateError as error:
        raise ValueError(str(error)) from None


class _Body:
    """Checks the values of a body, and counts them."""

    def __init__(self, mistakes: Mistakes) -> None:
        self.mistakes = mistakes
        self.parts = 0

    def check(self, value: Any, path: Path, depth: int) -> None:
        self.parts += 1
        if self.parts == MOST_PARTS + 1:
            self.mistakes.add(path, f"A body has at most {MOST_PARTS} values.")
        if self.parts > MOST_PARTS:
            return
        if isinstance(value, dict | list) and depth > DEEPEST_BODY:
            self.mistakes.add(path, f"A body nests at most {DEEPEST_BODY} deep.")
        elif isinstance(value, dict):
            for key, each in value.items():
                if not isinstance(key, str) or len(key) > LONGEST_KEY:
                    self.mistakes.add(path, f"A name in a body has at most {LONGEST_KEY} characters.")
                else:
                    self.check(each, (*path, key), depth + 1)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                self.check(each, (*path, index), depth + 1)
        elif isinstance(value, str):
            self.mistakes.attempt(_template, value, path)
        elif isinstance(value, int) and abs(value) >= 2**63:
            self.mistakes.add(path, "This number is too large.")
        elif value is not None and not isinstance(value, bool | int | float):
            self.mistakes.add(path, "Expected a text, a number, true, false, null, a list or an object.")
