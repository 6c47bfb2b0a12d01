"""Who sits on the other side: the visitor's card beside a conversation, with where each thing is known from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request

from backend.domain.event import Event
from backend.domain.identifier import verified
from backend.domain.profile import Identifier, Profile
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline.explain import explain
from backend.storage import conversations, enrolments, events, products, rules, segments, visitors
from backend.web.console import guard, people
from backend.web.console.people import name_of
from backend.web.console.phrases import did
from backend.web.console.shell import blueprint, page
from backend.web.context import runtime

EVENTS = 25
OTHERS = 5

SOURCES = {
    "event": "of the browser",
    "form_field": "typed",
    "identify": "told by the page",
    "signed": "proven by the site",
    "api": "told through the API",
    "operator": "noted by an operator",
    "reply": "answered from it",
    "double_opt_in": "confirmed by mail",
}

ICONS = {
    "Page Viewed": "overview",
    "Products Searched": "search",
    "Product Added": "cart",
    "Cart Viewed": "cart",
    "Checkout Started": "cart",
    "Order Completed": "check",
    "Live Chat Message Sent": "inbox",
    "Message Shown": "rules",
    "Message Clicked": "rules",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One way to name or reach them, and where it is from, in words."""

    kind: str
    value: str
    told: str
    at: datetime
    verified: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """One event of the timeline."""

    name: str
    detail: str
    icon: str
    at: datetime
    address: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """A rule that they are or were in."""

    rule_id: str
    rule: str
    status: str
    outcome: str
    at: datetime


@blueprint.get("/<site>/visitors/<visitor_id>/card")
@guard.allow("read")
def visitor_card(visitor_id: str, *, site: Site) -> str:
    """The card of the person to whom this visitor belongs now."""
    rt = runtime()
    with rt.db.read() as connection:
        profile = visitors.load_profile(connection, visitor_id)
        if profile is None or profile.site_id != site.id:
            raise NotFound("There is no such visitor.")
        members = visitors.members_of(profile)
        here = request.args.get("talk")
        timeline = [_happened(each) for each in events.list_events(connection, members, EVENTS)]
        talks = [each for each in conversations.of_visitors(connection, members, OTHERS + 1) if each.id != here]
        entered = enrolments.list_enrolments(connection, members, OTHERS)
        titles = {each: rules.get_rule(connection, site.id, each) for each in {each.rule_id for each in entered}}
        groups = segments.known(connection, site.id)
        has_products = bool(products.find(connection, site.id, limit=1))
    people.looked(site, [profile.id], "card")
    return page(
        "console/_card.html",
        profile=profile,
        name=name_of(profile, profile.id),
        known=_known(profile),
        traits=_traits(profile),
        timeline=timeline,
        talks=talks[:OTHERS],
        enrolled=[
            Enrolled(
                rule_id=each.rule_id,
                rule=str(rule.document.get("name")) if (rule := titles[each.rule_id]) else "a rule that is gone",
                status="waits" if each.waiting else "over",
                outcome=(each.outcome or "").replace("_", " "),
                at=each.entered_at,
            )
            for each in entered
        ],
        beside=here,
        has_products=has_products,
        orders=sorted(profile.purchases, key=lambda each: each.at, reverse=True)[:OTHERS],
        segments=[groups[key] for key, standing in profile.segments.items() if standing.entered_at and key in groups],
    )


@blueprint.get("/<site>/visitors/<visitor_id>/happened")
@guard.allow("read")
def happened(visitor_id: str, *, site: Site) -> str:
    """The timeline of the card alone, as it is now; who opened the card was noted."""
    with runtime().db.read() as connection:
        profile = visitors.load_profile(connection, visitor_id)
        if profile is None or profile.site_id != site.id:
            raise NotFound("There is no such visitor.")
        listed = events.list_events(connection, visitors.members_of(profile), EVENTS)
    return page("console/_happened.html", timeline=[_happened(each) for each in listed])


@blueprint.get("/<site>/visitors/<visitor_id>/why/<rule_id>")
@guard.allow("read")
def why(visitor_id: str, rule_id: str, *, site: Site) -> str:
    """Why a rule would say something to a visitor now, or would not: each gate with what it read."""
    rt = runtime()
    with rt.db.read() as connection:
        profile = visitors.load_profile(connection, visitor_id)
        stored = rules.get_rule(connection, site.id, rule_id)
    if profile is None or profile.site_id != site.id or stored is None:
        raise NotFound("There is no such rule.")
    people.looked(site, [profile.id], "why")
    return page("console/_why.html", told=explain(rt, site, stored.rule(), profile))


def _known(profile: Profile) -> list[Known]:
    """Addresses first, each with how it became known; the browsers' own ids stay out: they are secrets."""
    proven = verified(profile.identifiers)
    listed = [each for each in profile.identifiers if each.kind != "anonymous_id"]
    found = [
        Known(
            kind=each.kind.replace("_", " "),
            value=each.value,
            told=_told(each),
            at=each.last_seen,
            verified=(each.kind, each.value) in proven,
        )
        for each in listed
    ]
    return sorted(found, key=lambda each: (not each.verified, each.kind, each.value))


def _told(identifier: Identifier) -> str:
    told = SOURCES.get(identifier.source, identifier.source.replace("_", " "))
    if identifier.source == "form_field" and identifier.page:
        told += f" on {identifier.page}"
    return told


def _traits(profile: Profile) -> list[tuple[str, str]]:
    shown = {"name", "first_name", "last_name", "email", "phone"}
    return [
        (name.replace("_", " "), _short(value))
        for name, value in sorted(profile.traits.items())
        if name not in shown and isinstance(value, str | int | float | bool)
    ][:12]


def _happened(event: Event) -> Happened:
    properties, (verb, what) = event.properties or event.traits, did(event)
    address = properties.get("url") if isinstance(properties.get("url"), str) else _page(event.context)
    return Happened(
        name=verb,
        detail=_short(what),
        icon=ICONS.get(event.name, "live"),
        at=event.timestamp,
        address=str(address or ""),
    )


def _page(context: Mapping[str, Any]) -> object:
    told = context.get("page")
    return told.get("url") if isinstance(told, Mapping) else None


def _short(value: object) -> str:
    told = " ".join(str(value).split())
    return told if len(told) <= 120 else told[:119] + "…"
