"""The rounds of a broadcast: exact durations, and whole days by the site's calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.broadcast import LATE, round_of
from backend.domain.rule.trigger import BroadcastTrigger

VIENNA = ZoneInfo("Europe/Vienna")
MONDAY = datetime(2026, 3, 23, 8, tzinfo=UTC)  # nine in Vienna; the clocks go forward on the Sunday after
WEEKLY = BroadcastTrigger(at=MONDAY, every=timedelta(days=7))


def utc(*told: int) -> datetime:
    return datetime(*told, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (MONDAY - timedelta(seconds=1), None),
        (MONDAY, MONDAY),
        (MONDAY + timedelta(hours=20), MONDAY),
        (MONDAY + LATE + timedelta(seconds=1), None),
        (utc(2026, 3, 30, 6, 59), None),
        (utc(2026, 3, 30, 7), utc(2026, 3, 30, 7)),
        (utc(2026, 10, 19, 7, 30), utc(2026, 10, 19, 7)),
        (utc(2026, 10, 26, 7, 30), None),
        (utc(2026, 10, 26, 8), utc(2026, 10, 26, 8)),
    ],
)
def test_a_weekly_round_stays_at_its_hour_when_the_clocks_change(now: datetime, moment: datetime | None) -> None:
    assert round_of(WEEKLY, now, VIENNA) == moment


def test_hours_are_counted_exactly() -> None:
    trigger = BroadcastTrigger(at=MONDAY, every=timedelta(hours=36))
    assert round_of(trigger, utc(2026, 3, 29, 12), VIENNA) == MONDAY + timedelta(hours=36 * 4)


def test_an_hour_that_is_left_out_comes_when_the_gap_is_over() -> None:
    daily = BroadcastTrigger(at=utc(2026, 3, 27, 1, 30), every=timedelta(days=1))  # half past two
    assert round_of(daily, utc(2026, 3, 29, 0, 59), VIENNA) == utc(2026, 3, 28, 1, 30)
    assert round_of(daily, utc(2026, 3, 29, 1), VIENNA) == utc(2026, 3, 29, 1)
    assert round_of(daily, utc(2026, 3, 30, 0, 30), VIENNA) == utc(2026, 3, 30, 0, 30)


def test_without_a_moment_it_goes_out_at_once() -> None:
    assert round_of(BroadcastTrigger(), MONDAY, VIENNA) == MONDAY


@given(
    first=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
    days=st.integers(1, 10),
    passed=st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_the_round_never_lies_ahead_and_the_next_one_does(first: datetime, days: int, passed: timedelta) -> None:
    at = first.replace(tzinfo=UTC)
    found = round_of(BroadcastTrigger(at=at, every=timedelta(days=days)), at + passed, VIENNA)
    if found is not None:
        assert at <= found <= at + passed
        assert round_of(BroadcastTrigger(at=at, every=timedelta(days=days)), found, VIENNA) == found
