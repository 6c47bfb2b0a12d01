"""Working hours written into a form, and the document that they make."""

import pytest

from backend.domain.hours import read_hours
from backend.domain.mistakes import Mistakes
from backend.web.console.hours_form import DAYS, document_of, fields_of

WEEK = {f"day-{day}": "" for day in DAYS}


def read(**fields: str) -> dict[str, object]:
    document, _, mistakes = document_of({"zone": "Europe/Vienna", **WEEK, **fields}, "hours")
    assert not mistakes
    noted = Mistakes()
    assert read_hours(document, (), noted) is not None, noted.errors
    return document


def test_what_is_written_comes_back_as_it_was_written() -> None:
    told = {
        "day_mon": "9-13, 14:30 to 18.15",
        "day_sat": "22:00–06:00",
        "day_sun": "all day",
        "holidays": "12-25\n2027-03-29",
        "exceptions": "2026-12-24 09:00–12:00, 13-14\n2026-12-26 closed",
    }
    document = read(**{name.replace("_", "-"): text for name, text in told.items()})
    back = fields_of(document)
    assert back["zone"] == "Europe/Vienna"
    assert back["day-mon"] == "09:00–13:00, 14:30–18:15"
    assert (back["day-tue"], back["day-sat"], back["day-sun"]) == ("", "22:00–06:00", "all day")
    assert back["holidays"] == "12-25\n2027-03-29"
    assert back["exceptions"] == "2026-12-24 09:00–12:00, 13:00–14:00\n2026-12-26 closed"
    assert document_of({**WEEK, **back}, "hours")[0] == document, "and once more"


def test_the_same_hours_on_several_days_are_one_window() -> None:
    document = read(**{"day-mon": "9-18", "day-wed": "09:00–18:00"})
    assert document["windows"] == [{"from": "09:00", "to": "18:00", "weekdays": ["mon", "wed"]}]


def test_a_window_without_times_or_days_of_an_older_document_is_shown() -> None:
    assert fields_of({"zone": "UTC", "windows": [{"weekdays": ["sat"]}]})["day-sat"] == "all day"
    shown = fields_of({"zone": "UTC", "windows": [{"from": "08:00", "to": "24:00"}]})
    assert {shown[f"day-{day}"] for day in DAYS} == {"08:00–24:00"}


@pytest.mark.parametrize("text", ["nine to five", "9", "9-", "9-18-20", "09:00 18:00", "9:0-18", "٩-١٨", "," * 50])
def test_a_day_that_cannot_be_read_is_a_mistake_beside_it(text: str) -> None:
    _, _, mistakes = document_of({"zone": "UTC", **WEEK, "day-tue": text}, "hours")
    assert list(mistakes) == ["day-tue"]


@pytest.mark.parametrize("text", ["2026-12-24", "2026-12-24 9", "24.12.2026", "closed"])
def test_an_exception_that_cannot_be_read_is_a_mistake_which_quotes_it(text: str) -> None:
    _, _, mistakes = document_of({"zone": "UTC", **WEEK, "day-mon": "9-18", "exceptions": text}, "hours")
    assert text in mistakes["exceptions"]


def test_a_mistake_of_the_domain_finds_the_field_of_its_window() -> None:
    document, places, _ = document_of({"zone": "UTC", **WEEK, "day-mon": "9-18", "day-fri": "12-12"}, "hours")
    noted = Mistakes()
    read_hours(document, ("hours",), noted)
    assert noted.errors["hours"]["windows"]["1"]["to"]
    assert places["hours.windows.1"] == "day-fri"
