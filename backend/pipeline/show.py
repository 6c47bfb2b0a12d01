"""The step `show`: what a browser may show now; every gate is read again at this moment, and can only hold back."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.message import Message
from backend.domain.profile import Profile
from backend.domain.recheck import recheck
from backend.domain.signature import is_signed
from backend.domain.site import Site
from backend.errors import Forbidden, Malformed
from backend.pipeline.count import count_messages
from backend.pipeline.permits import end_otherwise, past_for
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage import enrolments, messages, visitors
from backend.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: a browser, and the user whom it proved to be, or only claims to be."""

    site: Site
    anonymous_id: str | None
    user_id: str | None
    claimed_id: str | None = None

    @property
    def visitor_ids(self) -> tuple[str, ...]:
        """The visitors among whose messages are those that this viewer may see."""
        ids: list[str] = []
        if self.anonymous_id is not None:
            ids.append(anonymous_visitor(self.site.id, self.anonymous_id))
        user_id = self.user_id if self.user_id is not None else self.claimed_id
        if user_id is not None:
            ids.append(known_visitor(self.site.id, user_id))
        return tuple(ids)

    def may_see(self, anonymous_id: str | None) -> bool:
        """Whether a message that began in browser `anonymous_id` is for this viewer's eyes.

        A proven user sees everything of theirs; a mere browser only what began in it.
        """
        return self.user_id is not None or (anonymous_id is not None and anonymous_id == self.anonymous_id)


def viewer(site: Site, anonymous_id: str | None, user_id: str | None, signature: str | None) -> Viewer:
    """Who this is; raises `Forbidden` for a wrong signature, `Malformed` when nobody is named.

    A user id without a signature proves nothing: it leads to what began in this very browser and to nothing else.
    """
    if user_id is not None and signature:
        if not is_signed(site.secret_key, site.id, user_id, signature):
            raise Forbidden("The signature of this user id is wrong or over.")
        return Viewer(site, anonymous_id, user_id)
    if anonymous_id is None:
        raise Malformed("`anonymousId` is required, or a `userId` with its `userHash`.")
    return Viewer(site, anonymous_id, None, user_id)


def waiting(rt: Runtime, rulesets: Rulesets, who: Viewer) -> list[Message]:
    """What this viewer has not been shown yet and may be shown now, oldest first.

    A message whose rule is paused meanwhile, or whose audience does not hold any more, is given up for good.
    """
    now = rt.clock()
    with rt.db.read() as connection:
        profiles = {
            profile.id: profile
            for visitor_id in who.visitor_ids
            if (profile := visitors.load_profile(connection, visitor_id)) is not None
        }
        found: list[tuple[Message, Profile]] = []
        for profile in profiles.values():
            members = visitors.members_of(profile)
            waiting = messages.waiting_on_site(connection, members, now)
            found.extend((each, profile) for each in waiting if who.may_see(each.anonymous_id))
        if not found:
            return []
        rulesets.refresh(connection)
        closed = {message.id: _closed(rt, connection, rulesets, message, profile) for message, profile in found}
    _give_up(rt, [(message, reason) for message, _ in found if (reason := closed[message.id]) is not None])
    return [message for message, _ in found if closed[message.id] is None]


def _closed(rt: Runtime, connection: Connection, rulesets: Rulesets, message: Message, profile: Profile) -> str | None:
    """The gate that has closed since the decision; None when all are open."""
    now = rt.clock()
    ruleset = rulesets.of(message.site_id)
    enrolment = enrolments.get(connection, message.visitor_id, message.enrolment_id)
    entered = enrolment.rule_version if enrolment is not None else 0
    rule = rulesets.rule_of(connection, message.site_id, message.rule_id, entered)
    return recheck(
        message,
        now,
        site=ruleset.site if ruleset is not None else None,
        rule=rule,
        profile=profile,
        trigger=enrolment.trigger if enrolment is not None else None,
        history=past_for(connection, profile, rule, now),
        unsubscribed=False,
    )


def _give_up(rt: Runtime, closed: Sequence[tuple[Message, str]]) -> None:
    if not closed:
        return
    with rt.db.begin() as connection:
        for message, reason in closed:
            if messages.set_status(connection, message.visitor_id, message.id, "skipped", reason, expected="queued"):
                enrolment = enrolments.get(connection, message.visitor_id, message.enrolment_id)
                end_otherwise(connection, rt.sites, enrolment, reason, rt.clock())
                count_messages(connection, rt.sites, [message], "withheld")
