"""The step `fallback`: what the page did not show in time goes on by the rule's next channel."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from backend.domain.enrolment import Enrolment
from backend.domain.identity import derive
from backend.domain.message import ON_SITE, Message
from backend.domain.profile import Profile
from backend.domain.reach import Reach, reach
from backend.domain.recheck import recheck
from backend.domain.rule import CompiledRule
from backend.pipeline.permits import past_for
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage import deliveries, enrolments, messages, visitors
from backend.storage.database import Connection

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
            held = visitors.load(connection, [ref[0]], lock=True).get(ref[0])
            old = messages.get(connection, *ref)
            if old is None or old.status != "queued":
                return None
            self._rulesets.refresh(connection)
            ruleset = self._rulesets.of(old.site_id)
            rule = ruleset.by_id.get(old.rule_id) if ruleset is not None else None
            enrolment = enrolments.get(connection, old.visitor_id, old.enrolment_id)
            new = self._successor(connection, old, enrolment, rule, now)
            if new is None:
                deliveries.wait_for_page(connection, ref, old.expires_at)
                return None
            if not messages.set_status(connection, *ref, "skipped", REASON, expected="queued"):
                return None
            messages.insert(connection, [new])
            if enrolment is not None:
                enrolments.save(connection, [replace(enrolment, channel=new.channel, message_id=new.id)])
            if held is not None:
                visitors.save(connection, [], [replace(held, profile=_moved(held.profile, old, new))])
        log.info("message_falls_back", old=old.id, new=new.id, channel=new.channel)
        return old, new

    def _successor(
        self,
        connection: Connection,
        old: Message,
        enrolment: Enrolment | None,
        rule: CompiledRule | None,
        now: datetime,
    ) -> Message | None:
        """The same words by a later channel; None where no gate or no channel lets them pass."""
        site = self._rt.sites.by_id(old.site_id)
        profile = visitors.load_profile(connection, old.visitor_id)
        op = rule.saying(old.step) if rule is not None else None
        if site is None or profile is None or op is None:
            return None
        way = reach(profile, _later(op.message.channels, old.channel), site.policy)
        if not isinstance(way, Reach):
            return None
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
            unsubscribed=False,
        )
        return new if closed is None else None


def _moved(profile: Profile, old: Message, new: Message) -> Profile:
    """The profile, with the contact by the way that the message goes now."""
    contacts = tuple(
        replace(each, message_id=new.id, channel=new.channel) if each.message_id == old.id else each
        for each in profile.contacts
    )
    return replace(profile, contacts=contacts)


def _later(channels: Sequence[str], current: str) -> Sequence[str]:
    """The channels behind this one, in the rule's order of preference."""
    place = channels.index(current) + 1 if current in channels else len(channels)
    return channels[place:]
