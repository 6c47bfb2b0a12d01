"""Zones, days and local delays: exact where clocks are put forward and back."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.calendar import LocalDelay, day_begins, day_of, instant, local_until, next_day, zone_of

BERLIN, NEW_YORK, HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
KATHMANDU, APIA, CASABLANCA = "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"
ST_JOHNS, SAO_PAULO = "America/St_Johns", "America/Sao_Paulo"
CHANGES = {
    BERLIN: ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    NEW_YORK: ("2026-03-08T07:00Z", "2026-11-01T06:00Z"),
    HOWE: ("2026-04-04T15:00Z", "2026-10-03T15:30Z"),
    KATHMANDU: ("2024-02-29T12:00Z", "2025-12-31T18:15Z"),  # no changes: a leap day, and a year's end
    APIA: ("2011-12-30T10:00Z", "2012-03-31T14:00Z"),
    CASABLANCA: ("2024-03-10T02:00Z", "2024-04-14T02:00Z"),
    ST_JOHNS: ("2010-03-14T03:31Z", "2010-11-07T02:31Z"),
    SAO_PAULO: ("2018-11-04T03:00Z", "2018-02-18T02:00Z"),
}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def near_changes() -> st.SearchStrategy[tuple[datetime, ZoneInfo]]:
    """A zone, and a moment within 40 hours of one of its changes."""
    changes = [(moment(text), ZoneInfo(zone)) for zone, texts in CHANGES.items() for text in texts]
    minutes = st.integers(-40 * 60, 40 * 60).map(lambda minutes: timedelta(minutes=minutes))
    return st.tuples(st.sampled_from(changes), minutes).map(lambda told: (told[0][0] + told[1], told[0][1]))


def searched(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first minute at which the clock shows this time or a later one: what `instant` says, found by looking."""
    at = wall.replace(tzinfo=UTC) - timedelta(hours=15)
    while at.astimezone(zone).replace(tzinfo=None) < wall:
        at += timedelta(minutes=1)
    return at


def test_the_changes_of_the_tables_are_those_of_the_zones() -> None:
    second = timedelta(seconds=1)
    for name, texts in CHANGES.items():
        for text in map(moment, texts):
            before, after = ((text - span).astimezone(ZoneInfo(name)).utcoffset() for span in (second, 0 * second))
            assert (before == after) is (name == KATHMANDU), (name, text)


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("Europe/Berlin", "Asia/Tokyo"), "Europe/Berlin"),
        ((None, "Asia/Tokyo"), "Asia/Tokyo"),
        (("Mars/Olympus", "Asia/Tokyo"), "Asia/Tokyo"),
        (("", None), "UTC"),
        ((), "UTC"),
        (("../../etc/passwd", "../Europe/Berlin", "/etc/localtime", "Europe/../Europe/Berlin"), "UTC"),
        (("Europe", "Europe/", "tzdata.zi", "leapseconds", "zone.tab", "localtime", "Factory"), "UTC"),
        (("right/Europe/Berlin", "posix/Europe/Berlin"), "UTC"),
        (("a\0b", "\0", "\ud800", "x" * 100_000, "Ünlü/Yer", "%s", "C:\\zone"), "UTC"),
        ((7, ["Europe/Berlin"], {"a": 1}, True), "UTC"),
    ],
)
def test_the_first_zone_that_exists_counts_and_garbage_is_passed_over(names: tuple[str, ...], key: str) -> None:
    assert zone_of(*names).key == key


@given(st.text(max_size=80))
def test_no_text_makes_a_zone_fail(name: str) -> None:
    assert zone_of(name, "Asia/Tokyo").key in {name, "Asia/Tokyo"}


def test_a_zone_is_made_once() -> None:
    assert zone_of("Europe/Berlin") is zone_of("Nowhere", "Europe/Berlin")


@pytest.mark.parametrize(
    ("wall", "zone", "expected"),
    [
        ("2026-03-29T01:59", BERLIN, "2026-03-29T00:59Z"),
        ("2026-03-29T02:00", BERLIN, "2026-03-29T01:00Z"),  # skipped: the first moment after the gap
        ("2026-03-29T02:59", BERLIN, "2026-03-29T01:00Z"),
        ("2026-03-29T03:00", BERLIN, "2026-03-29T01:00Z"),
        ("2026-10-25T02:30", BERLIN, "2026-10-25T00:30Z"),  # twice: the first
        ("2026-10-25T03:00", BERLIN, "2026-10-25T02:00Z"),
        ("2026-03-08T02:30", NEW_YORK, "2026-03-08T07:00Z"),
        ("2026-11-01T01:30", NEW_YORK, "2026-11-01T05:30Z"),
        ("2026-10-04T02:15", HOWE, "2026-10-03T15:30Z"),
        ("2026-10-04T02:30", HOWE, "2026-10-03T15:30Z"),
        ("2026-04-05T01:45", HOWE, "2026-04-04T14:45Z"),
        ("2026-01-01T00:00", KATHMANDU, "2025-12-31T18:15Z"),
        ("2024-02-29T12:00", KATHMANDU, "2024-02-29T06:15Z"),
        ("2011-12-29T23:59", APIA, "2011-12-30T09:59Z"),
        ("2011-12-30T10:00", APIA, "2011-12-30T10:00Z"),  # a whole day is skipped
        ("2011-12-31T00:00", APIA, "2011-12-30T10:00Z"),
        ("2024-03-10T02:30", CASABLANCA, "2024-03-10T01:30Z"),
        ("2024-04-14T02:30", CASABLANCA, "2024-04-14T02:00Z"),
        ("2018-11-04T00:00", SAO_PAULO, "2018-11-04T03:00Z"),
        ("2026-03-29T02:00:00.000001", BERLIN, "2026-03-29T01:00Z"),
        ("2026-06-01T12:00:00.250000", BERLIN, "2026-06-01T10:00:00.250Z"),
    ],
)
def test_a_wall_time_is_one_moment(wall: str, zone: str, expected: str) -> None:
    assert instant(datetime.fromisoformat(wall), ZoneInfo(zone)) == moment(expected)


@settings(max_examples=60, deadline=None)
@given(near_changes(), st.integers(-600, 600))
def test_a_wall_time_is_what_somebody_who_watches_the_clock_finds(
    place: tuple[datetime, ZoneInfo], minutes: int
) -> None:
    at, zone = place
    wall = at.astimezone(zone).replace(tzinfo=None) + timedelta(minutes=minutes)
    assert instant(wall, zone) == searched(wall, zone)


@pytest.mark.parametrize(
    ("at", "zone", "day", "begins", "following"),
    [
        ("2026-03-29T10:00Z", BERLIN, "2026-03-29", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),  # 23 hours
        ("2026-10-25T10:00Z", BERLIN, "2026-10-25", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),  # 25 hours
        ("2026-10-04T00:00Z", HOWE, "2026-10-04", "2026-10-03T13:30Z", "2026-10-04T13:00Z"),  # 23.5 hours
        ("2025-12-31T18:14:59Z", KATHMANDU, "2025-12-31", "2025-12-30T18:15Z", "2025-12-31T18:15Z"),
        ("2025-12-31T18:15Z", KATHMANDU, "2026-01-01", "2025-12-31T18:15Z", "2026-01-01T18:15Z"),
        ("2024-02-28T20:00Z", KATHMANDU, "2024-02-29", "2024-02-28T18:15Z", "2024-02-29T18:15Z"),
        ("2011-12-30T09:00Z", APIA, "2011-12-29", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),  # then the 31st
        ("2011-12-30T10:00Z", APIA, "2011-12-31", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
        ("2018-11-04T12:00Z", SAO_PAULO, "2018-11-04", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),  # no midnight
        ("2018-02-18T02:30Z", SAO_PAULO, "2018-02-17", "2018-02-17T02:00Z", "2018-02-18T03:00Z"),  # 23:30 again
        ("2010-11-07T02:30:30Z", ST_JOHNS, "2010-11-07", "2010-11-07T02:30Z", "2010-11-08T03:30Z"),
        ("2010-11-07T02:31Z", ST_JOHNS, "2010-11-06", "2010-11-06T02:30Z", "2010-11-07T03:30Z"),  # yesterday again
    ],
)
def test_a_day_begins_and_ends_where_the_visitors_calendar_says(
    at: str, zone: str, day: str, begins: str, following: str
) -> None:
    here = ZoneInfo(zone)
    assert day_of(moment(at), here) == date.fromisoformat(day)
    assert day_begins(date.fromisoformat(day), here) == moment(begins)
    assert next_day(moment(at), here) == moment(following)


@given(near_changes())
def test_the_next_day_is_another_day_and_the_second_before_it_is_not_later(place: tuple[datetime, ZoneInfo]) -> None:
    at, zone = place
    following = next_day(at, zone)
    assert at < following <= at + timedelta(hours=26)
    assert day_of(following, zone) > day_of(at, zone)
    assert day_of(max(at, following - timedelta(seconds=1)), zone) <= day_of(at, zone)


def weekdays(*days: int) -> frozenset[int]:
    return frozenset(days)


@pytest.mark.parametrize(
    ("delay", "at", "zone", "expected"),
    [
        # A day is the same time tomorrow: 23, 24 or 25 hours.
        (LocalDelay(days=1), "2026-03-28T11:00Z", BERLIN, "2026-03-29T10:00Z"),
        (LocalDelay(days=1), "2026-10-24T10:00Z", BERLIN, "2026-10-25T11:00Z"),
        (LocalDelay(days=1), "2026-06-10T10:00:01.5Z", BERLIN, "2026-06-11T10:00:01.5Z"),
        (LocalDelay(days=1), "2026-03-28T01:30Z", BERLIN, "2026-03-29T01:00Z"),  # 02:30 is skipped
        (LocalDelay(days=1), "2026-10-24T00:30Z", BERLIN, "2026-10-25T00:30Z"),  # 02:30 comes twice
        (LocalDelay(days=1), "2011-12-29T20:00Z", APIA, "2011-12-30T10:00Z"),  # tomorrow is skipped
        (LocalDelay(days=2), "2011-12-29T20:00Z", APIA, "2011-12-30T20:00Z"),
        (LocalDelay(days=1), "2024-02-28T12:00Z", KATHMANDU, "2024-02-29T12:00Z"),
        (LocalDelay(days=366), "2024-02-29T12:00Z", KATHMANDU, "2025-03-01T12:00Z"),
        # Until a time of day.
        (LocalDelay(at=time(10)), "2026-06-10T07:59:59Z", BERLIN, "2026-06-10T08:00Z"),
        (LocalDelay(at=time(10)), "2026-06-10T08:00Z", BERLIN, "2026-06-10T08:00Z"),
        (LocalDelay(at=time(10)), "2026-06-10T08:00:00.000001Z", BERLIN, "2026-06-11T08:00Z"),
        (LocalDelay(days=1, at=time(10)), "2026-12-31T22:59Z", BERLIN, "2027-01-01T09:00Z"),
        (LocalDelay(days=1, at=time(10)), "2026-12-31T23:01Z", BERLIN, "2027-01-02T09:00Z"),
        (LocalDelay(at=time(2, 30)), "2026-10-25T00:45Z", BERLIN, "2026-10-26T01:30Z"),  # the second 02:30 is none
        (LocalDelay(at=time(2, 30)), "2026-03-29T00:30Z", BERLIN, "2026-03-29T01:00Z"),
        (LocalDelay(at=time(2, 15)), "2026-10-03T14:00Z", HOWE, "2026-10-03T15:30Z"),
        # On a weekday: Saturday the 13th of June 2026.
        (LocalDelay(weekdays=weekdays(5), at=time(15, 15)), "2026-06-10T10:00Z", BERLIN, "2026-06-13T13:15Z"),
        (LocalDelay(weekdays=weekdays(5), at=time(15, 15)), "2026-06-13T13:15Z", BERLIN, "2026-06-13T13:15Z"),
        (LocalDelay(weekdays=weekdays(5), at=time(15, 15)), "2026-06-13T13:16Z", BERLIN, "2026-06-20T13:15Z"),
        (LocalDelay(weekdays=weekdays(5)), "2026-06-13T13:16Z", BERLIN, "2026-06-13T13:16Z"),
        (LocalDelay(weekdays=weekdays(0, 1)), "2026-06-13T13:16Z", BERLIN, "2026-06-15T13:16Z"),
        (LocalDelay(days=1, weekdays=weekdays(0, 1), at=time(10)), "2026-06-15T09:00Z", BERLIN, "2026-06-16T08:00Z"),
        (LocalDelay(days=1, weekdays=weekdays(0, 1), at=time(10)), "2026-06-16T09:00Z", BERLIN, "2026-06-22T08:00Z"),
        (LocalDelay(weekdays=weekdays(4), at=time(9)), "2011-12-29T20:00Z", APIA, "2012-01-05T19:00Z"),  # no Friday
    ],
)
def test_a_local_delay_ends_by_the_visitors_calendar(delay: LocalDelay, at: str, zone: str, expected: str) -> None:
    assert local_until(delay, moment(at), ZoneInfo(zone)) == moment(expected)


delays = st.builds(
    LocalDelay,
    days=st.integers(0, 10),
    weekdays=st.sets(st.integers(0, 6), min_size=1).map(frozenset),
    at=st.none() | st.times().map(lambda told: told.replace(second=0, microsecond=0)),
)


@settings(max_examples=60, deadline=None)
@given(delays, near_changes())
def test_a_local_delay_ends_on_the_first_day_that_fits(delay: LocalDelay, place: tuple[datetime, ZoneInfo]) -> None:
    at, zone = place
    wall = at.astimezone(zone)
    clock = delay.at or wall.time()
    fitting = [at] if delay.days == 0 and delay.at is None and wall.weekday() in delay.weekdays else []
    for days in range(delay.days, delay.days + 22):
        day = wall.date() + timedelta(days=days)
        if day.weekday() in delay.weekdays:
            until = searched(datetime.combine(day, clock), zone)
            if until >= at and until.astimezone(zone).weekday() in delay.weekdays:
                fitting.append(until)
                break
    assert local_until(delay, at, zone) == min(fitting)
