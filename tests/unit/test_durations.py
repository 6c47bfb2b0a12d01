"""Durations: how people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.duration import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta(0)),
        ("0d", timedelta(0)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "1.5h", "-1s", "1 h", "1w", "1H", "1h30m", "１h", "1h\n", 30, None, True, "3661d", "9" * 99 + "s"],
)
def test_anything_else_is_refused_with_a_sentence(text: object) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        parse_duration(text)


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_what_is_written_reads_the_same(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration(span)) == span


def test_the_largest_unit_that_fits_is_written() -> None:
    written = [format_duration(timedelta(seconds=seconds)) for seconds in (0, 59, 60, 90, 5400, 7200, 86400, 90000)]
    assert written == ["0s", "59s", "1m", "90s", "90m", "2h", "1d", "25h"]
