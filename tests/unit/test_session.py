"""Sessions: runs of events with no gap of more than 30 minutes, whatever order they arrive in."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.session import GAP, KEPT, Spans, merged, with_visit
from tests.core_fixtures import START, at

moments = st.lists(
    st.integers(0, 4 * 60).map(lambda minute: START + timedelta(minutes=minute)), min_size=1, max_size=30
)


def counted(visits: list[datetime]) -> tuple[int, Spans]:
    count, spans = 0, ()
    for moment in visits:
        count, spans = with_visit(count, spans, moment)
    return count, spans


def naive(visits: list[datetime]) -> tuple[int, Spans]:
    ordered = sorted(visits)
    spans = [(ordered[0], ordered[0])]
    for moment in ordered[1:]:
        if moment - spans[-1][1] <= GAP:
            spans[-1] = (spans[-1][0], moment)
        else:
            spans.append((moment, moment))
    return len(spans), tuple(spans)


@given(moments)
def test_any_order_of_arrival_counts_the_same(visits: list[datetime]) -> None:
    assert counted(visits) == naive(visits)


@given(moments, moments)
def test_two_browsers_of_one_person_count_as_if_all_had_been_one(a: list[datetime], b: list[datetime]) -> None:
    count_a, spans_a = counted(a)
    count_b, spans_b = counted(b)
    assert merged(count_a, spans_a, count_b, spans_b) == naive(a + b)


def test_thirty_minutes_are_one_session_and_a_moment_more_are_two() -> None:
    assert counted([at(), at(minutes=30)])[0] == 1
    assert counted([at(), at(minutes=30, microseconds=1)])[0] == 2


def test_an_event_between_two_sessions_makes_them_one() -> None:
    assert counted([at(), at(minutes=50)])[0] == 2
    assert counted([at(), at(minutes=50), at(minutes=25)])[0] == 1


def test_many_sessions_are_counted_though_only_the_latest_are_remembered() -> None:
    visits = [at(hours=number) for number in range(100)]
    count, spans = counted(visits)
    assert count == 100
    assert len(spans) == KEPT
    assert with_visit(count, spans, at(hours=3)) == (count, spans), "it may belong to one that is forgotten"
    assert with_visit(count, spans, at(hours=99.5))[0] == 100
    assert with_visit(count, spans, at(hours=200))[0] == 101
