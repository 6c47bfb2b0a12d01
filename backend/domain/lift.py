"""What difference did it make? Shares of people compared, each with the interval in which the truth may lie.

Shares: Wilson's score interval (E. B. Wilson, JASA 22, 1927). Differences of shares: Newcombe's hybrid score interval,
method 10 (R. G. Newcombe, Statistics in Medicine 17, 1998). Ratios: the log method (D. Katz et al., Biometrics 1978).
Means: Welch's interval, see `welch`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

from backend.domain.welch import Sample, welch

CONFIDENCE = 0.95
LEAST_PERSONS = 30
"""So many people in each arm, below which nothing is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """People of whom some reached the goal."""

    persons: int
    reached: int

    @property
    def share(self) -> float:
        """How many of them did; 0 of nobody."""
        return self.reached / self.persons if self.persons else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lift:
    """The treated against those held out: the difference of shares, and their ratio less one.

    Each with its interval (low, high); None where it cannot be told. `sentence` says what may be concluded.
    """

    difference: float | None
    difference_interval: tuple[float, float] | None
    relative: float | None
    relative_interval: tuple[float, float] | None
    certain: bool
    sentence: str


def wilson(arm: Arm, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share; (0, 1) for nobody."""
    if not arm.persons:
        return 0.0, 1.0
    z, n, p = _z(confidence), arm.persons, arm.share
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(treated: Arm, control: Arm, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of the difference of two shares."""
    low, high = wilson(treated, confidence)
    control_low, control_high = wilson(control, confidence)
    difference = treated.share - control.share
    below = sqrt((treated.share - low) ** 2 + (control_high - control.share) ** 2)
    above = sqrt((high - treated.share) ** 2 + (control.share - control_low) ** 2)
    return difference - below, difference + above


def katz(treated: Arm, control: Arm, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of the ratio of two shares; None where one of them is 0."""
    if not treated.reached or not control.reached:
        return None
    spread = sqrt(1 / treated.reached - 1 / treated.persons + 1 / control.reached - 1 / control.persons)
    middle, reach = log(treated.share / control.share), _z(confidence) * spread
    return exp(middle - reach), exp(middle + reach)


def lift(treated: Arm, control: Arm, confidence: float = CONFIDENCE, *, wanted: bool = True) -> Lift:
    """What the message did, and how sure that is; `wanted` is whether more of it is better."""
    fewest = min(treated.persons, control.persons)
    if fewest < LEAST_PERSONS:
        counts = f"{treated.persons} against {control.persons}"
        return _untold(f"Not enough people yet: {counts}; it takes {LEAST_PERSONS} each.")
    difference, interval = treated.share - control.share, newcombe(treated, control, confidence)
    ratio = katz(treated, control, confidence)
    certain = not interval[0] <= 0 <= interval[1]
    span = (
        f"between {interval[0] * 100:+.1f} and {interval[1] * 100:+.1f} percentage points, {confidence:.0%} confidence"
    )
    return Lift(
        difference=difference,
        difference_interval=interval,
        relative=treated.share / control.share - 1 if control.reached else None,
        relative_interval=(ratio[0] - 1, ratio[1] - 1) if ratio is not None else None,
        certain=certain,
        sentence=_conclusion(difference, certain, wanted, span),
    )


def means(treated: Sample, control: Sample, confidence: float = CONFIDENCE, *, wanted: bool = True) -> Lift:
    """The same for a number that each of them has, such as revenue: by Welch's interval, without a ratio's."""
    if min(treated.count, control.count) < LEAST_PERSONS:
        counts = f"{treated.count} against {control.count}"
        return _untold(f"Not enough yet: {counts}; it takes {LEAST_PERSONS} each.")
    difference, interval = treated.mean - control.mean, welch(treated, control, confidence)
    certain = interval is not None and not interval[0] <= 0 <= interval[1]
    span = f"between {interval[0]:+.2f} and {interval[1]:+.2f}, {confidence:.0%} confidence" if interval else "anywhere"
    return Lift(
        difference=difference,
        difference_interval=interval,
        relative=treated.mean / control.mean - 1 if control.mean > 0 else None,
        relative_interval=None,
        certain=certain,
        sentence=_conclusion(difference, certain, wanted, span),
    )


def _conclusion(difference: float, certain: bool, wanted: bool, span: str) -> str:
    if not certain:
        return f"No difference can be told from chance: it lies {span}."
    return f"It {'helps' if (difference > 0) is wanted else 'harms'}: the difference lies {span}."


def _untold(sentence: str) -> Lift:
    return Lift(
        difference=None,
        difference_interval=None,
        relative=None,
        relative_interval=None,
        certain=False,
        sentence=sentence,
    )


def best(arms: Mapping[str, Arm], confidence: float = CONFIDENCE) -> str | None:
    """The name of the arm that is better than each other one, beyond chance; None while there is none."""
    for name, arm in arms.items():
        others = [other for other_name, other in arms.items() if other_name != name]
        if others and all(lift(arm, other, confidence).certain and arm.share > other.share for other in others):
            return name
    return None


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
