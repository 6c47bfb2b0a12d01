"""What is counted? What a walk changed about what was said to a person, by rule, step, variant, channel and day."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from decimal import Decimal

from backend.domain.attention import Contact, Contacts
from backend.domain.calendar import day_of
from backend.domain.enrolment import Enrolment

MILLIONTHS = Decimal(1_000_000)
"""Money is counted in millionths, so that sums are exact and whole."""

MOMENTS = {
    "shown": "shown_at",
    "clicked": "clicked_at",
    "replied": "replied_at",
    "dismissed": "dismissed_at",
    "unsubscribed": "unsubscribed_at",
    "converted": "converted_at",
}


@dataclass(frozen=True, slots=True)
class Key:
    """What a number is about; `day` is the site's, that of the decision (of the entry for enrolments)."""

    rule_id: str
    day: date
    step: str
    variant: str
    channel: str
    metric: str


Deltas = Counter[Key]


def contact_deltas(before: Contacts, after: Contacts, zone: tzinfo) -> Deltas:
    """By how much the numbers grow when these contacts become those; applied in any order, they add up."""
    found: Deltas = Counter()
    if before is after:
        return found
    known = {each.message_id: each for each in before}
    for contact in after:
        earlier = known.get(contact.message_id)
        if earlier is contact:
            continue
        _count(found, earlier, contact, zone)
        if earlier is None and _is_first(contact, after):
            found[_key(contact, zone, "persons")] += 1
        newly = contact.goal_at is not None and (earlier is None or earlier.goal_at is None)
        if newly and not any(_same_rule(each, contact) and each.goal_at is not None for each in before):
            # Once for a person, and put down to the arm in which they are.
            found[_key(contact, zone, "goal_persons")] += 1
    return found


def enrolment_deltas(before: Mapping[str, Enrolment], changed: Iterable[Enrolment], zone: tzinfo) -> Deltas:
    """Entries, and how they ended."""
    found: Deltas = Counter()
    for enrolment in changed:
        earlier = before.get(enrolment.id)
        day = day_of(enrolment.entered_at, zone)
        if earlier is None:
            found[Key(enrolment.rule_id, day, "", "", "", "entered")] += 1
        if enrolment.outcome is not None and (earlier is None or earlier.outcome is None):
            reason = f":{enrolment.reason}" if enrolment.reason is not None and enrolment.outcome == "skipped" else ""
            found[Key(enrolment.rule_id, day, "", "", "", f"{enrolment.outcome}_enrolments{reason}")] += 1
    return found


def _count(found: Deltas, earlier: Contact | None, contact: Contact, zone: tzinfo) -> None:
    if earlier is None:
        found[_key(contact, zone, "sent" if contact.said else "held_out")] += 1
    for metric, name in MOMENTS.items():
        if getattr(contact, name) is not None and (earlier is None or getattr(earlier, name) is None):
            found[_key(contact, zone, metric)] += 1
    for metric, name in (("revenue", "revenue"), ("goal_value", "goal_value")):
        amount = _millionths(getattr(contact, name)) - _millionths(getattr(earlier, name) if earlier else None)
        if amount:
            found[_key(contact, zone, metric)] += amount


def _is_first(contact: Contact, contacts: Contacts) -> bool:
    return not any(_same_rule(each, contact) and each is not contact and each.at <= contact.at for each in contacts)


def _same_rule(a: Contact, b: Contact) -> bool:
    return a.rule_id == b.rule_id


def _key(contact: Contact, zone: tzinfo, metric: str) -> Key:
    return Key(contact.rule_id, day_of(contact.at, zone), contact.step, contact.variant, contact.channel, metric)


def _millionths(amount: Decimal | None) -> int:
    return 0 if amount is None else int((amount * MILLIONTHS).to_integral_value())
