"""The step `quotes`: while two were one person, messages were made out of both; parted, none keeps what another told.

A text is looked for as it stands in any profile of theirs, be it one that only their events still tell of: a message
keeps the name that somebody had when it was written.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from backend.domain.fold import fold_into, working_copy
from backend.domain.identifier import Reading
from backend.domain.profile import Profile, new_profile
from backend.pipeline.history import EVENTS_AT_ONCE
from backend.storage import histories
from backend.storage.database import Connection

SHORTEST = 3
"""Texts that are shorter tell nothing of anybody, and stand in every other message."""

_TELLING = ("traits", "identifiers", "forms", "searches")
"""The parts of a profile that a text may be taken over from."""


def texts_of(
    connection: Connection, ids: Collection[str], profiles: Iterable[Profile], reading: Reading, now: datetime
) -> set[str]:
    """What the visitors with these ids tell of themselves: in these profiles, and in those that they had before."""
    found = {text for profile in profiles for text in _texts(profile.__dict__)}
    state = working_copy(new_profile("", ""))
    known = {part: state.__dict__[part] for part in _TELLING}
    for piece in histories.pieces(connection, ids, now, EVENTS_AT_ONCE):
        for _, event in piece:
            fold_into(state, event, reading)
            changed = {part: value for part in _TELLING if (value := state.__dict__[part]) is not known[part]}
            if changed:
                known |= changed
                found.update(_texts(changed))
    return found


def _texts(parts: Mapping[str, Any]) -> Iterator[str]:
    """What parts of a profile tell of a person."""
    told: list[Any] = [
        dict(parts.get("traits", {})),
        *(each.value for each in parts.get("identifiers", ())),
        *(each.value for each in parts.get("forms", ())),
        *(each.query for each in parts.get("searches", ())),
    ]
    while told:
        each = told.pop()
        if isinstance(each, Mapping):
            told.extend(each.values())
        elif isinstance(each, list | tuple):
            told.extend(each)
        elif isinstance(each, str) and len(each.strip()) >= SHORTEST:
            yield each.strip()


def as_written(texts: Iterable[str]) -> set[str]:
    """These texts as they may stand within JSON."""
    return {
        form for text in texts for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    }
