"""The step `learn intervals`: how long a site's products usually last, from those who buy them regularly.

Once a day a sample of the site's visitors is gone through, a piece at a time; what is remembered of it is bounded.
"""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from statistics import median

import structlog

from backend.domain.fact.supply import supplies_of, usual_of_many
from backend.runtime import Runtime
from backend.schemas.documents import profile_reader
from backend.storage import intervals, sites, visitors

log = structlog.get_logger(__name__)

EVERY = timedelta(days=1)
AT_ONCE = 1_000
"""Visitors that are looked at in one turn, so that other tasks get theirs."""

MOST_VISITORS = 50_000
MOST_PRODUCTS = 5_000
MOST_PERSONS = 100
"""Of each product so many persons' intervals are remembered, an even sample of all that were met."""


class IntervalLearner:
    """Learns for one site after the other; a turn is a piece of it."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._read = profile_reader({"purchases"})
        self._going: Iterator[None] | None = None

    def run(self) -> None:
        """One turn."""
        if self._going is None:
            self._going = self._all()
        if next(self._going, self) is self:
            self._going = None

    def _all(self) -> Iterator[None]:
        now = self.rt.clock()
        with self.rt.db.read() as connection:
            learned = intervals.learned(connection)
            due = [each for each in sites.ids(connection) if each not in learned or learned[each] <= now - EVERY]
        for site_id in due:
            yield from self._learn(site_id)

    def _learn(self, site_id: str) -> Iterator[None]:
        random = Random(f"{site_id}{self.rt.clock():%Y%m%d}")  # noqa: S311 - a sample, no secret
        start = after = f"{random.getrandbits(128):032x}"  # ids are hashes: from wherever, they are an even sample
        samples: dict[str, list[float]] = {}
        met: dict[str, int] = {}
        round_about = False
        for _ in range(MOST_VISITORS // AT_ONCE):
            with self.rt.db.read() as connection:
                texts = visitors.texts_after(connection, site_id, after, AT_ONCE)
            for visitor_id, text in texts:
                if round_about and visitor_id > start:
                    break
                if '"purchases":' not in text:
                    continue
                for supply in supplies_of(self._read(text).purchases):
                    if supply.own and (supply.product_id in samples or len(samples) < MOST_PRODUCTS):
                        _note(samples.setdefault(supply.product_id, []), met, supply.product_id, supply.own, random)
            if len(texts) == AT_ONCE:
                after = texts[-1][0]
            elif round_about:
                break
            else:
                after, round_about = "", True
            if round_about and after > start:
                break
            yield
        found = {key: round(value, -2) for key, each in samples.items() if (value := usual_of_many(each)) is not None}
        with self.rt.db.begin() as connection:
            intervals.save(connection, site_id, found, self.rt.clock())
        log.debug("intervals_learned", site=site_id, products=len(found))
        yield


def _note(sample: list[float], met: dict[str, int], product_id: str, own: tuple[float, ...], random: Random) -> None:
    """Vitter's reservoir (algorithm R, 1985): each of the persons met is in the sample with the same chance."""
    number = met[product_id] = met.get(product_id, 0) + 1
    if len(sample) < MOST_PERSONS:
        sample.append(median(own))
    elif (place := random.randrange(number)) < MOST_PERSONS:
        sample[place] = median(own)
