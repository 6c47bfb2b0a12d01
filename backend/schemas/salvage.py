"""Takes a batch apart that cannot be decoded as a whole, so that the event at fault costs none of its neighbours."""

import json
import re

import msgspec

from backend.schemas.wire import BatchIn, decode_batch

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|["{}\[\],:]', re.DOTALL)
_CLOSING = {b"{": b"}", b"[": b"]"}


def salvage(body: bytes) -> BatchIn | None:
    """The batch, its events still raw, where `body` is JSON but for what no decoder takes: lone halves of surrogate
    pairs, NaN and Infinity, nesting without end. None where it is no JSON.
    """
    found = _apart(body)
    if found is None:
        return None
    envelope, texts = found
    try:
        batch = decode_batch(envelope)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not all(map(_is_json, texts)):
        return None
    batch.batch = [msgspec.Raw(text) for text in texts]
    return batch


def depth_of(text: bytes) -> int:
    """How many objects and arrays lie within each other, at most."""
    depth = deepest = 0
    for match in _TOKEN.finditer(text):
        if match[0] in _CLOSING:
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in {b"}", b"]"}:
            depth -= 1
    return deepest


def _apart(body: bytes) -> tuple[bytes, list[bytes]] | None:
    """The body with an empty batch, and the text of each of its events; None where the brackets do not fit."""
    open_: list[bytes] = []
    before, last = b"", b""
    inside, span = False, None
    texts: list[bytes] = []
    begin = start = 0
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token == b'"':
            return None  # a text that does not end
        if token in _CLOSING:
            if len(open_) == 1 and last == b":" and before == b'"batch"' and token == b"[":
                if span is not None:
                    return None
                inside, begin = True, match.end()
                start = begin
            open_.append(_CLOSING[token])
        elif token in {b"}", b"]"}:
            if not open_ or open_.pop() != token:
                return None
            if inside and len(open_) == 1:
                texts.append(body[start : match.start()].strip())
                inside, span = False, (begin, match.start())
        elif token == b"," and inside and len(open_) == 2:
            texts.append(body[start : match.start()].strip())
            start = match.end()
        before, last = last, token
    if open_ or span is None:
        return None
    return body[: span[0]] + body[span[1] :], [] if texts == [b""] else texts


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        return False
    except RecursionError:
        return True  # nobody can tell; it is refused for its depth
    return True
