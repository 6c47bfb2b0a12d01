"""API tokens: `chi_tok_<id>_<secret>`, of which only a keyed hash of the secret is kept.

The hash is HMAC-SHA256 and no slow one like argon2 on purpose. Slow hashes protect what people make up: they make
guessing dear. Our secrets are 256 random bits, which nobody guesses at any speed, while 170 ms of argon2 on each API
request would hand every caller a way to keep all our processors busy. The HMAC's key is not in the database.
"""

import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, insert, or_, select

from backend.storage.tables import tokens
from backend.storage.times import from_micros, to_micros
from backend.storage.vault import Vault

PREFIX = "chi_tok_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token as it is kept: what it may do (`role`) and where (`site_id`; None: every site)."""

    id: str
    name: str
    role: str
    site_id: str | None
    created_at: datetime


def create_token(
    conn: Connection, vault: Vault, *, name: str, role: str, site_id: str | None, now: datetime
) -> tuple[Token, str]:
    """A new token and its text, which can be had here and never again."""
    token = Token(id=uuid.uuid4().hex, name=name, role=role, site_id=site_id, created_at=now)
    secret = secrets.token_urlsafe(32)
    conn.execute(
        insert(tokens).values(
            id=token.id,
            site_id=site_id,
            name=name,
            role=role,
            digest=vault.digest(secret),
            created_at=to_micros(now),
        )
    )
    return token, f"{PREFIX}{token.id}_{secret}"


def find_token(conn: Connection, vault: Vault, text: str) -> Token | None:
    """The token that this text is, or None: unknown, revoked, or not a token at all."""
    token_id, separator, secret = text.removeprefix(PREFIX).partition("_")
    if not text.startswith(PREFIX) or not separator or not token_id.isalnum() or not text.isascii():
        return None
    row = conn.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
    if row is None or not hmac.compare_digest(row.digest, vault.digest(secret)):
        return None
    return _token(row)


def list_tokens(
    conn: Connection, *, site_id: str | None = None, limit: int, after: tuple[int, str] | None = None
) -> list[Token]:
    """Tokens, oldest first, after the place `after`; with `site_id` only those of that site."""
    query = select(tokens).order_by(tokens.c.created_at, tokens.c.id).limit(limit)
    if site_id is not None:
        query = query.where(tokens.c.site_id == site_id)
    if after is not None:
        moment, token_id = after
        query = query.where(
            or_(tokens.c.created_at > moment, (tokens.c.created_at == moment) & (tokens.c.id > token_id))
        )
    return [_token(row) for row in conn.execute(query)]


def place(token: Token) -> tuple[int, str]:
    """Where the token stands in the list."""
    return to_micros(token.created_at), token.id


def get_token(conn: Connection, token_id: str) -> Token | None:
    """The token with this id."""
    row = conn.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
    return None if row is None else _token(row)


def delete_token(conn: Connection, token_id: str) -> bool:
    """Revokes the token at once; False where there is none."""
    return conn.execute(delete(tokens).where(tokens.c.id == token_id)).rowcount > 0


def _token(row: Row[tuple[str, str, str, str, str, int]]) -> Token:
    return Token(id=row.id, name=row.name, role=row.role, site_id=row.site_id, created_at=from_micros(row.created_at))
