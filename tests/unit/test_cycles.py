"""Rules that start one another: which circles are found, refused, or only told of."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.engine.walk import MOST_HOPS
from backend.domain.rule import Rule
from backend.domain.rule.cycles import Cycle, find_cycle, links_of
from tests.story import Story, outcomes, rule, saying, sent

CAPPED = {"policy": "every", "at_most": 1, "per": "7d"}


def emits(event: str, *before: Any, **properties: Any) -> list[Any]:
    return [*before, {"emit": {"event": event, "properties": properties}}]


def circle(*rules: Rule) -> Cycle | None:
    """What is found when the first of them is saved beside the others; the same whichever it is."""
    found = [find_cycle(each, [other for other in rules if other is not each]) for each in rules]
    assert len({None if each is None else each.endless for each in found}) == 1
    return found[0]


def test_events_that_rules_report_close_a_circle_which_is_named_in_order() -> None:
    found = circle(rule("a", "X", steps=emits("Y")), rule("b", "Y", steps=emits("Z")), rule("c", "Z", steps=emits("X")))
    assert found is not None
    assert found.endless
    assert found.names == ("a", "b", "c", "a")
    told = '"a" → (reports Y) "b" → (reports Z) "c" → (reports X) "a". It comes round within 0 s and nothing ends it.'
    assert str(found) == told


def test_rules_in_a_row_are_no_circle() -> None:
    assert circle(rule("a", "X", steps=emits("Y")), rule("b", "Y", steps=emits("Z")), rule("c", "Z")) is None
    assert circle(rule("a", "X"), rule("b", {"message": "sent", "rule": "a"})) is None


def test_a_circle_beside_the_rule_is_not_its_own() -> None:
    beside = [rule("a", "X", steps=emits("Y")), rule("b", "Y", steps=emits("X"))]
    assert find_cycle(rule("c", "Q", steps=emits("X")), beside) is None


def test_rules_that_are_not_active_start_nothing() -> None:
    resting = replace(rule("b", "Y", steps=emits("X")), status="paused")
    assert find_cycle(rule("a", "X", steps=emits("Y")), [resting]) is None


@pytest.mark.parametrize("moment", ["sent", "shown"])
def test_messages_close_a_circle(moment: str) -> None:
    found = circle(rule("a", {"message": moment, "rule": "b"}), rule("b", {"message": moment, "rule": "a"}))
    assert found is not None
    assert found.endless
    assert found.hows == (f"its message {moment}",) * 2


def test_a_rule_that_starts_itself_counts() -> None:
    for own in (
        rule("a", "X", steps=emits("X")),
        rule("a", {"message": "sent", "rule": "a"}),
        rule("a", {"inactive": "20m"}, steps=emits("X")),
        rule("a", {"trait": "n"}, steps=[{"set_trait": {"n": "{{ n | plus: 1 }}"}}]),
        rule("a", "Identify", steps=[{"set_trait": {"n": "{{ n | plus: 1 }}"}}]),
        rule("a", "Message Sent"),
    ):
        found = circle(own)
        assert found is not None, own
        assert found.endless, own
        assert found.names == ("a", "a")


@pytest.mark.parametrize(
    ("parts", "endless"),
    [
        pytest.param({"reentry": {"policy": "once"}}, False, id="who may enter once ends it"),
        pytest.param({"reentry": CAPPED}, True, id="a cap does not make it slow"),
        pytest.param({"reentry": CAPPED, "delay": "29s"}, True, id="29 s are too quick"),
        pytest.param({"reentry": CAPPED, "delay": "30s"}, False, id="slow and capped"),
        pytest.param({"delay": "2d"}, True, id="slow, for ever"),
        pytest.param({"reentry": {"policy": "per_key", "key": "properties.cart"}}, None, id="no key, no start"),
    ],
)
def test_what_is_slow_capped_or_ends_is_told_and_not_refused(parts: Any, endless: bool | None) -> None:
    found = circle(rule("a", "X", steps=emits("Y"), **parts), rule("b", "Y", steps=emits("X")))
    assert (None if found is None else found.endless) is endless


def test_a_key_that_is_the_same_each_time_ends_a_circle_and_one_that_is_made_up_does_not() -> None:
    keyed = {"policy": "per_key", "key": "properties.k"}
    for value, endless in ((7, False), ("const", False), ("{{ event.message_id }}", True)):
        found = circle(rule("a", "X", steps=emits("Y", k=value)), rule("b", "Y", steps=emits("X"), reentry=keyed))
        assert found is not None
        assert found.endless is endless, value


def test_conditions_on_what_is_known_of_an_event_break_a_circle() -> None:
    def where(value: Any) -> dict[str, Any]:
        return {"field": "event.properties.level", "op": "gte", "value": value}

    for level, asked, found in ((3, 3, True), (3, 4, False), ("{{ event.properties.level }}", 4, True)):
        for at in ("where", "audience"):
            trigger = {"event": "Y"} | ({"where": where(asked)} if at == "where" else {})
            b = rule("b", trigger, steps=emits("X"), **({"audience": where(asked)} if at == "audience" else {}))
            assert (circle(rule("a", "X", steps=emits("Y", level=level)), b) is not None) is found


def test_a_trait_that_everybody_sets_alike_settles() -> None:
    def sets(name: str, trait: str, other: str, value: Any) -> Rule:
        return rule(name, {"trait": trait}, steps=[{"set_trait": {other: value}}])

    alike = circle(sets("a", "x", "y", 1), sets("b", "y", "x", 1))
    assert alike is not None
    assert not alike.endless
    apart = circle(sets("a", "x", "y", 1), sets("b", "y", "x", 1), sets("c", "x", "y", 2), sets("d", "y", "x", 2))
    assert apart is not None
    assert apart.endless
    other_value = rule("b", {"trait": "y", "to": 2}, steps=[{"set_trait": {"x": "{{ n }}"}}])
    assert circle(sets("a", "x", "y", 1), other_value) is None


def test_what_takes_a_person_is_only_told() -> None:
    found = circle(rule("a", {"message": "clicked", "rule": "b"}), rule("b", {"message": "clicked", "rule": "a"}))
    assert found is not None
    assert not found.endless


def test_the_quickest_way_through_a_journey_counts() -> None:
    steps = [
        {"delay": "5m"},
        {"wait": {"events": [{"event": "Q"}], "timeout": "1h"}, "then": [], "else": emits("Y")},
        {"branch": {"if": {"performed": "Q"}, "then": [{"delay": "1h"}], "else": [{"stop": True}]}},
        {"split": [{"weight": 1, "steps": [{"delay": "2h"}]}, {"weight": 0, "steps": []}]},
        *emits("Z"),
        {"stop": True},
        *emits("never"),
    ]
    journey = rule("a", "X", steps=steps, delay="1s")
    others = [rule(name, name, reentry=CAPPED) for name in ("Y", "Z", "never")]
    links = {link.target: link.after.total_seconds() for link in links_of([journey, *others])["a"]}
    assert links == {"Y": 1 + 300 + 3600, "Z": 1 + 300 + 3600 + 7200}


POLICIES = [{"policy": "once"}, {"policy": "every"}, CAPPED]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_circle_is_found_exactly_where_one_can_be_walked(seed: int) -> None:
    """Against a search of every simple way, and the same for those that are endless."""
    chance = random.Random(seed)
    names = "ABCDEF"[: chance.randint(1, 6)]
    rules = [
        rule(
            name,
            name,
            reentry=chance.choice(POLICIES),
            delay=chance.choice(["0s", "10s", "20s", "5m"]),
            steps=[{"emit": {"event": chance.choice("ABCDEFGH")}} for _ in range(chance.randint(1, 2))],
        )
        for name in names
    ]
    start = chance.choice(rules)
    by_id = {each.id: each for each in rules}
    links = links_of(rules)

    def ways(node: str, way: tuple[str, ...], takes: float) -> Any:
        for link in links[node]:
            after = takes + link.after.total_seconds()
            if link.target == start.id:
                yield way, after
            elif link.target not in way:
                yield from ways(link.target, (*way, link.target), after)

    walked = list(ways(start.id, (start.id,), 0))
    policies = [[by_id[each].spec.reentry for each in way] for way, _ in walked]
    endless = [
        all(each.policy == "every" for each in told) and (takes < 30 or all(each.at_most is None for each in told))
        for told, (_, takes) in zip(policies, walked, strict=True)
    ]
    found = find_cycle(start, [each for each in rules if each is not start])
    assert (found is not None) == bool(walked)
    assert found is None or found.endless == any(endless)


@pytest.mark.parametrize("trigger", ["event", "message"])
def test_a_circle_that_was_not_found_is_stopped_by_the_hops(trigger: str) -> None:
    if trigger == "event":
        rules = [rule("a", "X", steps=[{"message": saying()}, *emits("Y")]), rule("b", "Y", steps=emits("X"))]
    else:
        rules = [
            rule("b", {"message": "sent", "rule": "a"}),
            rule("a", "X"),
            rule("a2", {"message": "sent", "rule": "b"}),
        ]
        rules.append(rule("b2", {"message": "sent", "rule": "a2"}))
        rules.append(rule("a3", {"message": "sent", "rule": "b2"}, steps=[{"message": saying()}, *emits("X")]))
    story = Story(rules)
    story.did("X", 0)
    whole = story.run()
    _, known, messages = story.run_in_steps()
    assert sorted(outcomes(known), key=str) == sorted(outcomes(whole), key=str)
    ends = [each[1:] for each in outcomes(whole)]
    assert ("skipped", "loop_guard") in ends
    assert len(ends) <= (MOST_HOPS + 2) * 2
    assert len(messages) == len(sent(whole)) <= MOST_HOPS + 1


def test_a_circle_by_shown_messages_is_stopped_too() -> None:
    """The page reports that a message was shown and knows nothing of hops."""
    story = Story(
        [rule("a", "X"), rule("b", {"message": "shown", "rule": "a"}), rule("c", {"message": "shown", "rule": "b"})]
    )
    story.rules.append(rule("a2", {"message": "shown", "rule": "c"}))
    story.rules += [rule(f"a{n}", {"message": "shown", "rule": f"a{n - 1}"}) for n in range(3, 9)]
    story.did("X", 0)
    for minute in range(1, 12):
        shown = story.run(minute - 0.5).messages
        story.did("Message Shown", minute, message_id=shown[-1].id)
    found = outcomes(story.run())
    assert found[-1][1:] == ("skipped", "loop_guard")
    assert sum(each[1] == "sent" for each in found) == MOST_HOPS + 1
