"""Conditions: a table of cases, and the compiled functions against a naive interpreter of the same JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.condition import HistoryNeeded, Moment, compile_condition, needed_history, parse_condition
from backend.domain.condition.values import read_time
from backend.domain.event import Event
from backend.domain.profile import Cart, Profile
from backend.schemas.documents import decode_profile

TABLE = json.loads((Path(__file__).parents[1] / "cases" / "conditions.json").read_text(encoding="utf-8"))
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Events:
    """A history that is at hand."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.moment)

    def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
        return [event for event in self.events if event.name == name]


def read_event(doc: Mapping[str, Any]) -> Event:
    times = {name: datetime.fromisoformat(doc.get(name, doc["timestamp"])) for name in ("timestamp", "received_at")}
    usual = {"message_id": f"m{doc.get('order')}", "type": "track"}
    return Event(**{**usual, **doc, **times})


def asked(case: Mapping[str, Any]) -> Moment:
    event = case.get("event", TABLE["event"])
    entered = case.get("entered")
    return Moment(
        profile=decode_profile(json.dumps(TABLE["profile"])),
        at=datetime.fromisoformat(TABLE["at"]),
        event=None if event is None else read_event(event),
        entered=(datetime.fromisoformat(entered[0]), entered[1]) if entered else None,
        history=Events([read_event(each) for each in TABLE["history"]]),
    )


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["case"])
def test_the_table_of_conditions_holds(case: Mapping[str, Any]) -> None:
    test = compile_condition(parse_condition(case["condition"]))
    assert test(asked(case)) is case["expected"]


def test_the_table_is_long_and_no_case_stands_in_it_twice() -> None:
    names = [case["case"] for case in TABLE["cases"]]
    assert len(names) >= 150
    assert len(set(names)) == len(names)


def profile(**facts: Any) -> Profile:
    return Profile(**{"id": "v", "site_id": "s", **facts})


def event(name: str = "A", seconds: int = 0, order: int = 0, **properties: Any) -> Event:
    at = NOON + timedelta(seconds=seconds)
    return Event(
        message_id=f"{name}{seconds}",
        name=name,
        type="track",
        timestamp=at,
        received_at=at,
        order=order,
        properties=properties,
    )


@pytest.mark.parametrize(
    "condition",
    [
        {"performed": "A"},
        {"performed": "A", "count": {"op": "between", "value": [1, 9]}},
        {"performed": "A", "within": "1h"},
        {"performed": "B", "where": {"field": "event.type", "op": "is_set"}, "count": {"op": "eq", "value": 0}},
        {"performed": "old", "within": "1h", "count": {"op": "eq", "value": 0}},
        {"not": {"performed": "old", "since": "entry"}},
        {"performed": "A", "since": "entry", "within": "1h"},
    ],
)
def test_what_the_profile_tells_exactly_needs_no_history(condition: dict[str, Any]) -> None:
    known = profile(
        counts={"A": 2, "old": 5}, last_at={"A": NOON - timedelta(minutes=1), "old": NOON - timedelta(days=9)}
    )
    moment = Moment(profile=known, at=NOON, entered=(NOON - timedelta(minutes=5), 3))
    assert compile_condition(parse_condition(condition))(moment) is True


@pytest.mark.parametrize(
    "more",
    [
        {"where": {"field": "event.type", "op": "is_set"}},
        {"within": "1h", "count": {"op": "gte", "value": 2}},
        {"since": "entry", "count": {"op": "gte", "value": 2}},
    ],
)
def test_whoever_needs_the_history_says_of_which_event(more: dict[str, Any]) -> None:
    known = profile(counts={"A": 2}, last_at={"A": NOON})
    condition = parse_condition({"all": [{"performed": "A", **more}]})
    with pytest.raises(HistoryNeeded) as needed:
        compile_condition(condition)(Moment(profile=known, at=NOON, entered=(NOON - timedelta(1), 0)))
    assert needed.value.name == "A"
    assert needed_history(condition) == {"A"}


def test_a_profile_that_has_seen_a_later_event_does_not_answer_for_an_earlier_moment() -> None:
    known = profile(counts={"A": 1}, last_at={"A": NOON + timedelta(seconds=1)})
    test = compile_condition(parse_condition({"performed": "A", "within": "1h"}))
    with pytest.raises(HistoryNeeded):
        test(Moment(profile=known, at=NOON))
    assert test(Moment(profile=known, at=NOON, history=Events([event(seconds=1)]))) is False


def test_needed_history_names_what_stands_inside_where_too() -> None:
    condition = parse_condition(
        {
            "any": [
                {"performed": "plain"},
                {"performed": "window", "within": "1d"},
                {"not": {"performed": "outer", "where": {"performed": "inner", "since": "entry"}}},
            ]
        }
    )
    assert needed_history(condition) == {"window", "outer", "inner"}
    assert needed_history(condition, usually=True) == {"outer", "inner"}
    assert needed_history(None) == frozenset()


def test_lone_surrogates_neither_match_nor_hurt() -> None:
    broken = Moment(profile=profile(), at=NOON, event=event(text="a\ud800b"))
    for op, value in (("regex", "^a.b$"), ("glob", "a*b"), ("contains", "a"), ("before", "2025-01-01")):
        test = compile_condition(parse_condition({"field": "event.properties.text", "op": op, "value": value}))
        assert test(broken) in (True, False)


# --- against a naive interpreter -------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 0.5, -2.5]),
    st.sampled_from(
        ["", "a", "ab", "b", "1", "true", "2025-03-01", "2025-03-01T00:00:00Z", "2025-03-01T02:00:00+02:00"]
    ),
)
VALUES = st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("xy"), SCALARS))
FACTS = st.dictionaries(st.sampled_from("pqr"), VALUES, max_size=3)
FIELDS = st.sampled_from(
    [
        *(f"event.properties.{key}" for key in ("p", "q", "p.x", "q.0", "r.1")),
        *("profile.traits.p", "profile.traits.q.x", "profile.cart.total", "profile.stage", "profile.last_seen"),
        *("event.name", "event.timestamp"),
    ]
)
NUMBERS, TEXTS = st.sampled_from([-1, 0, 1, 2.5]), st.sampled_from(["", "a", "ab", "b", "1", "2025-03-01"])
PAIRS = st.one_of(*(st.lists(kind, min_size=2, max_size=2).map(sorted) for kind in (NUMBERS, TEXTS)))
TIMES = st.sampled_from(["2025-03-01", "2025-03-01T12:00:00Z", "2025-02-28T23:00:00-01:00"])
COMPARISONS = st.one_of(
    st.tuples(FIELDS, st.sampled_from(["eq", "ne", "contains", "not_contains"]), SCALARS),
    st.tuples(FIELDS, st.sampled_from(["gt", "gte", "lt", "lte"]), st.one_of(NUMBERS, TEXTS)),
    st.tuples(FIELDS, st.just("between"), PAIRS),
    st.tuples(FIELDS, st.sampled_from(["in", "not_in"]), st.lists(SCALARS, min_size=1, max_size=4)),
    st.tuples(FIELDS, st.sampled_from(["starts_with", "ends_with"]), TEXTS),
    st.tuples(FIELDS, st.just("glob"), st.text("ab*?[!]", min_size=1, max_size=5).filter(lambda text: "[" not in text)),
    st.tuples(FIELDS, st.sampled_from(["before", "after"]), TIMES),
    st.tuples(FIELDS, st.sampled_from(["is_set", "is_not_set"]), st.none()),
).map(lambda parts: {"field": parts[0], "op": parts[1], "value": parts[2]})
COUNTS = st.one_of(
    st.builds(
        lambda op, n: {"op": op, "value": n}, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), st.integers(0, 3)
    ),
    st.just({"op": "between", "value": [1, 2]}),
)


def performed(where: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"performed": st.sampled_from("AB")},
        optional={
            "where": where,
            "count": COUNTS,
            "within": st.sampled_from(["1s", "2s", "10s"]),
            "since": st.just("entry"),
        },
    )


CONDITIONS = st.recursive(
    st.one_of(COMPARISONS, performed(COMPARISONS)),
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=5).map(lambda parts: {"all": parts}),
        st.lists(below, min_size=1, max_size=5).map(lambda parts: {"any": parts}),
        below.map(lambda part: {"not": part}),
        performed(below),
    ),
    max_leaves=8,
)


def look_up(field: str, moment: Moment) -> Any:
    """What a field path means, step by step."""
    root, *parts = field.split(".")
    value: Any = getattr(moment, root)
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list | tuple):
            value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
        else:
            value = getattr(value, part, None) if isinstance(value, Event | Profile | Cart) else None
    return float(value) if isinstance(value, Decimal) else value


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else type(value).__name__


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, datetime):
        return isinstance(other, str) and read_time(other) == one
    return kind(one) == kind(other) and bool(one == other)


def compare(op: str, found: Any, value: Any) -> bool:
    """What an operator means, by cases."""
    if op in ("ne", "not_in", "not_contains", "is_not_set"):
        return not compare({"ne": "eq", "is_not_set": "is_set"}.get(op, op.removeprefix("not_")), found, value)
    if found is None:
        return False
    match op:
        case "is_set":
            return True
        case "eq":
            return equal(found, value)
        case "in":
            return any(equal(found, each) for each in value)
        case "contains":
            if isinstance(found, str):
                return isinstance(value, str) and value in found
            return isinstance(found, list) and any(equal(each, value) for each in found)
        case "between":
            return compare("gte", found, value[0]) and compare("lte", found, value[1])
        case "before" | "after":
            moment, limit = read_time(found), read_time(value)
            return moment is not None and limit is not None and (moment < limit if op == "before" else moment > limit)
        case "starts_with" | "ends_with":
            return isinstance(found, str) and getattr(found, op.replace("_", ""))(value)
        case "glob":
            return isinstance(found, str) and fnmatchcase(found, value)
    if isinstance(found, datetime):
        found, value = found, read_time(value) if isinstance(value, str) else None
        if value is None:
            return False
    elif kind(found) != kind(value) or kind(found) not in ("number", "str"):
        return False
    return {"gt": found > value, "gte": found >= value, "lt": found < value, "lte": found <= value}[op]


def interpret(doc: Mapping[str, Any], moment: Moment) -> bool:
    """What a condition means, read straight from its JSON."""
    if "all" in doc:
        return all(interpret(part, moment) for part in doc["all"])
    if "any" in doc:
        return any(interpret(part, moment) for part in doc["any"])
    if "not" in doc:
        return not interpret(doc["not"], moment)
    if "field" in doc:
        return compare(doc["op"], look_up(doc["field"], moment), doc["value"])
    found = 0
    for counted in moment.history.of(doc["performed"]):
        within = timedelta(seconds=int(doc["within"][:-1])) if "within" in doc else None
        inside = within is None or moment.at - within < counted.timestamp <= moment.at
        since = "since" not in doc or (moment.entered is not None and counted.moment > moment.entered)
        there = Moment(
            profile=moment.profile, at=moment.at, event=counted, entered=moment.entered, history=moment.history
        )
        found += inside and since and ("where" not in doc or interpret(doc["where"], there))
    count = doc.get("count", {"op": "gte", "value": 1})
    return compare(count["op"], found, count["value"])


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    past = [
        event(draw(st.sampled_from("AB")), -seconds, order, **draw(FACTS))
        for order, seconds in enumerate(sorted(draw(st.lists(st.integers(0, 12), max_size=5)), reverse=True))
    ]
    here = event("A", 0, 99, **draw(FACTS)) if draw(st.booleans()) else None
    everything = [*past, *([here] if here else [])]
    counts = {name: sum(each.name == name for each in everything) for name in "AB"}
    return Moment(
        profile=profile(
            traits=draw(FACTS),
            stage=draw(st.sampled_from(["a", "ab"])),
            cart=Cart(total=Decimal(draw(st.sampled_from(["0", "1", "2.5"])))),
            last_seen=draw(st.sampled_from([None, NOON])),
            counts={name: n for name, n in counts.items() if n},
            last_at={each.name: each.timestamp for each in everything},
        ),
        at=NOON,
        event=here,
        entered=draw(
            st.one_of(st.none(), st.sampled_from([each.moment for each in everything]) if everything else st.none())
        ),
        history=Events(everything),
    )


@given(CONDITIONS, moments())
def test_the_compiled_function_means_what_a_naive_interpreter_reads(doc: dict[str, Any], moment: Moment) -> None:
    assert compile_condition(parse_condition(doc))(moment) is interpret(doc, moment)
