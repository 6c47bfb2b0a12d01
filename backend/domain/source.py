"""Where do they come from? Campaign tags and referrers of the first visit and of the latest that had one."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from backend.domain.event import Event
from backend.domain.profile import Source, Touch

TAG_LIMIT = 255
ORIGIN_LENGTH = 100
DIRECT = "direct"
_UTM = {
    "utm_campaign": "name",
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_term": "term",
    "utm_content": "content",
}


def tells_origin(context: Mapping[str, Any], page: Any) -> bool:
    """Whether `touch_of` could find anything: most events tell of no origin, and that is soon seen."""
    if page.__class__ is dict:
        if page.get("referrer"):
            return True
        search = page["search"] if "search" in page else page.get("url")
        if search.__class__ is not str or "utm_" in search:
            return True
    return "campaign" in context or "referrer" in context


def touch_of(event: Event) -> Touch | None:
    """The origin that this event tells of: a campaign, or a referrer from another host; None without either."""
    context = event.context
    page = context.get("page")
    page = page if page.__class__ is dict else {}
    campaign = _campaign(context.get("campaign"), page)
    referrer = _referrer(context, page)
    if not campaign and referrer is None:
        return None
    landing = page.get("url") or page.get("path")
    return Touch(
        at=event.timestamp,
        campaign=campaign,
        referrer=referrer,
        landing=landing[:2048] if isinstance(landing, str) else None,
    )


def with_touch(source: Source, touch: Touch) -> Source:
    """The source with one more touch: the earliest stays first, the latest is last."""
    first = touch if source.first is None or touch.at < source.first.at else source.first
    last = touch if source.last is None or touch.at >= source.last.at else source.last
    return source if first is source.first and last is source.last else Source(first=first, last=last)


def origin_of(source: Source) -> str:
    """In a word where the latest visit that tells of it came from: the campaign's source, else the referring host.

    `direct` where nothing tells.
    """
    touch = source.last
    if touch is None:
        return DIRECT
    named = touch.campaign.get("source")
    if named:
        return named.lower()[:ORIGIN_LENGTH]
    host = (touch.referrer or "").partition("//")[2].partition("/")[0]
    return host.rpartition("@")[2].lower().removeprefix("www.")[:ORIGIN_LENGTH] or DIRECT


def _campaign(told: Any, page: Mapping[str, Any]) -> dict[str, str]:
    if told.__class__ is dict and told:
        return {str(key)[:64]: value[:TAG_LIMIT] for key, value in list(told.items())[:20] if isinstance(value, str)}
    search = page.get("search")
    if not isinstance(search, str):
        url = page.get("url")
        search = url.partition("?")[2] if isinstance(url, str) else ""
    if "utm_" not in search:
        return {}
    try:
        pairs = parse_qsl(search.lstrip("?").partition("#")[0], max_num_fields=100)
    except ValueError:
        return {}
    return {_UTM[key]: value[:TAG_LIMIT] for key, value in pairs if key in _UTM and value}


def _referrer(context: Mapping[str, Any], page: Mapping[str, Any]) -> str | None:
    told = page.get("referrer")
    if not told and context.get("referrer").__class__ is dict:
        told = context["referrer"].get("url")
    if not isinstance(told, str) or not told:
        return None
    url = page.get("url")
    if isinstance(url, str) and _host(url) == _host(told):
        return None
    return told[:2048]


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
