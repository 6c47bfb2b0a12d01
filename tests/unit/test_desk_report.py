"""The report on conversations against a slow one that keeps everything and asks one question at a time."""

from array import array
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.calendar.zone import zone_of
from backend.domain.desk_report import DeskReport, Step, Touch, spread
from backend.domain.hours import ALWAYS, Hours, read_hours
from backend.domain.mistakes import Mistakes
from backend.domain.working_clock import WorkingClock

DAY = 86_400_000_000
SINCE, UNTIL = 2 * DAY, 6 * DAY
WINDOW = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def hours(value: Any) -> Hours:
    found = read_hours(value, (), Mistakes())
    assert found is not None
    return found


OFFICE = hours(
    {"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "17:00", "weekdays": ["mon", "tue", "thu"]}]}
)

MOMENTS = st.integers(0, 8 * 24).map(lambda each: each * DAY // 24)
WHO = st.sampled_from([("visitor", None), ("operator", "a"), ("operator", "b"), ("operator", None), ("rule", "r")])
MESSAGES = st.tuples(MOMENTS, WHO).map(lambda told: Step(told[0], *told[1], "message"))
EVENTS = st.tuples(
    MOMENTS, st.sampled_from([("state", "closed"), ("state", "open"), ("state", "snoozed"), ("rated", 1), ("rated", 5)])
).map(lambda told: Step(told[0], "operator", "a", "event", *told[1]))
STEPS = st.lists(MESSAGES | EVENTS, max_size=9).map(lambda found: sorted(found, key=lambda each: each.at))
TALKS = st.lists(st.tuples(st.sampled_from([None, "sales"]), STEPS.filter(bool)), max_size=6)
TOUCHES = st.tuples(
    MOMENTS,
    st.sampled_from(["visitor", "a", "b", "order"]),
    st.sampled_from(["o-1", "o-2", None]),
    st.integers(0, 999).map(lambda each: Decimal(each) / 100),
).map(
    lambda told: (
        Touch(told[0], order_id=told[2], worth=told[3])
        if told[1] == "order"
        else Touch(told[0], told[1] != "visitor", None if told[1] == "visitor" else told[1], "sales")
    )
)
PERSONS = st.lists(st.lists(TOUCHES, max_size=8).map(lambda found: sorted(found, key=lambda each: each.at)), max_size=3)


def report(talks: Any, persons: Any, by: Any = None) -> dict[str, Any]:
    clocks = {None: WorkingClock(ALWAYS), "sales": WorkingClock(OFFICE)}
    made = DeskReport(moment(SINCE), moment(UNTIL), UTC, clocks.__getitem__, WINDOW, by)
    for department, steps in talks:
        made.take(steps[0].at, department, iter(steps))
    for touches in persons:
        made.shop(iter(touches))
    return made.numbers()


def is_said(step: Step, *authors: str) -> bool:
    return step.kind == "message" and step.author in authors


def open_after(steps: list[Step]) -> bool:
    """Whether a conversation is open after these steps."""
    changes = [step for step in steps if step.event == "state" or is_said(step, "visitor", "operator")]
    return not changes or changes[-1].value != "closed"


def answered_by(steps: list[Step]) -> str | None:
    return next((step.author_id for step in reversed(steps) if is_said(step, "operator")), None)


def slowly(talks: Any, persons: Any) -> dict[str, Any]:
    """The same numbers, each asked for by itself of everything there is."""
    mine = [(department, steps) for department, steps in talks if SINCE <= steps[0].at < UNTIL]
    waits, works, ends, ends_by, reopened, ratings = [], [], [], [], 0, []
    for department, steps in mine:
        asked = [place for place, step in enumerate(steps) if is_said(step, "visitor")]
        answers = [step.at for step in steps[asked[0] :] if is_said(step, "operator")] if asked else []
        if answers:
            begin = steps[asked[0]].at
            waits.append((answers[0] - begin) / 1e6)
            zone = OFFICE if department else ALWAYS
            works.append(zone.working_time_between(moment(begin), moment(answers[0])).total_seconds())
        opens = [True] + [open_after(steps[: place + 1]) for place in range(len(steps))]
        reopened += any(not before and after for before, after in pairwise(opens))
        if not opens[-1]:
            last = max(place for place in range(len(steps)) if opens[place] and not opens[place + 1])
            ends.append((steps[last].at - steps[0].at) / 1e6)
            ends_by.append(answered_by(steps[:last]))
        ratings += [step.value for step in steps if step.event == "rated"][-1:]
    ordered = []
    for touches in persons:
        names = [touch.order_id or place for place, touch in enumerate(touches) if touch.worth is not None]
        for name in dict.fromkeys(names):
            theirs = [
                place
                for place, touch in enumerate(touches)
                if touch.worth is not None and (touch.order_id or place) == name
            ]
            at = touches[theirs[0]].at
            near = [each for each in touches[: theirs[0]] if each.worth is None and at - each.at <= DAY]
            if SINCE <= at < UNTIL and near:
                by = [each.operator_id for each in near if each.operator]
                ordered.append((by[-1] if by else None, touches[theirs[-1]].worth))
    at_once = [
        sum(1 for _, steps in talks if steps[0].at <= at and open_after([each for each in steps if each.at <= at]))
        for at in range(SINCE, UNTIL, DAY // 24)
    ]
    return {
        "opened": len(mine),
        "waits": sorted(waits),
        "works": sorted(works),
        "ends": sorted(ends),
        "ends_by": ends_by,
        "reopened": reopened,
        "ratings": ratings,
        "ordered": ordered,
        "most": max(at_once, default=0),
        "parts": [
            step.author_id
            for _, steps in talks
            for step in steps
            if is_said(step, "operator") and SINCE <= step.at < UNTIL
        ],
    }


@settings(max_examples=300, deadline=None)
@given(TALKS, PERSONS)
def test_the_numbers_are_those_of_the_slow_way(talks: Any, persons: Any) -> None:
    told, wanted = report(talks, persons)["totals"], slowly(talks, persons)
    for name in ("opened", "reopened"):
        assert told[name] == wanted[name]
    assert told["answered"] == len(wanted["waits"])
    assert told["closed"] == len(wanted["ends"])
    assert told["parts"] == len(wanted["parts"])
    for name, values in (("first_response", wanted["waits"]), ("resolution", wanted["ends"])):
        assert told[name]["median"] == (round(median(values), 3) if values else None)
        ranked = values[-(-len(values) * 9 // 10) - 1] if values else None
        assert told[name]["p90"] == (round(ranked, 3) if ranked is not None else None)
    works = wanted["works"]
    assert told["first_response"]["working"]["median"] == (round(median(works), 3) if works else None)
    assert told["ratings"]["count"] == len(wanted["ratings"])
    assert told["ratings"]["values"]["5"] == wanted["ratings"].count(5)
    assert told["orders"] == len(wanted["ordered"])
    assert told["revenue"] == sum((worth for _, worth in wanted["ordered"]), Decimal(0))
    assert told["open"]["most"] == wanted["most"]


@settings(max_examples=100, deadline=None)
@given(TALKS, PERSONS, st.sampled_from(["day", "operator", "department"]))
def test_the_rows_add_up_to_the_totals_and_name_who_it_was(talks: Any, persons: Any, by: str) -> None:
    told = report(talks, persons, by)
    assert {name: told["totals"][name] for name in ("opened", "parts")} == {
        name: sum(row[name] for row in told["rows"]) for name in ("opened", "parts")
    }
    for name in ("answered", "closed", "reopened", "orders", "revenue"):
        assert told["totals"][name] == sum(row[name] for row in told["rows"]), name
    assert told["totals"]["ratings"]["count"] == sum(row["ratings"]["count"] for row in told["rows"])
    if by == "operator":
        wanted = slowly(talks, persons)
        for row in told["rows"]:
            who = row["operator"]
            assert row["parts"] == wanted["parts"].count(who)
            assert row["closed"] == wanted["ends_by"].count(who)
            assert row["revenue"] == sum((worth for each, worth in wanted["ordered"] if each == who), Decimal(0))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20 * DAY), st.integers(0, 20 * DAY)), max_size=8))
def test_the_working_clock_says_what_the_hours_say(spans: list[tuple[int, int]]) -> None:
    closed = Hours()
    for each in (OFFICE, ALWAYS, closed):
        clock = WorkingClock(each)
        for begin, end in spans:
            wanted = each.working_time_between(moment(begin), moment(end))
            assert timedelta(microseconds=clock.between(begin, end)) == wanted


def test_a_spread_is_a_median_and_a_ninth_decile() -> None:

    assert spread(array("q")) == {"median": None, "p90": None}
    assert spread(array("q", [2_000_000, 1_000_000])) == {"median": 1.5, "p90": 2.0}
    assert spread(array("q", [each * 1_000_000 for each in range(1, 11)])) == {"median": 5.5, "p90": 9.0}


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/New_York"])
def test_a_day_is_one_of_the_sites_calendar(zone: str) -> None:

    made = DeskReport(moment(0), moment(9 * DAY), zone_of(zone), lambda _: WorkingClock(ALWAYS), WINDOW, "day")
    late = 3 * DAY + 23 * DAY // 24
    made.take(late, None, iter([Step(late, "visitor", None, "message")]))
    [row] = made.numbers()["rows"]
    assert row["day"] == moment(late).astimezone(zone_of(zone)).date().isoformat()
    assert date.fromisoformat(row["day"])
