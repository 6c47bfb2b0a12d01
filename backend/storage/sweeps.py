"""What goes through all visitors of a site, a piece at a time: how far it is, and when it goes on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, select, update

from backend.storage.bulk import delete_rows, insert_rows
from backend.storage.tables import rules, sweeps
from backend.storage.times import from_micros, maybe_from_micros, to_micros

SEGMENTS, STAGES, RETENTION, PRODUCT, INTERESTS = "segments", "stages", "retention", "product", "interests"
LEARN = "learn"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """One way through the visitors; `cursor` is the last that was looked at, `done` how many were addressed.

    `kind`: `broadcast` (a round of a rule for everybody), `wake` (a rule that waits for moments is new), `move`
    (whoever is in an edited rule goes on with its new version), `segments` (definitions of segments up to the revision
    `rule_id` are new), `stages` (the site's funnel is another, its revision `rule_id`), `retention` (events that are
    too old are removed), `product` (a product changed, as `subject` tells in JSON), `interests` (it was not noted
    before who is interested in what), or `learn` (of events received since `due_at` some were not looked at for what
    they tell of products).
    """

    id: str
    site_id: str
    rule_id: str
    kind: str
    due_at: datetime
    next_at: datetime
    cursor: str = ""
    done: int = 0
    ended_at: datetime | None = None
    subject: str = ""

    def behind(self, ids: Sequence[str], most: int, now: datetime, *, done: int) -> "Sweep":
        """It stands behind these visitors, `done` of whom count; fewer than `most` were the last ones."""
        return replace(
            self,
            cursor=ids[-1] if ids else self.cursor,
            done=self.done + done,
            ended_at=now if len(ids) < most else None,
        )


def add(connection: Connection, sweep: Sweep) -> bool:
    """Begins a sweep; False when one with this id was begun before."""
    row = (
        sweep.id,
        sweep.site_id,
        sweep.rule_id,
        sweep.kind,
        to_micros(sweep.due_at),
        sweep.cursor,
        sweep.done,
        to_micros(sweep.next_at),
        None,
        sweep.subject,
    )
    return insert_rows(connection, sweeps, [row], ignore=True) > 0


def renew(connection: Connection, sweep: Sweep) -> None:
    """Begins a sweep, or begins that of its site and kind again, from the earlier `due_at` of the two."""
    mine = (sweeps.c.site_id == sweep.site_id, sweeps.c.kind == sweep.kind, sweeps.c.ended_at.is_(None))
    known = connection.scalar(select(func.min(sweeps.c.due_at)).where(*mine))
    if known is None:
        add(connection, sweep)
        return
    values = {"due_at": min(known, to_micros(sweep.due_at)), "next_at": to_micros(sweep.next_at), "cursor": ""}
    connection.execute(update(sweeps).where(*mine).values(**values))


def end(connection: Connection, sweep: Sweep) -> bool:
    """Removes a sweep that is through; False where it was begun again meanwhile."""
    same = (sweeps.c.id == sweep.id, sweeps.c.next_at == to_micros(sweep.next_at))
    return connection.execute(delete(sweeps).where(*same)).rowcount > 0


def due(connection: Connection, now: datetime, *, kind: str | None = None) -> list[Sweep]:
    """Those that can go on now, the longest due first: of one kind, or all but `RETENTION`, `LEARN`, `PRODUCT`.

    Those have their own turns, and of the last there may be very many.
    """
    query = (
        select(sweeps)
        .where(sweeps.c.ended_at.is_(None), sweeps.c.next_at <= to_micros(now))
        .where(sweeps.c.kind == kind if kind is not None else sweeps.c.kind.not_in([RETENTION, LEARN, PRODUCT]))
        .order_by(sweeps.c.next_at, sweeps.c.id)
    )
    return [_sweep(row) for row in connection.execute(query)]


def forget(connection: Connection, ids: Collection[str]) -> None:
    """Lets sweeps that stand at one of these visitors stand right behind them, without their id."""
    for visitor_id in connection.scalars(select(sweeps.c.cursor).where(sweeps.c.cursor.in_(list(ids)))).all():
        behind = f"{visitor_id[:16]}g"  # sorts behind all ids that begin so
        connection.execute(update(sweeps).where(sweeps.c.cursor == visitor_id).values(cursor=behind))


def of_rule(connection: Connection, rule_id: str) -> list[Sweep]:
    """All sweeps of a rule, oldest first."""
    query = select(sweeps).where(sweeps.c.rule_id == rule_id).order_by(sweeps.c.due_at, sweeps.c.id)
    return [_sweep(row) for row in connection.execute(query)]


def waiting(connection: Connection, rule_id: str, now: datetime, limit: int) -> list[Sweep]:
    """The first sweeps of a rule that can go on now, oldest first."""
    query = (
        select(sweeps)
        .where(sweeps.c.rule_id == rule_id, sweeps.c.ended_at.is_(None), sweeps.c.next_at <= to_micros(now))
        .order_by(sweeps.c.due_at, sweeps.c.id)
    )
    return [_sweep(row) for row in connection.execute(query.limit(limit))]


def building(connection: Connection, site_id: str, kind: str) -> bool:
    """Whether a sweep of this kind is under way on the site."""
    query = select(sweeps.c.id).where(sweeps.c.site_id == site_id, sweeps.c.kind == kind, sweeps.c.ended_at.is_(None))
    return connection.execute(query.limit(1)).first() is not None


def drop(connection: Connection, ids: Sequence[str]) -> None:
    """Forgets these sweeps."""
    delete_rows(connection, sweeps, [(each,) for each in ids])


def orphans(connection: Connection, limit: int) -> list[str]:
    """The ids of sweeps of products whose rule is gone, or was archived."""
    living = select(rules.c.id).where(rules.c.id == sweeps.c.rule_id, rules.c.status != "archived").exists()
    query = select(sweeps.c.id).where(sweeps.c.kind == PRODUCT, sweeps.c.ended_at.is_(None), ~living)
    return list(connection.scalars(query.limit(limit)))


def supersede(connection: Connection, newest: Sweep) -> None:
    """Forgets the sweeps of this kind and site that this one makes needless."""
    others = (sweeps.c.site_id == newest.site_id, sweeps.c.kind == newest.kind, sweeps.c.id != newest.id)
    connection.execute(delete(sweeps).where(*others, sweeps.c.ended_at.is_(None)))


def built(connection: Connection, site_id: str) -> int:
    """The newest revision of segments that everybody has been asked; 0 where none has."""
    query = select(sweeps.c.rule_id).where(
        sweeps.c.site_id == site_id, sweeps.c.kind == SEGMENTS, sweeps.c.ended_at.is_not(None)
    )
    return max(map(int, connection.scalars(query)), default=0)


def restaging(connection: Connection, site_id: str) -> Sweep | None:
    """The way through a site's visitors on which the stages they were in are found out anew; None: it is done."""
    query = select(sweeps).where(sweeps.c.site_id == site_id, sweeps.c.kind == STAGES, sweeps.c.ended_at.is_(None))
    row = connection.execute(query.order_by(sweeps.c.due_at.desc(), sweeps.c.id)).first()
    return None if row is None else _sweep(row)


def move(connection: Connection, before: Sweep, after: Sweep) -> bool:
    """Notes how far a sweep is; False when somebody else has moved it meanwhile."""
    moved = connection.execute(
        update(sweeps)
        .where(sweeps.c.id == before.id, sweeps.c.cursor == before.cursor, sweeps.c.ended_at.is_(None))
        .values(
            cursor=after.cursor,
            done=after.done,
            next_at=to_micros(after.next_at),
            ended_at=None if after.ended_at is None else to_micros(after.ended_at),
        )
    )
    return moved.rowcount == 1


def _sweep(row: Row[tuple[str, str, str, str, int, str, int, int, int, str]]) -> Sweep:
    return Sweep(
        id=row.id,
        site_id=row.site_id,
        rule_id=row.rule_id,
        kind=row.kind,
        due_at=from_micros(row.due_at),
        next_at=from_micros(row.next_at),
        cursor=row.cursor,
        done=row.done,
        ended_at=maybe_from_micros(row.ended_at),
        subject=row.subject,
    )
