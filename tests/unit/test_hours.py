"""Working hours: exact by the clock of their place, held against a search minute by minute."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.calendar import SendWindow
from backend.domain.hours import ALWAYS, Hours, read_hours
from backend.domain.mistakes import Mistakes

WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]
DAY = [{"from": "09:00", "to": "13:00", "weekdays": WORKDAYS}, {"from": "14:00", "to": "18:00", "weekdays": WORKDAYS}]
WHOLE = {"from": "00:00", "to": "24:00"}
NIGHT = [{"from": "22:00", "to": "06:00", "weekdays": ["fri", "sat"]}]
EASTER = {"holidays": ["2026-04-06", "12-25"]}
EVE = {"exceptions": [{"date": "2026-12-24", "windows": [{"from": "09:00", "to": "12:00"}]}]}


def hours(windows: list[dict[str, Any]], zone: str = "Europe/Berlin", **more: Any) -> Hours:
    mistakes = Mistakes()
    found = read_hours({"zone": zone, "windows": windows, **more}, (), mistakes)
    assert found is not None, mistakes.errors
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize(
    ("found", "asked", "opens"),
    [
        (hours(DAY), "2026-06-10T07:00Z", "2026-06-10T07:00Z"),
        (hours(DAY), "2026-06-10T11:00Z", "2026-06-10T12:00Z"),  # at noon nobody is there
        (hours(DAY), "2026-06-10T16:00Z", "2026-06-11T07:00Z"),
        (hours(DAY), "2026-06-12T16:00Z", "2026-06-15T07:00Z"),  # over the weekend
        (hours(DAY), "2026-03-27T17:00Z", "2026-03-30T07:00Z"),  # and the clocks were put forward in it
        (hours(DAY), "2026-10-23T17:00Z", "2026-10-26T08:00Z"),  # or back
        (hours(DAY, **EASTER), "2026-04-03T17:00Z", "2026-04-07T07:00Z"),
        (hours(DAY, **EASTER), "2026-12-24T18:00Z", "2026-12-28T08:00Z"),
        (hours(DAY, **EVE), "2026-12-24T11:00Z", "2026-12-25T08:00Z"),
        (hours(DAY, **EVE), "2026-12-24T08:30Z", "2026-12-24T08:30Z"),
        (hours(DAY, exceptions=[{"date": "2026-06-10", "windows": []}]), "2026-06-10T08:00Z", "2026-06-11T07:00Z"),
        # An exception stands above a holiday.
        (
            hours(DAY, holidays=["2026-12-24"], **EVE),
            "2026-12-23T20:00Z",
            "2026-12-24T08:00Z",
        ),
        (hours(NIGHT), "2026-06-13T03:59:59Z", "2026-06-13T03:59:59Z"),  # Friday's night ends on Saturday at six
        (hours(NIGHT), "2026-06-13T04:00Z", "2026-06-13T20:00Z"),
        (hours(NIGHT), "2026-06-14T04:00Z", "2026-06-19T20:00Z"),
        # The night before a holiday goes on into it; that which would begin on it does not.
        (hours(NIGHT, holidays=["2026-06-13"]), "2026-06-13T03:00Z", "2026-06-13T03:00Z"),
        (hours(NIGHT, holidays=["2026-06-13"]), "2026-06-13T20:00Z", "2026-06-19T20:00Z"),
        # From two to three does not come in the night in which the clocks are put forward.
        (hours([{"from": "02:00", "to": "03:00"}]), "2026-03-29T00:30Z", "2026-03-30T00:00Z"),
        (hours([{"from": "02:30", "to": "05:00"}]), "2026-03-29T00:30Z", "2026-03-29T01:00Z"),
        # And twice in that in which they are put back.
        (hours([{"from": "02:00", "to": "02:30"}]), "2026-10-25T00:30Z", "2026-10-25T01:00Z"),
        (hours([{"from": "09:00", "to": "18:00"}], "Asia/Kathmandu"), "2026-06-10T13:00Z", "2026-06-11T03:15Z"),
        (ALWAYS, "2026-06-10T13:00Z", "2026-06-10T13:00Z"),
        (hours([], exceptions=[{"date": "2020-01-01", "windows": [WHOLE]}]), "2026-06-10T13:00Z", None),
    ],
)  # fmt: skip
def test_it_opens_when_the_clock_there_says_so(found: Hours, asked: str, opens: str | None) -> None:
    assert found.opens_next(at(asked)) == (None if opens is None else at(opens))
    assert found.is_open(at(asked)) is (opens == asked)


@pytest.mark.parametrize(
    ("found", "begin", "end", "hours_of_work"),
    [
        (hours(DAY), "2026-06-10T07:00Z", "2026-06-10T16:00Z", 8),
        (hours(DAY), "2026-06-10T10:00Z", "2026-06-10T12:30Z", 1.5),
        (hours(DAY), "2026-06-12T15:00Z", "2026-06-15T08:00Z", 2),
        (hours(DAY), "2026-06-10T16:00Z", "2026-06-10T07:00Z", 0),
        (hours(NIGHT), "2026-03-28T12:00Z", "2026-03-29T12:00Z", 7),
        (hours(NIGHT), "2026-10-24T12:00Z", "2026-10-25T12:00Z", 9),
        (hours([{"from": "01:00", "to": "02:30"}]), "2026-10-24T22:00Z", "2026-10-25T12:00Z", 2),
        (hours([{"from": "00:00", "to": "24:00"}]), "2026-10-24T22:00Z", "2026-10-25T23:00Z", 25),
        (ALWAYS, "2020-01-01T00:00Z", "2026-01-01T00:00Z", 24 * 2192),
        (hours(DAY, **EASTER), "2026-04-06T00:00Z", "2026-04-06T22:00Z", 0),
        (hours(DAY, **EVE), "2026-12-24T00:00Z", "2026-12-24T22:00Z", 3),
    ],
)
def test_working_time_is_counted_by_the_hours(found: Hours, begin: str, end: str, hours_of_work: float) -> None:
    assert found.working_time_between(at(begin), at(end)) == timedelta(hours=hours_of_work)


minutes = st.integers(0, 95).map(lambda quarter: quarter * 15)
windows = st.builds(
    SendWindow,
    begins=minutes,
    ends=st.integers(1, 96).map(lambda quarter: quarter * 15),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
).filter(lambda each: each.begins != each.ends)
spans = st.tuples(minutes, minutes).filter(lambda each: each[0] != each[1])
some_hours = st.builds(
    Hours,
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
    windows=st.lists(windows, max_size=4).map(tuple),
    holidays=st.frozensets(st.dates(date(2026, 10, 20), date(2026, 11, 5)), max_size=3),
    yearly=st.frozensets(st.just((11, 1)), max_size=1),
    exceptions=st.dictionaries(
        st.dates(date(2026, 10, 20), date(2026, 11, 5)), st.lists(spans, max_size=2).map(tuple), max_size=3
    ),
)
moments = st.datetimes(
    datetime(2026, 10, 22), datetime(2026, 11, 4), timezones=st.just(UTC)
).map(lambda each: each.replace(minute=each.minute // 15 * 15, second=0, microsecond=0))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(some_hours, moments, moments)
def test_working_time_is_what_the_quarters_that_are_open_add_up_to(found: Hours, one: datetime, two: datetime) -> None:
    begin, end = sorted((one, two))
    quarter = timedelta(minutes=15)
    steps = (begin + quarter * number for number in range((end - begin) // quarter))
    expected = sum((quarter for each in steps if found.is_open(each)), timedelta(0))
    assert found.working_time_between(begin, end) == expected


@settings(max_examples=60, deadline=None)
@given(some_hours, st.lists(st.datetimes(datetime(2026, 10, 22), datetime(2026, 11, 4), timezones=st.just(UTC)), min_size=3, max_size=3))  # noqa: E501  # fmt: skip
def test_working_time_adds_up(found: Hours, told: list[datetime]) -> None:
    one, two, three = sorted(told)
    halves = found.working_time_between(one, two) + found.working_time_between(two, three)
    assert halves == found.working_time_between(one, three)


@settings(max_examples=60, deadline=None)
@given(some_hours, moments)
def test_the_next_opening_is_open_and_nothing_before_it_is(found: Hours, asked: datetime) -> None:
    opens = found.opens_next(asked)
    if opens is None:
        assert not found.is_open(asked)
        return
    assert found.is_open(opens)
    assert found.working_time_between(asked, opens) == timedelta(0)
    closes = found.closes_next(opens)
    if closes is not None:
        assert not found.is_open(closes)
        assert found.working_time_between(opens, closes) == closes - opens


@pytest.mark.parametrize(
    ("told", "path", "sentence"),
    [
        ([], (), "Expected an object"),
        ({"windows": DAY}, ("zone",), "IANA name"),
        ({"zone": "Europe/Berln", "windows": DAY}, ("zone",), 'Did you mean "Europe/Berlin"?'),
        ({"zone": "UTC"}, ("windows",), "nobody ever is"),
        ({"zone": "UTC", "windows": []}, ("windows",), "nobody ever is"),
        ({"zone": "UTC", "window": DAY}, ("window",), 'Did you mean "windows"?'),
        ({"zone": "UTC", "windows": [{"from": "9", "to": "10:00"}]}, ("windows", "0", "from"), "09:30"),
        ({"zone": "UTC", "windows": DAY, "holidays": ["2026-02-30"]}, ("holidays", "0"), "no such day"),
        ({"zone": "UTC", "windows": DAY, "exceptions": {}}, ("exceptions",), "Expected a list"),
        ({"zone": "UTC", "windows": DAY, "exceptions": [1]}, ("exceptions", "0"), "Expected an object"),
        (
            {"zone": "UTC", "windows": DAY, "exceptions": [{"date": "12-24", "windows": []}]},
            ("exceptions", "0", "date"),
            "with its year",
        ),
        ({"zone": "UTC", "windows": DAY, "exceptions": [{"windows": []}]}, ("exceptions", "0", "date"), "a date"),
        (
            {"zone": "UTC", "windows": DAY, "exceptions": [{"date": "2026-12-24"}]},
            ("exceptions", "0", "windows"),
            "Expected a list",
        ),
        (
            {"zone": "UTC", "windows": DAY, "exceptions": [{"date": "2026-12-24", "windows": NIGHT}]},
            ("exceptions", "0", "windows", "0", "weekdays"),
            "on its date alone",
        ),
        (
            {"zone": "UTC", "windows": DAY, "exceptions": [{"date": "2026-12-24", "windows": []}] * 2},
            ("exceptions", "1", "date"),
            "twice",
        ),
        ({"zone": "UTC", "windows": DAY, "exceptions": [{}] * 401}, ("exceptions",), "at most 400"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_path(told: object, path: tuple[str, ...], sentence: str) -> None:
    mistakes = Mistakes()
    assert read_hours(told, (), mistakes) is None
    found: Any = mistakes.errors
    for key in path or ("_schema",):
        found = found[key]
    assert any(sentence in each for each in found), mistakes.errors
