"""How the console's pages put things into words: names, moments, spans, money, and what somebody did."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from backend.domain.calendar import zone_of
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.profile import Profile
from backend.web.console.people import name_of

MOMENTS = ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h"), (86_400 * 30, 86_400, "d"))
LONGEST = 300
"""Characters of a value that a page shows."""

DONE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Page Viewed": ("Viewed", ("title", "path", "url", "name")),
    "Screen Viewed": ("Viewed", ("name",)),
    "Product Viewed": ("Looked at", ("name", "product_id", "sku")),
    "Product List Viewed": ("Browsed", ("category", "list_id")),
    "Product Added": ("Put in the cart", ("name", "product_id", "sku")),
    "Product Removed": ("Took out of the cart", ("name", "product_id", "sku")),
    "Products Searched": ("Searched for", ("query",)),
    "Cart Viewed": ("Looked at the cart", ()),
    "Checkout Started": ("Began to check out", ("order_id",)),
    "Order Completed": ("Ordered", ("order_id",)),
    "Form Field Filled": ("Filled in", ("field",)),
    "Identify": ("Said who they are", ()),
    "Message Shown": ("Was shown a message", ()),
    "Message Clicked": ("Clicked a message", ()),
    "Message Dismissed": ("Waved a message away", ()),
    "Message Replied": ("Replied", ("message_body", "text")),
    "Live Chat Message Sent": ("Wrote", ("message_body",)),
    "Live Chat Conversation Rated": ("Rated the conversation", ("rating",)),
}

SOURCES = {
    "event": "from an event of the page",
    "form_field": "typed into a form",
    "identify": "said by the page (identify)",
    "signed": "signed by the site",
    "api": "told through the API",
    "operator": "told by an operator",
    "reply": "answered in the chat",
    "double_opt_in": "confirmed by mail",
}

REASONS = {
    "not_matching": "the audience no longer fits",
    "cancelled": "what it waited for happened otherwise",
    "holdout": "held out, to compare",
    "cap": "enough was said already",
    "quiet_hours": "quiet hours",
    "no_consent": "no consent",
    "unsubscribed": "unsubscribed",
    "unverified_contact": "the address is not confirmed",
    "no_address": "no way to reach them",
    "missing_value": "a name in the text has no value for them",
    "no_operator": "nobody was there to answer",
    "goal_met": "they had done it already",
    "rule_changed": "the rule was changed meanwhile",
    "channel_window": "the channel's window is over",
    "lower_priority": "another message came first",
    "stale_event": "the event came too late",
    "rule_paused": "the rule is paused",
    "loop_guard": "rules went round in a circle",
    "merged": "they are in it as somebody else already",
}

GATES = {
    "trigger": "Trigger",
    "reentry": "Re-entry",
    "rule": "Rule is on",
    "audience": "Audience",
    "consent": "Consent",
    "address": "Address",
    "channel": "Channel",
    "caps": "Caps",
    "quiet_hours": "Quiet hours",
    "holdout": "Hold-out",
    "template": "Text",
    "operator": "Operator",
}


def called(profile: Profile) -> str:
    """What a person is called where they are listed."""
    return name_of(profile, profile.id)


def initials(name: str) -> str:
    """One or two letters for a round picture; none for who has no name."""
    words = [each for each in name.replace("@", " ").split() if each[0].isalnum()]
    if not words or name.startswith("Visitor "):
        return ""
    return (words[0][0] + (words[1][0] if len(words) > 1 and "@" not in name else "")).upper()


def hue(text: str) -> int:
    """One of eight colours for a round picture, always the same for the same id."""
    return sum(text.encode("utf-8", "replace")) % 8


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit: `now`, `12 s`, `5 min`, `3 h`, `4 d`, or the day."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 5:
        return "now"
    return spell(seconds) if seconds < MOMENTS[-1][0] else f"{moment:%d %b %Y}".lstrip("0")


def spell(span: float | timedelta | None) -> str:
    """A span in its largest unit; a dash for none."""
    if span is None:
        return "–"
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    for below, unit, name in MOMENTS:
        if seconds < below:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // 86_400)} d"


def at(moment: datetime | None, zone: str) -> str:
    """A moment on the site's clock."""
    if moment is None:
        return "never"
    return f"{moment.astimezone(zone_of(zone)):%d %b %Y, %H:%M:%S %Z}".lstrip("0")


def money(amount: Any, currency: str) -> str:
    """An amount with its currency; whatever is none stands as it is."""
    if amount is None:
        return "–"
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        return shortened(str(amount))
    return f"{value:,.2f} {currency}" if value.is_finite() else "–"


def percent(share: float | None, signed: bool = False) -> str:
    """A share in percent; a dash for none."""
    if share is None:
        return "–"
    return f"{share * 100:{'+' if signed else ''}.1f} %"


def did(event: Event) -> tuple[str, str]:
    """What an event says that somebody did, and to what."""
    verb, names = DONE.get(event.name, (event.name, ("name", "title", "message_id")))
    told = next((text for each in names if (text := _text(event.properties.get(each)))), "")
    if event.name in ("Page Viewed", "Screen Viewed") and not told:
        told = _text(event.context.get("page", {}).get("path")) if isinstance(event.context.get("page"), dict) else ""
    if event.name == "Form Field Filled":
        told = " = ".join(filter(None, (told, _text(event.properties.get("value")))))
    return shortened(verb, 120), shortened(told)


def kind_of(event: Event) -> str:
    """The kind of an event, for its sign in the timeline."""
    name = event.name
    if name.startswith(("Message ", "Live Chat ")):
        return "talk"
    if name in ("Order Completed", "Checkout Started"):
        return "order"
    if name.startswith(("Product Added", "Product Removed", "Cart")):
        return "cart"
    if event.type in ("identify", "alias", "group") or name == "Form Field Filled":
        return "person"
    return "page" if event.type in ("page", "screen") or name.startswith("Product") else "other"


def details(event: Event) -> list[tuple[str, str]]:
    """Everything that an event carries, each value as short text."""
    bags = (event.properties, event.traits)
    return [(str(key)[:100], written(value)) for bag in bags for key, value in bag.items()]


def written(value: Any) -> str:
    """Any value as short text."""
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return shortened(json.dumps(value, ensure_ascii=False, default=str))


def pretty(value: Any) -> str:
    """A document as it is written."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def sentences(errors: Any, path: str = "") -> list[tuple[str, str]]:
    """Mistakes, however deep they lie, as (path, sentence)."""
    if isinstance(errors, Mapping):
        told = errors.items()
        return [each for key, value in told for each in sentences(value, f"{path}.{key}" if path else str(key))]
    if isinstance(errors, list | tuple):
        return [each for one in errors for each in sentences(one, path)]
    return [(path, str(errors))] if errors else []


def shortened(text: str, most: int = LONGEST) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else text[: most - 1] + "…"


def link(url: Any) -> str | None:
    """The address if a browser may be sent there: http or https; else None."""
    if not isinstance(url, str) or len(url) > 2_000:
        return None
    try:
        return url if urlsplit(url.strip()).scheme.lower() in ("http", "https") else None
    except ValueError:
        return None


def saying(message: Message) -> str:
    """What a message says, in one line."""
    content = message.content
    return shortened(
        next((text for each in ("title", "subject", "body") if (text := _text(content.get(each)))), message.channel),
        160,
    )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


TONES = {
    **dict.fromkeys(("active", "sent", "open", "clicked", "converted", "completed"), "good"),
    **dict.fromkeys(("failed", "unknown"), "bad"),
    **dict.fromkeys(("paused", "deferred", "snoozed", "waiting"), "warn"),
}

FILTERS: Mapping[str, Any] = {
    "tone": lambda each: TONES.get(each, ""),
    "clock": at,
    "since": ago,
    "did": did,
    "kind_of": kind_of,
    "details": details,
    "pretty": pretty,
    "in_order": lambda each: json.dumps(each, ensure_ascii=False, default=str),
    "saying": saying,
    "called": called,
    "initials": initials,
    "hue": hue,
    "spell": spell,
    "money": money,
    "percent": percent,
    "written": written,
    "shortened": shortened,
    "safe_link": link,
    "source_word": lambda each: SOURCES.get(each, each),
    "reason_word": lambda each: REASONS.get(each, str(each or "").replace("_", " ")),
    "gate_word": lambda each: GATES.get(each, str(each).replace("_", " ").capitalize()),
}
"""What templates use of it."""
