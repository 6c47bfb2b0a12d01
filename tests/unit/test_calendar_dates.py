"""Dates in traits: the moment at which they come, once or every year."""

from calendar import isleap
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.calendar import next_occurrence
from tests.unit.test_calendar_zones import APIA, BERLIN, HOWE, KATHMANDU, NEW_YORK, moment, near_changes, searched

NINE = time(9)


@pytest.mark.parametrize(
    ("told", "days", "at", "after", "zone", "expected"),
    [
        ("2026-03-01", 0, NINE, "2026-01-01T00:00Z", BERLIN, "2026-03-01T08:00Z"),
        ("2026-03-01", 0, NINE, "2026-03-01T07:59:59Z", BERLIN, "2026-03-01T08:00Z"),
        ("2026-03-01", 0, NINE, "2026-03-01T08:00Z", BERLIN, None),  # strictly after
        ("2026-03-01", -1, NINE, "2026-01-01T00:00Z", BERLIN, "2026-02-28T08:00Z"),
        ("2024-03-01", -1, NINE, "2024-01-01T00:00Z", BERLIN, "2024-02-29T08:00Z"),
        ("2026-12-31", 1, NINE, "2026-01-01T00:00Z", KATHMANDU, "2027-01-01T03:15Z"),
        ("2026-03-29", 0, time(2, 30), "2026-01-01T00:00Z", BERLIN, "2026-03-29T01:00Z"),  # skipped
        ("2026-10-25", 0, time(2, 30), "2026-01-01T00:00Z", BERLIN, "2026-10-25T00:30Z"),  # twice
        ("2026-10-04", 0, time(2, 15), "2026-01-01T00:00Z", HOWE, "2026-10-03T15:30Z"),
        ("2011-12-30", 0, NINE, "2011-01-01T00:00Z", APIA, "2011-12-30T10:00Z"),
        # A moment: the day that the visitor had then.
        ("2026-03-01T23:30:00Z", 0, NINE, "2026-01-01T00:00Z", BERLIN, "2026-03-02T08:00Z"),
        ("2026-03-01T02:00:00+00:00", 0, NINE, "2026-01-01T00:00Z", NEW_YORK, "2026-02-28T14:00Z"),
        ("2026-03-01t02:00:00.123456789z", 0, NINE, "2026-01-01T00:00Z", NEW_YORK, "2026-02-28T14:00Z"),
        ("2026-03-01T00:00:00.001Z", 0, NINE, "2026-01-01T00:00Z", NEW_YORK, "2026-02-28T14:00Z"),
        # Midnight, or no offset: the day as it is written.
        ("2026-03-01T00:00:00Z", 0, NINE, "2026-01-01T00:00Z", NEW_YORK, "2026-03-01T14:00Z"),
        ("2026-03-01T00:00:00.000+03:00", 0, NINE, "2026-01-01T00:00Z", NEW_YORK, "2026-03-01T14:00Z"),
        ("2026-03-01 23:30:00", 0, NINE, "2026-01-01T00:00Z", BERLIN, "2026-03-01T08:00Z"),
        ("9999-12-31", 1, NINE, "2026-01-01T00:00Z", BERLIN, None),
        ("0001-01-01", 0, NINE, "2026-01-01T00:00Z", BERLIN, None),
        ("0001-01-01", -1, NINE, "2026-01-01T00:00Z", BERLIN, None),
        ("0001-01-01T00:30:00+12:00", 0, NINE, "2026-01-01T00:00Z", BERLIN, None),
    ],
)
def test_a_date_comes_once(told: str, days: int, at: time, after: str, zone: str, expected: str | None) -> None:
    found = next_occurrence(told, days, at, False, moment(after), ZoneInfo(zone))
    assert found == (moment(expected) if expected else None)


@pytest.mark.parametrize(
    ("told", "days", "after", "zone", "expected"),
    [
        ("1990-05-04", 0, "2026-01-01T00:00Z", BERLIN, "2026-05-04T07:00Z"),
        ("1990-05-04", 0, "2026-05-04T07:00Z", BERLIN, "2027-05-04T07:00Z"),
        ("1990-05-04T00:00:00Z", 0, "2026-01-01T00:00Z", NEW_YORK, "2026-05-04T13:00Z"),
        ("1992-02-29", 0, "2026-01-01T00:00Z", BERLIN, "2026-02-28T08:00Z"),
        ("1992-02-29", 0, "2028-01-01T00:00Z", BERLIN, "2028-02-29T08:00Z"),
        ("1992-02-29", 1, "2026-01-01T00:00Z", BERLIN, "2026-03-01T08:00Z"),
        ("1992-02-29", 0, "2100-01-01T00:00Z", BERLIN, "2100-02-28T08:00Z"),
        ("1990-01-02", -3, "2026-12-01T00:00Z", BERLIN, "2026-12-30T08:00Z"),
        ("1990-12-30", 3, "2026-12-31T00:00Z", BERLIN, "2027-01-02T08:00Z"),
        ("1990-12-30", 366, "2026-06-01T00:00Z", BERLIN, "2026-12-31T08:00Z"),
        ("2030-03-01", 0, "2026-01-01T00:00Z", BERLIN, "2030-03-01T08:00Z"),  # not before it is
        ("2030-03-01", -7, "2030-02-22T08:00Z", BERLIN, "2031-02-22T08:00Z"),
        ("9999-03-01", 0, "9999-04-01T00:00Z", KATHMANDU, None),
    ],
)
def test_a_date_comes_every_year(told: str, days: int, after: str, zone: str, expected: str | None) -> None:
    found = next_occurrence(told, days, NINE, True, moment(after), ZoneInfo(zone))
    assert found == (moment(expected) if expected else None)


@pytest.mark.parametrize(
    "told",
    ["", "soon", "1990-02-29", "2026-02-31", "2026-13-01", "2026-3-1", "20260301", "2026-W10-1", "01.03.2026", "12-25",
     "2026-03-01T25:00:00Z", "2026-03-01T10:00Z", "2026-03-01\n", "２０２６-03-01", "0000-01-01",
     "2026-03-01" + " " * 99, "x" * 10**6, None, True, 0, 1772323200, 1.5, ["2026-03-01"], {"at": "2026-03-01"},
     date(2026, 3, 1)],
)  # fmt: skip
@pytest.mark.parametrize("yearly", [False, True])
def test_what_is_no_date_never_comes(told: object, yearly: bool) -> None:
    assert next_occurrence(told, 0, NINE, yearly, moment("1900-01-01T00:00Z"), ZoneInfo(BERLIN)) is None


@settings(max_examples=60, deadline=None)
@given(
    st.dates(date(1950, 1, 1), date(2040, 1, 1)) | st.sampled_from([date(1992, 2, 29), date(2000, 2, 28)]),
    st.integers(-400, 400),
    st.integers(0, 1439),
    st.booleans(),
    near_changes(),
    st.booleans(),
)
def test_a_date_comes_where_a_search_day_by_day_finds_it(
    day: date, offset: int, minute: int, yearly: bool, place: tuple[datetime, ZoneInfo], near: bool
) -> None:
    after, zone = place
    if near:  # the day of the moment itself, so that hours matter
        day = after.astimezone(zone).date() - timedelta(days=offset)
    at = time(minute // 60, minute % 60)

    def falls_on(each: date) -> bool:
        if not yearly:
            return each == day
        common = (each.month, each.day) == (2, 28) and (day.month, day.day) == (2, 29) and not isleap(each.year)
        return each >= day.replace(day=min(day.day, 28)) and ((each.month, each.day) == (day.month, day.day) or common)

    expected = None
    base = after.astimezone(zone).date() - timedelta(days=2 + offset)
    last = max(day, base) + timedelta(days=800)
    while expected is None and base <= last:
        if falls_on(base):
            found = searched(datetime.combine(base + timedelta(days=offset), at), zone)
            expected = found if found > after else None
        base += timedelta(days=1)
    told = next_occurrence(day.isoformat(), offset, at, yearly, after, zone)
    assert told == expected
    assert told is None or told.tzinfo is UTC
