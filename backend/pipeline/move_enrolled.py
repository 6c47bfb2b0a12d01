"""The step `move_enrolled`: whoever is in a rule that was edited goes on with its new version, if the edit said so.

Nobody has to be moved for the rule to be right: an enrolment moves before anything else happens to it. Moving all of
them soon only lets lists and numbers tell the truth, and ends those for whom nothing follows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from backend.domain.identity import derive
from backend.pipeline.apply import apply
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage import enrolments, sweeps
from backend.storage.database import Connection
from backend.storage.rules import StoredRule
from backend.storage.sweeps import Sweep

MOVE = "move"

AT_ONCE = 250
AT_SAVE = 2_000
"""Visitors who are moved while the answer to an edit waits; all others by the tick."""

NOTHING_DUE = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moved:
    """One piece: how many visitors it looked at, how many enrolments moved, how many ended; `last`: none is left."""

    seen: int
    moved: int
    ended: int
    last: bool


def begin(connection: Connection, stored: StoredRule, now: datetime) -> None:
    """Writes down, with the edit itself, that those who are in earlier versions are to be moved to this one."""
    sweep = Sweep(
        id=derive(MOVE, stored.id, str(stored.version)),
        site_id=stored.site_id,
        rule_id=stored.id,
        kind=MOVE,
        due_at=now,
        next_at=now,
    )
    sweeps.add(connection, sweep)


def move_now(rt: Runtime, stored: StoredRule) -> dict[str, int]:
    """Moves as many as fit into a request: how many `moved`, how many `ended`, and how many are `moving` still."""
    rulesets = Rulesets(rt)
    seen = moved = ended = 0
    while seen < AT_SAVE:
        piece = move_some(rt, rulesets, stored.id, stored.moved_to, AT_ONCE)
        seen, moved, ended = seen + piece.seen, moved + piece.moved, ended + piece.ended
        if piece.last:
            break
    with rt.db.read() as connection:
        moving = enrolments.count_in_rule(connection, stored.id, before=stored.moved_to)
    return {"moved": moved, "ended": ended, "moving": moving}


def move_some(rt: Runtime, rulesets: Rulesets, rule_id: str, version: int, most: int) -> Moved:
    """Moves the enrolments of at most so many visitors who are in versions before this one."""
    with rt.db.begin() as connection:
        rulesets.refresh(connection)
        ids = enrolments.in_versions_before(connection, rule_id, version, most)
        if not ids:
            return Moved(0, 0, 0, last=True)
        effects = apply(connection, rulesets.of, (), ids, until=NOTHING_DUE, now=rt.clock())
        changed = [each for each in effects.changed if each.rule_id == rule_id]
    ended = sum(not each.waiting for each in changed)
    return Moved(len(ids), len(changed) - ended, ended, last=len(ids) < most or not changed)
