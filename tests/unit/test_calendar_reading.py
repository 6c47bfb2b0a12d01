"""Quiet hours, windows, delays and zones as they are written: read, or refused with a path and a sentence."""

from collections.abc import Callable
from datetime import date, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.calendar import (
    LocalDelay,
    QuietHours,
    SendWindow,
    known_zones,
    read_clock,
    read_local_delay,
    read_quiet_hours,
    read_send_windows,
    read_zone_name,
)
from backend.domain.mistakes import Mistakes

Reader = Callable[[object, tuple[str | int, ...], Mistakes], Any]
READERS = (read_quiet_hours, read_send_windows, read_local_delay, read_zone_name, read_clock)


def read(reader: Reader, value: object) -> Any:
    mistakes = Mistakes()
    found = reader(value, ("here",), mistakes)
    assert not mistakes.errors
    return found


def refused(reader: Reader, value: object) -> Any:
    mistakes = Mistakes()
    assert reader(value, ("here",), mistakes) is None
    return mistakes.errors["here"]


def test_quiet_hours_are_read() -> None:
    document = {
        "from": "21:00",
        "to": "09:00",
        "weekdays": ["sat", "sun"],
        "holidays": ["2026-12-25", "12-25", "02-29"],
        "channels": ["email"],
        "then": "abort",
    }
    assert read(read_quiet_hours, document) == QuietHours(
        begins=21 * 60,
        ends=9 * 60,
        weekdays=frozenset({5, 6}),
        holidays=frozenset({date(2026, 12, 25)}),
        yearly=frozenset({(12, 25), (2, 29)}),
        channels=frozenset({"email"}),
        then="abort",
    )


@pytest.mark.parametrize(
    ("document", "quiet"),
    [
        ({"from": "21:00", "to": "09:00"}, QuietHours(begins=1260, ends=540)),
        ({"from": "21:00", "to": "09:00", "then": None, "holidays": None}, QuietHours(begins=1260, ends=540)),
        ({"from": "00:00", "to": "23:59"}, QuietHours(begins=0, ends=1439)),
        ({"from": "21:00", "to": "24:00"}, QuietHours(begins=1260, ends=1440)),
        ({"from": "21:00", "to": "00:00"}, QuietHours(begins=1260, ends=0)),
        ({"weekdays": ["sun"]}, QuietHours(weekdays=frozenset({6}))),
        ({"holidays": ["01-01"]}, QuietHours(weekdays=frozenset(), yearly=frozenset({(1, 1)}))),
    ],
)
def test_what_is_left_out_of_quiet_hours_has_a_plain_meaning(document: object, quiet: QuietHours) -> None:
    assert read(read_quiet_hours, document) == quiet


def test_windows_and_delays_are_read() -> None:
    written = [{"from": "09:00", "to": "18:00", "weekdays": ["mon", "tue"]}, {"weekdays": ["sat"]}]
    assert read(read_send_windows, written) == (
        SendWindow(begins=540, ends=1080, weekdays=frozenset({0, 1})),
        SendWindow(weekdays=frozenset({5})),
    )
    assert read(read_local_delay, {"days": 1, "at": "10:00", "weekdays": ["mon", "tue"]}) == LocalDelay(
        days=1, at=time(10), weekdays=frozenset({0, 1})
    )
    assert read(read_local_delay, {"days": 1}) == LocalDelay(days=1)
    assert read(read_local_delay, {"weekdays": ["sat"]}) == LocalDelay(weekdays=frozenset({5}))
    assert read(read_zone_name, "America/Argentina/Buenos_Aires") == "America/Argentina/Buenos_Aires"


WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
A_CLOCK = "Expected a time of day, such as 09:30."
SAME = "from and to are the same time. For the whole day, write 00:00 and 24:00."
NEVER = "These quiet hours never end: nothing could be sent for more than a year."
NIGHT = {"from": "21:00", "to": "09:00"}
YEAR = [(date(2024, 1, 1) + timedelta(days=number)).isoformat()[5:] for number in range(366)]


@pytest.mark.parametrize(
    ("document", "mistakes"),
    [
        ("21:00-09:00", ['Expected an object such as {"from": "21:00", "to": "09:00"}.']),
        ({}, ["Say when it is quiet: from and to, weekdays, or holidays."]),
        ({"then": "abort", "holidays": []}, ["Say when it is quiet: from and to, weekdays, or holidays."]),
        ({"from": "21:00"}, {"to": ["from needs to beside it, such as 09:00."]}),
        ({"to": "21:00", "weekdays": ["mon"]}, {"from": ["to needs from beside it, such as 09:00."]}),
        ({"from": "09:00", "to": "09:00"}, {"to": [SAME]}),
        ({"from": "00:00", "to": "00:00"}, {"to": [SAME]}),
        ({"from": "00:00", "to": "24:00"}, [NEVER]),
        ({"weekdays": WEEK}, [NEVER]),
        ({"holidays": YEAR}, [NEVER]),
        ({"weekdays": WEEK[:6], "holidays": YEAR[:-1]}, [NEVER]),
        ({"from": "24:00", "to": "09:00"}, {"from": [A_CLOCK]}),
        ({"from": "9:00", "to": "25:00"}, {"from": [A_CLOCK], "to": [A_CLOCK]}),
        ({"from": "09:00:00", "to": 9}, {"from": [A_CLOCK], "to": [A_CLOCK]}),
        ({"from": "T0930", "to": "1٠:00"}, {"from": [A_CLOCK], "to": [A_CLOCK]}),
        ({**NIGHT, "form": 1}, {"form": ['Unknown key "form". Did you mean "from"?']}),
        ({**NIGHT, "weekdays": ["mon", "monday", 3]}, {"weekdays": {
            "1": ['Unknown weekday "monday": mon tue wed thu fri sat sun. Did you mean "mon"?'],
            "2": ['Unknown weekday "3": mon tue wed thu fri sat sun.']}}),
        ({**NIGHT, "weekdays": []},
         {"weekdays": ['Expected a list of weekdays, such as ["mon", "tue"]: mon tue wed thu fri sat sun.']}),
        ({**NIGHT, "holidays": "12-25"}, {"holidays": ['Expected a list of dates, such as ["2026-04-06", "12-25"].']}),
        ({**NIGHT, "holidays": ["02-31", "2026-02-29", "25.12.", "1999-01-01", 5]}, {"holidays": {
            "0": ["There is no such day: 02-31."],
            "1": ["There is no such day: 2026-02-29."],
            "2": ["Expected a date, such as 2026-04-06, or 12-25 for every year."],
            "3": ["A holiday lies between 2000 and 2100."],
            "4": ["Expected a date, such as 2026-04-06, or 12-25 for every year."]}}),
        ({**NIGHT, "holidays": ["01-01"] * 401}, {"holidays": ["There are at most 400 holidays."]}),
        ({**NIGHT, "channels": ["mail"]}, {"channels": {"0": ['Unknown channel "mail". Did you mean "email"?']}}),
        ({**NIGHT, "channels": []}, {"channels": ['Expected a list of channels, such as ["email"].']}),
        ({**NIGHT, "then": "next available"},
         {"then": ['Expected next_available or abort, not "next available". Did you mean "next_available"?']}),
    ],
)  # fmt: skip
def test_quiet_hours_that_make_no_sense_are_refused_with_a_sentence(document: object, mistakes: object) -> None:
    assert refused(read_quiet_hours, document) == mistakes


@pytest.mark.parametrize(
    ("document", "mistakes"),
    [
        ([], ['Expected a list such as [{"from": "09:00", "to": "18:00"}]; without any, nothing is sent.']),
        ({"from": "09:00", "to": "18:00"},
         ['Expected a list such as [{"from": "09:00", "to": "18:00"}]; without any, nothing is sent.']),
        ([NIGHT] * 51, ["There are at most 50 send windows."]),
        ([NIGHT, {"from": "09:00", "to": "09:00"}], {"1": {"to": [SAME]}}),
        ([{}], {"0": ["Say when it is open: from and to, or weekdays."]}),
        ([7], {"0": ['Expected an object such as {"from": "09:00", "to": "18:00", "weekdays": ["mon"]}.']}),
        ([{**NIGHT, "then": "abort"}], {"0": {"then": ['Unknown key "then".']}}),
    ],
)  # fmt: skip
def test_windows_that_make_no_sense_are_refused_with_a_sentence(document: object, mistakes: object) -> None:
    assert refused(read_send_windows, document) == mistakes


@pytest.mark.parametrize(
    ("document", "mistakes"),
    [
        ("1d", ['Expected an object such as {"days": 1, "at": "10:00"}.']),
        ({}, ["This does not wait. Give days (1 or more), at, or weekdays."]),
        ({"days": 0}, ["This does not wait. Give days (1 or more), at, or weekdays."]),
        ({"days": -1}, {"days": ["Expected whole days from 0 to 3660."]}),
        ({"days": True}, {"days": ["Expected whole days from 0 to 3660."]}),
        ({"days": 1.5, "at": "24:00"}, {"days": ["Expected whole days from 0 to 3660."], "at": [A_CLOCK]}),
        ({"days": 3661}, {"days": ["Expected whole days from 0 to 3660."]}),
        ({"day": 1, "days": 1}, {"day": ['Unknown key "day". Did you mean "days"?']}),
    ],
)
def test_delays_that_make_no_sense_are_refused_with_a_sentence(document: object, mistakes: object) -> None:
    assert refused(read_local_delay, document) == mistakes


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Europe/Berln", 'There is no time zone "Europe/Berln". Did you mean "Europe/Berlin"?'),
        ("europe/berlin", 'There is no time zone "europe/berlin". Did you mean "Europe/Berlin"?'),
        ("new york", 'There is no time zone "new york". Did you mean "America/New_York"?'),
        ("Kiew", 'There is no time zone "Kiew". Did you mean "Europe/Kiev"?'),
        ("", 'There is no time zone "". Write its IANA name, such as Europe/Vienna.'),
        ("../etc/passwd\0", 'There is no time zone "../etc/passwd\0". Write its IANA name, such as Europe/Vienna.'),
        ("GMT+3", 'There is no time zone "GMT+3". Write its IANA name, such as Europe/Vienna.'),
        (3, "Expected the IANA name of a time zone, such as Europe/Vienna."),
        (None, "Expected the IANA name of a time zone, such as Europe/Vienna."),
    ],
)
def test_a_zone_that_does_not_exist_is_refused_with_the_nearest_that_does(name: object, sentence: str) -> None:
    assert refused(read_zone_name, name) == [sentence]


def test_a_very_long_zone_is_cut_in_the_sentence() -> None:
    assert len(refused(read_zone_name, "x" * 1_000_000)[0]) < 200


def test_every_zone_that_is_known_can_be_read() -> None:
    assert len(known_zones()) > 400
    assert all(read(read_zone_name, name) == name for name in known_zones())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(
    st.sampled_from(["from", "to", "weekdays", "holidays", "channels", "then", "days", "at"]),
    json_values | st.sampled_from(["09:00", "24:00", "abort", ["mon"], ["12-25"], ["email"], 3]),
)


@given(st.sampled_from(READERS), json_values | documents | st.lists(documents, max_size=2))
def test_whatever_json_is_read_or_refused_but_never_fails(reader: Reader, value: object) -> None:
    mistakes = Mistakes()
    assert (reader(value, ("here",), mistakes) is None) is bool(mistakes.errors)
