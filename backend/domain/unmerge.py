"""The verb `unmerge`: what was said to one person goes back to the two that they are."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from backend.domain.attention import Contact, Contacts
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.exposure import LEAVE_WINDOW, Exposure, Exposures, session_at
from backend.domain.identity import anonymous_visitor, derive, known_visitor
from backend.domain.profile import Profile
from backend.domain.session import Spans


@dataclass(frozen=True, slots=True)
class Shares:
    """What belongs to whom goes out of a merged person (`freed`); all else stays (`kept`)."""

    kept: Contacts
    freed: Contacts


def owner_of(site_id: str, event: Event) -> str | None:
    """The visitor whom an event's own ids name."""
    if event.user_id is not None:
        return known_visitor(site_id, event.user_id)
    return None if event.anonymous_id is None else anonymous_visitor(site_id, event.anonymous_id)


def belongs(enrolment: Enrolment, freed: Collection[str]) -> bool:
    """Whether an enrolment is that of one of these visitors: it was entered as theirs, or by their event."""
    return enrolment.visitor_id in freed or owner_of(enrolment.site_id, enrolment.trigger) in freed


def home_of(enrolment: Enrolment, person: Profile) -> str:
    """The id of a person under which what an enrolment reports is kept: it goes where the enrolment `belongs`.

    Whoever did what led to it comes first: the enrolment may have been entered by a person of whom they were a part.
    """
    owners = (owner_of(enrolment.site_id, enrolment.trigger), enrolment.visitor_id)
    return next((each for each in owners if each is not None and each in person.members), person.id)


def without(enrolment: Enrolment, gone: Collection[str]) -> Enrolment:
    """The enrolment as it may be kept when these visitors, with whom its own was one person once, are erased."""
    site_id, trigger = enrolment.site_id, enrolment.trigger
    if trigger.anonymous_id is not None and anonymous_visitor(site_id, trigger.anonymous_id) in gone:
        trigger = replace(trigger, anonymous_id=None)
    if trigger.user_id is not None and known_visitor(site_id, trigger.user_id) in gone:
        trigger = replace(trigger, user_id=None)
    notes = tuple(
        replace(each, detail=None) if each.detail is not None and any(one in each.detail for one in gone) else each
        for each in enrolment.notes
    )
    return enrolment.but(trigger=trigger, notes=notes)


def share(contacts: Contacts, enrolled: Iterable[Enrolment], message_ids: Collection[str]) -> Shares:
    """The contacts by whose they are: `enrolled` and `message_ids` are those that go."""
    ids = {*message_ids, *(each.message_id for each in enrolled if each.message_id is not None)}
    steps = {each.step for each in contacts}
    for each in enrolled:
        ids.update(derive("held out", each.id, *((step,) if step else ())) for step in steps)
    freed = tuple(each for each in contacts if each.message_id in ids)
    return Shares(tuple(each for each in contacts if each.message_id not in ids), freed)


def exposures_of(
    merged: Exposures, contacts: Contacts, entered: Collection[str], others: Collection[str], one: Profile
) -> Exposures:
    """Those of a merged person's exposures that are this one's; `entered` are the rules that they were in.

    `others` are the rules that the other one was in. Where both were in a rule, each has what their own contacts tell.
    What was dealt out by the other's id counts by one's own from now on: that one may be erased, and then is nowhere.
    """
    found: list[Exposure] = []
    spans, person, own_ids = one.session_spans, one.person, {one.id, *one.members}
    for each in merged:
        if each.rule_id not in entered:
            continue
        if each.person not in own_ids:
            each = each._replace(person=person)
        if each.rule_id not in others:
            found.append(each)
            continue
        own = [one for one in contacts if one.rule_id == each.rule_id and one.step == each.step]
        if own:
            found.append(_exposed(each, min(own, key=lambda one: one.at), own, spans, person))
    return tuple(sorted(found, key=lambda each: (each.at, each.key)))


def _exposed(known: Exposure, first: Contact, own: Iterable[Contact], spans: Spans, person: str) -> Exposure:
    same = known.at == first.at and known.variant == first.variant
    goals = [(one.goal_at, one.goal_value) for one in own if one.goal_at is not None]
    goal = min(goals, key=lambda pair: pair[0]) if goals else (None, None)
    left = [one.unsubscribed_at for one in own if one.unsubscribed_at is not None]
    return Exposure(
        rule_id=known.rule_id,
        step=known.step,
        variant=first.variant,
        channel=first.channel,
        at=first.at,
        person=known.person if same else person,
        test=known.test if first.said else "",
        last=known.last if same else session_at(spans, first.at),
        goal_at=goal[0],
        goal_value=goal[1],
        clicked=any(one.clicked_at is not None for one in own),
        unsubscribed=any(timedelta(0) <= moment - first.at < LEAVE_WINDOW for moment in left),
    )
