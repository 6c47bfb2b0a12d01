"""The verb `route`: who is to answer what waits, when to look again, and whether to promise something meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from backend.domain.desk import MANUAL, PREVIOUS, Desk, Seat, serving
from backend.domain.presence import AWAY, OFF, ONLINE

Promise: TypeAlias = Literal["closed", "busy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A conversation in which the visitor waits.

    `looked_at` is when somebody was last looked for in this waiting (None: not yet), `tried` those who had it since,
    `previous` who last spoke with this visitor, `promised` whether something was promised in this waiting.
    """

    since: datetime
    assignee_id: str | None = None
    department_id: str | None = None
    looked_at: datetime | None = None
    tried: frozenset[str] = frozenset()
    previous: str | None = None
    promised: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be done: `assignee_id` from now on, `why` it changed (None: it did not), and what is promised.

    `looked_at` is since when it counts as unanswered, `again_at` when to look again where nothing happens before; None:
    there is no need to.
    """

    assignee_id: str | None
    looked_at: datetime
    why: str | None = None
    promise: Promise | None = None
    opens_at: datetime | None = None
    again_at: datetime | None = None


def plan(desk: Desk, seats: Mapping[str, Seat], waiting: Waiting, now: datetime) -> Plan:
    """Decides about one conversation; `seats` are all who may answer on this site, as they are now."""
    holder = seats.get(waiting.assignee_id or "")
    gone = waiting.assignee_id is not None and holder is None
    kept, lost = (None, "removed") if gone else (waiting.assignee_id, None)
    since = waiting.looked_at or waiting.since
    if not desk.hours.is_open(now):
        if holder is not None and holder.presence == ONLINE and now - since < desk.unanswered_after:
            # Somebody stayed, and is at it: who says "back on Monday" between two answers makes a fool of them.
            return Plan(assignee_id=kept, looked_at=since, again_at=since + desk.unanswered_after)
        opens = desk.hours.opens_next(now)
        said: Promise | None = None if waiting.promised else "closed" if opens is not None else "busy"
        return Plan(assignee_id=kept, why=lost, promise=said, looked_at=since, opens_at=opens, again_at=opens)
    serve = serving(seats, waiting.department_id)
    here = {each: seat for each, seat in serve.items() if seat.presence == ONLINE}
    waited = desk.hours.working_time_between(since, now)
    late = waited >= desk.unanswered_after
    attended = holder is not None and holder.presence in (ONLINE, AWAY) and not late
    if desk.routing != MANUAL and not attended:
        chosen = _next(desk, here, waiting, holder)
        if chosen is not None:
            why = lost or ("routed" if holder is None else "unanswered" if holder.presence != OFF else "absent")
            return Plan(assignee_id=chosen, why=why, looked_at=now, again_at=now + desk.unanswered_after)
    promise: Promise | None = "busy" if not waiting.promised and (late or not (here or attended)) else None
    again = _again(desk, waiting, now, late=late, left=desk.unanswered_after - waited)
    return Plan(assignee_id=kept, why=lost, promise=promise, looked_at=now if late else since, again_at=again)


def _again(desk: Desk, waiting: Waiting, now: datetime, *, late: bool, left: timedelta) -> datetime | None:
    """When to look again: as soon as it is late; and then less and less often, since nobody may ever answer."""
    if not late:
        return now + left
    return None if desk.routing == MANUAL else now + max(desk.unanswered_after, now - waiting.since)


def _next(desk: Desk, here: Mapping[str, Seat], waiting: Waiting, holder: Seat | None) -> str | None:
    """Who gets it now: free, not the holder, and while that one is there not who had it before."""
    tried = waiting.tried if holder is not None and holder.presence == ONLINE else frozenset()
    mine = holder.operator_id if holder is not None else None
    able = {each: seat for each, seat in here.items() if seat.free and each != mine and each not in tried}
    if desk.routing == PREVIOUS and waiting.previous in able:
        return waiting.previous
    return min(able, key=lambda each: (able[each].given_at, each), default=None)
