"""The verb `fold`: a profile and one more event give the next profile, in whatever order events arrive."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from backend.domain import attention, consent, habit
from backend.domain import cart as carts
from backend.domain.device import device_of
from backend.domain.event import SIGNAL, Event
from backend.domain.identifier import (
    CONTACTS,
    FORM_FIELDS,
    IDENTIFIER_LIMIT,
    NOTED,
    PLAIN,
    SOURCES,
    Reading,
    as_known,
    normalised,
    noted,
)
from backend.domain.profile import NAME_LIMIT, FormField, Identifier, Orders, Profile, Search
from backend.domain.purchase import purchase_of
from backend.domain.session import with_visit
from backend.domain.source import tells_origin, touch_of, with_touch
from backend.domain.stage import TURNING, stage_of
from backend.domain.trait import CHANGED
from backend.domain.trait_fold import fold_traits

SEARCH_LIMIT = 20
FORM_LIMIT = 50
ANONYMOUS_LIMIT = 50
GROUP_LIMIT = 50
ORDER_ID_LIMIT = 200
PAGE_KEYS = ("url", "path", "title")
PAGE_LENGTH = 2048

State = dict[str, Any]
"""The fields of a working copy, by name."""


def fold(profile: Profile, event: Event, reading: Reading = PLAIN) -> Profile:
    """The profile after this event; the event must not have been folded before (storage sees to that)."""
    after = working_copy(profile)
    fold_into(after, event, reading)
    return after


def working_copy(profile: Profile) -> Profile:
    """A copy for `fold_into`; nobody else may hold on to it before the folding is over."""
    copy = object.__new__(Profile)
    state = profile.__dict__.copy()
    state["counts"] = dict(profile.counts)
    state["last_at"] = dict(profile.last_at)
    object.__setattr__(copy, "__dict__", state)
    return copy


def fold_into(copy: Profile, event: Event, reading: Reading = PLAIN) -> None:
    """Folds an event into a working copy in place: for many events in a row, this spares a profile for each.

    `reading` is how the site reads addresses.
    """
    state = copy.__dict__
    if event.type == SIGNAL:
        _introduce(state, event)
        if event.name == CHANGED:
            _fold_traits(state, event.properties, event, reading)
        if "consent" in event.context:
            _fold_consent(state, event)
        if event.name == NOTED:
            _fold_noted(state, event, reading)
        return  # nothing that the visitor did
    moment = event.timestamp
    name = event.name
    counts = state["counts"]
    if name in counts:
        counts[name] += 1
        if moment > state["last_at"][name]:
            state["last_at"][name] = moment
    elif len(counts) < NAME_LIMIT:
        counts[name] = 1
        state["last_at"][name] = moment
    last_seen = state["last_seen"]
    if last_seen is None or moment > last_seen:
        state["last_seen"] = moment
    first_seen = state["first_seen"]
    if first_seen is None or moment < first_seen:
        state["first_seen"] = moment
    state["sessions"], state["session_spans"] = with_visit(state["sessions"], state["session_spans"], moment)
    if event.user_id is not None or event.anonymous_id not in state["anonymous_ids"]:
        _introduce(state, event)
    if event.context:
        _fold_context(state, event, moment, reading)
    if event.traits:
        _fold_traits(state, event.traits, event, reading)
    special = SPECIAL.get(name)
    if special is not None:
        special(state, event, reading)
    if name in TURNING and not (name == "Product Viewed" and state["stage"] == "interested"):  # who views goes on
        state["stage"] = stage_of(copy)


def _introduce(state: State, event: Event) -> None:
    """Notes by which ids the visitor is named."""
    anonymous_id, user_id = event.anonymous_id, event.user_id
    if anonymous_id is not None and anonymous_id not in state["anonymous_ids"]:
        state["anonymous_ids"] = (*state["anonymous_ids"], anonymous_id)[-ANONYMOUS_LIMIT:]
        _identify(state, _seen("anonymous_id", anonymous_id, "event", event.timestamp))
    if user_id is not None and state["user_id"] is None:
        state["user_id"] = user_id
        _identify(state, _seen("user_id", user_id, "identify", event.timestamp))
    if event.signed and user_id is not None:
        _identify(state, _seen("user_id", user_id, "signed", event.timestamp, verified_at=event.timestamp))


def _fold_context(state: State, event: Event, moment: datetime, reading: Reading) -> None:
    context = event.context
    if state["device_at"] is None or moment >= state["device_at"]:
        device = device_of(context)
        if device is not None:
            state["device"] = device
            state["device_at"] = moment
    page = context.get("page")
    if tells_origin(context, page):
        touch = touch_of(event)
        if touch is not None:
            state["source"] = with_touch(state["source"], touch)
    if page.__class__ is dict and page and (state["page_at"] is None or moment >= state["page_at"]):
        before = state["page"].get("path")
        state["page"] = shown = {}
        for key in PAGE_KEYS:
            value = page.get(key)
            if value.__class__ is str:
                shown[key] = value if len(value) <= PAGE_LENGTH else value[:PAGE_LENGTH]
        state["page_at"] = moment
        if event.type == "page" or state["page"].get("path") != before:
            state["page_since"] = moment
    traits = context.get("traits")
    if traits.__class__ is dict and traits:
        _fold_traits(state, traits, event, reading)
    if "consent" in context:
        _fold_consent(state, event)


def _fold_consent(state: State, event: Event) -> None:
    """Notes what the visitor agreed to; where an answer is from is believed of ourselves only."""
    told = event.context["consent"]
    source = "page" if event.anonymous_id is not None else "api"
    if event.type == SIGNAL and isinstance(told, Mapping) and told.get("source") in consent.SOURCES:
        source = told["source"]
    for choice in consent.choices_of(told, event.timestamp, source):
        state["consents"] = consent.with_choice(state["consents"], choice)


def _fold_traits(
    state: State, said: Mapping[str, Any], event: Event, reading: Reading, source: str = "identify"
) -> None:
    """Notes traits, and the addresses among them; placeholders are nobody's address."""
    if not said.keys().isdisjoint(_MAY_NAME):
        said = _introduce_by(state, said, event.timestamp, reading, source)
    fold_traits(state, said, event.timestamp, event.order)


def _introduce_by(
    state: State, said: Mapping[str, Any], moment: datetime, reading: Reading, source: str
) -> Mapping[str, Any]:
    """Notes the addresses among what was told; returns that without those that are nobody's."""
    kept = dict(said)
    for kind in ("$set", "$set_once"):
        if isinstance(said.get(kind), dict):
            kept[kind] = _introduce_by(state, said[kind], moment, reading, source)
    for kind in CONTACTS:
        value = said.get(kind)
        if isinstance(value, str):
            if reading.names_nobody(value):
                del kept[kind]
            else:
                _identify(state, _seen(kind, as_known(kind, value, reading.region), source, moment))
    return kept


def _seen(kind: str, value: str, source: str, moment: datetime, **more: Any) -> Identifier:
    return Identifier(kind=kind, value=value[:255], source=source, first_seen=moment, last_seen=moment, **more)


def _identify(state: State, fresh: Identifier) -> None:
    state["identifiers"] = noted(state["identifiers"], fresh)


def _fold_noted(state: State, event: Event, reading: Reading) -> None:
    """An identifier that no page told of; one that cannot be normalised is never verified."""
    told = event.properties
    kind, value, source = told.get("kind"), told.get("value"), told.get("source")
    if kind not in CONTACTS or not isinstance(value, str) or source not in SOURCES or reading.names_nobody(value):
        return
    proven = told.get("verified") is True and normalised(kind, value, reading.region) is not None
    moment = event.timestamp
    known = as_known(kind, value, reading.region)
    _identify(state, _seen(kind, known, source, moment, verified_at=moment if proven else None))


def _fold_cart(state: State, event: Event, _reading: Reading) -> None:
    ordered_at = state["orders"].last_at
    if ordered_at is not None and event.timestamp <= ordered_at:
        return  # that cart has been bought already
    change = carts.change_of(event)
    if change is not None:
        before = state["cart_log"]
        log = state["cart_log"] = carts.with_change(before, change)
        last = len(log) > len(before) and log[-1] is change  # neither late, nor was the log summed up
        state["cart"] = carts.cart_after(state["cart"], change) if last else carts.cart_of(log)


def _fold_order(state: State, event: Event, _reading: Reading) -> None:
    orders: Orders = state["orders"]
    ids = orders.ids
    before: habit.Purchases = state["purchases"]
    purchase = purchase_of(event)
    named = purchase.order_id
    state["purchases"], state["purchases_since"] = habit.with_purchase(before, state["purchases_since"], purchase)
    if named:
        if named in ids:  # the browser and the backend both told of it: the latest report says what it was worth
            known, now = habit.find(before, named), habit.find(state["purchases"], named)
            if known is not None and now is not None and now.value != known.value:
                state["orders"] = replace(orders, revenue=orders.revenue + now.value - known.value)
            return
        ids = (*ids, named)[-ORDER_ID_LIMIT:]
    last_at = event.timestamp if orders.last_at is None else max(orders.last_at, event.timestamp)
    state["orders"] = Orders(count=orders.count + 1, revenue=orders.revenue + purchase.value, last_at=last_at, ids=ids)
    state["cart_log"] = tuple(change for change in state["cart_log"] if change.at > last_at)
    state["cart"] = carts.cart_of(state["cart_log"])


def _fold_search(state: State, event: Event, _reading: Reading) -> None:
    query = event.properties.get("query")
    if isinstance(query, str) and query:
        searches = (*state["searches"], Search(query=query[:500], at=event.timestamp))
        state["searches"] = tuple(sorted(searches, key=lambda each: each.at)[-SEARCH_LIMIT:])


def _fold_form(state: State, event: Event, reading: Reading) -> None:
    properties = event.properties
    name, value = properties.get("field"), properties.get("value")
    if not isinstance(name, str) or not name or not isinstance(value, str):
        return
    form, page = properties.get("form"), properties.get("page")
    kind = FORM_FIELDS.get(name.lower())
    if kind is not None and value.strip() and not reading.names_nobody(value):
        typed_on = {"page": page[:PAGE_LENGTH] if isinstance(page, str) else None, "field": name[:255]}
        known = as_known(kind, value, reading.region)
        _identify(state, _seen(kind, known, "form_field", event.timestamp, **typed_on))
    entry = FormField(
        form=form if isinstance(form, str) else None,
        field=name,
        value=value[:2048],
        page=page if isinstance(page, str) else None,
        at=event.timestamp,
    )
    same = [each for each in state["forms"] if (each.form, each.field) == (entry.form, entry.field)]
    if any(each.at > entry.at for each in same):
        return
    others = [each for each in state["forms"] if (each.form, each.field) != (entry.form, entry.field)]
    state["forms"] = tuple(sorted((*others, entry), key=lambda each: each.at)[-FORM_LIMIT:])


def _fold_group(state: State, event: Event, _reading: Reading) -> None:
    if event.group_id is not None and event.group_id not in state["groups"]:
        state["groups"] = tuple(sorted((*state["groups"], event.group_id)))[-GROUP_LIMIT:]


def _fold_unsubscribed(state: State, event: Event, _reading: Reading) -> None:
    address = event.properties.get("email") or state["traits"].get("email")
    if isinstance(address, str) and address and address.lower() not in state["unsubscribed"]:
        state["unsubscribed"] = tuple(sorted((*state["unsubscribed"], address.lower())))[-IDENTIFIER_LIMIT:]
    state["contacts"] = attention.with_unsubscribed(state["contacts"], event.timestamp)


def _fold_subscribed(state: State, event: Event, _reading: Reading) -> None:
    address = event.properties.get("email") or state["traits"].get("email")
    if isinstance(address, str):
        state["unsubscribed"] = tuple(each for each in state["unsubscribed"] if each != address.lower())


def _fold_feedback(state: State, event: Event, _reading: Reading) -> None:
    if state["contacts"]:
        state["contacts"] = attention.with_feedback(state["contacts"], event)


def _fold_answer(state: State, event: Event, reading: Reading) -> None:
    _fold_feedback(state, event, reading)
    told = attention.answered(state["contacts"], event)
    if told is not None:
        _fold_traits(state, dict([told]), event, reading, "reply")


_MAY_NAME = frozenset({*CONTACTS, "$set", "$set_once"})

SPECIAL: Mapping[str, Callable[[State, Event, Reading], None]] = {
    "Product Added": _fold_cart,
    "Product Removed": _fold_cart,
    "Cart Viewed": _fold_cart,
    "Order Completed": _fold_order,
    "Products Searched": _fold_search,
    "Form Field Filled": _fold_form,
    "Group": _fold_group,
    "Unsubscribed": _fold_unsubscribed,
    "Subscribed": _fold_subscribed,
    **dict.fromkeys(attention.FEEDBACK, _fold_feedback),
    "Message Answered": _fold_answer,
}
