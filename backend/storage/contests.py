"""The contests between variants: when each began, how often it was looked at, and which one has won."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from backend.domain.winner import Won
from backend.storage.bulk import insert_rows
from backend.storage.tables import contests
from backend.storage.times import from_micros, maybe_from_micros, to_micros


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """One contest: of a rule's step, between the wordings that `test` names.

    `variant` has won and gets everybody who is new from `since` on; `numbers` are those of the last look, with the
    `sentence` that tells them.
    """

    rule_id: str
    step: str
    test: str
    site_id: str
    began_at: datetime
    looks: int = 0
    looked_at: datetime | None = None
    variant: str | None = None
    since: datetime | None = None
    numbers: Mapping[str, Any]


def begin(connection: Connection, site_id: str, rule_id: str, step: str, test: str, now: datetime) -> Contest:
    """The contest, which begins now if it has not begun."""
    row = (rule_id, step, test, site_id, to_micros(now), 0, None, None, None, "{}")
    insert_rows(connection, contests, [row], ignore=True)
    found = connection.execute(select(contests).where(*_is(rule_id, step, test))).one()
    return _contest(found)


def look(
    connection: Connection, contest: Contest, now: datetime, variant: str | None, since: datetime, numbers: Any
) -> bool:
    """Writes down a look, and the variant that has won, if one has; False when somebody else looked meanwhile."""
    written = connection.execute(
        update(contests)
        .where(*_is(contest.rule_id, contest.step, contest.test))
        .where(contests.c.looks == contest.looks, contests.c.variant.is_(None))
        .values(
            looks=contest.looks + 1,
            looked_at=to_micros(now),
            variant=variant,
            since=to_micros(since) if variant is not None else None,
            document=json.dumps(numbers, ensure_ascii=False),
        )
    )
    return written.rowcount == 1


def of_rule(connection: Connection, rule_id: str) -> list[Contest]:
    """All contests of a rule, the oldest first."""
    query = select(contests).where(contests.c.rule_id == rule_id).order_by(contests.c.began_at, contests.c.step)
    return [_contest(row) for row in connection.execute(query)]


def winners(connection: Connection, site_id: str | None = None) -> dict[str, dict[tuple[str, str, str], Won]]:
    """The variants that have won, by site, then by rule, step and test."""
    query = select(contests).where(contests.c.variant.is_not(None))
    if site_id is not None:
        query = query.where(contests.c.site_id == site_id)
    found: dict[str, dict[tuple[str, str, str], Won]] = {}
    for row in connection.execute(query):
        contest = _contest(row)
        assert contest.variant is not None
        assert contest.since is not None
        won = Won(contest.variant, contest.since, contest.numbers.get("sentence", ""))
        found.setdefault(contest.site_id, {})[contest.rule_id, contest.step, contest.test] = won
    return found


def _is(rule_id: str, step: str, test: str) -> tuple[Any, ...]:
    return contests.c.rule_id == rule_id, contests.c.step == step, contests.c.test == test


def _contest(row: Row[Any]) -> Contest:
    return Contest(
        rule_id=row.rule_id,
        step=row.step,
        test=row.test,
        site_id=row.site_id,
        began_at=from_micros(row.began_at),
        looks=row.looks,
        looked_at=maybe_from_micros(row.looked_at),
        variant=row.variant,
        since=maybe_from_micros(row.since),
        numbers=json.loads(row.document),
    )
