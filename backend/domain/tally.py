"""What is counted? What a walk changed about what was said to a person, by rule, step, variant, channel and day.

Every number is a sum over contacts, exposures and enrolments as they stand. So what is written down is by how much a
change of theirs changes the sums: exact, and the same in whatever order changes come.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, tzinfo
from decimal import Decimal
from typing import NamedTuple

from backend.domain.attention import Contact, Contacts
from backend.domain.calendar import day_of
from backend.domain.enrolment import Enrolment
from backend.domain.exposure import Exposure, Exposures

MILLIONTHS = Decimal(1_000_000)
"""Money is counted in millionths, so that sums are exact and whole."""

LARGEST = 10**16
"""More millionths are not counted for one goal: who reports more is no customer."""

LIMB = 40
"""Squares of money are counted in parts of so many bits: sums of them fit into 64."""

MOMENTS = {
    "shown": "shown_at",
    "clicked": "clicked_at",
    "replied": "replied_at",
    "dismissed": "dismissed_at",
    "unsubscribed": "unsubscribed_at",
    "converted": "converted_at",
}


class Key(NamedTuple):
    """What a number is about; a tuple, since many are made and looked up.

    `day` is the site's, that of the decision (of the entry for enrolments).
    """

    rule_id: str
    day: date
    step: str
    variant: str
    channel: str
    metric: str


Deltas = Counter[Key]
Numbers = Iterator[tuple[str, int]]


def contact_deltas(before: Contacts, after: Iterable[Contact], zone: tzinfo) -> Deltas:
    """By how much the numbers change when these contacts become those; one that is missing after was forgotten."""
    found: Deltas = Counter()
    if before is after:
        return found
    known = {each.message_id: each for each in before}
    for contact in after:
        change_contact(found, known.get(contact.message_id), contact, zone)
    return found


def change_contact(found: Deltas, before: Contact | None, after: Contact, zone: tzinfo) -> None:
    """Adds to `found` by how much the numbers change when one contact becomes another."""
    if before is after:
        return
    for contact, sign in ((before, -1), (after, 1)):
        if contact is not None:
            day = day_of(contact.at, zone)
            for metric, number in _of_contact(contact):
                found[Key(contact.rule_id, day, contact.step, contact.variant, contact.channel, metric)] += (
                    sign * number
                )


def exposure_deltas(before: Exposures, after: Exposures, zone: tzinfo) -> Deltas:
    """By how much the numbers change when these exposures become those; two that became one count as one."""
    found: Deltas = Counter()
    if before is after:
        return found
    same = set(map(id, before)) & set(map(id, after))
    for exposures, sign in ((before, -1), (after, 1)):
        for exposure in exposures:
            if id(exposure) in same:
                continue
            day = day_of(exposure.at, zone)
            for metric, number in _of_exposure(exposure):
                key = Key(exposure.rule_id, day, exposure.step, exposure.variant, exposure.channel, metric)
                found[key] += sign * number
    return found


def enrolment_deltas(before: Mapping[str, Enrolment], changed: Iterable[Enrolment], zone: tzinfo) -> Deltas:
    """Entries, how they ended, and what was not said at the steps of a journey."""
    found: Deltas = Counter()
    for enrolment in changed:
        earlier = before.get(enrolment.id)
        for each, sign in ((earlier, -1), (enrolment, 1)):
            if each is not None:
                day = day_of(each.entered_at, zone)
                for metric in _of_enrolment(each):
                    found[Key(each.rule_id, day, "", "", "", metric)] += sign
        seen = set(earlier.notes) if earlier is not None else ()
        for note in enrolment.notes:
            if note.result == "skipped" and note not in seen:
                key = Key(enrolment.rule_id, day_of(note.at, zone), note.step, "", "", f"skipped:{note.reason}")
                found[key] += 1
    return found


def squares(sums: Mapping[str, int], name: str) -> int:
    """The sum of squares whose parts were counted."""
    return sum(sums.get(f"{name}:{limb}", 0) << (LIMB * limb) for limb in range(3))


def _of_contact(contact: Contact) -> Numbers:
    yield ("sent" if contact.said else "held_out"), 1
    for metric, name in MOMENTS.items():
        if getattr(contact, name) is not None:
            yield metric, 1
    if contact.revenue is not None:
        yield "revenue", millionths(contact.revenue)


def _of_exposure(exposure: Exposure) -> Numbers:
    yield "persons", 1
    if exposure.clicked:
        yield "click_persons", 1
    if exposure.unsubscribed:
        yield "unsubscribed_persons", 1
    if exposure.goal_at is not None:
        yield "goal_persons", 1
    if exposure.goal_value:
        worth = millionths(exposure.goal_value)
        yield "goal_value", worth
        square = worth * worth
        for limb in range(3):
            yield f"goal_value_squares:{limb}", (square >> (LIMB * limb)) & ((1 << LIMB) - 1)
    stayed = exposure.stayed
    if stayed is not None:
        seconds = int(stayed.total_seconds())
        yield "sessions", 1
        yield "sessions_ended", int(exposure.last is not None and exposure.last <= exposure.at)
        yield "session_seconds", seconds
        yield "session_seconds_squares:0", seconds * seconds
    if exposure.test:
        yield f"test_persons:{exposure.test}", 1
        yield f"test_goal:{exposure.test}", int(exposure.goal_at is not None)
        yield f"test_clicked:{exposure.test}", int(exposure.clicked)


def _of_enrolment(enrolment: Enrolment) -> Iterator[str]:
    yield "entered"
    if enrolment.outcome is not None:
        reason = f":{enrolment.reason}" if enrolment.reason is not None and enrolment.outcome == "skipped" else ""
        yield f"{enrolment.outcome}_enrolments{reason}"


def millionths(amount: Decimal) -> int:
    """An amount of money as it is counted."""
    return max(-LARGEST, min(LARGEST, int((amount * MILLIONTHS).to_integral_value())))
