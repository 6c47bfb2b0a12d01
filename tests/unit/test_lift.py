"""The intervals of shares and their differences, against published values, another implementation, and the truth."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backend.domain.lift import Arm, best, katz, lift, newcombe, wilson


@given(st.integers(1, 5000), st.integers(0, 5000), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_s_interval_is_that_of_scipy(persons: int, reached: int, confidence: float) -> None:
    reached = min(reached, persons)
    oracle = stats.binomtest(reached, persons).proportion_ci(confidence, method="wilson")
    assert wilson(Arm(persons=persons, reached=reached), confidence) == pytest.approx(
        (oracle.low, oracle.high), abs=1e-9
    )


@pytest.mark.parametrize(
    ("a", "b", "interval"),
    [  # Newcombe 1998, table II, method 10
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0000)),
        ((10, 10), (0, 10), (0.6075, 1.0000)),
    ],
)
def test_newcombe_s_interval_is_that_of_his_paper(
    a: tuple[int, int], b: tuple[int, int], interval: tuple[float, float]
) -> None:
    one, other = (Arm(reached=reached, persons=persons) for reached, persons in (a, b))
    assert newcombe(one, other) == pytest.approx(interval, abs=6e-5)


def test_the_interval_of_a_ratio_is_that_of_scipy() -> None:
    found = stats.contingency.relative_risk(60, 400, 40, 500).confidence_interval(0.95)
    ours = katz(Arm(reached=60, persons=400), Arm(reached=40, persons=500))
    assert ours == pytest.approx((found.low, found.high))
    assert katz(Arm(reached=0, persons=10), Arm(reached=1, persons=10)) is None


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    dice = random.Random(7)
    held = 0
    for _ in range(2_000):
        treated = Arm(persons=300, reached=sum(dice.random() < 0.12 for _ in range(300)))
        control = Arm(persons=80, reached=sum(dice.random() < 0.08 for _ in range(80)))
        low, high = newcombe(treated, control)
        held += low <= 0.04 <= high
    assert 0.93 < held / 2_000 < 0.975


@pytest.mark.parametrize(
    ("treated", "control", "certain", "said"),
    [
        ((10, 20), (1, 1000), False, "Not enough people yet"),
        ((120, 1000), (80, 1000), True, "It helps"),
        ((80, 1000), (120, 1000), True, "It harms"),
        ((81, 1000), (80, 1000), False, "No difference can be told"),
        ((0, 1000), (0, 1000), False, "No difference can be told"),
    ],
)
def test_what_may_be_concluded_is_said_in_a_sentence(
    treated: tuple[int, int], control: tuple[int, int], certain: bool, said: str
) -> None:
    one, other = (Arm(reached=reached, persons=persons) for reached, persons in (treated, control))
    found = lift(one, other)
    assert found.certain is certain
    assert found.sentence.startswith(said)


def test_a_winner_beats_every_other_variant_beyond_chance() -> None:
    arms = {"A": Arm(persons=1000, reached=80), "B": Arm(persons=1000, reached=140), "C": Arm(persons=1000, reached=85)}
    assert best(arms) == "B"
    assert best({**arms, "D": Arm(persons=1000, reached=138)}) is None
    assert best({"A": arms["A"]}) is None
