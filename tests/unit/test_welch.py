"""Means compared, against another implementation and against the truth."""

import random
import warnings
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from backend.domain.lift import means
from backend.domain.tally import LARGEST, LIMB, millionths, squares
from backend.domain.welch import Sample, t_quantile, t_share, welch


def sample(values: list[int], unit: int = 1) -> Sample:
    return Sample(count=len(values), total=sum(values), squares=sum(each * each for each in values), unit=unit)


@settings(deadline=None)
@given(st.floats(0.5, 0.99995), st.floats(1, 1e6))
def test_the_quantile_of_student_s_t_is_that_of_scipy(share: float, freedom: float) -> None:
    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-6, abs=1e-8)


@settings(deadline=None)
@given(st.floats(0, 50), st.floats(1, 1e5))
def test_and_so_is_its_share(t: float, freedom: float) -> None:
    assert t_share(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), abs=1e-8)


amounts = st.lists(st.integers(0, 10**10), min_size=2, max_size=60)


@settings(deadline=None)  # SciPy takes its time at first
@given(amounts, amounts, st.sampled_from([0.8, 0.95, 0.99]))
def test_welch_s_interval_is_that_of_scipy(a: list[int], b: list[int], confidence: float) -> None:
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    ours = welch(sample(a, 100), sample(b, 100), confidence)
    one, other = [each / 100 for each in a], [each / 100 for each in b]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where one side has no spread, its digits are of no account
        oracle = stats.ttest_ind(one, other, equal_var=False).confidence_interval(confidence)
    assert ours == pytest.approx((oracle.low, oracle.high), rel=1e-6, abs=1e-3)


def test_it_does_not_lose_small_spreads_beside_large_amounts() -> None:
    a, b = [10**15 + each for each in (1, 2, 3)], [10**15 + each for each in (2, 3, 4)]
    assert sample(a).variance == 1
    assert welch(sample(a), sample(b)) == pytest.approx((-3.267, 1.267), abs=0.001)


def test_where_there_is_nothing_to_compare_nothing_is_said() -> None:
    assert welch(sample([1]), sample([1, 2])) is None
    assert welch(sample([3, 3]), sample([1, 1])) == (2, 2)
    assert means(sample([1] * 29), sample([2] * 99)).difference is None
    assert means(sample([0] * 99), sample([0] * 99)).certain is False


def test_the_interval_of_skewed_revenue_holds_the_truth_nearly_as_often_as_it_says() -> None:
    """One in ten buys, for very different amounts: what a shop looks like."""
    dice, held, rounds = random.Random(4), 0, 500

    def person(share: float) -> int:
        return int(dice.lognormvariate(8, 1)) if dice.random() < share else 0

    truth = (0.12 - 0.10) * 2.718281828 ** (8 + 0.5)
    for _ in range(rounds):
        interval = welch(sample([person(0.12) for _ in range(600)]), sample([person(0.10) for _ in range(300)]))
        assert interval is not None
        held += interval[0] <= truth <= interval[1]
    assert 0.9 < held / rounds < 0.985


@given(st.lists(st.decimals(-(10**14), 10**14, places=9), max_size=30))
def test_squares_of_money_add_up_exactly_in_numbers_of_64_bits(worths: list[Decimal]) -> None:
    sums: dict[str, int] = {}
    parts = [millionths(each) for each in worths]
    for each in parts:
        assert abs(each) <= LARGEST
        for limb in range(3):
            name = f"x:{limb}"
            sums[name] = sums.get(name, 0) + ((each * each >> (LIMB * limb)) & ((1 << LIMB) - 1))
    assert squares(sums, "x") == sum(each * each for each in parts)
    assert all(number < 2**63 for number in sums.values())
