"""Which products go together? Counted from who looked at both, or bought both at once, in bounded memory.

Two products are as similar as the cosine of the angle between the sets of people who were interested in them: people
who had both, divided by the geometric mean of those who had either (item-to-item collaborative filtering: Sarwar,
Karypis, Konstan, Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001; Linden, Smith, York,
"Amazon.com recommendations", IEEE Internet Computing 7(1), 2003). So what everybody looks at is not similar to all.

Of each product only `KEPT` neighbours are counted, by Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient
computation of frequent and top-k elements in data streams", ICDT 2005): a new one takes the place, and the count, of
the smallest, and remembers that count as its possible error. What is surely counted, count less error, is compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

KEPT = 64
"""Neighbours counted of one product; more than one person can bring at once, who would else drive out their own."""

TOP = 10
"""Neighbours that are told of one product."""

LEAST = 2
"""So many people must have had both: one is chance."""

MOST_AT_ONCE = 50
"""Products of one person, or of one order, that are held against each other."""


class Neighbours:
    """The products most often met beside some others, each of them in a table of at most `KEPT`."""

    def __init__(self, mine: Iterable[str]) -> None:
        self._counts: dict[str, dict[str, int]] = {each: {} for each in mine}
        self._errors: dict[str, dict[str, int]] = {}

    def meet(self, together: Sequence[str]) -> None:
        """These were met together once; none stands twice among them."""
        together = together[:MOST_AT_ONCE]
        for one in together:
            counts = self._counts.get(one)
            if counts is None:
                continue
            for other in together:
                if other != one:
                    self._count(one, counts, other)

    def _count(self, one: str, counts: dict[str, int], other: str) -> None:
        if other in counts:
            counts[other] += 1
        elif len(counts) < KEPT:
            counts[other] = 1
        else:
            smallest = min(counts, key=counts.__getitem__)
            least = counts.pop(smallest)
            counts[other] = least + 1
            errors = self._errors.setdefault(one, {})
            errors.pop(smallest, None)
            errors[other] = least

    def best(self, totals: Mapping[str, int]) -> dict[str, list[tuple[str, float]]]:
        """The best neighbours of each product with how near they are, 0 to 1; `totals` are each one's people."""
        found: dict[str, list[tuple[str, float]]] = {}
        for one, counts in self._counts.items():
            errors = self._errors.get(one, {})
            near = [
                (other, (count - errors.get(other, 0)) / sqrt(totals[one] * totals[other]))
                for other, count in counts.items()
                if count - errors.get(other, 0) >= LEAST and totals.get(other) and totals.get(one)
            ]
            if near:
                near.sort(key=lambda each: (-each[1], each[0]))
                found[one] = [(other, round(min(score, 1.0), 4)) for other, score in near[:TOP]]
        return found
