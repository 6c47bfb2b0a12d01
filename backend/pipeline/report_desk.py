"""The step `report on conversations`: how soon they were answered, what they were worth, and by whom."""

from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from backend.domain.calendar.zone import instant, zone_of
from backend.domain.desk import desk_of
from backend.domain.desk_report import By, DeskReport
from backend.domain.site import Site
from backend.domain.working_clock import WorkingClock
from backend.runtime import Runtime
from backend.storage import desk_reports, operators
from backend.storage.database import Connection

USUAL = timedelta(days=30)
DAY = timedelta(days=1)

Numbers = dict[str, Any]


def report_on_conversations(
    rt: Runtime, site: Site, since: date | None, until: date | None, by: By | None, window: timedelta
) -> Numbers:
    """The numbers of the days from `since` to `until` (both included; the last 30 where left out), and rows `by`.

    An order counts within `window` of what was said. Days are those of the site's calendar.
    """
    zone = zone_of(site.timezone)
    last = until or rt.clock().astimezone(zone).date()
    first = since or last - USUAL + DAY
    begin = instant(datetime.combine(first, time()), zone)
    end = min(instant(datetime.combine(last + DAY, time()), zone), rt.clock() + timedelta(microseconds=1))
    end = max(begin, end)
    with rt.db.read() as connection:
        clocks = Clocks(site, desk_reports.documents(connection, site.id))
        report = DeskReport(begin, end, zone, clocks, window, by)
        _fill(connection, report, site, begin, end, window)
        told = report.numbers()
        if by == "operator":
            found = [row["operator"] for row in told["rows"] if row["operator"] is not None]
            names = operators.names(connection, found)
            told["rows"] = [row | {"name": names.get(row["operator"] or "")} for row in told["rows"]]
    return {"currency": site.currency, "since": first, "until": last, "working_hours": clocks.told, **told}


def _fill(
    connection: Connection, report: DeskReport, site: Site, begin: datetime, end: datetime, window: timedelta
) -> None:
    steps = desk_reports.steps(connection, site.id, begin, end)
    for (_, created_at, department_id), group in groupby(steps, key=lambda each: each[:3]):
        report.take(created_at, department_id, (each[3] for each in group))
    touches = desk_reports.touches(connection, site.id, begin - window, end)
    for _, person in groupby(touches, key=lambda each: each[0]):
        report.shop(each[1] for each in person)


class Clocks:
    """The working hours of a site's departments; `told`: whether any are told at all, else every hour is one."""

    def __init__(self, site: Site, documents: dict[str, dict[str, Any]]) -> None:
        desk = desk_of(site.policy.desk)
        own = {name: desk.of(document).hours for name, document in documents.items() if document.get("hours")}
        self._site = WorkingClock(desk.hours)
        self._departments = {name: WorkingClock(hours) for name, hours in own.items()}
        self.told = bool((site.policy.desk or {}).get("hours")) or bool(own)

    def __call__(self, department_id: str | None) -> WorkingClock:
        """The clock of a department; of the site where it has no hours of its own."""
        return self._departments.get(department_id or "", self._site)
