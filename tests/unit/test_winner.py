"""When a variant has won: seldom looked at, and seldom wrong."""

import random
from datetime import timedelta
from typing import Any

import pytest

from backend.domain.lift import Arm
from backend.domain.mistakes import RuleErrors
from backend.domain.rule import Rule, compile_rule, parse_rule
from backend.domain.rule.compiled import SayOp
from backend.domain.rule.model import WinnerRule
from backend.domain.winner import MOST_LOOKS, Won, confidence_of_look, look, look_is_due, next_look, verdict
from tests.story import NOON, Story, rule

GOAL = {"event": "Order Completed", "within": "3d"}
WINNER = {"after": "7d", "by": "goal", "confidence": 95}


def variants(**bodies: str) -> list[dict[str, Any]]:
    return [{"name": name, "content": {"title": name, "body": body}} for name, body in bodies.items()]


def document(winner: Any, **parts: Any) -> dict[str, Any]:
    message = {"channels": ["popup"], "variants": variants(A="a", B="b"), "winner": winner, **parts.pop("message", {})}
    return {"name": "r", "trigger": {"event": "A"}, "message": message, "goal": GOAL, **parts}


def mistakes(winner: Any, **parts: Any) -> Any:
    with pytest.raises(RuleErrors) as raised:
        parse_rule(document(winner, **parts))
    found = raised.value.errors
    while isinstance(found, dict) and "winner" not in found:
        found = next(iter(found.values()))
    return found["winner"]


@pytest.mark.parametrize(
    ("winner", "path", "said"),
    [
        ("soon", (), "Expected an object"),
        ({}, ("after",), "Expected a duration"),
        ({"after": 7}, ("after",), "Expected a duration"),
        ({"after": "7 days"}, ("after",), "duration"),
        ({"after": {"persons": 99}}, ("after", "persons"), "from 100 to"),
        ({"after": {"persons": True}}, ("after", "persons"), "from 100 to"),
        ({"after": {"person": 1000}}, ("after", "person"), "persons"),
        ({"after": "7d", "by": "goals"}, ("by",), "goal"),
        ({"after": "7d", "confidence": 100}, ("confidence",), "80 to 99.9"),
        ({"after": "7d", "confidence": "95"}, ("confidence",), "80 to 99.9"),
        ({"after": "7d", "until": 1}, ("until",), "nknown"),
    ],
)
def test_mistakes_are_told_with_their_path(winner: Any, path: tuple[str, ...], said: str) -> None:
    found = mistakes(winner)
    for name in path:
        found = found[name]
    assert said in str(found)


def test_a_winner_takes_two_variants_and_a_goal_or_clicks() -> None:
    assert "two variants" in str(mistakes(WINNER, message={"variants": variants(A="a")}))
    assert "no goal" in str(mistakes(WINNER, goal=None))
    spec = parse_rule(document(WINNER | {"by": "clicked"}, goal=None))
    assert spec.document["message"]["winner"]["by"] == "clicked"
    steps = [{"message": {"channels": ["popup"], "variants": variants(A="a", B="b"), "winner": WINNER}, "name": "one"}]
    with pytest.raises(RuleErrors, match="goal"):
        parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": steps})


def contest(**parts: Any) -> str:
    program = compile_rule(Rule(id="r", site_id="s", spec=parse_rule(document(WINNER, **parts)))).program
    return next(op.test for op in program if isinstance(op, SayOp))


def test_new_wordings_begin_a_new_contest_and_the_rest_of_the_rule_does_not() -> None:
    first = contest()
    assert first
    assert contest(priority=7, name="other", delay="1h", message={"holdout": 20}) == first
    assert contest(message={"variants": list(reversed(variants(A="a", B="b")))}) == first
    weighted = [each | {"weight": 5} for each in variants(A="a", B="b")]
    assert contest(message={"variants": weighted}) == first
    assert contest(message={"variants": variants(A="a", B="c")}) != first
    assert contest(message={"variants": variants(A="a", B="b", C="c")}) != first
    assert contest(message={"winner": WINNER | {"confidence": 99}}) != first
    assert contest(message={"winner": None}) == ""


def test_looks_come_at_once_twice_four_and_eight_times_the_time_or_the_people() -> None:
    days, many = WinnerRule(after=timedelta(days=7)), WinnerRule(persons=1000)
    moments = [next_look(days, looks, NOON) for looks in range(MOST_LOOKS + 1)]
    assert moments == [NOON + timedelta(days=each) for each in (7, 14, 28, 56)] + [None]
    assert [next_look(many, looks, NOON) for looks in range(MOST_LOOKS + 1)] == [1000, 2000, 4000, 8000, None]
    for looks, moment in enumerate(moments[:-1]):
        assert look_is_due(days, looks, NOON, 0, moment)  # type: ignore[arg-type]
        assert not look_is_due(days, looks, NOON, 10**9, moment - timedelta(microseconds=1))  # type: ignore[operator]
        assert look_is_due(many, looks, NOON, 1000 * 2**looks, NOON)
        assert not look_is_due(many, looks, NOON, 1000 * 2**looks - 1, NOON + timedelta(days=999))
    assert not look_is_due(days, MOST_LOOKS, NOON, 10**9, NOON + timedelta(days=9999))


def test_the_risk_is_shared_out_between_looks_and_comparisons() -> None:
    assert confidence_of_look(WinnerRule(persons=100), 2) == pytest.approx(1 - 0.05 / 4)
    assert confidence_of_look(WinnerRule(persons=100, confidence=90), 4) == pytest.approx(1 - 0.1 / 4 / 3)


@pytest.mark.parametrize("names", ["AB", "ABCD"])
def test_among_equals_there_is_seldom_a_winner_though_it_is_looked_at_again_and_again(names: str) -> None:
    dice, asked, wrong, rounds = random.Random(5), WinnerRule(persons=200 * len(names)), 0, 600
    naive = 0
    for _ in range(rounds):
        arms = {name: Arm(persons=0, reached=0) for name in names}
        won = naively = False
        for looks in range(MOST_LOOKS):
            more = 200 * 2 ** max(0, looks - 1) if looks else 200
            arms = {
                name: Arm(
                    persons=arm.persons + more, reached=arm.reached + sum(dice.random() < 0.1 for _ in range(more))
                )
                for name, arm in arms.items()
            }
            won = won or look(asked, arms) is not None
            naively = (
                naively
                or look(WinnerRule(persons=1, confidence=100 - 5 * MOST_LOOKS * (len(names) - 1)), arms) is not None
            )
        wrong += won
        naive += naively
    assert wrong / rounds < 0.05
    assert naive > wrong


def test_the_better_one_is_found_and_its_numbers_are_told() -> None:
    asked = WinnerRule(persons=1000)
    arms = {"A": Arm(persons=2000, reached=160), "B": Arm(persons=2000, reached=240)}
    assert look(asked, arms) == "B"
    assert verdict(asked, arms, "B") == "12.0% of 2000 people reached the goal, against 8.0% of 2000 with A."
    assert look(asked, {name: Arm(persons=29, reached=arm.reached % 29) for name, arm in arms.items()}) is None


def test_from_the_decision_on_whoever_is_new_gets_the_winner_and_the_others_keep_theirs() -> None:
    made = rule("r", "A", message=document(WINNER)["message"], goal=GOAL)
    test = next(op.test for op in compile_rule(made).program if isinstance(op, SayOp))
    since = NOON + timedelta(hours=1)
    for number in range(40):
        for won in ("A", "B"):
            story = Story([made])
            story.profile = type(story.profile)(id=f"v{number}", site_id="site", person=f"p{number}")
            story.winners = {("r", "", test): Won(won, since, "numbers")}
            early = number % 2 == 0
            if early:
                story.did("A", 59)
            story.did("A", 60)
            story.did("A", 600)
            said = [each.variant for each in story.run().messages]
            if early:
                assert len(set(said)) == 1, "they keep what they had"
            else:
                assert set(said) == {won}
            if early and number == 0:
                assert [each.test for each in story.run().profile.exposures] == [test]
