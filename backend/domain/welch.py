"""How far do two means lie apart? Welch's interval, for groups that differ in size and spread.

B. L. Welch, Biometrika 34, 1947. The quantile of Student's t is found from the incomplete beta function (continued
fraction, after Lentz) by halving. For what is skewed, as money is (most people spend nothing), the interval is right
only with many people in each group: the means are then near enough to normal, by the central limit theorem.
"""

from dataclasses import dataclass
from math import exp, inf, lgamma, log, sqrt


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A number for each of `count` people or sessions, by its sums, whole and exact, so that samples can be added.

    `squares` is the sum of the squares; all are counted in parts of which `unit` make one.
    """

    count: int
    total: int
    squares: int
    unit: int = 1

    @property
    def mean(self) -> float:
        """The mean; 0 of nobody."""
        return self.total / self.count / self.unit if self.count else 0.0

    @property
    def variance(self) -> float:
        """The variance that the sample lets expect of all (divided by n - 1); 0 of fewer than two."""
        if self.count < 2:
            return 0.0
        spread = self.count * self.squares - self.total * self.total
        return max(0, spread) / (self.count * (self.count - 1)) / (self.unit * self.unit)


def welch(treated: Sample, control: Sample, confidence: float = 0.95) -> tuple[float, float] | None:
    """The interval of the difference of two means; None where a sample has fewer than two."""
    if treated.count < 2 or control.count < 2:
        return None
    difference = treated.mean - control.mean
    a, b = treated.variance / treated.count, control.variance / control.count
    if a + b == 0:
        return difference, difference
    freedom = (a + b) ** 2 / (a * a / (treated.count - 1) + b * b / (control.count - 1))
    reach = t_quantile(0.5 + confidence / 2, freedom) * sqrt(a + b)
    return difference - reach, difference + reach


def t_quantile(share: float, freedom: float) -> float:
    """The value below which Student's t lies with this probability (0.5 to 1)."""
    low, high = 0.0, 2.0
    while t_share(high, freedom) < share:
        low, high = high, high * 2
        if high == inf:
            return inf
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_share(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def t_share(t: float, freedom: float) -> float:
    """The probability with which Student's t lies below `t` (0 or more)."""
    return 0.5 + _beta_share(0.5, freedom / 2, t * t / (freedom + t * t), freedom / (freedom + t * t)) / 2


def _beta_share(a: float, b: float, x: float, rest: float) -> float:
    """The regularized incomplete beta function; `rest` is 1 - x, told apart because near 1 that loses its digits."""
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(rest))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    found = d
    for step in range(1, 10_000):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        change = 1.0
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            change = c * d
            found *= change
        if abs(change - 1) < 1e-15:
            break
    return found
