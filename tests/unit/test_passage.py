"""How far visitors come: counted as by hand, however the entries lie."""

from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.passage import Passage

NAMES = ("a", "b", "c", "d")


def test_who_skips_a_stage_has_reached_it_and_who_comes_again_counts_once() -> None:
    passage = Passage(NAMES)
    passage.take([(0, "a"), (2_000_000, "b"), (3_000_000, "a"), (9_000_000, "b")])
    passage.take([(0, "a"), (1_000_000, "d"), (2_000_000, "gone")])
    passage.take([(0, "gone")])
    told = [(each.name, each.entered, each.reached, each.conversion, each.median_seconds) for each in passage.steps()]
    assert passage.persons == 2
    assert told == [
        ("a", 2, 2, None, None),
        ("b", 1, 2, 1.0, 2.0),
        ("c", 0, 1, 0.5, None),
        ("d", 1, 1, 1.0, None),
    ]
    assert Passage(NAMES).steps()[0].share is None


@given(st.lists(st.lists(st.tuples(st.integers(0, 100), st.sampled_from(NAMES)), max_size=8).map(sorted), max_size=8))
def test_the_figures_are_those_of_counting_person_by_person(people: list[list[tuple[int, str]]]) -> None:
    passage = Passage(NAMES)
    for own in people:
        passage.take(own)
    some = [own for own in people if own]
    for place, step in enumerate(passage.steps()):
        assert step.entered == sum(any(stage == step.name for _, stage in own) for own in some)
        assert step.reached == sum(any(NAMES.index(stage) >= place for _, stage in own) for own in some)
        spans = []
        for own in some if place else []:
            before = [(at, index) for index, (at, stage) in enumerate(own) if stage == NAMES[place - 1]]
            after = [
                at for index, (at, stage) in enumerate(own) if stage == step.name and before and index > before[0][1]
            ]
            if after:
                spans.append(after[0] - before[0][0])
        assert step.timed == len(spans)
        assert step.median_seconds == (median(spans) / 1_000_000 if spans else None)
