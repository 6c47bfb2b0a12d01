"""Rules: a small reference table; each row holds the document as written, with its defaults filled in.

Every document that a rule ever had is kept beside it, until the rule is deleted.
"""

import contextlib
import hashlib
import json
import logging
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backend.domain.mistakes import RuleErrors
from backend.domain.rule import Rule, RuleSpec, Status, parse_rule
from backend.errors import Conflict
from backend.storage import rule_versions
from backend.storage.learned_tables import product_intervals
from backend.storage.rule_versions import Enrolled, StoredVersion
from backend.storage.segments import known
from backend.storage.tables import contests, rules, segments, sites
from backend.storage.times import from_micros, to_micros

logger = logging.getLogger(__name__)

LIVE = ("active", "paused")
"""Statuses that the processor must know: paused rules end what they began."""

# Asked with every batch of events: written once, since building a statement takes longer than running it.
_TOTALS = select(
    func.count(),
    func.coalesce(func.sum(rules.c.version), 0),
    func.coalesce(func.max(rules.c.updated_at), 0),
    # The remainder keeps the sum far from 2**63, however many rules there are.
    func.coalesce(func.sum(rules.c.updated_at % 1_000_000_007), 0),
    # Rules may ask for segments: what changes these changes the rules.
    select(func.count() + func.coalesce(func.sum(segments.c.revision + segments.c.version), 0)).scalar_subquery(),
    select(func.count(segments.c.deleted_at)).select_from(segments).scalar_subquery(),
    select(func.count(contests.c.variant)).scalar_subquery(),
    select(func.coalesce(func.sum(product_intervals.c.learned_at % 1_000_000_007), 0)).scalar_subquery(),
)
_SITES = select(sites.c.id, sites.c.document).order_by(sites.c.id)

_Row = Row[tuple[str, str, str, int, str, int, int, int, str | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRule:
    """A rule as the API shows it: `document` is what was written down, `segments` the names of the site's by id.

    `segments` is None where the rule does not refer to any.
    """

    id: str
    site_id: str
    status: Status
    version: int
    document: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    moved_to: int = 0
    segments: Mapping[str, str] | None = None

    def rule(self) -> Rule:
        """The rule for the engine; RuleErrors where this version of chimein no longer understands it."""
        return Rule(
            id=self.id,
            site_id=self.site_id,
            spec=parse_rule(dict(self.document), stored=True, segments=self.segments),
            status=self.status,
            version=self.version,
            moved_to=self.moved_to,
        )


def new_id() -> str:
    """The id of a rule that is yet to be stored."""
    return uuid.uuid4().hex


def create_rule(
    conn: Connection,
    site_id: str,
    spec: RuleSpec,
    *,
    status: Status = "draft",
    now: datetime,
    rule_id: str | None = None,
    author: str | None = None,
) -> StoredRule:
    """Stores a new rule, version 1; Conflict where its key is taken."""
    stored = StoredRule(
        id=rule_id or new_id(),
        site_id=site_id,
        status=status,
        version=1,
        document=spec.document,
        created_at=now,
        updated_at=now,
    )
    with _unique_key():
        conn.execute(
            insert(rules).values(
                id=stored.id,
                site_id=site_id,
                status=status,
                version=1,
                document=_dump(spec),
                key=spec.document.get("key"),
                created_at=to_micros(now),
                updated_at=to_micros(now),
            )
        )
    rule_versions.keep(conn, site_id, _version_of(stored, "keep", author, now))
    return stored


def get_rule(conn: Connection, site_id: str, rule_id: str) -> StoredRule | None:
    """The site's rule with this id."""
    row = conn.execute(select(rules).where(rules.c.id == rule_id, rules.c.site_id == site_id)).first()
    return None if row is None else _stored(conn, row)


def list_rules(
    conn: Connection,
    site_id: str,
    *,
    status: str | None = None,
    limit: int,
    after: tuple[int, str] | None = None,
) -> list[StoredRule]:
    """The site's rules, oldest first, after the place `after`."""
    query = select(rules).where(rules.c.site_id == site_id).order_by(rules.c.created_at, rules.c.id).limit(limit)
    if status is not None:
        query = query.where(rules.c.status == status)
    if after is not None:
        moment, rule_id = after
        query = query.where(or_(rules.c.created_at > moment, (rules.c.created_at == moment) & (rules.c.id > rule_id)))
    return [_stored(conn, row) for row in conn.execute(query).all()]


def place(stored: StoredRule) -> tuple[int, str]:
    """Where the rule stands in the list."""
    return to_micros(stored.created_at), stored.id


def replace_rule(
    conn: Connection,
    site_id: str,
    rule_id: str,
    spec: RuleSpec,
    *,
    status: Status | None = None,
    enrolled: Enrolled = "keep",
    now: datetime,
    author: str | None = None,
) -> StoredRule | None:
    """Puts a new document in the place of the old one; its version grows by one. Conflict where its key is taken.

    With `enrolled` "move", whoever is in an earlier version goes on with this one.
    """
    values: dict[str, Any] = {
        "document": _dump(spec),
        "version": rules.c.version + 1,
        "key": spec.document.get("key"),
    }
    if enrolled == "move":
        values["moved_to"] = rules.c.version + 1
    with _unique_key():
        stored = _change(conn, site_id, rule_id, values if status is None else {**values, "status": status}, now)
    if stored is not None:
        rule_versions.keep(conn, site_id, _version_of(stored, enrolled, author, now))
    return stored


def set_status(conn: Connection, site_id: str, rule_id: str, status: Status, *, now: datetime) -> StoredRule | None:
    """Activates, pauses or archives the rule; what it says stays, and so does its version."""
    return _change(conn, site_id, rule_id, {"status": status}, now)


def delete_rule(conn: Connection, site_id: str, rule_id: str) -> bool:
    """Removes the rule and all its versions; False where there is none."""
    if conn.execute(delete(rules).where(rules.c.id == rule_id, rules.c.site_id == site_id)).rowcount == 0:
        return False
    rule_versions.forget(conn, rule_id)
    return True


def naming(conn: Connection, site_id: str, names: Collection[str]) -> frozenset[str]:
    """Those of these names (of events, of plain letters) that stand in some active rule of the site."""
    if not names:
        return frozenset()
    found = [
        func.max(case((rules.c.document.contains(json.dumps(name), autoescape=True), 1), else_=0)) for name in names
    ]
    row = conn.execute(select(*found).where(rules.c.site_id == site_id, rules.c.status == "active")).one()
    return frozenset(name for name, there in zip(names, row, strict=True) if there)


def load_rules(conn: Connection) -> list[Rule]:
    """Every site's rules that are active or paused; one that can no longer be read is logged and left out."""
    loaded: list[Rule] = []
    query = select(rules).where(rules.c.status.in_(LIVE)).order_by(rules.c.created_at, rules.c.id)
    for row in conn.execute(query).all():
        try:
            loaded.append(_stored(conn, row).rule())
        except RuleErrors as error:
            logger.error("rule %s of site %s cannot be read and does nothing: %s", row.id, row.site_id, error)
    return loaded


def lock(conn: Connection, site_id: str) -> None:
    """Makes others who edit rules of this site wait for the transaction's end: rules are checked against each other."""
    if conn.dialect.name != "sqlite":  # which has one writer at a time anyway
        conn.execute(select(sites.c.id).where(sites.c.id == site_id).with_for_update())


def active_rules(conn: Connection, site_id: str) -> list[StoredRule]:
    """The site's rules that start enrolments, not read yet."""
    query = select(rules).where(rules.c.site_id == site_id, rules.c.status == "active")
    return [_stored(conn, row) for row in conn.execute(query.order_by(rules.c.created_at, rules.c.id)).all()]


def started_by(conn: Connection, site_id: str, kind: str) -> list[Rule]:
    """The site's active rules whose trigger has this key, such as `product`."""
    told = rules.c.document.contains(f'"{kind}"')
    query = select(rules).where(rules.c.site_id == site_id, rules.c.status == "active", told)
    found: list[Rule] = []
    for row in conn.execute(query.order_by(rules.c.created_at, rules.c.id)).all():
        stored = _stored(conn, row)
        with contextlib.suppress(RuleErrors):  # what cannot be read does nothing
            if kind in stored.document["trigger"]:
                found.append(stored.rule())
    return found


def referring(conn: Connection, site_id: str, names: Collection[str]) -> list[StoredRule]:
    """The site's rules, in whatever status, that refer to a segment by one of these names."""
    query = select(rules).where(rules.c.site_id == site_id, rules.c.document.contains('"segment"'))
    found: list[StoredRule] = []
    for row in conn.execute(query.order_by(rules.c.created_at, rules.c.id)).all():
        stored = _stored(conn, row)
        with contextlib.suppress(RuleErrors):  # what cannot be read does nothing
            if not stored.rule().spec.segments.keys().isdisjoint(names):
                found.append(stored)
    return found


def stamp(conn: Connection) -> str:
    """A short text that changes whenever any rule or site does, or a variant wins; only small tables are read."""
    totals = conn.execute(_TOTALS).one()
    digest = hashlib.blake2b(digest_size=12)
    for site_id, document in conn.execute(_SITES):
        digest.update(f"{site_id}{document}".encode())
    return ":".join(str(int(total)) for total in totals) + ":" + digest.hexdigest()


def _change(conn: Connection, site_id: str, rule_id: str, values: dict[str, Any], now: datetime) -> StoredRule | None:
    # Also where the clock was set back, `updated_at` moves forward: the stamp relies on it.
    moment = to_micros(now)
    forward = func.max if conn.dialect.name == "sqlite" else func.greatest
    conn.execute(
        update(rules)
        .where(rules.c.id == rule_id, rules.c.site_id == site_id)
        .values(updated_at=forward(moment, rules.c.updated_at + 1), **values)
    )
    return get_rule(conn, site_id, rule_id)


@contextmanager
def _unique_key() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict("Another rule has this key.", {"key": ["Is taken by another rule of this site."]}) from error


def _version_of(stored: StoredRule, enrolled: Enrolled, author: str | None, now: datetime) -> StoredVersion:
    return StoredVersion(
        rule_id=stored.id,
        version=stored.version,
        document=stored.document,
        enrolled=enrolled,
        author=author,
        created_at=now,
    )


def _dump(spec: RuleSpec) -> str:
    return json.dumps(spec.document, ensure_ascii=False)


def _stored(conn: Connection, row: _Row) -> StoredRule:
    return StoredRule(
        id=row.id,
        site_id=row.site_id,
        status=row.status,
        version=row.version,
        document=json.loads(row.document),
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
        moved_to=row.moved_to,
        segments=known(conn, row.site_id) if '"segment"' in row.document else None,
    )
