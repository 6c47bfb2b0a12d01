"""A merge ends where folding everything into one profile would have ended."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.merge import merge
from backend.domain.profile import Profile
from tests.core_fixtures import at
from tests.core_histories import one_visitors_events


def profile(name: str, events: list[Event]) -> Profile:
    found = Profile(id=name, site_id="s", person=name)
    for event in events:
        found = fold(found, event)
    return found


def comparable(found: Profile) -> Profile:
    """Without the order of sets, without when an id was seen, and without what only a merge has."""
    seen: Any = {
        (each.kind, each.value, each.source)
        if each.kind.endswith("_id")
        else (each.kind, each.value, each.source, each.first_seen, each.last_seen)
        for each in found.identifiers
    }
    return replace(
        found,
        anonymous_ids=tuple(sorted(found.anonymous_ids)),
        identifiers=tuple(sorted(seen)),
        members=(),
        person="",
    )


@settings(max_examples=200, deadline=None)
@given(one_visitors_events(), st.data())
def test_merging_two_halves_of_a_history_is_folding_it_whole(events: list[Event], data: st.DataObject) -> None:
    """Each browser forgets what its own order made pointless; of form fields, the latest of each is kept."""
    mine = [data.draw(st.booleans()) for _ in events]
    known = profile("known", [event for event, flag in zip(events, mine, strict=True) if flag])
    anonymous = profile("anonymous", [event for event, flag in zip(events, mine, strict=True) if not flag])
    assert comparable(merge(known, anonymous)) == comparable(profile("known", events))


def test_ids_and_the_person_for_whom_choices_are_made() -> None:
    event = Event(message_id="m", name="X", type="track", timestamp=at(), received_at=at(), anonymous_id="ann")
    seen, unseen = profile("seen", [event]), profile("unseen", [])
    first = merge(unseen, seen)
    assert (first.id, first.person, first.members) == ("unseen", "seen", ("seen",)), "the browser's choices stay"
    second = merge(first, profile("third", [event]))
    assert (second.id, second.person, second.members) == ("unseen", "seen", ("seen", "third"))
    assert merge(seen, unseen).person == "seen"
