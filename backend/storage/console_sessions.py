"""Who is logged in to the console: sessions by a keyed hash of the cookie, which ends with the row.

A session ends 12 hours after it was used last, and 14 days after it began, whatever happens in it.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from backend.storage.tables import console_sessions as sessions
from backend.storage.times import from_micros, to_micros
from backend.storage.vault import Vault

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=14)
NOTED = timedelta(minutes=1)
"""So seldom it is written down that a session is in use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One login; `digest` is the keyed hash of the cookie."""

    digest: str
    operator_id: str
    created_at: datetime
    used_at: datetime
    agent: str

    def stale(self, now: datetime) -> bool:
        """Whether its use is to be noted anew."""
        return now - self.used_at >= NOTED

    def over(self, now: datetime) -> bool:
        """Whether it has ended by itself."""
        return now - self.used_at >= IDLE or now - self.created_at >= ABSOLUTE


def start(connection: Connection, vault: Vault, operator_id: str, now: datetime, agent: str) -> str:
    """Begins a session; the text is for the cookie, and can be had here and never again."""
    text = secrets.token_urlsafe(32)
    moment = to_micros(now)
    row = {"digest": digest_of(vault, text), "operator_id": operator_id, "agent": agent[:200]}
    connection.execute(insert(sessions).values(**row, created_at=moment, used_at=moment))
    return text


def find(connection: Connection, vault: Vault, text: str, now: datetime) -> Session | None:
    """The session of a cookie; None where there is none, or where it is over."""
    row = connection.execute(select(sessions).where(sessions.c.digest == digest_of(vault, text))).one_or_none()
    if row is None:
        return None
    found = _session(row)
    return None if found.over(now) else found


def touch(connection: Connection, session: Session, now: datetime) -> None:
    """Notes that the session is in use."""
    connection.execute(update(sessions).where(sessions.c.digest == session.digest).values(used_at=to_micros(now)))


def end(connection: Connection, vault: Vault, text: str) -> str:
    """Ends the session of a cookie at once; answers its digest, whether it was there or not."""
    digest = digest_of(vault, text)
    connection.execute(delete(sessions).where(sessions.c.digest == digest))
    return digest


def end_all(connection: Connection, operator_id: str) -> int:
    """Ends every session of an operator at once; answers how many."""
    return connection.execute(delete(sessions).where(sessions.c.operator_id == operator_id)).rowcount


def end_others(connection: Connection, vault: Vault, operator_id: str, text: str) -> int:
    """Ends an operator's sessions but that of this cookie at once; answers how many."""
    others = (sessions.c.operator_id == operator_id) & (sessions.c.digest != digest_of(vault, text))
    return connection.execute(delete(sessions).where(others)).rowcount


def list_sessions(connection: Connection, operator_id: str, now: datetime) -> list[Session]:
    """An operator's sessions that are not over, the one used last first."""
    query = select(sessions).where(sessions.c.operator_id == operator_id).order_by(sessions.c.used_at.desc())
    found = [_session(row) for row in connection.execute(query)]
    return [each for each in found if not each.over(now)]


def expire(connection: Connection, now: datetime) -> int:
    """Removes what is over; answers how many."""
    over = or_(sessions.c.used_at <= to_micros(now - IDLE), sessions.c.created_at <= to_micros(now - ABSOLUTE))
    return connection.execute(delete(sessions).where(over)).rowcount


def form_token(vault: Vault, text: str) -> str:
    """What a form of this session carries, so that no other site can send one."""
    return vault.digest(f"console-form:{text}")


def _session(row: Row[Any]) -> Session:
    return Session(
        digest=row.digest,
        operator_id=row.operator_id,
        created_at=from_micros(row.created_at),
        used_at=from_micros(row.used_at),
        agent=row.agent,
    )


def digest_of(vault: Vault, text: str) -> str:
    """The keyed hash by which the session of a cookie is kept."""
    return vault.digest(f"console:{text[:200]}")
