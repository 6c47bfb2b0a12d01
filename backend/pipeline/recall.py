"""The step `recall`: what pages report of messages that a profile has forgotten is counted by those messages' rows.

A profile remembers about a hundred contacts (`domain/attention.forgetting`), so that it stays small however much is
said to one person, and decisions ask those alone, live as in a simulation. Numbers want more: a mail of last month may
be clicked today. They need no memory of their own, for the row of each message keeps the first moment of each kind of
report. Read as the contact that it was, it tells by how much a further report changes the numbers, so that these stay
what a recount of all messages finds. One query a batch, and only where a report names a message that its profile does
not know. The day is that of the row, which may be the day after the decision's where that was made about midnight.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import tzinfo

from backend.domain.attention import FEEDBACK, Contact, with_feedback
from backend.domain.engine import Advance
from backend.domain.event import Event
from backend.domain.exposure import with_click
from backend.domain.message import Message
from backend.domain.tally import Deltas, Key, change_contact
from backend.pipeline.batch import Batch
from backend.storage import messages
from backend.storage.database import Connection
from backend.storage.visitors import members_of

ZoneOf = Callable[[str], tzinfo]


def recall(
    connection: Connection, batch: Batch, advances: Mapping[str, Advance], zone_of: ZoneOf
) -> Counter[tuple[str, Key]]:
    """By how much the numbers change, by site, through reports that found no contact on their walk.

    A click is noted with the comparison in which the person takes part. `zone_of` is the zone of a site.
    """
    numbers: Counter[tuple[str, Key]] = Counter()
    late = [(person_id, event) for person_id, event in batch.reports if _is_late(advances.get(person_id), event)]
    known = _known(connection, advances, late) if late else {}
    for person_id, event in late:
        place = (person_id, str(event.properties["message_id"]))
        before = known.get(place)
        if before is None:
            continue  # a stranger's message, or none
        (after,) = with_feedback((before,), event)
        known[place] = after
        profile, changed = advances[person_id].profile, Deltas()
        change_contact(changed, before, after, zone_of(profile.site_id))
        for key, number in changed.items():
            numbers[profile.site_id, key] += number
        if after.clicked_at is not None:
            profile.__dict__["exposures"] = with_click(profile.exposures, after.rule_id, after.step)
    return numbers


def contact_of(message: Message) -> Contact:
    """The contact that a message was, as far as numbers ask for it."""
    return Contact(
        message_id=message.id,
        rule_id=message.rule_id,
        step=message.step,
        channel=message.channel,
        category="promotional",
        variant=message.variant,
        at=message.created_at,
        shown_at=message.shown_at,
        clicked_at=message.clicked_at,
        dismissed_at=message.dismissed_at,
        replied_at=message.replied_at,
    )


def _is_late(result: Advance | None, event: Event) -> bool:
    """Whether the contact was forgotten before the walk came to the report, or never was."""
    told = event.properties.get("message_id")
    if result is None or not isinstance(told, str):
        return False
    for contact in (*result.profile.contacts, *result.forgotten):
        if contact.message_id == told:
            return getattr(contact, FEEDBACK[event.name]) is None
    return True


def _known(
    connection: Connection, advances: Mapping[str, Advance], late: list[tuple[str, Event]]
) -> dict[tuple[str, str], Contact]:
    owners = {member: person_id for person_id, _ in late for member in members_of(advances[person_id].profile)}
    ids = {str(event.properties["message_id"]) for _, event in late}
    found = messages.among(connection, owners, ids)
    # One that was skipped went on by another channel, and counts there.
    known = {(owners[each.visitor_id], each.id): contact_of(each) for each in found if each.status != "skipped"}
    for person_id in {person_id for person_id, _ in late}:
        known |= {(person_id, each.message_id): each for each in advances[person_id].forgotten}
    return known
