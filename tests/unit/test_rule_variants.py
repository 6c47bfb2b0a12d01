"""Variants: the share that each gets, and that everyone keeps their own."""

from collections import Counter

import pytest

from backend.domain.rule import Variant
from backend.domain.variant import assign, is_held_out

PEOPLE = [f"person {number}" for number in range(8_000)]


def variants(**weights: float) -> list[Variant]:
    return [Variant(name=name, weight=weight) for name, weight in weights.items()]


def chosen(choices: list[Variant], rule: str = "rule", holdout: float = 0) -> list[str | None]:
    found = (assign(rule, person, choices, holdout) for person in PEOPLE)
    return [variant.name if variant else None for variant in found]


@pytest.mark.parametrize("weights", [{"A": 1, "B": 1}, {"A": 9, "B": 1}, {"A": 0.5, "B": 0.3, "C": 0.2}])
def test_each_variant_gets_its_share(weights: dict[str, float]) -> None:
    counts = Counter(chosen(variants(**weights)))
    for name, weight in weights.items():
        assert counts[name] / len(PEOPLE) == pytest.approx(weight / sum(weights.values()), abs=0.02)


@pytest.mark.parametrize("holdout", [0, 1, 10, 50, 99.5, 100])
def test_the_holdout_has_its_share_and_leaves_the_others_balanced(holdout: float) -> None:
    counts = Counter(chosen(variants(A=1, B=1), holdout=holdout))
    assert counts[None] / len(PEOPLE) == pytest.approx(holdout / 100, abs=0.02)
    assert abs(counts["A"] - counts["B"]) < 0.04 * len(PEOPLE)
    assert holdout not in (0, 100) or counts[None] in (0, len(PEOPLE))


def test_everyone_keeps_their_variant() -> None:
    assert chosen(variants(A=1, B=2)) == chosen(variants(A=1, B=2))
    assert chosen(variants(A=1, B=2)) == chosen(list(reversed(variants(A=1, B=2))))
    assert chosen(variants(A=1, B=2)) == chosen(variants(A=10, B=20))


def test_a_heavier_variant_only_wins_people() -> None:
    for before, after in zip(chosen(variants(A=1, B=1)), chosen(variants(A=1, B=2)), strict=True):
        assert after in (before, "B")


def test_a_new_variant_takes_only_its_own_share() -> None:
    for before, after in zip(chosen(variants(A=1, B=1)), chosen(variants(A=1, B=1, C=1)), strict=True):
        assert after in (before, "C")


def test_a_growing_holdout_lets_nobody_back_in() -> None:
    assert all(is_held_out("rule", person, 20) for person in PEOPLE if is_held_out("rule", person, 10))


def test_rules_choose_independently_of_each_other() -> None:
    one, other = chosen(variants(A=1, B=1), "one"), chosen(variants(A=1, B=1), "other")
    alike = sum(a == b for a, b in zip(one, other, strict=True))
    assert alike / len(PEOPLE) == pytest.approx(0.5, abs=0.02)
    held = [person for person in PEOPLE if is_held_out("one", person, 10)]
    assert sum(is_held_out("other", person, 10) for person in held) / len(held) == pytest.approx(0.1, abs=0.05)


def test_a_variant_without_weight_is_nobody_s() -> None:
    assert set(chosen(variants(A=0, B=1))) == {"B"}
    assert assign("rule", "person", variants(A=0)) is None


def test_the_choice_is_the_same_in_every_version_and_on_every_machine() -> None:
    """Written down once: who was in a variant stays there when chimein is updated."""
    assert "".join(name or "-" for name in chosen(variants(A=1, B=1), holdout=20)[:24]) == "BBA-B-BBAAABBBBAAAABBAAB"
