"""How many rules in a row led to an event? Counted on, so that rules which start one another come to an end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.domain.attention import Contacts
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event

SHOWN = "Message Shown"


def hops_of(event: Event) -> int:
    """How many rules in a row led to this event."""
    told = event.context.get("chimein")
    hops = told.get("hops") if isinstance(told, dict) else None
    return hops if isinstance(hops, int) else 0


def traced(event: Event, contacts: Contacts, known: Mapping[str, Sequence[Enrolment]]) -> Event:
    """The report that a message was shown, with the hops that led to the message: the page knows nothing of them.

    A click or an answer is a person's doing, and begins anew.
    """
    told = event.properties.get("message_id")
    contact = next((each for each in contacts if each.message_id == told), None)
    if contact is None:
        return event
    earlier = [each for each in known.get(contact.rule_id, ()) if each.entered_at <= contact.at]
    own = [each for each in earlier if each.message_id == told] or earlier[-1:]
    hops = max((hops_of(each.trigger) for each in own), default=0) + 1
    return replace(event, context={**event.context, "chimein": {"hops": hops}})
