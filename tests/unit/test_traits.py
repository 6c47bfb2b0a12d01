"""Traits change by operations, and what they are depends on when these happened, not on when they arrived."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.event import SIGNAL, Event
from backend.domain.fold import fold
from backend.domain.merge import merge
from backend.domain.profile import Profile
from backend.domain.trait import CHANGED, LOGS_KEPT, LONGEST_LIST, OPERATIONS_KEPT
from backend.schemas.documents import decode_profile, encode_profile
from tests.story import NOON, Story, rule, sent

NOBODY = Profile(id="v", site_id="s", person="v")


def told(minute: float, traits: dict[str, Any], order: int | None = None) -> Event:
    moment = NOON + timedelta(minutes=minute)
    number = int(minute * 1000) if order is None else order
    return Event(
        message_id=f"m{number}",
        name="Identify",
        type="identify",
        timestamp=moment,
        received_at=moment,
        order=number,
        anonymous_id="ann",
        traits=traits,
    )


def folded(events: Any, profile: Profile = NOBODY) -> Profile:
    for event in events:
        profile = decode_profile(encode_profile(fold(profile, event)))
    return profile


def traits(*said: dict[str, Any]) -> Any:
    return folded(told(minute, each) for minute, each in enumerate(said)).traits


def test_each_operation_does_what_its_name_says() -> None:
    assert traits({"plan": "free"}, {"$set": {"plan": "pro"}}) == {"plan": "pro"}
    assert traits({"$set_once": {"first": "a"}}, {"$set_once": {"first": "b"}}) == {"first": "a"}
    assert traits({"n": 1}, {"$add": {"n": 2}}, {"$subtract": {"n": 5}}) == {"n": -2}
    assert traits({"$append": {"tags": "a"}}, {"$append": {"tags": ["b", "a"]}}) == {"tags": ["a", "b", "a"]}
    assert traits({"tags": ["a", "b", "a", 1, True]}, {"$remove": {"tags": ["a", 1]}}) == {"tags": ["b", True]}
    assert traits({"a": 1, "b": 2, "c": 3}, {"$unset": ["a"]}, {"$unset": "b"}, {"$unset": {"c": ""}}) == {}
    assert traits({"n": 1}, {"$unset": ["n"]}, {"$add": {"n": 2}}) == {"n": 2}


def test_in_one_event_operations_are_applied_in_their_order() -> None:
    assert traits({"$add": {"n": 2}, "n": 1, "$unset": ["m"], "m": 1}) == {"n": 3}


def test_amounts_are_exact_decimals_and_conditions_get_numbers() -> None:
    assert traits({"$add": {"n": 0.1}}, {"$add": {"n": "0.2"}}) == {"n": 0.3}
    assert traits(*[{"$add": {"n": "0.01"}}] * 1000) == {"n": 10}
    assert traits({"balance": "10.10"}, {"$subtract": {"balance": "0.20"}}) == {"balance": "9.90"}
    assert isinstance(traits({"$add": {"n": "1.50"}}, {"$add": {"n": 0.5}})["n"], int)


@pytest.mark.parametrize("value", ["much", None, True, {"a": 1}, [1], "NaN", "1e400", float("inf")])
def test_what_is_no_amount_adds_nothing(value: Any) -> None:
    assert traits({"n": 5}, {"$add": {"n": value}}, {"$add": {"n": 1}}) == {"n": 6}


@pytest.mark.parametrize("value", ["gold", True, [1], {"a": 1}])
def test_what_has_no_meaning_for_a_value_leaves_it(value: Any) -> None:
    assert traits({"x": value}, {"$add": {"x": 1}}) == {"x": value}
    if not isinstance(value, list):
        assert traits({"x": value}, {"$append": {"x": 1}}, {"$remove": {"x": 1}}) == {"x": value}


@pytest.mark.parametrize("value", [3, "x", None, [["a"]], True])
def test_an_operation_that_is_no_object_does_nothing(value: Any) -> None:
    assert traits({"$add": value, "$set": value, "$unset": value, "a": 1}) == {"a": 1}


def test_a_late_set_becomes_what_later_additions_add_to() -> None:
    add_first = folded([told(2, {"$add": {"n": 5}}), told(1, {"n": 100})])
    assert add_first.traits == {"n": 105}
    assert folded([told(2, {"n": 100}), told(1, {"$add": {"n": 5}})]).traits == {"n": 100}
    # An unset that comes late lets the value that was offered after it be the first.
    assert folded([told(1, {"n": 1}), told(3, {"$set_once": {"n": 3}}), told(2, {"$unset": ["n"]})]).traits == {"n": 3}


def test_what_is_too_large_or_too_deep_is_not_taken() -> None:
    deep: Any = 1
    for _ in range(8):
        deep = {"a": deep}
    assert traits({"a": 1}, {"a": deep, "b": 2}) == {"a": 1, "b": 2}
    assert traits({"$set_once": {"a": deep}}, {"$append": {"b": list(range(LONGEST_LIST + 1))}}) == {}
    assert traits({"a": [[0] * 200] * 6}) == {}
    many = traits(*({"$append": {"tags": [n] * 100}} for n in range(4)))["tags"]
    assert len(many) == LONGEST_LIST
    assert many[-1] == 3
    whole = folded(told(n, {"$add": {f"n{n % 80}": 1}}) for n in range(800))
    assert len(whole.trait_logs) == LOGS_KEPT
    assert all(len(each.operations) <= OPERATIONS_KEPT for each in whole.trait_logs.values())
    assert whole.traits == {f"n{n}": 10 for n in range(80)}


def model(events: list[Event]) -> dict[str, Any]:
    """What it comes to where everything arrives in order: the plainest way to say it."""
    found: dict[str, Any] = {}
    for event in sorted(events, key=lambda each: each.moment):
        for name, value in event.traits.items():
            if not name.startswith("$"):
                found[name] = value
        for name, value in event.traits.get("$set", {}).items():
            found[name] = value
        for name, value in event.traits.get("$set_once", {}).items():
            found[name] = found.get(name) if found.get(name) is not None else value
        for sign, key in ((1, "$add"), (-1, "$subtract")):
            for name, value in event.traits.get(key, {}).items():
                if not isinstance(found.get(name), list):
                    found[name] = (found.get(name) or Decimal(0)) + sign * Decimal(value)
        for name, value in event.traits.get("$append", {}).items():
            if found.get(name) is None or isinstance(found[name], list):
                found[name] = [*(found.get(name) or []), value]
        for name, value in event.traits.get("$remove", {}).items():
            if isinstance(found.get(name), list):
                found[name] = [each for each in found[name] if each != value]
        for name in event.traits.get("$unset", []):
            found[name] = None
    plain = {name: float(value) if isinstance(value, Decimal) else value for name, value in found.items()}
    return {name: value for name, value in plain.items() if value is not None}


trait_names = st.sampled_from(["n", "m"])
amounts = st.sampled_from(["1", "0.1", "-2.5", "10"])
operations = st.one_of(
    st.dictionaries(trait_names, st.integers(0, 9), min_size=1, max_size=2),
    st.fixed_dictionaries({"$set": st.dictionaries(trait_names, st.integers(0, 9), min_size=1)}),
    st.fixed_dictionaries({"$set_once": st.dictionaries(trait_names, st.integers(0, 9), min_size=1)}),
    st.fixed_dictionaries({"$add": st.dictionaries(trait_names, amounts, min_size=1)}),
    st.fixed_dictionaries({"$subtract": st.dictionaries(trait_names, amounts, min_size=1)}),
    st.fixed_dictionaries({"$unset": st.lists(trait_names, min_size=1, max_size=1)}),
    st.fixed_dictionaries({"$append": st.dictionaries(st.just("l"), st.integers(0, 3), min_size=1)}),
    st.fixed_dictionaries({"$remove": st.dictionaries(st.just("l"), st.integers(0, 3), min_size=1)}),
    st.fixed_dictionaries({"$add": st.dictionaries(st.just("l"), amounts, min_size=1)}),
    st.fixed_dictionaries({"$unset": st.just(["l"])}),
    st.fixed_dictionaries({"$set": st.just({"n": 1}), "$add": st.just({"n": "2"}), "$unset": st.just(["m"])}),
)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.lists(operations, max_size=OPERATIONS_KEPT))
def test_every_shuffle_of_the_same_events_and_every_merge_comes_to_the_same(data: Any, said: list[Any]) -> None:
    events = [told(minute, each) for minute, each in enumerate(said)]
    wanted = model(events)
    shuffled = data.draw(st.permutations(events))
    cut = data.draw(st.integers(0, len(events)))
    assert folded(shuffled).traits == wanted
    joined = merge(folded(shuffled[:cut]), folded(shuffled[cut:], replace(NOBODY, id="w")))
    assert joined.traits == wanted
    # And what comes after the merge is as good.
    later = told(len(said), {"$add": {"n": 1}, "$append": {"l": 9}})
    late = told(-1, {"$set_once": {"n": 77}})
    assert folded([later, late], joined).traits == model([*events, later, late])


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(amounts, min_size=OPERATIONS_KEPT, max_size=80))
def test_however_many_additions_there_are_their_sum_is_exact_in_every_order(random: Any, told_: list[str]) -> None:
    events = [told(minute, {"$add": {"n": each}}) for minute, each in enumerate(told_)]
    random.shuffle(events)
    wanted = float(sum(map(Decimal, told_)))
    assert folded(events).traits["n"] == pytest.approx(wanted, abs=0)
    cut = random.randrange(len(events))
    assert merge(folded(events[:cut]), folded(events[cut:], replace(NOBODY, id="w"))).traits["n"] == wanted


def test_operations_at_one_moment_are_applied_in_order_of_arrival() -> None:
    events = [told(1, {"n": 1}, order=1), told(1, {"$add": {"n": 5}}, order=2), told(1, {"$add": {"n": 7}}, order=3)]
    assert {folded(each).traits["n"] for each in permutations(events) if each.index(events[0]) == 0} == {13}


def test_a_signal_changes_traits_and_is_no_visit() -> None:
    story = Story([rule("rich", {"trait": "points", "to": 15})])
    story.told(0, points=10)
    story.event(5, name=CHANGED, type=SIGNAL, properties={"$add": {"points": 5}})
    result = story.run(60)
    assert sent(result) == [("rich", 5)]
    assert result.profile.last_seen == NOON
    assert CHANGED not in result.profile.counts


def test_traits_told_by_any_event_may_hold_operations() -> None:
    story = Story([])
    story.event(0, name="Played", type="track", context={"traits": {"$add": {"rounds": 1}}})
    story.event(
        1, name="Played", type="track", context={"traits": {"$add": {"rounds": 1}, "$set_once": {"email": "A@b.c"}}}
    )
    profile = story.run(9).profile
    assert profile.traits == {"rounds": 2, "email": "A@b.c"}
    assert [each.value for each in profile.identifiers if each.kind == "email"] == ["a@b.c"]


def test_unchanged_for_sees_what_operations_and_the_api_have_changed() -> None:
    condition = {"field": "profile.traits.plan", "op": "unchanged_for", "value": "30m"}
    for change in ({"$set": {"plan": "free"}}, {"$append": {"plan": 1}, "$unset": ["plan"]}):
        story = Story([rule("same", "Asked", audience=condition)])
        story.told(0, plan="pro")
        story.event(40, name="Identify", type="identify", traits=change)
        story.event(41, name="Identify", type="identify", traits={"$set": {"plan": "pro"}})
        story.did("Asked", 60)
        story.did("Asked", 80)
        assert sent(story.run(90)) == [("same", 80)]
    story = Story([rule("same", "Asked", audience=condition)])
    story.told(0, plan="pro")
    story.event(40, name=CHANGED, type=SIGNAL, properties={"$set": {"plan": "free"}})
    story.event(41, name=CHANGED, type=SIGNAL, properties={"$set": {"plan": "pro"}})
    story.did("Asked", 60)
    story.did("Asked", 80)
    assert sent(story.run(90)) == [("same", 80)]
    story = Story([rule("same", "Asked", audience=condition)])
    story.told(0, plan="pro")
    story.event(40, name=CHANGED, type=SIGNAL, properties={"$set": {"plan": "pro"}})
    story.did("Asked", 60)
    assert sent(story.run(90)) == [("same", 60)]  # to be told it again is no change
