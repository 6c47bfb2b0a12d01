"""How a profile is kept: what stands as in an empty one is left out, and comes back."""

from datetime import UTC, datetime

from backend.domain.profile import Profile, new_profile
from backend.schemas.documents import decode_profile, encode_profile, profile_reader

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
