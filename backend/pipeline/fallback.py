"""The step `fallback`: what the page did not show in time goes on by the rule's next channel."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from backend.domain.attention import with_contact
from backend.domain.calendar import zone_of
from backend.domain.decide import held_back
from backend.domain.engine import Ruleset
from backend.domain.enrolment import Enrolment
from backend.domain.identity import derive
from backend.domain.message import ON_SITE, Message
from backend.domain.profile import Profile
from backend.domain.reach import Reach, reach
from backend.domain.recheck import recheck
from backend.domain.rule import CompiledRule
from backend.domain.tally import Key, change_contact
from backend.pipeline.count import add_deltas
from backend.pipeline.permits import past_for
from backend.pipeline.recall import contact_of
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage import deliveries, enrolments, messages, visitors
from backend.storage.database import Connection
from backend.storage.visitors import Stored

log = structlog.get_logger(__name__)

AT_ONCE = 200
REASON = "fallback"
"""Why the message that was not shown ends: another one has taken its place."""


class Fallback:
    """Looks for on-site messages whose `fallback_after` is over."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._rulesets = Rulesets(rt)

    def run(self) -> int:
        """Sends them on; returns how many. Each moves in a transaction of its own, and at most once."""
        now = self._rt.clock()
        with self._rt.db.read() as connection:
            refs = deliveries.due_fallbacks(connection, now, AT_ONCE)
        moved = [pair for ref in refs if (pair := self._move(ref, now)) is not None]
        revoked = [
            (old.visitor_id, {"event": "revoke", "anonymous_id": old.anonymous_id, "data": {"id": old.id}})
            for old, _ in moved
        ]
        self._rt.live.publish(revoked)
        self._rt.queue.enqueue([(new.visitor_id, new.id) for _, new in moved if new.channel not in ON_SITE])
        return len(moved)

    def _move(self, ref: tuple[str, str], now: datetime) -> tuple[Message, Message] | None:
        with self._rt.db.begin() as connection:
            held = visitors.lock_root(connection, ref[0])
            old = messages.get(connection, *ref)
            if old is None or old.status != "queued":
                return None
            self._rulesets.refresh(connection)
            enrolment = enrolments.get(connection, old.visitor_id, old.enrolment_id)
            entered = enrolment.rule_version if enrolment is not None else 0
            ruleset = self._rulesets.of(old.site_id)
            rule = self._rulesets.rule_of(connection, old.site_id, old.rule_id, entered)
            profile = held.profile if held is not None else None
            new = self._successor(connection, old, enrolment, rule, ruleset, profile, now)
            if not isinstance(new, Message):
                deliveries.wait_for_page(connection, ref, min(new or old.expires_at, old.expires_at))
                return None
            if not messages.set_status(connection, *ref, "skipped", REASON, expected="queued"):
                return None
            messages.insert(connection, [new])
            if enrolment is not None:
                enrolments.save(connection, [replace(enrolment, channel=new.channel, message_id=new.id)])
            self._remember(connection, held, old, new)
        log.info("message_falls_back", old=old.id, new=new.id, channel=new.channel)
        return old, new

    def _remember(self, connection: Connection, held: Stored | None, old: Message, new: Message) -> None:
        """From now on the contact is one by the way that the message goes, and counts there."""
        if held is None:
            return
        contacts, numbers = held.profile.contacts, Counter[Key]()
        site = self._rt.sites.by_id(old.site_id)
        zone = zone_of(site.timezone if site is not None else None)
        known = next((each for each in contacts if each.message_id == old.id), None)
        contact = known or contact_of(old)  # forgotten, it counts by the new channel all the same
        moved = replace(contact, message_id=new.id, channel=new.channel, at=new.created_at)
        change_contact(numbers, contact, moved, zone)
        if known is not None:
            contacts = with_contact(tuple(each for each in contacts if each is not known), moved)
        visitors.save(connection, [], [replace(held, profile=replace(held.profile, contacts=contacts))])
        add_deltas(connection, old.site_id, numbers)

    def _successor(
        self,
        connection: Connection,
        old: Message,
        enrolment: Enrolment | None,
        rule: CompiledRule | None,
        ruleset: Ruleset | None,
        profile: Profile | None,
        now: datetime,
    ) -> Message | datetime | None:
        """The same words by a later channel; None where no gate or no channel lets them pass, or when to ask again.

        Quiet hours and caps are asked anew: they may hold for a mail and not for a pop-up.
        """
        op = rule.saying(old.step) if rule is not None else None
        if ruleset is None or rule is None or profile is None or op is None:
            return None
        site = ruleset.site
        way = reach(profile, _later(op.message.channels, old.channel), site.policy)
        if not isinstance(way, Reach):
            return None
        gate = held_back(site, ruleset.limits, rule, _without(profile, old.id), way.channel, now)
        if gate is not None:
            return gate.until
        new = replace(
            old,
            id=derive("message", old.enrolment_id, *((old.step,) if old.step else ()), way.channel),
            channel=way.channel,
            address=way.address,
            created_at=now,
            expires_at=now + op.message.expires_after,
            due_at=now,
        )
        if way.channel in ON_SITE:
            after = op.message.fallback_after
            new = replace(new, due_at=new.expires_at if after is None else now + after)
        closed = recheck(
            new,
            now,
            site=site,
            rule=rule,
            profile=profile,
            trigger=enrolment.trigger if enrolment is not None else None,
            history=past_for(connection, profile, rule, now),
            standards=ruleset.standards,
            unsubscribed=False,
            somebody=ruleset.somebody,
        )
        return new if closed is None else None


def _without(profile: Profile, message_id: str) -> Profile:
    """The profile as if that had not been said: what takes its place is not held back by it."""
    return replace(profile, contacts=tuple(each for each in profile.contacts if each.message_id != message_id))


def _later(channels: Sequence[str], current: str) -> Sequence[str]:
    """The channels behind this one, in the rule's order of preference."""
    place = channels.index(current) + 1 if current in channels else len(channels)
    return channels[place:]
