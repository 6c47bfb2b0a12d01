"""The verb `fold`: a profile and one more event give the next profile, in whatever order events arrive."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.domain import cart as carts
from backend.domain.device import device_of
from backend.domain.event import Event
from backend.domain.profile import FormField, Identifier, Orders, Profile, Search
from backend.domain.session import with_visit
from backend.domain.source import touch_of, with_touch
from backend.domain.stage import stage_of

NAME_LIMIT = 250
"""Event names counted for one visitor; further names are stored but not counted."""

TRAIT_LIMIT = 250
SEARCH_LIMIT = 20
FORM_LIMIT = 50
ANONYMOUS_LIMIT = 50
IDENTIFIER_LIMIT = 50
GROUP_LIMIT = 50
ORDER_ID_LIMIT = 200

CONTACT_FIELDS = {"email": "email", "e-mail": "email", "mail": "email", "phone": "phone", "tel": "phone"}

Changes = dict[str, Any]


def fold(profile: Profile, event: Event) -> Profile:
    """The profile after this event; the event must not have been folded before (storage sees to that)."""
    changes: Changes = {}
    moment = event.timestamp
    name = event.name
    counts = profile.counts
    if name in counts or len(counts) < NAME_LIMIT:
        changes["counts"] = {**counts, name: counts.get(name, 0) + 1}
        last = profile.last_at.get(name)
        if last is None or moment > last:
            changes["last_at"] = {**profile.last_at, name: moment}
    if profile.last_seen is None or moment > profile.last_seen:
        changes["last_seen"] = moment
    if profile.first_seen is None or moment < profile.first_seen:
        changes["first_seen"] = moment
    sessions, spans = with_visit(profile.sessions, profile.session_spans, moment)
    changes["session_spans"] = spans
    changes["sessions"] = sessions
    if event.anonymous_id is not None and event.anonymous_id not in profile.anonymous_ids:
        changes["anonymous_ids"] = (*profile.anonymous_ids, event.anonymous_id)[-ANONYMOUS_LIMIT:]
        _identify(profile, changes, "anonymous_id", event.anonymous_id, "event", moment)
    if event.user_id is not None and profile.user_id is None:
        changes["user_id"] = event.user_id
        _identify(profile, changes, "user_id", event.user_id, "identify", moment)
    if event.context:
        _fold_context(profile, event, changes)
    if event.traits:
        _fold_traits(profile, event.traits, moment, changes)
    special = SPECIAL.get(name)
    if special is not None:
        special(profile, event, changes)
    folded = profile.evolve(changes)
    stage = stage_of(folded)
    return folded if stage == folded.stage else folded.evolve({"stage": stage})


def _fold_context(profile: Profile, event: Event, changes: Changes) -> None:
    context = event.context
    moment = event.timestamp
    if profile.device_at is None or moment >= profile.device_at:
        device = device_of(context)
        if device is not None:
            changes["device"] = device
            changes["device_at"] = moment
    touch = touch_of(event)
    if touch is not None:
        changes["source"] = with_touch(profile.source, touch)
    page = context.get("page")
    if page.__class__ is dict and page and (profile.page_at is None or moment >= profile.page_at):
        changes["page"] = {
            key: value[:2048] for key in ("url", "path", "title") if isinstance(value := page.get(key), str)
        }
        changes["page_at"] = moment
    traits = context.get("traits")
    if traits.__class__ is dict and traits:
        _fold_traits(profile, traits, moment, changes)


def _fold_traits(profile: Profile, said: Mapping[str, Any], moment: datetime, changes: Changes) -> None:
    traits = dict(changes.get("traits", profile.traits))
    times = dict(changes.get("trait_times", profile.trait_times))
    for key, value in said.items():
        before = times.get(key)
        if (before is not None and moment < before) or (before is None and len(times) >= TRAIT_LIMIT):
            continue
        times[key] = moment
        if value is None:
            traits.pop(key, None)
        else:
            traits[key] = value
    changes["traits"] = traits
    changes["trait_times"] = times
    for kind in ("email", "phone"):
        value = said.get(kind)
        if isinstance(value, str) and value:
            _identify(profile, changes, kind, value.strip(), "identify", moment)


def _identify(profile: Profile, changes: Changes, kind: str, value: str, source: str, moment: datetime) -> None:
    if kind == "email":
        value = value.lower()
    known: tuple[Identifier, ...] = changes.get("identifiers", profile.identifiers)
    for index, each in enumerate(known):
        if each.kind == kind and each.value == value and each.source == source:
            seen = replace(each, first_seen=min(each.first_seen, moment), last_seen=max(each.last_seen, moment))
            changes["identifiers"] = (*known[:index], seen, *known[index + 1 :])
            return
    if len(known) < IDENTIFIER_LIMIT:
        fresh = Identifier(kind=kind, value=value[:255], source=source, first_seen=moment, last_seen=moment)
        changes["identifiers"] = (*known, fresh)


def _fold_cart(profile: Profile, event: Event, changes: Changes) -> None:
    ordered_at = profile.orders.last_at
    if ordered_at is not None and event.timestamp <= ordered_at:
        return  # that cart has been bought already
    change = carts.change_of(event)
    if change is not None:
        log = carts.with_change(profile.cart_log, change)
        changes["cart_log"] = log
        changes["cart"] = carts.cart_of(log)


def _fold_order(profile: Profile, event: Event, changes: Changes) -> None:
    orders = profile.orders
    order_id = event.properties.get("order_id")
    ids = orders.ids
    if isinstance(order_id, str | int) and not isinstance(order_id, bool):
        if str(order_id) in ids:
            return  # the browser and the backend both told of it
        ids = (*ids, str(order_id))[-ORDER_ID_LIMIT:]
    last_at = event.timestamp if orders.last_at is None else max(orders.last_at, event.timestamp)
    changes["orders"] = Orders(
        count=orders.count + 1, revenue=orders.revenue + order_value(event.properties), last_at=last_at, ids=ids
    )
    log = tuple(change for change in profile.cart_log if change.at > last_at)
    changes["cart_log"] = log
    changes["cart"] = carts.cart_of(log)


def order_value(properties: Mapping[str, Any]) -> Decimal:
    """What an order was worth: `revenue`, else `total`, else `value`, else its products, else its one price."""
    for key in ("revenue", "total", "value"):
        amount = carts.money(properties.get(key))
        if amount is not None:
            return amount
    listed = properties.get("products")
    entries = listed if isinstance(listed, list) else [properties]
    items = [item for entry in entries if (item := carts.item_of(entry)) is not None]
    return sum((item.price * item.quantity for item in items if item.price is not None), Decimal(0))


def _fold_search(profile: Profile, event: Event, changes: Changes) -> None:
    query = event.properties.get("query")
    if isinstance(query, str) and query:
        searches = (*profile.searches, Search(query=query[:500], at=event.timestamp))
        changes["searches"] = tuple(sorted(searches, key=lambda each: each.at)[-SEARCH_LIMIT:])


def _fold_form(profile: Profile, event: Event, changes: Changes) -> None:
    properties = event.properties
    name, value = properties.get("field"), properties.get("value")
    if not isinstance(name, str) or not name or not isinstance(value, str):
        return
    form, page = properties.get("form"), properties.get("page")
    entry = FormField(
        form=form if isinstance(form, str) else None,
        field=name,
        value=value[:2048],
        page=page if isinstance(page, str) else None,
        at=event.timestamp,
    )
    same = [each for each in profile.forms if (each.form, each.field) == (entry.form, entry.field)]
    if any(each.at > entry.at for each in same):
        return
    others = [each for each in profile.forms if (each.form, each.field) != (entry.form, entry.field)]
    changes["forms"] = tuple(sorted((*others, entry), key=lambda each: each.at)[-FORM_LIMIT:])
    kind = CONTACT_FIELDS.get(name.lower())
    if kind is not None and value.strip():
        _identify(profile, changes, kind, value.strip(), "form_field", event.timestamp)


def _fold_group(profile: Profile, event: Event, changes: Changes) -> None:
    if event.group_id is not None and event.group_id not in profile.groups:
        changes["groups"] = tuple(sorted((*profile.groups, event.group_id)))[-GROUP_LIMIT:]


def _fold_unsubscribed(profile: Profile, event: Event, changes: Changes) -> None:
    address = event.properties.get("email") or profile.traits.get("email")
    if isinstance(address, str) and address and address.lower() not in profile.unsubscribed:
        changes["unsubscribed"] = tuple(sorted((*profile.unsubscribed, address.lower())))[-IDENTIFIER_LIMIT:]


SPECIAL: Mapping[str, Callable[[Profile, Event, Changes], None]] = {
    "Product Added": _fold_cart,
    "Product Removed": _fold_cart,
    "Cart Viewed": _fold_cart,
    "Order Completed": _fold_order,
    "Products Searched": _fold_search,
    "Form Field Filled": _fold_form,
    "Group": _fold_group,
    "Unsubscribed": _fold_unsubscribed,
}
