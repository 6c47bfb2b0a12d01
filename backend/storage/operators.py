"""The operators: who may use the console, and in what role on which site."""

import json
import secrets
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backend.domain.operator import EVERY_SITE, INVITED_FOR, Membership, Operator, email_of
from backend.domain.photo import Face
from backend.errors import Conflict, NotFound
from backend.storage.tables import memberships, operator_links, operators
from backend.storage.times import from_micros, maybe_from_micros, to_micros
from backend.storage.vault import Vault


def names(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """What these operators are called, by id, also of those who are gone."""
    if not ids:
        return {}
    query = select(operators.c.id, operators.c.name).where(operators.c.id.in_(list(ids)))
    return {row.id: row.name for row in connection.execute(query)}


def faces(connection: Connection, ids: Collection[str]) -> dict[str, Face]:
    """How these operators are shown, by id, also those who are gone."""
    if not ids:
        return {}
    query = select(operators.c.id, operators.c.name, operators.c.photo).where(operators.c.id.in_(list(ids)))
    return {row.id: Face(row.name, row.photo) for row in connection.execute(query)}


def create(connection: Connection, email: str, name: str, given: Sequence[Membership], now: datetime) -> Operator:
    """Writes a new operator who has no password yet; Conflict where the address is taken."""
    operator_id, moment = uuid.uuid4().hex, to_micros(now)
    row = {"id": operator_id, "email": email_of(email), "name": name, "created_at": moment, "updated_at": moment}
    try:
        connection.execute(insert(operators).values(row))
    except IntegrityError:
        raise Conflict(f"There is an operator with the address {email_of(email)} already.") from None
    join(connection, operator_id, given)
    found = find(connection, operator_id)
    assert found is not None
    return found


def find(connection: Connection, operator_id: str) -> Operator | None:
    """The operator with this id."""
    found = _with_memberships(connection, connection.execute(select(operators).where(operators.c.id == operator_id)))
    return found[0] if found else None


def by_email(connection: Connection, email: str) -> Operator | None:
    """The operator with this address, however it is spelt."""
    query = select(operators).where(operators.c.email == email_of(email))
    found = _with_memberships(connection, connection.execute(query))
    return found[0] if found else None


def list_operators(
    connection: Connection, *, site_id: str | None = None, limit: int = 1_000, after: tuple[int, str] | None = None
) -> list[Operator]:
    """Operators, oldest first, after the place `after`; with `site_id` those who are something on that site."""
    query = select(operators).order_by(operators.c.created_at, operators.c.id).limit(limit)
    if site_id is not None:
        same = memberships.c.operator_id == operators.c.id
        query = query.where(exists().where(same, memberships.c.site_id.in_([site_id, EVERY_SITE])))
    if after is not None:
        moment, last = after
        at = operators.c.created_at
        query = query.where(or_(at > moment, (at == moment) & (operators.c.id > last)))
    return _with_memberships(connection, connection.execute(query))


def place(operator: Operator) -> tuple[int, str]:
    """Where the operator stands in the list."""
    return to_micros(operator.created_at), operator.id


def any_administrator(connection: Connection) -> bool:
    """Whether somebody can log in who administers every site."""
    query = (
        select(func.count())
        .select_from(operators.join(memberships, memberships.c.operator_id == operators.c.id))
        .where(memberships.c.site_id == EVERY_SITE, memberships.c.role == "administrator")
        .where(operators.c.disabled_at.is_(None), operators.c.password.is_not(None))
    )
    return bool(connection.scalar(query))


def join(connection: Connection, operator_id: str, given: Sequence[Membership]) -> None:
    """Makes these the operator's memberships, and no others; what is kept beside a role stays."""
    wanted = {each.site_id: each for each in given}
    known = set(connection.scalars(select(memberships.c.site_id).where(memberships.c.operator_id == operator_id)))
    mine = memberships.c.operator_id == operator_id
    for gone in known - set(wanted):
        connection.execute(delete(memberships).where(mine, memberships.c.site_id == gone))
    for site_id, each in wanted.items():
        values: dict[str, Any] = {"role": each.role, "departments": json.dumps(list(each.departments))}
        if each.capacity is not None:
            values["capacity"] = each.capacity
        if site_id in known:
            connection.execute(update(memberships).where(mine, memberships.c.site_id == site_id).values(values))
        else:
            connection.execute(insert(memberships).values(operator_id=operator_id, site_id=site_id, **values))


def leave_department(connection: Connection, site_id: str, department_id: str) -> None:
    """Takes everybody out of a department that is no more."""
    query = select(memberships.c.operator_id, memberships.c.departments).where(memberships.c.site_id == site_id)
    for row in connection.execute(query).all():
        told = json.loads(row.departments)
        if department_id in told:
            mine = (memberships.c.operator_id == row.operator_id) & (memberships.c.site_id == site_id)
            left = json.dumps([each for each in told if each != department_id])
            connection.execute(update(memberships).where(mine).values(departments=left))


def rename(connection: Connection, operator_id: str, name: str, now: datetime) -> None:
    """Gives the operator another name."""
    _update(connection, operator_id, now, name=name)


def portray(connection: Connection, operator_id: str, digest: str | None, now: datetime) -> str | None:
    """Gives the operator another photo, or none; the digest of the one that they had. NotFound."""
    query = select(operators.c.photo).where(operators.c.id == operator_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such operator.")
    _update(connection, operator_id, now, photo=digest)
    before: str | None = row.photo
    return before


def disable(connection: Connection, operator_id: str, now: datetime, *, off: bool = True) -> None:
    """Shuts the operator out, or (`off` false) lets them in again."""
    _update(connection, operator_id, now, disabled_at=to_micros(now) if off else None)


def password_of(connection: Connection, operator_id: str) -> str | None:
    """The hash of the operator's password; None where they have chosen none."""
    found: str | None = connection.scalar(select(operators.c.password).where(operators.c.id == operator_id))
    return found


def set_password(connection: Connection, operator_id: str, kept: str | None, now: datetime) -> None:
    """Keeps the hash of a new password (None: takes it away); links by which one could be chosen are over."""
    _update(connection, operator_id, now, password=kept)
    connection.execute(delete(operator_links).where(operator_links.c.operator_id == operator_id))


def invite(connection: Connection, vault: Vault, operator_id: str, now: datetime) -> str:
    """The text of a link by which the operator chooses a password, once; earlier ones are over."""
    text = secrets.token_urlsafe(32)
    connection.execute(delete(operator_links).where(operator_links.c.operator_id == operator_id))
    row = {"digest": _digest(vault, text), "operator_id": operator_id, "expires_at": to_micros(now + INVITED_FOR)}
    connection.execute(insert(operator_links).values(row))
    return text


def invited(connection: Connection, vault: Vault, text: str, now: datetime) -> Operator | None:
    """Whose link this is; None where nobody's, or where it is over."""
    query = select(operator_links).where(operator_links.c.digest == _digest(vault, text))
    row = connection.execute(query).one_or_none()
    if row is None or from_micros(row.expires_at) <= now:
        return None
    found = find(connection, row.operator_id)
    return None if found is None or found.disabled_at is not None else found


def take_link(connection: Connection, vault: Vault, text: str) -> bool:
    """Uses up a link; False where somebody else was faster."""
    query = delete(operator_links).where(operator_links.c.digest == _digest(vault, text))
    return connection.execute(query).rowcount > 0


def _digest(vault: Vault, text: str) -> str:
    return vault.digest(f"operator-link:{text[:200]}")


def _update(connection: Connection, operator_id: str, now: datetime, **values: Any) -> None:
    query = update(operators).where(operators.c.id == operator_id)
    connection.execute(query.values(updated_at=to_micros(now), **values))


def _with_memberships(connection: Connection, rows: Any) -> list[Operator]:
    listed: list[Row[Any]] = list(rows)
    ids = [row.id for row in listed]
    given: dict[str, list[Membership]] = {each: [] for each in ids}
    if ids:
        query = select(memberships).where(memberships.c.operator_id.in_(ids)).order_by(memberships.c.site_id)
        for row in connection.execute(query):
            given[row.operator_id].append(
                Membership(
                    site_id=row.site_id,
                    role=row.role,
                    departments=tuple(json.loads(row.departments)),
                    capacity=row.capacity,
                )
            )
    return [
        Operator(
            id=row.id,
            email=row.email,
            name=row.name,
            chosen=row.password is not None,
            photo=row.photo,
            created_at=from_micros(row.created_at),
            disabled_at=maybe_from_micros(row.disabled_at),
            memberships=tuple(given[row.id]),
        )
        for row in listed
    ]
