"""The verb `merge`: two profiles turn out to be one person's, as when a browser signs in."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.domain import attention, consent, exposure, habit, session, trait
from backend.domain.cart import LOG_LIMIT, cart_of
from backend.domain.fold import ANONYMOUS_LIMIT, FORM_LIMIT, GROUP_LIMIT, ORDER_ID_LIMIT, SEARCH_LIMIT
from backend.domain.identifier import IDENTIFIER_LIMIT
from backend.domain.identifier import joined as one_identifier
from backend.domain.profile import (
    STAGES_KEPT,
    CartChange,
    FormField,
    Identifier,
    Orders,
    Profile,
    Source,
    Standing,
    new_profile,
)
from backend.domain.source import with_touch
from backend.domain.stage import stage_of
from backend.domain.trait import Logs, TraitLog


def merge(known: Profile, anonymous: Profile) -> Profile:
    """`known` as if it had folded the events of `anonymous` too; its id and user id stay."""
    counts = dict(known.counts)
    for name, count in anonymous.counts.items():
        counts[name] = counts.get(name, 0) + count
    last_at = dict(known.last_at)
    for name, moment in anonymous.last_at.items():
        last_at[name] = max(moment, last_at.get(name, moment))
    sessions, spans = session.merged(known.sessions, known.session_spans, anonymous.sessions, anonymous.session_spans)
    traits, times, logs = _merged_traits(known, anonymous)
    orders = _merged_orders(known, anonymous)
    log = _merged_cart_log(known, anonymous, orders)
    newer = anonymous if _later(anonymous.page_at, known.page_at) else known
    joined = replace(
        known,
        anonymous_ids=_union(known.anonymous_ids, anonymous.anonymous_ids)[-ANONYMOUS_LIMIT:],
        traits=traits,
        trait_times=times,
        trait_logs=logs,
        identifiers=_merged_identifiers(known.identifiers, anonymous.identifiers),
        device=anonymous.device if _later(anonymous.device_at, known.device_at) else known.device,
        device_at=anonymous.device_at if _later(anonymous.device_at, known.device_at) else known.device_at,
        first_seen=min((each for each in (known.first_seen, anonymous.first_seen) if each), default=None),
        last_seen=max((each for each in (known.last_seen, anonymous.last_seen) if each), default=None),
        sessions=sessions,
        session_spans=spans,
        counts=counts,
        last_at=last_at,
        cart=cart_of(log),
        cart_log=log,
        orders=orders,
        **_merged_habits(known, anonymous),
        searches=tuple(sorted((*known.searches, *anonymous.searches), key=lambda each: each.at)[-SEARCH_LIMIT:]),
        forms=_merged_forms(known.forms, anonymous.forms),
        source=_merged_source(known.source, anonymous.source),
        groups=tuple(sorted({*known.groups, *anonymous.groups}))[-GROUP_LIMIT:],
        page=newer.page,
        page_at=newer.page_at,
        page_since=newer.page_since,
        unsubscribed=tuple(sorted({*known.unsubscribed, *anonymous.unsubscribed})),
        consents=consent.merged(known.consents, anonymous.consents),
        person=known.person if known.first_seen is not None or known.members else anonymous.person,
        members=(members := _union(known.members, (anonymous.id, *anonymous.members))),
        refused={
            each: moment
            for each, moment in (*anonymous.refused.items(), *known.refused.items())
            if each not in members and each != known.id
        },
        contacts=attention.merged(known.contacts, anonymous.contacts),
        exposures=(exposures := exposure.merged(known.exposures, anonymous.exposures)),
        attended_until=exposure.attended_until(exposures),
        woken_at=max((each for each in (known.woken_at, anonymous.woken_at) if each), default=None),
        **_merged_history(known, anonymous),
    )
    return replace(joined, stage=stage_of(joined), **_merged_segments(known, anonymous))


def merged_away(member: Profile) -> Profile:
    """What is kept in the place of somebody who is part of another now: their own ids.

    All else is in that one's profile, and in the events, out of which it comes when the two are parted: a copy would
    outlive that, and the erasure of whoever it tells of.
    """
    return replace(
        new_profile(member.id, member.site_id),
        person=member.person,
        anonymous_ids=() if member.members else member.anonymous_ids,
        user_id=member.user_id,
    )


def _merged_cart_log(known: Profile, anonymous: Profile, orders: Orders) -> tuple[CartChange, ...]:
    """The changes of both carts since the last order."""
    both = (*known.cart_log, *anonymous.cart_log)
    since = (change for change in both if orders.last_at is None or change.at > orders.last_at)
    return tuple(sorted(since, key=lambda change: (change.at, change.order)))[-LOG_LIMIT:]


def _merged_segments(known: Profile, anonymous: Profile) -> dict[str, Any]:
    """How both stood with the segments, to be asked anew of what they are together: a member is who was one before."""
    if not any(each.segments_built or each.segments_at or each.segments for each in (known, anonymous)):
        return {}  # the site has neither segments nor stages of its own
    standings = dict(known.segments)
    for segment_id, other in anonymous.segments.items():
        own = standings.get(segment_id, other)
        entered = min((each for each in (own.entered_at, other.entered_at) if each), default=None)
        left = max((each for each in (own.left_at, other.left_at) if each), default=None)
        due = min((each for each in (own.due_at, other.due_at) if each), default=None)
        standings[segment_id] = Standing(entered, left, due)
    lived = [each.segments_built for each in (known, anonymous) if each.first_seen is not None or each.segments_at]
    return {"segments": standings, "segments_at": None, "segments_built": min(lived, default=0)}


def _merged_habits(known: Profile, anonymous: Profile) -> dict[str, Any]:
    logs = (known.purchases, known.purchases_since, anonymous.purchases, anonymous.purchases_since)
    purchases, since = habit.merged_purchases(*logs)
    return {"purchases": purchases, "purchases_since": since}


def _merged_history(known: Profile, anonymous: Profile) -> dict[str, Any]:
    """The stages that both were in, by the newer definition of the funnel where only one of them knows it."""
    lived = [each for each in (known, anonymous) if each.first_seen is not None or each.stage_history]
    built = max((each.stages_built for each in lived), default=known.stages_built)
    entries = [entry for each in lived if each.stages_built == built for entry in each.stage_history]
    return {"stage_history": tuple(sorted(entries, key=lambda each: each.at)[-STAGES_KEPT:]), "stages_built": built}


def _later(a: datetime | None, b: datetime | None) -> bool:
    return a is not None and (b is None or a > b)


def _union(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return (*a, *(each for each in b if each not in a))


def _merged_traits(known: Profile, anonymous: Profile) -> tuple[dict[str, Any], Mapping[str, datetime], Logs]:
    traits, times = dict(known.traits), dict(known.trait_times)
    for key, moment in anonymous.trait_times.items():
        if key not in times or moment > times[key]:
            times[key] = moment
            if key in anonymous.traits:
                traits[key] = anonymous.traits[key]
            else:
                traits.pop(key, None)
    logs: dict[str, TraitLog] = {}
    for key in (*known.trait_logs, *(each for each in anonymous.trait_logs if each not in known.trait_logs)):
        log = logs[key] = trait.merged(_trait_log(known, key), _trait_log(anonymous, key))
        value = log.value
        if value is None:
            traits.pop(key, None)
        else:
            traits[key] = value
    return traits, times, {key: log for key, log in logs.items() if not log.plain}


def _trait_log(profile: Profile, key: str) -> TraitLog:
    known = profile.trait_logs.get(key)
    return TraitLog(profile.traits.get(key), profile.trait_times.get(key)) if known is None else known


def _merged_orders(known: Profile, anonymous: Profile) -> Orders:
    """The orders of both; one that the browser told of as well as the backend is one."""
    a, b = known.orders, anonymous.orders
    last_at = max((each for each in (a.last_at, b.last_at) if each), default=None)
    twice = set(a.ids) & set(b.ids)
    once = Decimal(0)
    for each in twice:
        told = [habit.find(log, each) for log in (known.purchases, anonymous.purchases)]
        values = sorted((found.at, found.value) for found in told if found is not None)
        once += values[0][1] if values else Decimal(0)  # the latest report stays
    return Orders(
        count=a.count + b.count - len(twice),
        revenue=a.revenue + b.revenue - once,
        last_at=last_at,
        ids=_union(a.ids, b.ids)[-ORDER_ID_LIMIT:],
    )


def _merged_forms(a: tuple[FormField, ...], b: tuple[FormField, ...]) -> tuple[FormField, ...]:
    ordered = sorted((*a, *b), key=lambda each: each.at)
    latest = {(each.form, each.field): each for each in ordered}
    return tuple(each for each in ordered if latest[each.form, each.field] is each)[-FORM_LIMIT:]


def _merged_identifiers(a: tuple[Identifier, ...], b: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    joined = {(each.kind, each.value, each.source): each for each in a}
    for each in b:
        key = (each.kind, each.value, each.source)
        same = joined.get(key)
        joined[key] = each if same is None else one_identifier(same, each)
    return tuple(joined.values())[:IDENTIFIER_LIMIT]


def _merged_source(a: Source, b: Source) -> Source:
    joined = a
    for touch in (b.first, b.last):
        if touch is not None:
            joined = with_touch(joined, touch)
    return joined
