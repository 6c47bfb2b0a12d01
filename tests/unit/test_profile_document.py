"""How a profile is kept: what stands as in an empty one is left out, and comes back."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import HistoryNeeded, Moment, compile_condition, parse_condition
from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.profile import Profile, Standing, new_profile
from backend.domain.segment import names_read, parts_read, stages_asked
from backend.schemas.documents import decode_profile, encode_profile, glimpse_reader, profile_reader
from tests.core_histories import one_visitors_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_empty_profile_is_kept_as_its_ids() -> None:
    profile = new_profile("a", "b")
    assert len(encode_profile(profile)) < 80
    assert decode_profile(encode_profile(profile)) == profile


def test_a_profile_that_was_read_has_every_field_in_its_state() -> None:
    told = Profile(id="a", site_id="b", sessions=1, counts={"Page Viewed": 2}, last_at={"Page Viewed": NOON})
    again = decode_profile(encode_profile(told))
    assert again == told
    assert again.__dict__.keys() == told.__dict__.keys()


def test_a_reader_of_some_parts_reads_what_was_left_out_as_empty() -> None:
    read = profile_reader(("counts", "traits"))
    profile = read(encode_profile(Profile(id="a", site_id="b", traits={"plan": "pro"}, sessions=3)))
    assert (profile.traits, profile.counts, profile.sessions) == ({"plan": "pro"}, {}, 0)


CONDITIONS: list[Any] = [
    {"performed": "Page Viewed"},
    {"performed": "Page Viewed", "within": "30d"},
    {"not": {"performed": "Product Viewed", "within": "2h"}},
    {"performed": "Order Completed", "count": {"op": "gte", "value": 2}},
    {"field": "profile.last_at.Page Viewed", "op": "before", "value": {"ago": "1d"}},
    {"field": "profile.counts.Product Viewed", "op": "gte", "value": 2},
    {"field": "profile.cart.total", "op": "gte", "value": 10},
    {"field": "profile.orders.last_at", "op": "is_set"},
    {"field": "profile.bucket", "op": "lt", "value": 50},
    {"field": "profile.stage", "op": "in", "value": ["cart", "interested"]},
    {"field": "profile.searches", "op": "is_set"},
    {"segment": "s"},
    {"field": "profile.facts.favourite_category", "op": "eq", "value": "Cups"},
    {"local_time": {"from": "08:00", "to": "20:00"}},
    {"field": "profile.source.first.campaign.source", "op": "eq", "value": "news"},
    {"all": [{"field": "profile.stage", "op": "eq", "value": "cart"}, {"performed": "Product Added"}]},
    {"any": [{"field": "profile.stage", "op": "eq", "value": "cart"}, {"performed": "Product Added"}]},
]


@given(one_visitors_events(), st.sampled_from(CONDITIONS))
@settings(max_examples=200, deadline=None)
def test_a_glimpse_of_a_profile_answers_as_the_whole_of_it(events: list[Event], document: Any) -> None:
    profile = new_profile("a", "b")
    for event in events:
        profile = fold(profile, event)
    profile = replace(profile, segments={"s": Standing(entered_at=NOON)} if len(events) % 2 else {})
    condition = parse_condition(document)
    test = compile_condition(condition)
    read = glimpse_reader(parts_read(condition), names_read(condition))

    def answer(about: Any) -> Any:
        try:
            return test(Moment(profile=about, at=NOON))
        except HistoryNeeded as needed:
            return needed.name

    told = answer(read(encode_profile(profile)))
    assert told == answer(profile)
    stages = stages_asked(condition)
    assert stages is None or profile.stage in stages or told is False
