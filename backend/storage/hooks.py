"""The hooks: which addresses a site's conversations are told to."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from backend.domain.hook import Hook
from backend.storage.tables import hooks
from backend.storage.times import from_micros, to_micros


def add(connection: Connection, hook: Hook) -> None:
    """Stores a new hook."""
    connection.execute(insert(hooks).values(site_id=hook.site_id, id=hook.id, **_values(hook)))


def save(connection: Connection, hook: Hook) -> None:
    """Writes a hook that was changed."""
    connection.execute(update(hooks).where(*_is(hook.site_id, hook.id)).values(**_values(hook)))


def remove(connection: Connection, site_id: str, hook_id: str) -> bool:
    """Takes a hook away; False where there is none."""
    return connection.execute(delete(hooks).where(*_is(site_id, hook_id))).rowcount > 0


def get(connection: Connection, site_id: str, hook_id: str) -> Hook | None:
    """The site's hook with this id."""
    row = connection.execute(select(hooks).where(*_is(site_id, hook_id))).first()
    return None if row is None else _hook(row)


def of_site(connection: Connection, site_id: str) -> list[Hook]:
    """A site's hooks, oldest first."""
    query = select(hooks).where(hooks.c.site_id == site_id).order_by(hooks.c.created_at, hooks.c.id)
    return [_hook(row) for row in connection.execute(query)]


def listening(connection: Connection, site_ids: Collection[str]) -> list[Hook]:
    """The hooks of these sites that are on."""
    query = select(hooks).where(hooks.c.site_id.in_(list(site_ids)), hooks.c.active == 1)
    return [_hook(row) for row in connection.execute(query)]


def _is(site_id: str, hook_id: str) -> tuple[Any, Any]:
    return hooks.c.site_id == site_id, hooks.c.id == hook_id


def _values(hook: Hook) -> dict[str, Any]:
    return {
        "url": hook.url,
        "events": json.dumps(list(hook.events)),
        "format": hook.format,
        "active": int(hook.active),
        "created_at": to_micros(hook.created_at),
        "updated_at": to_micros(hook.updated_at),
    }


def _hook(row: Row[Any]) -> Hook:
    return Hook(
        id=row.id,
        site_id=row.site_id,
        url=row.url,
        events=tuple(json.loads(row.events)),
        format=row.format,
        active=bool(row.active),
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
