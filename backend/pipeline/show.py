"""The step `show`: what a browser may show now; every gate is read again at this moment, and can only hold back."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.engine import MERGED, denial_of
from backend.domain.fact import STANDARD
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

    def may_read(self, profile: Profile, visitor_id: str) -> bool:
        """Whether what was decided for `visitor_id`, who is this person or was, is for this viewer's eyes.

        A text may quote the person. Of one who has proven who they are elsewhere, a mere claim reads only what was
        decided before this browser claimed to be theirs: that knew nothing but the browser.
        """
        if self.user_id is not None or not any(
            each.kind == "user_id" and each.source == "signed" for each in profile.identifiers
        ):
            return True
        return self.anonymous_id is not None and visitor_id == anonymous_visitor(self.site.id, self.anonymous_id)

    def profiles(self, connection: Connection) -> list[Profile]:
        """The persons whose messages these may be, without whoever used this browser before.

        A browser belongs to the first person who was known on it. Who says to be another one sees nothing of theirs,
        even where the page went on under the same anonymous id.
        """
        named = self.user_id if self.user_id is not None else self.claimed_id
        known_id = None if named is None else known_visitor(self.site.id, named)
        known = None if known_id is None else visitors.load_profile(connection, known_id)
        found = {} if known is None else {known.id: known}
        if self.anonymous_id is not None:
            own = visitors.load_profile(connection, anonymous_visitor(self.site.id, self.anonymous_id))
            if own is not None and (named is None or own.user_id is None or own.id in found):
                found[own.id] = own
        return list(found.values())


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
        found: list[tuple[Message, Profile]] = []
        for profile in who.profiles(connection):
            waiting = messages.waiting_on_site(connection, visitors.members_of(profile), now)
            found.extend(
                (each, profile)
                for each in waiting
                if who.may_see(each.anonymous_id) and who.may_read(profile, each.visitor_id)
            )
        if not found:
            return []
        rulesets.refresh(connection)
        closed = {message.id: _closed(rt, connection, rulesets, message, profile) for message, profile in found}
        closed |= dict.fromkeys(_said_before(connection, rulesets, found), MERGED)
    _give_up(rt, [(message, reason) for message, _ in found if (reason := closed[message.id]) is not None])
    return [message for message, _ in found if closed[message.id] is None]


CONVERSATION = 50
"""Messages of a conversation that a page is told at most, the latest ones."""


def conversation(rt: Runtime, who: Viewer) -> list[Message]:
    """What was said in the chat and seen there, and what was replied, oldest first: for whoever may see it.

    A proven user has it on every device; a browser that proves nothing only what began in it.
    """
    with rt.db.read() as connection:
        found = [
            message
            for profile in who.profiles(connection)
            for message in messages.talked(connection, visitors.members_of(profile), CONVERSATION)
            if who.may_see(message.anonymous_id) and who.may_read(profile, message.visitor_id)
        ]
    return sorted(found, key=lambda each: (each.created_at, each.id))[-CONVERSATION:]


def unread(rt: Runtime, who: Viewer) -> list[str] | None:
    """Of a proven user's conversation the messages that passed by in a bubble and were never opened, by their ids.

    None where there is no conversation, or nobody proves whose it is: a mere claim does not learn that there is one.
    """
    if who.user_id is None:
        return None
    said = conversation(rt, who)
    if not said:
        return None
    moments = (moment for each in said for moment in (each.clicked_at, each.dismissed_at, each.replied_at))
    looked = max((moment for moment in moments if moment is not None), default=None)
    return [
        each.id
        for each in said
        if each.channel == "chat" and each.shown_at is not None and (looked is None or each.shown_at > looked)
    ]


def streams(rt: Runtime, who: Viewer) -> tuple[str, ...]:
    """The ids under which something may come for this viewer; not those of whoever used this browser before."""
    with rt.db.read() as connection:
        profiles = who.profiles(connection)
        strangers = set[str]()
        if who.anonymous_id is not None:
            own = visitors.load_profile(connection, anonymous_visitor(who.site.id, who.anonymous_id))
            if own is not None and all(own.id != each.id for each in profiles):
                strangers.update(visitors.members_of(own))
    ids = dict.fromkeys((*who.visitor_ids, *(each.id for each in profiles)))
    hidden = {each for each in ids for profile in profiles if not who.may_read(profile, each)}
    return tuple(each for each in ids if each not in strangers and each not in hidden)


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
        standards=ruleset.standards if ruleset is not None else STANDARD,
        unsubscribed=False,
        somebody=ruleset.somebody if ruleset is not None else None,
    )


def _said_before(connection: Connection, rulesets: Rulesets, found: Sequence[tuple[Message, Profile]]) -> list[str]:
    """Messages whose like waits already, decided for another visitor who turned out to be the same person."""
    first: dict[tuple[str, str, str], Message] = {}
    again: list[str] = []
    for message, profile in sorted(found, key=lambda pair: (pair[0].created_at, pair[0].id)):
        earlier = first.setdefault((profile.id, message.rule_id, message.step), message)
        if earlier.visitor_id == message.visitor_id:
            continue
        ruleset = rulesets.of(message.site_id)
        rule = ruleset.by_id.get(message.rule_id) if ruleset is not None else None
        one, other = (enrolments.get(connection, each.visitor_id, each.enrolment_id) for each in (earlier, message))
        if rule is None or one is None or other is None or one.key != other.key:
            continue
        if denial_of(rule.rule.spec.reentry, [one], one.key, other.entered_at) is not None:
            again.append(message.id)
    return again


def _give_up(rt: Runtime, closed: Sequence[tuple[Message, str]]) -> None:
    if not closed:
        return
    with rt.db.begin() as connection:
        for message, reason in closed:
            if messages.set_status(connection, message.visitor_id, message.id, "skipped", reason, expected="queued"):
                enrolment = enrolments.get(connection, message.visitor_id, message.enrolment_id)
                end_otherwise(connection, rt.sites, enrolment, reason, rt.clock())
                count_messages(connection, rt.sites, [message], "withheld")
