"""The verb `change_consent`: an answer that was given elsewhere than in a page takes effect at once.

It becomes an event, so that a simulation knows it too, and is folded under the visitor's lock: a batch that is folded
at the same moment either ends before, or knows it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import structlog

from backend.domain.consent import CATEGORIES, EVENT, Choice, lacking
from backend.domain.event import SIGNAL, Event
from backend.domain.fold import fold
from backend.domain.message import ON_SITE, Message
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.storage import events, messages, visitors
from backend.storage.database import Connection
from backend.storage.rules import get_rule
from backend.storage.visitors import Stored

log = structlog.get_logger(__name__)


def change_consent(rt: Runtime, site: Site, visitor_id: str, told: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """A visitor's answers with these ones (categories, `text`, `source`, `at`); None where there is no such visitor."""
    now = rt.clock()
    with rt.db.begin() as connection:
        stored = visitors.lock_root(connection, visitor_id)
        if stored is None or stored.profile.site_id != site.id:
            return None
        before = stored.profile
        consent = {"categoryPreferences": {each: told[each] for each in CATEGORIES if each in told}}
        consent |= {name: told[name] for name in ("text", "source") if name in told}
        anonymous_id = None if before.user_id or not before.anonymous_ids else before.anonymous_ids[-1]
        event = Event(
            message_id=uuid4().hex,
            name=EVENT,
            type=SIGNAL,
            timestamp=told.get("at", now),
            received_at=now,
            anonymous_id=anonymous_id,
            user_id=before.user_id,
            context={"consent": consent},
        )
        # Segments may ask what they agreed to: `process` asks them anew.
        after = replace(fold(before, event), segments_at=None, wake_at=now)
        events.insert_emitted(connection, [(before.id, site.id, event)])
        visitors.save(connection, [], [Stored(after, None)])
        revoked = _no_longer(connection, site, after, now)
    rt.live.revoke(revoked)
    return after.consents


def _no_longer(connection: Connection, site: Site, profile: Profile, now: Any) -> list[Message]:
    """What pages may have at hand, and must not show any more."""
    if lacking(site.policy.consent, profile.consents, on_site=True) is None:
        return []
    waiting = messages.waiting_on_site(connection, visitors.members_of(profile), now)
    return [each for each in waiting if each.channel in ON_SITE and _promotional(connection, each)]


def _promotional(connection: Connection, message: Message) -> bool:
    rule = get_rule(connection, message.site_id, message.rule_id)
    return rule is None or rule.document.get("category") != "transactional"
