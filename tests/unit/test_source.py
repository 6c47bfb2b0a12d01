"""Where visits come from: campaign tags, and referrers from elsewhere."""

from typing import Any

import pytest

from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.profile import Profile, Source
from backend.domain.source import touch_of
from tests.core_fixtures import at


def page(minute: float = 0, **context: Any) -> Event:
    return Event(
        message_id=f"{minute}",
        name="Page Viewed",
        type="page",
        timestamp=at(minutes=minute),
        received_at=at(),
        context=context,
    )


@pytest.mark.parametrize(
    ("context", "campaign", "referrer"),
    [
        ({"campaign": {"name": "spring", "source": "news"}}, {"name": "spring", "source": "news"}, None),
        ({"page": {"search": "?utm_source=news&utm_medium=mail&x=1"}}, {"source": "news", "medium": "mail"}, None),
        (
            {"page": {"url": "https://s.example/a?utm_campaign=a%20b&utm_term=%F0%9F%9B%92#x"}},
            {"name": "a b", "term": "🛒"},
            None,
        ),
        (
            {"page": {"url": "https://s.example/", "referrer": "https://search.example/?q=1"}},
            {},
            "https://search.example/?q=1",
        ),
        ({"page": {"referrer": "https://search.example/"}}, {}, "https://search.example/"),
        ({"referrer": {"url": "https://other.example/"}}, {}, "https://other.example/"),
        ({"campaign": {"name": 7, "source": "x"}}, {"source": "x"}, None),
    ],
)
def test_an_origin_is_found(context: dict[str, Any], campaign: dict[str, str], referrer: str | None) -> None:
    touch = touch_of(page(**context))
    assert touch is not None
    assert (dict(touch.campaign), touch.referrer) == (campaign, referrer)


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"page": {}},
        {"page": {"url": "https://s.example/"}},
        {"page": {"url": "https://s.example/b", "referrer": "https://S.example/a"}},
        {"page": {"url": "https://s.example/b?utm_source=", "referrer": ""}},
        {"page": {"referrer": 5}, "campaign": [], "referrer": "x"},
        {"page": "https://s.example/?utm_source=x"},
        {"campaign": {"name": 7}},
    ],
)
def test_a_visit_from_within_or_from_nowhere_has_none(context: dict[str, Any]) -> None:
    assert touch_of(page(**context)) is None


def test_the_first_visits_origin_stays_and_the_last_ones_moves() -> None:
    profile = Profile(id="v", site_id="s")
    assert profile.source == Source()
    for minute, source in ((10, "b"), (5, "a"), (20, "c"), (15, "late")):
        profile = fold(profile, page(minute, campaign={"source": source}))
    profile = fold(profile, page(30))
    assert profile.source.first is not None
    assert profile.source.last is not None
    assert profile.source.first.campaign == {"source": "a"}
    assert profile.source.last.campaign == {"source": "c"}


def test_long_and_many_tags_are_cut() -> None:
    told = {f"key{number}": "x" * 1_000 for number in range(200)}
    touch = touch_of(page(campaign=told, page={"url": "https://s.example/" + "a" * 5_000}))
    assert touch is not None
    assert len(touch.campaign) <= 20
    assert max(map(len, touch.campaign.values())) == 255
    assert touch.landing is not None
    assert len(touch.landing) == 2_048
    assert touch_of(page(page={"search": "?" + "utm_source=a&" * 200})) is None, "nobody means that"
