"""The step `permits`: whether a message may still go out, read in the transaction that then lets it go."""

import contextlib
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from backend.domain.enrolment import SKIPPED, Enrolment
from backend.domain.fact import STANDARD, Standards
from backend.domain.message import Message
from backend.domain.mistakes import RuleErrors
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.recheck import recheck
from backend.domain.rule import CompiledRule, compile_rule
from backend.domain.site import Site
from backend.domain.unsubscribe import Subscription
from backend.pipeline.count import count_enrolment, count_messages
from backend.pipeline.desk import Watch
from backend.pipeline.rulesets import former
from backend.storage import deliveries, enrolments, events, intervals, unsubscribes, visitors
from backend.storage.database import Connection
from backend.storage.deliveries import Claim
from backend.storage.rules import get_rule
from backend.storage.sites import SiteCache

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """The message may go out: for this site, to this visitor."""

    site: Site
    profile: Profile


@dataclass(slots=True)
class Permits:
    """Asks every gate again; compiled rules are kept for the length of a job."""

    sites: SiteCache
    watch: Watch | None = None
    _rules: dict[tuple[str, int], CompiledRule] = field(default_factory=dict)
    _standards: dict[str, Standards] = field(default_factory=dict)

    def ask(self, conn: Connection, claim: Claim, now: datetime) -> Permit | None:
        """A permit; or None, and then the message and its enrolment have ended with the gate's reason."""
        message = claim.message
        site = self.sites.by_id(message.site_id)
        profile = visitors.load_profile(conn, message.visitor_id)
        enrolment = enrolments.get(conn, message.visitor_id, message.enrolment_id)
        if message.rule_id:
            rule = self._rule(conn, message, enrolment)
            reason = recheck(
                message,
                now,
                site=site,
                rule=rule,
                profile=profile,
                trigger=None if enrolment is None else enrolment.trigger,
                history=past_for(conn, profile, rule, now),
                standards=STANDARD if site is None else self._measures(conn, site),
                unsubscribed=_unsubscribed(conn, message, self.sites),
                somebody=None if self.watch is None else self.watch.somebody(message.site_id),
            )
        else:
            reason = _of_no_rule(message, now, site, profile, _unsubscribed(conn, message, self.sites))
        if reason is None:
            assert site is not None
            assert profile is not None
            return Permit(site=site, profile=profile)
        if reason == "expired":
            if deliveries.closed(conn, claim, "expired", None):
                count_messages(conn, self.sites, [message], "expired")
        elif deliveries.closed(conn, claim, "skipped", reason):
            end_otherwise(conn, self.sites, enrolment, reason, now)
            count_messages(conn, self.sites, [message], "withheld")
        log.info("message_withheld", message=message.id, reason=reason)
        return None

    def _measures(self, conn: Connection, site: Site) -> Standards:
        """What this site measures facts by."""
        if site.id not in self._standards:
            self._standards[site.id] = Standards.of(site.policy, intervals.of_site(conn, site.id))
        return self._standards[site.id]

    def _rule(self, conn: Connection, message: Message, enrolment: Enrolment | None) -> CompiledRule | None:
        """The rule in the version by which the enrolment goes on; whether it is active is asked of the rule now."""
        stored = get_rule(conn, message.site_id, message.rule_id)
        if stored is None or stored.status != "active":
            return None
        entered = stored.version if enrolment is None else max(enrolment.rule_version, stored.moved_to)
        key = (stored.id, entered)
        if key not in self._rules:
            with contextlib.suppress(RuleErrors):
                present = stored.rule()
                rule = compile_rule(present) if entered == stored.version else former(conn, present, entered)
                if rule is not None:
                    self._rules[key] = rule
        return self._rules.get(key)


def past_for(conn: Connection, profile: Profile | None, rule: CompiledRule | None, now: datetime) -> Past:
    """What a rule may ask at `now` of a visitor's past; nothing for a rule that asks nothing."""
    if profile is None or rule is None or not rule.history:
        return Past({}, complete=True)
    since = {name: now - rule.lookback[name] if name in rule.lookback else None for name in rule.history}
    wanted = [(member, *each) for member in visitors.members_of(profile) for each in since.items()]
    found = events.history_since(conn, wanted)
    return Past(by_name((event for _, event in found), rule.history), complete=True, since=since)


def _of_no_rule(
    message: Message, now: datetime, site: Site | None, profile: Profile | None, unsubscribed: bool
) -> str | None:
    """Why a mail that no rule sends, such as one that asks for a confirmation, must not go out."""
    if now >= message.expires_at:
        return "expired"
    if site is None or profile is None:
        return "no_address"
    return "unsubscribed" if unsubscribed else None


def _unsubscribed(conn: Connection, message: Message, sites: SiteCache) -> bool:
    if message.channel != "email" or message.address is None:
        return False
    return unsubscribes.reason(conn, Subscription.email(message.site_id, message.address), sites.vault) is not None


def end_otherwise(conn: Connection, sites: SiteCache, enrolment: Enrolment | None, reason: str, now: datetime) -> None:
    """The enrolment said `sent` when the message was promised; it has turned out otherwise.

    A journey has its own way to end, and may have said other things.
    """
    if enrolment is not None and not enrolment.waiting and not enrolment.said:
        ended = replace(enrolment, outcome=SKIPPED, reason=reason, at=now)
        enrolments.save(conn, [ended])
        count_enrolment(conn, sites, enrolment, ended)
