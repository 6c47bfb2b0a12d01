"""Who is to answer what waits, when that is asked again, and what is promised: one table of situations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backend.domain.calendar import SendWindow
from backend.domain.desk import Desk, Seat, desk_of, read_department, read_desk, serving, somebody
from backend.domain.hours import Hours
from backend.domain.mistakes import Mistakes
from backend.domain.presence import Beat, presence_of
from backend.domain.promise import LANGUAGES, TEXTS, language_of, promise_text, told_time
from backend.domain.routing import Plan, Waiting, plan

NOW = datetime(2026, 6, 10, 10, 0, tzinfo=UTC)  # a Wednesday
OPEN = Hours(windows=(SendWindow(begins=8 * 60, ends=17 * 60),))
SHUT = Hours(windows=(SendWindow(begins=18 * 60, ends=20 * 60),))
NEVER = Hours(exceptions={NOW.date(): ()})
MINUTE = timedelta(minutes=1)


def seats(**presences: str) -> dict[str, Seat]:
    return {each: Seat(operator_id=each, presence=told, given_at=place) for place, (each, told) in enumerate(presences.items())}  # noqa: E501  # fmt: skip


def decided(desk: dict[str, Any], there: dict[str, Seat], **waiting: Any) -> Plan:
    ago = waiting.pop("ago", 0)
    told = Waiting(since=NOW - ago * MINUTE, **waiting)
    return plan(Desk(**{"hours": OPEN, "routing": "round_robin", **desk}), there, told, NOW)


FULL = {"a": Seat(operator_id="a", presence="online", load=10)}
NIGHT = Seat(operator_id="n", presence="online", departments=frozenset({"night"}))
ASLEEP = replace(NIGHT, presence="off")
A = {"assignee_id": "a"}


@pytest.mark.parametrize(
    ("desk", "there", "waiting", "gets", "why", "promise", "again"),
    [
        # Who waits for nobody gets the one whose turn is the longest ago.
        ({}, seats(a="online", b="online"), {}, "a", "routed", None, 5),
        ({}, seats(a="off", b="online"), {}, "b", "routed", None, 5),
        ({"routing": "previous"}, seats(a="online", b="online"), {"previous": "b"}, "b", "routed", None, 5),
        ({"routing": "previous"}, seats(a="online", b="away"), {"previous": "b"}, "a", "routed", None, 5),
        # Who has one keeps them for a while.
        ({}, seats(a="online", b="online"), {"assignee_id": "b"}, "b", None, None, 5),
        ({}, seats(a="online", b="online"), {"assignee_id": "b", "ago": 2}, "b", None, None, 3),
        ({}, seats(a="online", b="away"), {"assignee_id": "b", "ago": 2}, "b", None, None, 3),
        ({}, seats(a="online", b="online"), {"assignee_id": "b", "ago": 5}, "a", "unanswered", None, 5),
        ({}, seats(a="online", b="off"), {"assignee_id": "b"}, "a", "absent", None, 5),
        ({}, seats(a="online"), {"assignee_id": "gone"}, "a", "removed", None, 5),
        # Where nobody else is there, or all had it, that is said.
        ({}, seats(a="online"), {"assignee_id": "a", "ago": 5}, "a", None, "busy", 5),
        ({}, seats(a="online", b="online"), {**A, "ago": 60, "tried": frozenset("ab")}, "a", None, "busy", 60),
        ({}, seats(a="online"), {"assignee_id": "a", "ago": 60, "promised": True}, "a", None, None, 60),
        ({}, seats(a="off"), {"assignee_id": "a"}, "a", None, "busy", 5),
        ({}, seats(a="away"), {}, None, None, "busy", 5),
        ({}, {}, {"assignee_id": "gone"}, None, "removed", "busy", 5),
        # Whose hands are full may have one free soon.
        ({}, FULL, {}, None, None, None, 5),
        ({}, FULL, {"ago": 5}, None, None, "busy", 5),
        # By hand: nobody is given anything, but nobody waits in vain for who is gone.
        ({"routing": "manual"}, seats(a="online"), {}, None, None, None, 5),
        ({"routing": "manual"}, seats(a="online"), {"ago": 5}, None, None, "busy", None),
        ({"routing": "manual"}, seats(a="online"), {"assignee_id": "gone"}, None, "removed", None, 5),
        ({"routing": "manual"}, seats(a="off", b="online"), {"assignee_id": "a"}, "a", None, None, 5),
        # Outside the hours nobody is there, whoever is online; but who is at it is not made a fool of.
        ({"hours": SHUT}, seats(a="online"), {}, None, None, "closed", 8 * 60),
        ({"hours": SHUT}, seats(a="online"), {"assignee_id": "a"}, "a", None, None, 5),
        ({"hours": SHUT}, seats(a="online"), {"assignee_id": "a", "ago": 5}, "a", None, "closed", 8 * 60),
        ({"hours": SHUT}, seats(a="online"), {"assignee_id": "gone", "promised": True}, None, "removed", None, 8 * 60),
        ({"hours": NEVER}, seats(a="online"), {}, None, None, "busy", None),
        # The hours count, not the clock: what came at night is not late in the morning.
        ({}, seats(a="online", b="online"), {"assignee_id": "a", "ago": 60 * 24 * 3}, "b", "unanswered", None, 5),
        ({"unanswered_after": 180 * MINUTE}, seats(a="online", b="online"), {**A, "ago": 360}, "a", None, None, 60),
        # A department has its own people; where it has none, all serve.
        ({}, {"n": NIGHT, **seats(a="online")}, {"department_id": "night"}, "n", "routed", None, 5),
        ({}, {"n": ASLEEP, **seats(a="online")}, {"department_id": "night"}, None, None, "busy", 5),
        ({}, seats(a="online"), {"department_id": "empty"}, "a", "routed", None, 5),
    ],
)  # fmt: skip
def test_what_is_decided(
    desk: dict[str, Any],
    there: dict[str, Seat],
    waiting: dict[str, Any],
    gets: str | None,
    why: str | None,
    promise: str | None,
    again: int | None,
) -> None:
    found = decided(desk, there, **waiting)
    assert (found.assignee_id, found.why, found.promise) == (gets, why, promise)
    assert found.again_at == (None if again is None else NOW + again * MINUTE)


def test_who_is_there() -> None:
    def told(chosen: str, heard: float, active: float) -> str:
        return presence_of(chosen, Beat(NOW - heard * MINUTE, NOW - active * MINUTE), NOW)

    assert [told("online", 0, 0), told("online", 1, 10), told("online", 0, 11)] == ["online", "online", "away"]
    assert [told("away", 0, 0), told("off", 0, 0), told("online", 2, 2)] == ["away", "off", "off"]
    assert presence_of("online", None, NOW) == "off"
    assert presence_of("nonsense", Beat(NOW, NOW), NOW) == "off"


def test_somebody_is_there_in_their_own_hours() -> None:
    desk, late = Desk(hours=OPEN), {"night": {"hours": {"zone": "UTC", "windows": [{"from": "20:00", "to": "04:00"}]}}}
    night = NOW.replace(hour=23)
    assert somebody(desk, late, seats(a="online"), NOW)
    assert not somebody(desk, late, seats(a="away"), NOW)
    assert not somebody(desk, late, seats(a="online"), night)
    assert somebody(desk, late, {"n": NIGHT}, night)
    assert not somebody(desk, late, {"n": NIGHT}, NOW)
    assert somebody(desk, {}, {"n": NIGHT}, NOW), "of a department without hours, those of the site hold"
    assert serving({"n": NIGHT, **seats(a="off")}, None).keys() == {"n", "a"}


@pytest.mark.parametrize(
    ("told", "path", "sentence"),
    [
        ([], "_schema", "Expected an object"),
        ({"routng": "manual"}, "routng", 'Did you mean "routing"?'),
        ({"routing": "roundrobin"}, "routing", 'Did you mean "round_robin"?'),
        ({"routing": ["manual"]}, "routing", "Expected manual"),
        ({"unanswered_after": "5"}, "unanswered_after", "Write it like"),
        ({"unanswered_after": "30s"}, "unanswered_after", "1m to 1d"),
        ({"hours": {"zone": "UTC"}}, "hours.windows", "nobody ever is"),
        ({"texts": []}, "texts", "Expected an object"),
        ({"texts": {"shut": {}}}, "texts.shut", "Unknown key"),
        ({"texts": {"closed": "Back soon"}}, "texts.closed", "by language"),
        ({"texts": {"closed": {"en": "Back soon"}}}, "texts.closed.en", "{when}"),
        ({"texts": {"busy": {"de": "Gleich"}}}, "texts.busy.de", "Unknown key"),
        ({"texts": {"busy": {"en": " "}}}, "texts.busy.en", "1 to 500"),
        ({"texts": {"ask": {"en": 5}}}, "texts.ask.en", "1 to 500"),
    ],
)
def test_each_mistake_of_a_desk_is_told_with_its_path(told: object, path: str, sentence: str) -> None:
    mistakes = Mistakes()
    read_desk(told, (), mistakes)
    found: Any = mistakes.errors
    for key in path.split("."):
        found = found[key]
    assert any(sentence in each for each in found), mistakes.errors


def test_a_department_tells_how_it_differs_and_nothing_else() -> None:
    mistakes = Mistakes()
    read_department({"texts": {}, "routing": "manual"}, (), mistakes)
    assert list(mistakes.errors) == ["texts"]
    site = desk_of({"routing": "previous", "unanswered_after": "3m", "texts": {"busy": {"en": "Soon"}}})
    own = site.of({"unanswered_after": "10m", "name": "whatever"})
    assert (own.routing, own.unanswered_after, own.texts) == ("previous", 10 * MINUTE, site.texts)
    assert site.of(None) == site
    assert desk_of(None) == Desk()


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (4, ["today at 18:05", "сегодня в 18:05", "днес в 18:05", "сьогодні о 18:05", "本日18:05"]),
        (26, ["tomorrow at 16:05", "завтра в 16:05", "утре в 16:05", "завтра о 16:05", "明日16:05"]),
        (50, ["on Friday at 16:05", "в пятницу в 16:05", "в петък в 16:05", "у п’ятницю о 16:05", "金曜日16:05"]),
        (
            24 * 9 + 2,
            ["on 19 June at 16:05", "19 июня в 16:05", "на 19 юни в 16:05", "19 червня о 16:05", "6月19日16:05"],
        ),
    ],
)
def test_a_time_is_told_as_people_say_it_there(ahead: int, told: list[str]) -> None:
    moment = NOW.replace(minute=5) + timedelta(hours=ahead)
    assert [told_time(moment, NOW, ZoneInfo("Asia/Dubai"), each) for each in LANGUAGES] == told


def test_a_promise_is_made_in_the_language_of_who_waits_and_asks_only_for_what_is_missing() -> None:
    assert [language_of("ru-RU"), language_of(None, "ja_JP"), language_of("de-AT"), language_of()] == ["ru", "ja", "en", "en"]  # noqa: E501  # fmt: skip
    assert language_of("uk-UA" + "x" * 1_000) == "uk"
    zone = ZoneInfo("UTC")
    said = promise_text({}, "en", NOW + timedelta(days=1), NOW, zone, ask=True)
    assert "We are back tomorrow at 10:00" in said
    assert said.endswith(TEXTS["ask"]["en"])
    assert promise_text({}, "en", None, NOW, zone, ask=False) == TEXTS["busy"]["en"]
    own = {"closed": {"en": "Later {when} {0} {when.__class__}"}}
    assert promise_text(own, "en", NOW + timedelta(days=1), NOW, zone, ask=False).startswith(
        "Later tomorrow at 10:00 {0}"
    )
    assert promise_text(own, "ru", NOW + timedelta(days=1), NOW, zone, ask=False).startswith("Спасибо")
    for texts in TEXTS.values():
        assert set(texts) == set(LANGUAGES)
