"""The verb `recheck`: asked at the moment of sending, which gate has closed since the decision?"""

from collections.abc import Callable
from datetime import datetime

from backend.domain.budget import wants_no_more
from backend.domain.condition import History, Moment
from backend.domain.consent import lacking
from backend.domain.decide import NO_OPERATOR, asks_audience
from backend.domain.event import Event
from backend.domain.fact import Standards
from backend.domain.message import ON_SITE, Message
from backend.domain.profile import Profile
from backend.domain.reach import reach
from backend.domain.rule import CompiledRule
from backend.domain.site import Site


def recheck(
    message: Message,
    now: datetime,
    *,
    site: Site | None,
    rule: CompiledRule | None,
    profile: Profile | None,
    trigger: Event | None,
    history: History,
    standards: Standards,
    unsubscribed: bool,
    somebody: Callable[[datetime], bool] | None = None,
) -> str | None:
    """The outcome code of the first gate that is closed now, `expired`, or None when the message may go out.

    None for site, rule or profile: it is no longer there. `standards` are what the site measures facts by,
    `somebody` tells whether an operator is there.
    """
    if now >= message.expires_at:
        return "expired"
    if site is None or rule is None or rule.rule.status != "active":
        return "rule_paused"
    if profile is None:
        return "no_address"
    if unsubscribed:
        return "unsubscribed"
    if rule.rule.spec.category != "transactional" and (
        wants_no_more(profile.contacts, message.channel)
        or lacking(site.policy.consent, profile.consents, on_site=message.channel in ON_SITE)
    ):
        return "no_consent"
    way = reach(profile, (message.channel,), site.policy)
    if isinstance(way, str):
        return way
    moment = Moment(
        profile=profile,
        at=now,
        event=trigger,
        entered=None if trigger is None else trigger.moment,
        history=history,
        zone_name=site.timezone,
        standards=standards,
        somebody=somebody,
    )
    op = rule.saying(message.step)
    if op is not None and op.message.requires_operator and not moment.operator_online:
        return NO_OPERATOR
    if not asks_audience(rule, message.step):
        return None
    return None if rule.audience(moment) else "not_matching"
