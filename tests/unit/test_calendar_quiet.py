"""Quiet hours and send windows: exact by the visitor's clock, held against a search minute by minute."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.calendar import QuietHours, SendWindow, never_open, open_from, quiet_until, windows_until
from tests.unit.test_calendar_zones import (
    APIA,
    BERLIN,
    CASABLANCA,
    HOWE,
    KATHMANDU,
    NEW_YORK,
    ST_JOHNS,
    moment,
    near_changes,
)

WORKDAYS = frozenset(range(5))
WEEKEND = frozenset({5, 6})
SECOND = timedelta(seconds=1)


def hours(begins: str, ends: str, **more: object) -> QuietHours:
    return QuietHours(begins=minutes(begins), ends=minutes(ends), **more)  # type: ignore[arg-type]


def window(begins: str, ends: str, weekdays: frozenset[int] = frozenset(range(7))) -> SendWindow:
    return SendWindow(begins=minutes(begins), ends=minutes(ends), weekdays=weekdays)


def minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


NIGHT = hours("21:00", "09:00")
NEW_YEAR = hours("00:00", "09:00", yearly=frozenset({(12, 31), (1, 1)}))
LEAP_DAY = QuietHours(weekdays=frozenset(), yearly=frozenset({(2, 29)}))


@pytest.mark.parametrize(
    ("quiet", "at", "zone", "until"),
    [
        (NIGHT, "2026-06-10T12:00Z", BERLIN, None),
        (NIGHT, "2026-06-10T18:59:59.999999Z", BERLIN, None),
        (NIGHT, "2026-06-10T19:00Z", BERLIN, "2026-06-11T07:00Z"),
        (NIGHT, "2026-06-11T06:59:59.999999Z", BERLIN, "2026-06-11T07:00Z"),
        (NIGHT, "2026-06-11T07:00Z", BERLIN, None),
        # The night in which clocks change is 11 or 13 hours long.
        (NIGHT, "2026-03-28T20:00Z", BERLIN, "2026-03-29T07:00Z"),
        (NIGHT, "2026-10-24T19:00Z", BERLIN, "2026-10-25T08:00Z"),
        (NIGHT, "2026-03-08T02:00Z", NEW_YORK, "2026-03-08T13:00Z"),
        (NIGHT, "2026-11-01T01:00Z", NEW_YORK, "2026-11-01T14:00Z"),
        (NIGHT, "2026-04-04T12:00Z", HOWE, "2026-04-04T22:30Z"),
        (NIGHT, "2026-10-03T12:00Z", HOWE, "2026-10-03T22:00Z"),
        (NIGHT, "2024-03-09T22:00Z", CASABLANCA, "2024-03-10T09:00Z"),
        (NIGHT, "2024-04-13T22:00Z", CASABLANCA, "2024-04-14T08:00Z"),
        (NIGHT, "2025-12-31T15:15Z", KATHMANDU, "2026-01-01T03:15Z"),
        (NIGHT, "2024-02-28T16:00Z", KATHMANDU, "2024-02-29T03:15Z"),
        (NIGHT, "2011-12-30T08:00Z", APIA, "2011-12-30T19:00Z"),  # from the 29th into the 31st
        # Ends in the hour that is skipped, and the clock jumps over it.
        (hours("01:00", "02:30"), "2026-03-29T00:30Z", BERLIN, "2026-03-29T01:00Z"),
        (hours("02:00", "02:45"), "2026-03-29T00:59:59Z", BERLIN, None),
        (hours("02:00", "02:45"), "2026-03-29T01:00Z", BERLIN, None),
        # An hour that comes twice is quiet twice; between, the clock shows a time that is not.
        (hours("02:30", "03:00"), "2026-10-25T00:30Z", BERLIN, "2026-10-25T01:00Z"),
        (hours("02:30", "03:00"), "2026-10-25T01:00Z", BERLIN, None),
        (hours("02:30", "03:00"), "2026-10-25T01:30Z", BERLIN, "2026-10-25T02:00Z"),
        (hours("01:00", "03:00"), "2026-10-24T23:00Z", BERLIN, "2026-10-25T02:00Z"),
        (hours("00:00", "06:00"), "2010-11-07T02:30:30Z", ST_JOHNS, "2010-11-07T02:31Z"),  # then 23:01 again
        # The weekday is that on which the night begins: Friday the 12th of June 2026.
        (replace(NIGHT, weekdays=frozenset({4})), "2026-06-12T19:00Z", BERLIN, "2026-06-13T07:00Z"),
        (replace(NIGHT, weekdays=frozenset({4})), "2026-06-12T05:00Z", BERLIN, None),
        (replace(NIGHT, weekdays=frozenset({4})), "2026-06-13T19:00Z", BERLIN, None),
        (hours("00:00", "24:00", weekdays=WEEKEND), "2026-06-12T22:00Z", BERLIN, "2026-06-14T22:00Z"),
        (hours("00:00", "24:00", weekdays=WEEKEND), "2026-06-12T21:59:59Z", BERLIN, None),
        (hours("21:00", "00:00"), "2026-06-12T20:00Z", BERLIN, "2026-06-12T22:00Z"),
        # Holidays are quiet all day, the night before and the one after with them.
        (replace(NIGHT, yearly=frozenset({(12, 25)})), "2026-12-24T21:00Z", BERLIN, "2026-12-26T08:00Z"),
        (replace(NIGHT, yearly=frozenset({(12, 25)})), "2026-12-25T12:00Z", BERLIN, "2026-12-26T08:00Z"),
        (replace(NIGHT, holidays=frozenset({date(2026, 12, 25)})), "2027-12-25T12:00Z", BERLIN, None),
        (NEW_YEAR, "2026-12-30T23:00Z", BERLIN, "2027-01-02T08:00Z"),
        (LEAP_DAY, "2024-02-28T20:00Z", KATHMANDU, "2024-02-29T18:15Z"),
        (LEAP_DAY, "2025-02-28T20:00Z", KATHMANDU, None),
        (QuietHours(weekdays=frozenset(), holidays=frozenset({date(2011, 12, 30)})), "2011-12-30T10:00Z", APIA, None),
    ],
)  # fmt: skip
def test_quiet_hours_end_by_the_visitors_clock(quiet: QuietHours, at: str, zone: str, until: str | None) -> None:
    assert quiet_until(quiet, moment(at), ZoneInfo(zone)) == (moment(until) if until else None)


OFFICE = (window("09:00", "12:00", WORKDAYS), window("13:00", "18:00", WORKDAYS))


@pytest.mark.parametrize(
    ("windows", "at", "zone", "until"),
    [
        (OFFICE, "2026-06-12T07:00Z", BERLIN, None),
        (OFFICE, "2026-06-12T06:00Z", BERLIN, "2026-06-12T07:00Z"),
        (OFFICE, "2026-06-12T10:30Z", BERLIN, "2026-06-12T11:00Z"),
        (OFFICE, "2026-06-12T16:00Z", BERLIN, "2026-06-15T07:00Z"),
        (OFFICE, "2026-03-27T20:00Z", BERLIN, "2026-03-30T07:00Z"),
        ((window("22:00", "02:00", frozenset({4})),), "2026-06-12T23:59Z", BERLIN, None),
        ((window("22:00", "02:00", frozenset({4})),), "2026-06-13T00:00Z", BERLIN, "2026-06-19T20:00Z"),
        ((window("02:00", "03:00"),), "2026-03-29T00:00Z", BERLIN, "2026-03-30T00:00Z"),  # skipped on that day
        ((window("02:10", "02:40"),), "2026-10-25T00:45Z", BERLIN, "2026-10-25T01:10Z"),  # comes again
        ((window("00:00", "24:00", frozenset({4})),), "2011-12-30T09:00Z", APIA, "2012-01-05T10:00Z"),  # no Friday
        ((window("00:00", "24:00"),), "2026-06-12T10:30Z", BERLIN, None),
    ],
)
def test_a_send_window_opens_by_the_visitors_clock(
    windows: Sequence[SendWindow], at: str, zone: str, until: str | None
) -> None:
    assert windows_until(windows, moment(at), ZoneInfo(zone)) == (moment(until) if until else None)


def test_quiet_hours_and_windows_together_open_where_neither_forbids() -> None:
    at, berlin = moment("2026-06-12T20:00Z"), ZoneInfo(BERLIN)
    late = (window("08:00", "10:00"), window("20:00", "22:00"))
    assert open_from(NIGHT, late, at, berlin) == moment("2026-06-13T07:00Z")
    assert open_from(None, late, at, berlin) == moment("2026-06-13T06:00Z")
    assert open_from(NIGHT, (), at, berlin) == moment("2026-06-13T07:00Z")
    assert open_from(None, (), at, berlin) is None


def test_what_never_opens_is_asked_again_after_400_days() -> None:
    at = moment("2026-06-12T20:00Z")
    assert quiet_until(QuietHours(), at, ZoneInfo(BERLIN)) == at + timedelta(days=400)


ALL_YEAR = [date(2024, 1, 1) + timedelta(days=number) for number in range(366)]
DAILY = frozenset((day.month, day.day) for day in ALL_YEAR)


@pytest.mark.parametrize(
    ("quiet", "windows", "never"),
    [
        (NIGHT, (), False),
        (None, OFFICE, False),
        (QuietHours(), (), True),
        (QuietHours(), OFFICE, True),
        (hours("00:00", "23:59"), (), False),
        (hours("09:00", "18:00"), OFFICE, True),
        (hours("09:00", "18:00"), (*OFFICE, window("18:30", "19:00", WEEKEND)), False),
        (hours("09:00", "18:00", weekdays=WORKDAYS), OFFICE, True),
        (hours("09:00", "18:00", weekdays=WORKDAYS - {2}), OFFICE, False),
        (hours("22:00", "20:00"), (window("20:00", "22:00"),), False),
        (hours("20:00", "19:00"), (window("20:00", "22:00"), window("05:00", "07:00")), True),
        (QuietHours(weekdays=frozenset()), (), False),
        (QuietHours(weekdays=frozenset(), yearly=DAILY), (), True),
        (QuietHours(weekdays=frozenset(), yearly=DAILY - {(7, 14)}), (), False),
        (QuietHours(weekdays=frozenset(), yearly=DAILY - {(2, 29)}), (), True),
        (QuietHours(weekdays=frozenset(range(6)), yearly=DAILY - {(7, 14)}), (), True),  # a Sunday in few years
        (QuietHours(weekdays=frozenset(), holidays=frozenset(ALL_YEAR)), (), False),
        (replace(NIGHT, holidays=frozenset(ALL_YEAR[:60])), (window("08:00", "10:00"),), False),
    ],
)
def test_what_never_opens_is_known_beforehand(
    quiet: QuietHours | None, windows: Sequence[SendWindow], never: bool
) -> None:
    assert never_open(quiet, windows) is never


# An oracle: whether it is quiet is asked of spans of naive time, and the end is found by looking at every minute.

weekday_sets = st.sets(st.integers(0, 6), min_size=1).map(frozenset)
begins_ends = st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda told: told[0] != told[1])
windows_lists = st.lists(
    st.builds(lambda told, days: SendWindow(begins=told[0], ends=told[1], weekdays=days), begins_ends, weekday_sets),
    min_size=1,
    max_size=3,
)


@st.composite
def quiet_places(draw: st.DrawFn) -> tuple[QuietHours, datetime, ZoneInfo]:
    """Quiet hours with some holidays near a moment near a change of clocks."""
    at, zone = draw(near_changes())
    begins, ends = draw(begins_ends)
    near = [at.astimezone(zone).date() + timedelta(days=number) for number in draw(st.sets(st.integers(-1, 3)))]
    yearly = draw(st.booleans())
    quiet = QuietHours(
        begins=begins,
        ends=ends,
        weekdays=draw(weekday_sets),
        holidays=frozenset() if yearly else frozenset(near),
        yearly=frozenset((day.month, day.day) for day in near) if yearly else frozenset(),
    )
    return quiet, at, zone


def covers(hours: QuietHours | SendWindow, wall: datetime) -> bool:
    for back in (0, 1):
        day = datetime.combine(wall.date() - timedelta(days=back), datetime.min.time())
        end = hours.ends if hours.ends > hours.begins else hours.ends + 1440
        begins, ends = day + timedelta(minutes=hours.begins), day + timedelta(minutes=end)
        if day.weekday() in hours.weekdays and begins <= wall < ends:
            return True
    return False


def is_quiet(quiet: QuietHours, at: datetime, zone: ZoneInfo) -> bool:
    wall = at.astimezone(zone).replace(tzinfo=None)
    return wall.date() in quiet.holidays or (wall.month, wall.day) in quiet.yearly or covers(quiet, wall)


def is_closed(windows: Sequence[SendWindow], at: datetime, zone: ZoneInfo) -> bool:
    wall = at.astimezone(zone).replace(tzinfo=None)
    return not any(covers(each, wall) for each in windows)


@settings(max_examples=80, deadline=None)
@given(quiet_places())
def test_quiet_hours_end_where_a_search_minute_by_minute_ends(place: tuple[QuietHours, datetime, ZoneInfo]) -> None:
    quiet, at, zone = place
    found = at
    while is_quiet(quiet, found, zone) and found < at + timedelta(days=9):
        found += timedelta(minutes=1)
    told = quiet_until(quiet, at, zone)
    assert (told or at) == found or (found >= at + timedelta(days=9) and told is not None and told >= found)


@settings(max_examples=60, deadline=None)
@given(windows_lists, near_changes())
def test_windows_open_where_a_search_minute_by_minute_ends(
    windows: list[SendWindow], place: tuple[datetime, ZoneInfo]
) -> None:
    at, zone = place
    found = at
    while is_closed(windows, found, zone):
        found += timedelta(minutes=1)
    assert (windows_until(windows, at, zone) or at) == found


@settings(max_examples=60, deadline=None)
@given(quiet_places(), windows_lists)
def test_where_it_opens_both_allow_it_and_the_second_before_one_does_not(
    place: tuple[QuietHours, datetime, ZoneInfo], windows: list[SendWindow]
) -> None:
    quiet, at, zone = place
    if never_open(quiet, windows):
        return
    until = open_from(quiet, windows, at, zone)
    if until is None:
        assert not is_quiet(quiet, at, zone)
        assert not is_closed(windows, at, zone)
    else:
        assert until > at
        assert not is_quiet(quiet, until, zone)
        assert not is_closed(windows, until, zone)
        assert open_from(quiet, windows, until, zone) is None
        assert is_quiet(quiet, until - SECOND, zone) or is_closed(windows, until - SECOND, zone)


@given(quiet_places(), st.timedeltas(timedelta(0), timedelta(days=4)))
def test_who_comes_later_is_not_let_in_earlier(place: tuple[QuietHours, datetime, ZoneInfo], later: timedelta) -> None:
    quiet, at, zone = place
    assert (quiet_until(quiet, at, zone) or at) <= (quiet_until(quiet, at + later, zone) or at + later)


@given(quiet_places())
def test_the_answer_is_in_utc(place: tuple[QuietHours, datetime, ZoneInfo]) -> None:
    quiet, at, zone = place
    told = quiet_until(quiet, at.astimezone(zone), zone)
    assert told is None or told.tzinfo is UTC
    assert told == quiet_until(quiet, at, zone)
