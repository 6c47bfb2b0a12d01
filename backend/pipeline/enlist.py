"""The step `enlist`: a file of visitors is put on a list kept by hand, or taken off it, and each row is answered for.

Rows are looked up some hundred at a time; what they name is put into the log as signals and takes its turn there.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import uuid4

from backend.domain.engine.membership import ADDED, REMOVED
from backend.domain.identifier import merely_typed
from backend.domain.identity import anonymous_visitor, derive, known_visitor
from backend.domain.mistakes import quoted
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.errors import Unavailable
from backend.pipeline.signals import send_signals
from backend.runtime import Runtime
from backend.schemas.member_file import Broken, Row
from backend.storage import visitor_lists, visitors

AT_ONCE = 500

PATIENCE = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait for a log that is full, again and again, before giving up."""

BROKEN, NOT_FOUND, AMBIGUOUS, UNNAMED = "broken", "not_found", "ambiguous", "unnamed"


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was left out; `code` is broken, not_found, ambiguous or unnamed."""

    line: int
    code: str
    message: str


@dataclass(slots=True)
class Enlisted:
    """What came of a file: rows by what became of them; `stopped_at` is the line before which it broke off."""

    rows: int = 0
    accepted: int = 0
    problems: dict[str, int] = field(default_factory=lambda: dict.fromkeys((BROKEN, NOT_FOUND, AMBIGUOUS, UNNAMED), 0))
    stopped_at: int | None = None


def enlist(
    rt: Runtime,
    site: Site,
    segment_id: str,
    rows: Iterable[Row | Broken],
    *,
    remove: bool = False,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Problem | Enlisted]:
    """Each row that is left out, in order, and last what came of all; nothing is sent with `dry_run`.

    Who is named twice is told once: repeating a file does no harm.
    """
    request, told = uuid4().hex, Enlisted()
    name = REMOVED if remove else ADDED
    source = iter(rows)
    while piece := list(islice(source, AT_ONCE)):
        found: list[Profile] = []
        problems = list(_matched(rt, site, piece, found))
        if not dry_run and not _send(rt, site, segment_id, name, request, found, sleep):
            told.stopped_at = piece[0].line
            break
        told.rows += len(piece)
        told.accepted += len(piece) - len(problems)
        for each in problems:
            told.problems[each.code] += 1
        yield from problems
    yield told


def _send(
    rt: Runtime,
    site: Site,
    segment_id: str,
    name: str,
    request: str,
    found: Sequence[Profile],
    sleep: Callable[[float], None],
) -> bool:
    once = {each.id: each for each in found}.values()
    signals = [(each, derive(name, segment_id, each.id, request), {"segment_id": segment_id}) for each in once]
    for pause in (*PATIENCE, None):
        try:
            send_signals(rt, site.id, name, None, signals)
            return True
        except Unavailable:
            if pause is not None:
                sleep(pause)
    return False


def _matched(rt: Runtime, site: Site, piece: Sequence[Row | Broken], found: list[Profile]) -> Iterator[Problem]:
    """Puts whom the rows name into `found`; what is wrong with the others."""
    ids = [_ids(site, each) if isinstance(each, Row) else {} for each in piece]
    addresses = {each.ids["email"].lower() for each in piece if isinstance(each, Row) and "email" in each.ids}
    with rt.db.read() as connection:
        by_email = visitor_lists.ids_of_emails(connection, site.id, addresses)
        wanted = {each for own in ids for each in own.values()}.union(*by_email.values())
        people = visitors.named(connection, site.id, wanted)
    for each, own in zip(piece, ids, strict=True):
        if isinstance(each, Broken):
            yield Problem(each.line, BROKEN, each.message)
            continue
        problem = _one(site, each, own, by_email, people, found)
        if problem is not None:
            yield problem


def _one(
    site: Site,
    row: Row,
    own: dict[str, str],
    by_email: dict[str, list[str]],
    people: dict[str, Profile],
    found: list[Profile],
) -> Problem | None:
    who: Profile | None = None
    for kind, value in row.ids.items():
        named = by_email.get(value.lower(), []) if kind == "email" else [own[kind]]
        matching = {people[each].id: people[each] for each in named if each in people}
        if kind == "email" and matching and not site.policy.unverified_email:
            # Else whoever types the address of somebody on the list would be on it, or keep them from it.
            address = value.lower()
            theirs = {key: each for key, each in matching.items() if not merely_typed(each.identifiers, kind, address)}
            if not theirs:
                told = f"The email {quoted(value)} was only typed into a form, and nobody has confirmed it."
                return Problem(row.line, NOT_FOUND, told)
            matching = theirs
        if not matching:
            return Problem(row.line, NOT_FOUND, f"No visitor has the {kind} {quoted(value)}.")
        if len(matching) > 1:
            return Problem(row.line, AMBIGUOUS, f"{len(matching)} visitors have the {kind} {quoted(value)}.")
        [profile] = matching.values()
        if who is not None and who.id != profile.id:
            others = " and ".join(each for each in row.ids)
            return Problem(row.line, AMBIGUOUS, f"Its {others} belong to different visitors.")
        who = profile
    assert who is not None
    if who.user_id is None and not who.anonymous_ids:
        return Problem(row.line, UNNAMED, "The visitor has no id by which the log could name them.")
    found.append(who)
    return None


def _ids(site: Site, row: Row) -> dict[str, str]:
    """The ids of the visitors that a row names by ids."""
    made: dict[str, Callable[[str], str]] = {
        "visitor_id": str,
        "user_id": lambda value: known_visitor(site.id, value),
        "anonymous_id": lambda value: anonymous_visitor(site.id, value),
    }
    return {kind: made[kind](value) for kind, value in row.ids.items() if kind in made}
