"""How much may be said to one person? Caps over all channels, and the distance kept after a message was waved away."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal, TypeAlias

from backend.domain.attention import Contact, Contacts, said
from backend.domain.calendar import day_of, next_day, written
from backend.domain.duration import format_duration
from backend.domain.message import ON_SITE
from backend.domain.profile import Profile
from backend.domain.session import GAP

Per: TypeAlias = Literal["day", "session", "page"]

MOST_TOLD = 5
"""So many messages are named that count against a cap, the latest ones."""

LONGEST_BACKOFF = timedelta(days=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """At most `count` messages `within` a rolling time, or `per` calendar day of the visitor, session or page.

    `channels` and `category` say which messages count and are held back; None: all. Transactional ones never are.
    """

    count: int
    within: timedelta | None = None
    per: Per | None = None
    channels: frozenset[str] | None = None
    category: str | None = None

    def concerns(self, channel: str, category: str) -> bool:
        """Whether a message of this channel and category counts here."""
        return (self.channels is None or channel in self.channels) and self.category in {None, category}


@dataclass(frozen=True, slots=True)
class Held:
    """Why nothing may be said now; `until` is the moment at which to ask again, None where nobody can tell."""

    reason: str
    detail: str
    until: datetime | None = None
    by: tuple[str, ...] = ()
    """The rules whose messages took the place."""


def over_cap(
    caps: Sequence[Cap],
    contacts: Iterable[Contact],
    profile: Profile,
    channel: str,
    category: str,
    at: datetime,
    zone: tzinfo,
) -> Held | None:
    """The caps that a message at this moment would break, as one verdict; None where it breaks none.

    A message counts from its decision on, whether it was shown, has failed or has expired: nobody can tell in time. One
    that was said after `at` (an event came late) counts as well, so that no window ever holds more than the cap.
    """
    held: list[Held] = []
    counted = [contact for contact in said(contacts) if contact.category != "transactional"]
    for cap in caps:
        if not cap.concerns(channel, category):
            continue
        alike = [contact for contact in counted if cap.concerns(contact.channel, contact.category)]
        verdict = _over(cap, alike, profile, at, zone)
        if verdict is not None:
            held.append(verdict)
    if not held:
        return None
    moments = [each.until for each in held if each.until is not None]
    until = max(moments) if len(moments) == len(held) else None
    by = tuple(dict.fromkeys(rule_id for each in held for rule_id in each.by))
    return Held("cap", " ".join(each.detail for each in held), until, by)


def told_caps(
    caps: Sequence[Cap],
    contacts: Iterable[Contact],
    profile: Profile,
    channel: str,
    category: str,
    at: datetime,
    zone: tzinfo,
) -> list[str]:
    """What counts against each cap that concerns such a message: how many of how many, and which."""
    counted = [contact for contact in said(contacts) if contact.category != "transactional"]
    told: list[str] = []
    for cap in caps:
        if cap.concerns(channel, category):
            alike = [each for each in counted if cap.concerns(each.channel, each.category)]
            found = _counting(cap, alike, profile, at, zone)
            span = f"this {cap.per}" if cap.within is None else f"within {format_duration(cap.within)}"
            which = ", ".join(f"{each.channel} of {each.rule_id} at {written(each.at)}" for each in found[-MOST_TOLD:])
            told.append(f"{len(found)} of {cap.count} {span}" + (f" ({which})." if which else "."))
    return told


def _counting(cap: Cap, alike: list[Contact], profile: Profile, at: datetime, zone: tzinfo) -> list[Contact]:
    """Those of the messages that lie in the time of this cap."""
    if cap.within is not None:
        return [contact for contact in alike if at - cap.within < contact.at < at + cap.within]
    if cap.per == "day":
        return [contact for contact in alike if day_of(contact.at, zone) == day_of(at, zone)]
    if cap.per == "session":
        began = _session_began(profile, at)
        return [contact for contact in alike if contact.at >= began]
    here, since = profile.page.get("path"), profile.page_since
    return [contact for contact in alike if contact.page == here and (since is None or contact.at >= since)]


def _over(cap: Cap, alike: list[Contact], profile: Profile, at: datetime, zone: tzinfo) -> Held | None:
    same = _counting(cap, alike, profile, at, zone)
    if len(same) < cap.count:
        return None
    if cap.within is not None:
        told = f"{len(same)} messages within {format_duration(cap.within)}, at most {cap.count}."
        return Held("cap", told, same[-cap.count].at + cap.within, _rules(same))
    until = next_day(at, zone) if cap.per == "day" else None
    return Held("cap", f"{len(same)} messages this {cap.per}, at most {cap.count}.", until, _rules(same))


def needed_by(caps: Sequence[Cap], own: Mapping[str, Sequence[Cap]], contacts: Contacts) -> set[str]:
    """The ids of the contacts that these caps of a site, and the rules' `own` by rule id, can still ask for."""
    counted = [contact for contact in said(contacts) if contact.category != "transactional"]
    needed: set[str] = set()
    for rule_id, group in ((None, caps), *own.items()):
        mine = counted if rule_id is None else [contact for contact in counted if contact.rule_id == rule_id]
        for cap in group:
            alike = [each.message_id for each in mine if cap.concerns(each.channel, each.category)]
            needed.update(alike[-cap.count :])
    return needed


def _rules(contacts: Iterable[Contact]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(contact.rule_id for contact in contacts))


def _session_began(profile: Profile, at: datetime) -> datetime:
    for start, end in reversed(profile.session_spans):
        if start <= at <= end + GAP:
            return start
    return at


def wants_no_more(contacts: Contacts, channel: str) -> bool:
    """Whether the person has asked not to be told anything on the site again: no rule may."""
    return channel in ON_SITE and any(contact.never for contact in contacts)


def refused(contacts: Contacts, channel: str) -> Held | None:
    """The verdict on somebody who has asked that."""
    if wants_no_more(contacts, channel):
        return Held("no_consent", "They asked not to be told such things again.")
    return None


def waved_away(contacts: Contacts, channel: str, at: datetime, base: timedelta) -> Held | None:
    """Whether the person has waved messages on the site away, and for how long that holds.

    The first time for `base`, each further time in a row for twice as long; a click or an answer ends the row.
    """
    if channel not in ON_SITE or base <= timedelta(0):
        return None
    row = 0
    last: datetime | None = None
    for contact in said(contacts):
        if contact.channel not in ON_SITE or contact.at > at:
            continue
        if contact.clicked_at is not None or contact.replied_at is not None:
            row, last = 0, None
        elif contact.dismissed_at is not None and contact.dismissed_at <= at:
            row += 1
            last = contact.dismissed_at if last is None else max(last, contact.dismissed_at)
    if last is None:
        return None
    until = last + min(base * 2 ** min(row - 1, 20), LONGEST_BACKOFF)
    if at >= until:
        return None
    times = "once" if row == 1 else f"{row} times in a row"
    return Held("cap", f"Waved away {times}; nothing until {until.isoformat(timespec='seconds')}.", until)
