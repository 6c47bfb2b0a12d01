"""Where does a condition look? Field paths: checked against what a visitor and an event have, then followed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from backend.domain.condition.bucket import bucket_getter
from backend.domain.condition.moment import Moment
from backend.domain.consent import CATEGORIES, answer
from backend.domain.event import Event
from backend.domain.fact import BELOW, BY_PRODUCT, FACTS, LISTS, Asks
from backend.domain.fact.facts import NO_EVENTS
from backend.domain.mistakes import nearest, quoted
from backend.domain.profile import Profile

LONGEST_PATH = 500
"""Characters in a field path."""

EVENT_FIELDS: dict[str, str] = {
    "event": "name",
    "name": "name",
    "type": "type",
    "message_id": "message_id",
    "messageId": "message_id",
    "timestamp": "timestamp",
    "received_at": "received_at",
    "receivedAt": "received_at",
    "anonymous_id": "anonymous_id",
    "anonymousId": "anonymous_id",
    "user_id": "user_id",
    "userId": "user_id",
    "group_id": "group_id",
    "groupId": "group_id",
    "previous_id": "previous_id",
    "previousId": "previous_id",
    "properties": "properties",
    "traits": "traits",
    "context": "context",
}
"""What may follow `event.`, and the attribute it means."""

_VISITOR = (
    "id anonymous_ids user_id traits identifiers stage device first_seen last_seen sessions counts last_at cart "
    "orders searches forms source groups page unsubscribed"
)
BUCKET = "bucket"
DERIVED = "facts"
CONSENTS = "consents"
PROFILE_FIELDS: dict[str, str] = {
    **{name: name for name in (*_VISITOR.split(), BUCKET, DERIVED)},
    "consent": CONSENTS,
}
"""What may follow `profile.`, and the attribute: the visitor as the API shows it without what only folding needs,
bucket, and facts."""

SITE_FIELDS: dict[str, str] = {"operator_online": "operator_online"}
"""What may follow `site.`, and the attribute of the moment it means."""

ROOTS: dict[str, dict[str, str]] = {"event": EVENT_FIELDS, "profile": PROFILE_FIELDS, "site": SITE_FIELDS}

FLAT = {"counts", "last_at", BUCKET}
"""What is followed by a name that may contain dots, so that everything after them is one key."""


@dataclass(frozen=True, slots=True)
class Field:
    """A checked path: `root` is event, profile or site, `parts` the attribute and the keys below it."""

    root: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.root, *self.parts))


def parse_field(text: object) -> Field:
    """Read `profile.cart.total`; a path that leads nowhere is a ValueError with the nearest known name."""
    if not isinstance(text, str) or not text:
        raise ValueError("A field is a path such as event.properties.price or profile.stage.")
    if len(text) > LONGEST_PATH:
        raise ValueError(f"A field is at most {LONGEST_PATH} characters long.")
    root, _, rest = text.partition(".")
    known = ROOTS.get(root)
    if known is None:
        hint = nearest(root, ROOTS)
        raise ValueError(f"Unknown field {quoted(text)}: a field starts with event., profile. or site.{hint}")
    first, _, below = rest.partition(".")
    parts = [below] if first in FLAT and below else below.split(".") if "." in rest else []
    if first == DERIVED and parts and parts[0] in BY_PRODUCT and len(parts) > 1:
        parts = [parts[0], ".".join(parts[1:])]  # the id of a product may contain dots
    if "" in parts:
        raise ValueError(f"The field {quoted(text)} has an empty part.")
    return Field(root, _checked(root, first, parts, text))


def kind_of(text: str) -> str | None:
    """What always stands at a path: number, boolean or text; None where it may be anything, or the path is wrong."""
    root, _, rest = text.partition(".")
    first, _, below = rest.partition(".")
    if root == "site":
        return "boolean" if first in SITE_FIELDS else None
    attribute = PROFILE_FIELDS.get(first) if root == "profile" else None
    if attribute is None or attribute == DERIVED:
        return None
    if attribute in (BUCKET, "counts"):
        return "number"
    if attribute == CONSENTS:
        return "boolean"
    try:
        shape = _without_none(_follow(_shapes(Profile)[attribute], below.split(".") if below else [], text))
    except ValueError:
        return None
    return {Decimal: "number", float: "number", int: "number", bool: "boolean", str: "text"}.get(shape)


def _checked(root: str, first: str, parts: Sequence[str], text: str) -> tuple[str, ...]:
    """The parts as attribute and keys; a ValueError where they cannot lead anywhere."""
    if first not in ROOTS[root]:
        raise ValueError(f"Unknown field {quoted(text)}.{nearest(first, ROOTS[root])}")
    attribute = ROOTS[root][first]
    if root == "site":
        _follow(bool, parts, text)
    elif attribute == DERIVED:
        _check_fact(parts, text)
    elif attribute == CONSENTS:
        _check_consent(parts, text)
    elif attribute != BUCKET:
        shape: Any = _shapes(Event if root == "event" else Profile)[attribute]
        _follow(shape, parts, text)
    return (attribute, *parts)


def _check_consent(parts: Sequence[str], text: str) -> None:
    """Raise a ValueError where this names no category of consent."""
    if not parts or parts[0] not in CATEGORIES:
        hint = nearest(parts[0], CATEGORIES) if parts else ""
        raise ValueError(f"Unknown field {quoted(text)}: below consent there are {', '.join(CATEGORIES)}.{hint}")
    _follow(bool, parts[1:], text)


def _check_fact(parts: Sequence[str], text: str) -> None:
    """Raise a ValueError where no fact stands at this path."""
    name = parts[0] if parts else ""
    if name not in FACTS:
        raise ValueError(f"Unknown field {quoted(text)}: no such fact.{nearest(name, FACTS)}")
    if name in BY_PRODUCT and len(parts) < 2:
        raise ValueError(f"{quoted(text)} is followed by the id of a product: profile.facts.{name}.PRODUCT.")
    if name in BELOW:
        if len(parts) < 2 or parts[1] not in BELOW[name]:
            known = ", ".join(BELOW[name])
            hint = nearest(parts[1], BELOW[name]) if len(parts) > 1 else ""
            raise ValueError(f"{quoted(text)}: below {name} there are {known}.{hint}")
        _follow(float, parts[2:], text)
    elif name in LISTS:
        _follow(tuple[str, ...], parts[1:], text)
    elif name not in BY_PRODUCT:
        _follow(float, parts[1:], text)


def parse_event_path(text: object) -> tuple[str, ...]:
    """Read the path of a value that events carry: `properties.cart_id`, with or without `event.` before it."""
    if not isinstance(text, str) or not text:
        raise ValueError("Expected a path such as properties.cart_id.")
    return parse_field(text if text.startswith("event.") else f"event.{text}").parts


def dig_event(event: Event, path: tuple[str, ...]) -> Any:
    """The value that an event carries at a path read by parse_event_path, or None."""
    return dig(getattr(event, path[0]), path[1:])


def getter(field: Field) -> Callable[[Moment], Any]:
    """Compile a path into a function of the moment: its plain value, or None where it is missing."""
    if field.root == "event":
        return _event_getter(field.parts)
    if field.root == "site":
        return attrgetter(*field.parts)
    if field.parts[0] == BUCKET:
        return bucket_getter(*field.parts[1:])
    if field.parts[0] == DERIVED:
        return _fact_getter(field.parts[1], field.parts[2:])
    if field.parts[0] == CONSENTS:
        category = field.parts[1]
        return lambda m: answer(m.profile.consents, category)
    return _profile_getter(field.parts)


def _fact_getter(name: str, below: Sequence[str]) -> Callable[[Moment], Any]:
    compute = FACTS[name].value
    if not below:
        return lambda m: compute(m.profile, m.at, m.standards, m.history)
    return lambda m: dig(compute(m.profile, m.at, m.standards, m.history), below)


def asked_by(field: Field) -> Asks:
    """The events whose history whoever looks there may ask for, and how far back: where a fact is made of them."""
    return FACTS[field.parts[1]].asks if field.root == "profile" and field.parts[0] == DERIVED else NO_EVENTS


def dig(value: Any, parts: Sequence[str]) -> Any:
    """Follow keys and list positions through a JSON value; None where they end."""
    for part in parts:
        if value.__class__ is dict or isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple):
            value = value[int(part)] if part.isdecimal() and len(part) < 7 and int(part) < len(value) else None
        else:
            return None
    return value


def _event_getter(parts: tuple[str, ...]) -> Callable[[Moment], Any]:
    attribute = attrgetter(parts[0])
    if len(parts) == 1:
        return lambda m: None if m.event is None else attribute(m.event)
    if parts[0] == "properties" and len(parts) == 2:
        key = parts[1]
        return lambda m: None if m.event is None else m.event.properties.get(key)
    below = parts[1:]
    return lambda m: None if m.event is None else dig(attribute(m.event), below)


def _profile_getter(parts: tuple[str, ...]) -> Callable[[Moment], Any]:
    if len(parts) == 1:
        return attrgetter(f"profile.{parts[0]}")
    if parts in (("cart", "total"), ("orders", "revenue")):
        money = attrgetter("profile." + ".".join(parts))
        return lambda m: float(money(m))
    if parts[0] in {"traits", "counts", "last_at"} and len(parts) == 2:
        mapping, key = attrgetter(f"profile.{parts[0]}"), parts[1]
        return lambda m: mapping(m).get(key)
    if parts[0] == "device":
        return attrgetter(f"profile.{'.'.join(parts)}")
    start, below = attrgetter(f"profile.{parts[0]}"), parts[1:]
    return lambda m: _dig_typed(start(m), below)


def _dig_typed(value: Any, parts: Sequence[str]) -> Any:
    """Follow a checked path through the profile's own dataclasses, and through the JSON below them."""
    for position, part in enumerate(parts):
        if value is None:
            return None
        if is_dataclass(value):
            value = getattr(value, part)
        elif isinstance(value, tuple):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return dig(value, parts[position:])
    return float(value) if isinstance(value, Decimal) else value


def _follow(shape: Any, parts: Sequence[str], text: str) -> Any:
    """The type of what the path leads to, None where that may be anything; a ValueError where it can lead nowhere."""
    for part in parts:
        shape = _without_none(shape)
        if get_origin(shape) is tuple:
            if not (part.isascii() and part.isdecimal() and len(part) < 7):
                raise ValueError(f"{quoted(text)}: a list is followed by a position, such as 0.")
            shape = get_args(shape)[0]
        elif is_dataclass(shape):
            hints = _shapes(cast(type, shape))
            if part not in hints:
                raise ValueError(f"Unknown field {quoted(text)}.{nearest(part, hints)}")
            shape = hints[part]
        elif shape in (str, int, float, bool, Decimal, datetime):
            raise ValueError(f"{quoted(text)}: there is nothing below a single value.")
        else:
            return None
    return shape


@cache
def _shapes(noun: type) -> dict[str, Any]:
    """The types of a dataclass's fields by name."""
    return get_type_hints(noun)


def _without_none(shape: Any) -> Any:
    if get_origin(shape) in (Union, UnionType):
        return next(arg for arg in get_args(shape) if arg is not NoneType)
    return shape
