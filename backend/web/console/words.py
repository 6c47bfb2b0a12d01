"""How the console writes times, names and addresses."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import url_for
from markupsafe import Markup

from backend.domain.conversation import Part, refused_of, stranger_of

_SCHEMES = ("http", "https", "mailto", "tel")
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\x00-\x1f]{1,2000}", re.IGNORECASE)
_LINK = Markup('<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">{address}</a>')
REFUSED = {
    "kind": "files of this kind are not taken",
    "size": "too large",
    "number": "too many in one mail",
    "day": "too many in one day",
}
_UNITS = ((60, "min"), (3_600, "h"), (86_400, "d"))


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, as short as it can be told: `now`, `5 min`, `3 h`, `2 d`, else the date."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    if seconds < 45:
        return "now"
    if seconds >= 7 * 86_400:
        return f"{moment.day} {moment:%b}" if moment.year == now.year else f"{moment.day} {moment:%b %Y}"
    size, unit = max((each for each in _UNITS if seconds >= each[0] * 0.75), default=_UNITS[0])
    return f"{max(1, round(seconds / size))} {unit}"


def initials(name: str) -> str:
    """One or two letters for who has no picture."""
    found = [each[0] for each in re.findall(r"\w+", name.split("@")[0] or name)]
    return "".join(found[:1] + found[-1:] if len(found) > 1 else found).upper() or "?"


def tint(seed: str) -> int:
    """A colour, from 0 to 7, that stays with whoever it was given to."""
    return sum(seed.encode("utf-8", "replace")) % 8


def safe_url(text: object) -> str:
    """The address if following it can do no harm (http, https, mailto, tel); else an empty text."""
    told = text.strip() if isinstance(text, str) else ""
    if re.search(r"[\x00-\x20\x7f]", told):
        return ""
    try:
        return told if urlsplit(told).scheme.lower() in _SCHEMES else ""
    except ValueError:
        return ""


def short_url(text: object) -> str:
    """An address as it is shown: its path, with the host where that is all there is."""
    told = str(text or "")
    try:
        parts = urlsplit(told)
    except ValueError:
        return told[:80]
    shown = parts.path if parts.path not in ("", "/") else parts.netloc or "/"
    return shown[:80]


def exact(moment: datetime | None) -> str:
    """A moment as machines read it, for the script that shows it in the reader's own zone."""
    return "" if moment is None else moment.isoformat(timespec="seconds")


def linked(text: str) -> Markup:
    """The text, escaped, with the web addresses in it as links."""
    told, place = Markup(), 0
    for found in _ADDRESS.finditer(text):
        address = found[0].rstrip(".,;:!?'\"")
        while address.endswith(")") and address.count(")") > address.count("("):
            address = address[:-1]
        if not safe_url(address):
            continue
        told += text[place : found.start()]
        told += _LINK.format(address=address)
        place = found.start() + len(address)
    return told + text[place:]


def refused(part: Part) -> list[dict[str, str]]:
    """The files of a part that were not kept: `name`, and why."""
    return [
        {"name": str(each.get("name"))[:120], "why": REFUSED.get(str(each.get("why")), "not taken")}
        for each in refused_of(part)
    ]


def by_mail(part: Part) -> str:
    """One line about what befell a conversation by mail; empty where it is about something else."""
    told = part.content
    sender = told.get("from")
    sender = sender.get("address") if isinstance(sender, Mapping) else ""
    to, reason = (f"{told[name]}" if told.get(name) else "" for name in ("to", "reason"))
    why = f": {reason}" if reason else ""
    ends = " No more mails go there." if told.get("lasts") else ""
    said = f": “{part.text}”" if part.text else ""
    lines = {
        "mailed": f"Went out by mail to {to}",
        "mail_failed": f"Could not be mailed to {to}{why}",
        "mail_uncertain": f"It is not known whether the mail to {to} left{why}",
        "mail_bounced": f"The mail to {to} came back{why}.{ends}",
        "mail_delayed": f"The mail to {to} is late{why}",
        "mail_automatic": f"An automatic reply came from {sender or 'their mailbox'}{said}",
        "mail_loop": f"A mail that is no answer came from {sender or 'a machine'}{said}",
        "mails_off": "They want no more mails about this conversation",
        "mails_on": "They want mails about this conversation again",
        "mail_empty": f"An empty mail came from {sender or 'them'}",
    }
    return lines.get(str(told.get("event")), "")[:600]


def photo_at(digest: str) -> str:
    """Where the console finds a photo: on its own host, whatever that is called."""
    return url_for("photos.show", digest=digest)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "by_mail": by_mail,
    "exact": exact,
    "photo_at": photo_at,
    "initials": initials,
    "linked": linked,
    "refused": refused,
    "stranger": stranger_of,
    "safe_url": safe_url,
    "short_url": short_url,
    "tint": tint,
}
"""What every template may call."""
