"""The step `trace`: how far did a site's visitors come in its funnel? Counted exactly, person by person."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Literal

from backend.domain.passage import Passage
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.storage import stage_entries, sweeps
from backend.storage.stage_entries import Entry

MOST_GROUPS = 1_000
"""So many sources are told apart while counting; further ones count as one."""

OTHERS = "(others)"

By = Literal["source", "device"]

_PERSON = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Traced:
    """The whole funnel, and each group with its name, the largest first.

    `cursor` is the last visitor whose past is known by the present definition; None: everybody's is.
    """

    whole: Passage
    groups: list[tuple[str, Passage]]
    cursor: str | None


def trace(rt: Runtime, site: Site, since: datetime, until: datetime, by: By | None) -> Traced:
    """The funnel of who came into a stage from `since` on and before `until`.

    With `by`, also of those groups: a person belongs to that of their first entry in the period.
    """
    names = site.funnel.names
    whole, groups = Passage(names), dict[str, Passage]()
    with rt.db.read() as connection:
        sweep = sweeps.restaging(connection, site.id)
        found = stage_entries.entries(connection, site.id, site.funnel.revision, since, until)
        for own in _persons(found):
            told = [(at, stage) for _, at, stage, _, _ in own]
            whole.take(told)
            if by is not None:
                key = own[0][3] if by == "source" else own[0][4]
                if key not in groups and len(groups) >= MOST_GROUPS:
                    key = OTHERS
                groups.setdefault(key, Passage(names)).take(told)
    largest = sorted(groups.items(), key=lambda each: (-each[1].persons, each[0]))
    return Traced(whole, largest, None if sweep is None else sweep.cursor)


def _persons(found: Iterator[Entry]) -> Iterator[list[Entry]]:
    for _, own in groupby(found, key=_PERSON):
        yield list(own)
