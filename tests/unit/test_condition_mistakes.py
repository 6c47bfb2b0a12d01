"""Conditions that cannot work: each mistake is told with its path and a sentence, all of them at once."""

from typing import Any

import pytest

from backend.domain.condition import parse_condition
from backend.domain.mistakes import RuleErrors

NAME = "event.properties.name"
FINE = {"field": NAME, "op": "is_set"}


def mistakes(doc: object, **kwargs: Any) -> dict[str, Any]:
    with pytest.raises(RuleErrors) as caught:
        parse_condition(doc, ("audience",), **kwargs)
    errors: dict[str, Any] = caught.value.errors
    return errors


def at(errors: Any, path: str) -> str:
    for key in path.split("."):
        errors = errors[key]
    assert len(errors) == 1
    return str(errors[0])


def nested(depth: int) -> dict[str, Any]:
    doc: dict[str, Any] = FINE
    for _ in range(depth - 1):
        doc = {"not": doc}
    return doc


def test_the_path_of_a_mistake_reads_as_the_contract_shows_it() -> None:
    doc = {"all": [FINE, {"field": NAME, "op": "equals", "value": "x"}]}
    assert mistakes(doc) == {
        "audience": {"all": {"1": {"op": ['Unknown operator "equals". Did you mean "eq"?']}}},
    }


def test_all_mistakes_are_told_at_once() -> None:
    doc = {
        "any": [
            {"field": "evnt.name", "op": "eq", "value": 1},
            {"not": {"field": NAME, "op": "in", "value": []}},
            {"performed": "", "within": "1 day", "count": {"op": "many", "value": -1}, "since": "trigger"},
            7,
        ]
    }
    found = mistakes(doc)["audience"]["any"]
    assert sorted(found) == ["0", "1", "2", "3"]
    assert list(found["1"]["not"]) == ["value"]
    assert sorted(found["2"]) == ["count", "performed", "since", "within"]


@pytest.mark.parametrize(
    ("doc", "path", "sentence"),
    [
        (None, "audience", "A condition is an object"),
        ("x", "audience", "A condition is an object"),
        ({}, "audience", "A condition has one of"),
        ({"al": []}, "audience", 'Did you mean "all"?'),
        ({"all": {}}, "audience.all", "a list"),
        ({"any": []}, "audience.any", "never true"),
        ({"all": [FINE], "any": [FINE]}, "audience", "not both"),
        ({"all": [FINE], "anny": 1}, "audience.anny", 'Did you mean "any"?|Unknown key'),
        ({"field": NAME, "op": "is_set", "vlaue": 1}, "audience.vlaue", 'Did you mean "value"?'),
        ({"not": []}, "audience.not", "A condition is an object"),
        ({"segment": 7}, "audience.segment", "Expected the id or the name of a segment."),
        ({"field": NAME}, "audience.op", "needs an operator"),
        ({"field": NAME, "op": ["eq"], "value": 1}, "audience.op", "Unknown operator"),
        ({"field": NAME, "op": "EQ", "value": 1}, "audience.op", 'Did you mean "eq"?'),
        ({"field": NAME, "op": "start_with", "value": "a"}, "audience.op", 'Did you mean "starts_with"?'),
        ({"field": NAME, "op": "eq"}, "audience.value", "needs a value"),
        ({"field": NAME, "op": "eq", "value": None}, "audience.value", "is_set or is_not_set"),
        ({"field": NAME, "op": "eq", "value": {}}, "audience.value", "Expected text"),
        ({"field": NAME, "op": "eq", "value": float("nan")}, "audience.value", "finite"),
        ({"field": NAME, "op": "gt", "value": True}, "audience.value", "Expected a number"),
        ({"field": NAME, "op": "between", "value": [2, 1]}, "audience.value", "greater than the second"),
        ({"field": NAME, "op": "between", "value": ["2025-02-02", "2025-02-01"]}, "audience.value", "greater than"),
        ({"field": NAME, "op": "between", "value": [1]}, "audience.value", "two values"),
        ({"field": NAME, "op": "between", "value": [1, "2"]}, "audience.value", "not one of each"),
        ({"field": NAME, "op": "in", "value": "x"}, "audience.value", "a list"),
        ({"field": NAME, "op": "in", "value": []}, "audience.value", "at least one"),
        ({"field": NAME, "op": "in", "value": [[1]]}, "audience.value", "Expected text"),
        ({"field": NAME, "op": "not_in", "value": list(range(1001))}, "audience.value", "at most 1000"),
        ({"field": NAME, "op": "starts_with", "value": 1}, "audience.value", "Expected text"),
        ({"field": NAME, "op": "regex", "value": "(a"}, "audience.value", "missing )"),
        ({"field": NAME, "op": "regex", "value": r"(a)\1"}, "audience.value", "RE2"),
        ({"field": NAME, "op": "regex", "value": "(?=a)"}, "audience.value", "RE2"),
        ({"field": NAME, "op": "regex", "value": "((a{100}){100}){100}"}, "audience.value", "RE2"),
        ({"field": NAME, "op": "regex", "value": "a" * 501}, "audience.value", "at most 500"),
        ({"field": NAME, "op": "glob", "value": "*" * 501}, "audience.value", "at most 500"),
        ({"field": NAME, "op": "regex", "value": "\ud800"}, "audience.value", "surrogate"),
        ({"field": NAME, "op": "is_set", "value": "x"}, "audience.value", "takes no value"),
        ({"field": NAME, "op": "before", "value": "tomorrow"}, "audience.value", "Expected a time"),
        ({"field": NAME, "op": "after", "value": "2025-01-01T10:00:00"}, "audience.value", "with its zone"),
        ({"field": NAME, "op": "after", "value": 1740830400}, "audience.value", "Expected a time"),
        ({"field": "", "op": "is_set"}, "audience.field", "A field is a path"),
        ({"field": "properties.x", "op": "is_set"}, "audience.field", "starts with event., profile. or site."),
        ({"field": "event", "op": "is_set"}, "audience.field", "Unknown field"),
        ({"field": "event.propertys.x", "op": "is_set"}, "audience.field", 'Did you mean "properties"?'),
        ({"field": "profile.trait.x", "op": "is_set"}, "audience.field", 'Did you mean "traits"?'),
        ({"field": "profile.cart.totl", "op": "is_set"}, "audience.field", 'Did you mean "total"?'),
        ({"field": "profile.cart.items.first", "op": "is_set"}, "audience.field", "position"),
        ({"field": "profile.stage.name", "op": "is_set"}, "audience.field", "nothing below"),
        ({"field": "profile.trait_times.x", "op": "is_set"}, "audience.field", "Unknown field"),
        ({"field": "event.properties..x", "op": "is_set"}, "audience.field", "empty part"),
        ({"field": "event.__class__", "op": "is_set"}, "audience.field", "Unknown field"),
        ({"field": "profile.cart.__class__", "op": "is_set"}, "audience.field", "Unknown field"),
        ({"field": "event.properties." + "x" * 500, "op": "is_set"}, "audience.field", "at most 500"),
        ({"performed": 5}, "audience.performed", "name of an event"),
        ({"performed": "A", "within": "0s"}, "audience.within", "longer than nothing"),
        ({"performed": "A", "within": "1w"}, "audience.within", "30s, 15m, 2h or 7d"),
        ({"performed": "A", "within": "999999999d"}, "audience.within", "at most 3660d"),
        ({"performed": "A", "count": 3}, "audience.count", "A count is an object"),
        ({"performed": "A", "count": {"op": "in", "value": [1]}}, "audience.count.op", "Unknown operator"),
        ({"performed": "A", "count": {"value": 1.5}}, "audience.count.value", "whole number"),
        ({"performed": "A", "count": {"value": True}}, "audience.count.value", "whole number"),
        ({"performed": "A", "count": {"op": "between", "value": [3, 1]}}, "audience.count.value", "greater than"),
        ({"performed": "A", "count": {"op": "gte", "value": 1, "of": 2}}, "audience.count.of", "Unknown key"),
        ({"performed": "A", "where": {"field": "x", "op": "is_set"}}, "audience.where.field", "Unknown field"),
    ],
)
def test_a_condition_that_cannot_work_is_refused_with_its_place(doc: object, path: str, sentence: str) -> None:
    told = at(mistakes(doc), path)
    assert any(part in told for part in sentence.split("|")), told


def test_there_is_no_entry_yet_where_the_trigger_is_checked() -> None:
    doc = {"performed": "A", "since": "entry"}
    assert "no entry yet" in at(mistakes(doc, entered=False), "audience.since")


def test_conditions_nest_ten_deep_and_no_deeper() -> None:
    parse_condition(nested(10))
    assert "at most 10 deep" in at(mistakes(nested(11)), "audience" + ".not" * 10)
    deep_where: dict[str, Any] = FINE
    for _ in range(10):
        deep_where = {"performed": "A", "where": deep_where}
    mistakes(deep_where)


def test_a_condition_nested_a_thousand_deep_is_a_mistake_like_any_other() -> None:
    assert "Too deep" in str(mistakes(nested(1000)))
    wide: dict[str, Any] = FINE
    for _ in range(1000):
        wide = {"all": [wide], "any": [wide]}
    assert mistakes(wide)


def test_a_tree_holds_a_hundred_parts_and_no_more() -> None:
    parse_condition({"all": [FINE] * 99})
    assert "at most 100" in str(mistakes({"all": [FINE] * 100}))
    assert str(mistakes({"any": [{"all": [FINE] * 9}] * 10_000})).count("at most 100") == 1


def test_a_mistake_of_a_whole_and_one_of_its_part_stand_side_by_side() -> None:
    found = mistakes({"count": 1, "performed": "A", "where": 1, "within": 1})
    assert sorted(found["audience"]) == ["count", "where", "within"]


def test_absurd_keys_are_told_short() -> None:
    assert len(str(mistakes({**FINE, "x" * 100_000: 1, **{str(n): 1 for n in range(1000)}}))) < 5_000
