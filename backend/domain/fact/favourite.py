"""What does a person like best? Categories and brands by what they viewed, carted and bought, old interest fading.

A view counts 1, the cart 3, a purchase 6, each half as much with every 30 days of age. This is forward decay with an
exponential (Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay", ICDE 2009): the shares of two names do not change as
time passes, so the ranking depends on what was done and not on when it is asked, and sums may be made in any order.
"""

from collections.abc import Iterable
from math import fsum

from backend.domain.habit import BOUGHT, Interests, Purchases

CATEGORY, BRAND = "category", "brand"
HALF_LIFE_DAYS = 30
SHOWN = 5


def favourites(kind: str, interests: Interests, purchases: Purchases) -> tuple[str, ...]:
    """The names of this kind (category or brand) in order, the best liked first; at most five."""
    told = list(_told(kind, interests, purchases))
    if not told:
        return ()
    newest = max(day for _, day, _ in told)
    parts: dict[str, list[float]] = {}
    for name, day, weight in told:
        parts.setdefault(name, []).append(weight * 2.0 ** ((day - newest) / HALF_LIFE_DAYS))
    sums = {name: fsum(each) for name, each in parts.items()}  # exact, hence the same in whatever order
    return tuple(sorted(sums, key=lambda name: (-sums[name], name))[:SHOWN])


def _told(kind: str, interests: Interests, purchases: Purchases) -> Iterable[tuple[str, int, int]]:
    interest_place, line_place = (1, 2) if kind == CATEGORY else (2, 3)
    for each in interests:
        name = each[interest_place]
        if isinstance(name, str) and name:
            yield name, each.day, each.weight
    for purchase in purchases:
        for line in purchase.lines:
            bought = line[line_place]
            if isinstance(bought, str):
                yield bought, purchase.at.toordinal(), BOUGHT
