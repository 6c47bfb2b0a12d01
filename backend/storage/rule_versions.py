"""Versions of rules: every document that a rule ever had, kept until the rule is deleted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, delete, insert, select

from backend.storage.tables import rule_versions
from backend.storage.times import from_micros, to_micros

Enrolled: TypeAlias = Literal["keep", "move"]
"""What becomes of those who are in a rule that is edited: they go on by the version they are in, or by the new one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredVersion:
    """What a rule said in one version; `author` names the token by which it was written, `enrolled` as in the edit."""

    rule_id: str
    version: int
    document: Mapping[str, Any]
    enrolled: Enrolled
    author: str | None
    created_at: datetime


def list_versions(
    conn: Connection, site_id: str, rule_id: str, *, limit: int, before: int | None = None
) -> list[StoredVersion]:
    """The rule's versions, newest first, before the version `before`."""
    query = select(rule_versions).where(rule_versions.c.rule_id == rule_id, rule_versions.c.site_id == site_id)
    if before is not None:
        query = query.where(rule_versions.c.version < before)
    return [_version(row) for row in conn.execute(query.order_by(rule_versions.c.version.desc()).limit(limit))]


def get_version(conn: Connection, site_id: str, rule_id: str, version: int) -> StoredVersion | None:
    """What the rule said in this version."""
    found = list_versions(conn, site_id, rule_id, limit=1, before=version + 1)
    return found[0] if found and found[0].version == version else None


def keep(conn: Connection, site_id: str, version: StoredVersion) -> None:
    """Keeps what a rule says from now on."""
    conn.execute(
        insert(rule_versions).values(
            rule_id=version.rule_id,
            version=version.version,
            site_id=site_id,
            document=json.dumps(version.document, ensure_ascii=False),
            enrolled=version.enrolled,
            author=version.author,
            created_at=to_micros(version.created_at),
        )
    )


def forget(conn: Connection, rule_id: str) -> None:
    """Removes all versions of a rule."""
    conn.execute(delete(rule_versions).where(rule_versions.c.rule_id == rule_id))


def _version(row: Row[tuple[str, int, str, str, str, str, int]]) -> StoredVersion:
    return StoredVersion(
        rule_id=row.rule_id,
        version=row.version,
        document=json.loads(row.document),
        enrolled=row.enrolled,
        author=row.author,
        created_at=from_micros(row.created_at),
    )
