"""What goes together: counted in little room, and near what counting everything would say."""

import random
from collections import Counter

from backend.domain.related import KEPT, MOST_AT_ONCE, TOP, Neighbours


def test_the_nearest_is_who_shares_most_of_their_people_not_who_is_met_by_everybody() -> None:
    baskets = [["a", "b", "all"]] * 3 + [["c", "all"]] * 97
    near = Neighbours(["a"])
    for basket in baskets:
        near.meet(basket)
    totals = Counter(each for basket in baskets for each in basket)
    [best, second] = near.best(totals)["a"]
    assert best == ("b", 1.0)
    assert second[0] == "all"
    assert second[1] < 0.2


def test_one_person_is_chance() -> None:
    near = Neighbours(["a", "b"])
    near.meet(["a", "b"])
    assert near.best({"a": 1, "b": 1}) == {}


def test_however_many_neighbours_come_few_are_kept_and_none_is_counted_too_often() -> None:
    chance = random.Random(7)
    near = Neighbours(["a"])
    true: Counter[str] = Counter()
    for _ in range(3_000):
        others = {f"n{min(int(chance.expovariate(0.05)), 999)}" for _ in range(4)}
        near.meet(["a", *sorted(others)])
        true.update(others)
    counts, errors = near._counts["a"], near._errors["a"]
    assert len(counts) == KEPT
    for other, count in counts.items():
        assert count - errors.get(other, 0) <= true[other] <= count
    best = near.best({"a": 3_000, **true})["a"]
    assert len(best) == TOP


def test_a_crowded_order_is_cut() -> None:
    crowd = [f"p{n}" for n in range(1_000)]
    near = Neighbours(crowd)
    near.meet(crowd)
    near.meet(crowd)
    found = near.best(dict.fromkeys(crowd, 2))
    assert set(found) == set(crowd[:MOST_AT_ONCE])
    assert all(len(each) == TOP for each in found.values())
    assert not any(one == other for one, listed in found.items() for other, _ in listed)
