"""The departments of a site: small, and known to all its operators."""

import json
import uuid
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from backend.domain.department import Department
from backend.storage.tables import departments
from backend.storage.times import from_micros, to_micros


def list_departments(connection: Connection, site_id: str) -> list[Department]:
    """The site's departments, by name."""
    query = select(departments).where(departments.c.site_id == site_id)
    rows = connection.execute(query.order_by(func.lower(departments.c.name), departments.c.id))
    return [
        Department(id=row.id, site_id=site_id, name=row.name, created_at=from_micros(row.created_at)) for row in rows
    ]


def find(connection: Connection, site_id: str, department_id: str) -> Department | None:
    """The site's department of this id."""
    return next((each for each in list_departments(connection, site_id) if each.id == department_id), None)


def create(connection: Connection, site_id: str, name: str, now: datetime) -> Department:
    """Writes a new department."""
    made = Department(id=uuid.uuid4().hex, site_id=site_id, name=name, created_at=now)
    moment = to_micros(now)
    row = {"site_id": site_id, "id": made.id, "name": name, "document": json.dumps({})}
    connection.execute(insert(departments).values(**row, created_at=moment, updated_at=moment))
    return made


def rename(connection: Connection, site_id: str, department_id: str, name: str, now: datetime) -> bool:
    """Gives it another name; False where there is none."""
    query = update(departments).where(departments.c.site_id == site_id, departments.c.id == department_id)
    return connection.execute(query.values(name=name, updated_at=to_micros(now))).rowcount > 0


def remove(connection: Connection, site_id: str, department_id: str) -> bool:
    """Removes it; False where there is none."""
    query = delete(departments).where(departments.c.site_id == site_id, departments.c.id == department_id)
    return connection.execute(query).rowcount > 0
