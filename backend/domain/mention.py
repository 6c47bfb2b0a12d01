"""Who is mentioned? In a note, `@` and an operator's name; longer names go before shorter ones."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

MOST = 20
"""Operators whom one note mentions."""


def mentioned(text: str, names: Mapping[str, str]) -> list[dict[str, str]]:
    """The operators of these (names by id) whom a text mentions, each as `id` and `name`; all who share a name."""
    if "@" not in text:
        return []
    told = {name.casefold() for name, is_name in pieces(text, names.values()) if is_name}
    found = [{"id": key, "name": name} for key, name in names.items() if f"@{name}".casefold() in told]
    return found[:MOST]


def pieces(text: str, names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is an `@` and one of these names."""
    known = sorted({each for each in names if each.strip()}, key=len, reverse=True)
    if not known:
        yield text, False
        return
    written = "|".join(re.escape(each) for each in known)
    place = 0
    for found in re.finditer(rf"(?<![\w@])@(?:{written})(?!\w)", text, re.IGNORECASE):
        if found.start() > place:
            yield text[place : found.start()], False
        yield found[0], True
        place = found.end()
    if place < len(text):
        yield text[place:], False


def mentions_of(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Whom a part mentions, out of its content."""
    told = content.get("mentions")
    return [each for each in told if isinstance(each, Mapping) and "id" in each] if isinstance(told, list) else []
