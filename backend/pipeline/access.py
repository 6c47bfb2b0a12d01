"""The step `access`: notes who looks at whom, before they see it; and brings the notes into SQL."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from backend.domain.access import Access
from backend.domain.erased import ANONYMOUS, EMAIL, USER, VISITOR, contact_names
from backend.domain.identifier import PLAIN
from backend.runtime import Runtime
from backend.storage import access_log, sites

AT_ONCE = 1_000

NAMING = {"email": EMAIL, "user_id": USER, "anonymous_id": ANONYMOUS, "visitor": VISITOR}
"""Filters of lists that name a person, and as what."""

Reader = tuple[str, str]
"""The name of a token, and its role."""


def note(rt: Runtime, site_id: str, reader: Reader, action: str, visitor_ids: Iterable[str], detail: str = "") -> None:
    """Notes that this reader looks at these visitors; raises where that cannot be noted, and then nothing is shown."""
    _note(rt, [look(rt, site_id, reader, action, visitor_id, detail) for visitor_id in visitor_ids])


def note_list(
    rt: Runtime, site_id: str, reader: Reader, action: str, shown: int, asked: Mapping[str, Any], detail: str = ""
) -> None:
    """Notes that this reader is shown so many of a list, and what was asked for (None: nothing); raises as `note`."""
    told = {name: _unnamed(rt, site_id, name, str(value)) for name, value in asked.items() if value is not None}
    _note(rt, [replace(look(rt, site_id, reader, action, "", detail), shown=shown, asked=told)])


def _unnamed(rt: Runtime, site_id: str, name: str, value: str) -> str:
    """What was asked for; whatever names a person as its keyed hash: the log outlives them."""
    kind = NAMING.get(name)
    if kind is None:
        return value[:500]
    spellings = contact_names(kind, value, PLAIN) if kind == EMAIL else set()
    return f"hash:{rt.sites.vault.tombstone(site_id, *min(spellings, default=(kind, value)))}"


def _note(rt: Runtime, looks: list[Access]) -> None:
    if not looks:
        return
    if not access_log.note(rt.redis, looks):
        with rt.db.begin() as connection:
            access_log.insert(connection, rt.sites.vault, looks)


def look(rt: Runtime, site_id: str, reader: Reader, action: str, visitor_id: str, detail: str = "") -> Access:
    """One look, now."""
    return Access(
        id=uuid4().hex,
        site_id=site_id,
        at=rt.clock(),
        token=reader[0],
        role=reader[1],
        action=action,
        visitor=visitor_id,
        detail=detail[:500],
    )


def bring_in(rt: Runtime) -> int:
    """Brings what was noted into SQL; returns how many. Being cut short and called again, it writes nothing twice."""
    brought = 0
    with rt.redis.lock("chimein:access:lock", timeout=30, blocking_timeout=5) as lock:
        while looks := access_log.waiting(rt.redis):
            with rt.db.begin() as connection:
                access_log.insert(connection, rt.sites.vault, looks)
            lock.reacquire()  # for the next piece; raises where that took so long that somebody else has it now
            access_log.done(rt.redis, len(looks))
            brought += len(looks)
    return brought


def expire(rt: Runtime) -> int:
    """Removes what the sites no longer want to remember; returns how many."""
    removed = 0
    with rt.db.read() as connection:
        found = sites.all_sites(connection, rt.sites.vault)
    for site_id, kept in ((each.id, each.policy.access_log_kept) for each in found):
        while True:
            with rt.db.begin() as connection:
                number = access_log.expire(connection, site_id, rt.clock() - kept, AT_ONCE)
            removed += number
            if number < AT_ONCE:
                break
    return removed


def names_of(rt: Runtime, site_id: str, visitor_id: str) -> list[str]:
    """Under what a visitor stands in the log: the id, or its keyed hash where they were erased."""
    return [visitor_id, rt.sites.vault.tombstone(site_id, VISITOR, visitor_id)]
