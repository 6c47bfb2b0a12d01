"""The step `watch`: who is on the site now, by what they reported within minutes or because their page is open."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from backend.domain.condition.patterns import text_matcher
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.pipeline import access
from backend.pipeline.access import Reader
from backend.runtime import Runtime
from backend.storage import here, visitor_lists, visitors

WITHIN = timedelta(minutes=5)
"""Whoever was seen within it is here, also without a stream."""

MOST_READ = 2_000
"""Profiles that are looked at, the latest: of a busier site the rest is counted, and not told."""

NOTED_ANEW = 3_600
"""Seconds after which it is noted again that somebody is shown to the same reader in a list that renews itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Here:
    """One visitor on the site: since when, by which stream or event, and where they came from."""

    profile: Profile
    open: bool
    since: datetime | None
    source: str
    path: str
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """Who is here, last seen first, as far as they fit; `fitting` is how many do, `total` how many there are.

    `stages` and `sources` count those who fit the other filters. `cut`: there are more than were looked at.
    """

    visitors: Sequence[Here]
    fitting: int
    total: int
    stages: Mapping[str, int]
    sources: Mapping[str, int]
    cut: bool


def watch(
    rt: Runtime,
    site: Site,
    *,
    stage: str | None = None,
    source: str | None = None,
    page: str | None = None,
    limit: int = 100,
) -> Watched:
    """Who is on the site now; `page` is a pattern such as `/cart*`."""
    now = rt.clock()
    holding = here.holding(rt.redis, site.id, now)
    with rt.db.read() as connection:
        found = visitor_lists.recent(connection, site.id, now - WITHIN, MOST_READ)
        total = len(found)
        cut = total == MOST_READ
        if cut:
            total = visitor_lists.count_recent(connection, site.id, now - WITHIN)
        known = {member: each for each in found for member in visitors.members_of(each)}
        idle = _persons(visitors.named(connection, site.id, [each for each in holding if each not in known]))
        idle_whole = [each.profile for each in visitors.load(connection, idle).values()]
    streams = {known[each].id for each in holding if each in known} | {each.id for each in idle_whole}
    total += len(idle_whole)
    every = [_here(each, streams) for each in (*found, *sorted(idle_whole, key=_last, reverse=True))]
    fits = _pattern(page)
    on_page = [each for each in every if fits is None or fits(each)]
    fits_stage = [each for each in on_page if not stage or each.profile.stage == stage]
    fits_source = [each for each in on_page if not source or each.source == source]
    both = [each for each in fits_stage if not source or each.source == source]
    return Watched(
        visitors=both[:limit],
        fitting=len(both),
        total=total,
        stages=_counts(each.profile.stage for each in fits_source),
        sources=_counts(each.source for each in fits_stage),
        cut=cut,
    )


def count_here(rt: Runtime, site: Site) -> int:
    """How many are on the site now."""
    now = rt.clock()
    holding = here.holding(rt.redis, site.id, now)
    with rt.db.read() as connection:
        seen = visitor_lists.count_recent(connection, site.id, now - WITHIN)
        persons = visitors.load(connection, _persons(visitors.named(connection, site.id, holding))).values()
    return seen + sum(1 for each in persons if _last(each.profile) < (now - WITHIN).timestamp())


def note_shown(rt: Runtime, site: Site, reader: Reader, shown: Sequence[Profile], asked: Mapping[str, str]) -> None:
    """Notes that this reader is shown these visitors in a list that renews itself: each once an hour, not each time."""
    fresh = here.unnoted(rt.redis, f"{site.id}:{reader[0]}", [each.id for each in shown], NOTED_ANEW)
    if fresh:
        access.note_list(rt, site.id, reader, "list", len(shown), asked, "live_visitors")
        access.note(rt, site.id, reader, "list", fresh, "live_visitors")


def source_of(profile: Profile) -> str:
    """Where the latest visit came from in one word: a campaign's source, else the referring host, else `direct`."""
    touch = profile.source.last or profile.source.first
    if touch is None:
        return "direct"
    named = touch.campaign.get("source") or touch.campaign.get("name")
    if named:
        return named[:100]
    try:
        host = urlsplit(touch.referrer or "").hostname
    except ValueError:
        host = None
    return host.removeprefix("www.")[:100] if host else "direct"


def _here(profile: Profile, streams: set[str]) -> Here:
    begun = profile.session_spans[-1][0] if profile.session_spans else profile.first_seen
    url = profile.page.get("url") or profile.page.get("path") or ""
    return Here(
        profile=profile,
        open=profile.id in streams,
        since=begun,
        source=source_of(profile),
        path=profile.page.get("path") or _path_of(url),
        title=profile.page.get("title") or "",
    )


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path or url
    except ValueError:
        return url


def _pattern(page: str | None) -> Callable[[Here], bool] | None:
    """What tells whether somebody is on a page that is meant; without signs of a pattern it is any part of the path.

    With `://` it means the whole address.
    """
    told = (page or "").strip()[:200]
    if not told:
        return None
    check = text_matcher(told if any(each in told for each in "*?[") else f"*{told}*", glob=True)
    if "://" in told:
        return lambda each: check(each.profile.page.get("url"))
    return lambda each: check(each.path)


def _persons(found: Mapping[str, Profile]) -> set[str]:
    return {each.id for each in found.values()}


def _last(profile: Profile) -> float:
    return profile.last_seen.timestamp() if profile.last_seen is not None else 0.0


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in names:
        counts[each] = counts.get(each, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
