"""How is a source cut into tokens? By plain searching, in linear time; Liquid's own pattern can take hours."""

import re
from collections.abc import Iterator

from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

LONGEST_EXPRESSION = 2000
"""Characters between two brackets; what is cut further by patterns is never longer than this."""

_NAME = re.compile(r"#|\w{1,50}")
_SKIPPED = {"comment": "endcomment", "doc": "enddoc", "raw": "endraw"}


def tokenize(source: str) -> Iterator[Token]:
    """Yield text, outputs and tags in order; comments are left out, `raw` comes as text."""
    place, trimmed = 0, False
    for opening in _openings(source):
        if opening < place:  # inside of what a comment or raw block covered
            continue
        dash = source.startswith("-", opening + 2)
        yield from _content(source, place, opening, trimmed, dash)
        output = source[opening + 1] == "{"
        inner, place, trimmed = _inside(source, opening, "}}" if output else "%}")
        if output:
            yield Token(TOKEN_OUTPUT, "{{", opening, source)
            yield Token(TOKEN_EXPRESSION, inner, opening, source)
            continue
        found = _NAME.match(inner)
        if found is None:
            raise _error("a tag needs a name", source, opening)
        name, expression = found[0], inner[found.end() :].strip()
        if name == "#":
            continue
        if name in _SKIPPED:
            start, stripped = place, trimmed
            end, place, trimmed = _end_of(name, source, place, opening)
            if name == "raw":
                yield from _content(source, start, end, stripped, False)
            continue
        yield Token(TOKEN_TAG, name, opening, source)
        if expression:
            yield Token(TOKEN_EXPRESSION, expression, opening, source)
    yield from _content(source, place, len(source), trimmed, False)


def _openings(source: str) -> Iterator[int]:
    return (found.start() for found in re.finditer(r"\{[{%]", source))


def _content(source: str, start: int, end: int, lstrip: bool, rstrip: bool) -> Iterator[Token]:
    text = source[start:end]
    if lstrip:
        text = text.lstrip()
    if rstrip:
        text = text.rstrip()
    if text:
        yield Token(TOKEN_CONTENT, text, start, source)


def _inside(source: str, opening: int, closing: str) -> tuple[str, int, bool]:
    """What stands between the brackets, the place behind them, and whether white space behind them goes."""
    end = source.find(closing, opening + 2)
    if end < 0:
        raise _error(f"expected {closing} somewhere behind this", source, opening)
    inner = source[opening + 2 : end]
    if len(inner) > LONGEST_EXPRESSION:
        raise _error(f"what stands in brackets is at most {LONGEST_EXPRESSION} characters long", source, opening)
    dash = inner.endswith("-")
    return inner.removeprefix("-").removesuffix("-").strip(), end + 2, dash


def _end_of(name: str, source: str, place: int, opening: int) -> tuple[int, int, bool]:
    """Where the block that ends with `end…` ends: before its last tag, behind it, and whether white space goes."""
    last = _SKIPPED[name]
    depth = 1
    for found in re.compile(rf"\{{%-?\s{{0,99}}({name}|{last})\s{{0,99}}(-?)%\}}").finditer(source, place):
        if found[1] == last:
            depth -= 1
        elif name == "comment":
            depth += 1
        if depth == 0:
            return found.start(), found.end(), bool(found[2])
    raise _error(f"{name} without {last}", source, opening)


def _error(sentence: str, source: str, place: int) -> LiquidSyntaxError:
    return LiquidSyntaxError(sentence, token=Token(TOKEN_CONTENT, source[place : place + 2], place, source))
