"""Which names does a site report? Events, their properties and people's traits, with types and harmless examples."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from backend.domain.condition.values import read_time
from backend.domain.event import SIGNAL, Event
from backend.domain.trait import CHANGED, RANK, operations_of

EXAMPLES = 5
MOST_NEW = 2_000
"""Names that are noted before they are written down; further ones have to wait."""

LONGEST_NAME = 128
LONGEST_EXAMPLE = 50
MASK = "•••"

EVENT, PROPERTY, TRAIT = "event", "property", "trait"
KINDS = (EVENT, PROPERTY, TRAIT)

TEXT, NUMBER, TRUTH, DATE, LIST, OBJECT = "text", "number", "boolean", "date", "list", "object"

_PERSONAL = frozenset(
    {
        *(
            "email",
            "mail",
            "phone",
            "tel",
            "mobile",
            "fax",
            "address",
            "street",
            "zip",
            "postcode",
            "postal",
            "birthday",
        ),
        *(
            "birth",
            "born",
            "first",
            "last",
            "surname",
            "firstname",
            "lastname",
            "fullname",
            "username",
            "login",
            "user",
        ),
        *("card", "iban", "bic", "password", "passwd", "token", "secret", "otp", "code", "pin", "cvc", "cvv", "ip"),
        *("passport", "ssn", "tax", "account", "message", "text", "comment", "body", "reply", "note"),
        *("customer", "person", "contact", "recipient", "lat", "lng", "latitude", "longitude", "location", "id"),
    }
)
"""Words in names whose values may say who somebody is, or are a secret, or are what somebody wrote."""

_HARMLESS = frozenset({"product_id", "category_id", "list_id", "coupon_code", "country_code", "language_code"})
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_MAIL = re.compile(r"\S+@\S+")
_DIGITS = re.compile(r"(?:\d[\s().+/-]*){7,}")
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-f]{0,4}:){3,}", re.IGNORECASE)
_TOKEN = re.compile(r"(?=\S*\d)[\w.~+/=-]{16,}")


class Name(NamedTuple):
    """What is named: an event, a property of the event `of`, or a trait."""

    kind: str
    of: str
    name: str


@dataclass(slots=True)
class Known:
    """What is known of a name: how often it was looked at, with values of which types, some of them, since when."""

    first_seen: datetime
    last_seen: datetime
    count: int = 0
    types: dict[str, int] = field(default_factory=dict)
    examples: list[Any] = field(default_factory=list)

    def joined(self, other: "Known") -> "Known":
        """Both together."""
        types = dict(self.types)
        for kind, count in other.types.items():
            types[kind] = types.get(kind, 0) + count
        examples = list(self.examples)
        for each in other.examples:
            _add_example(examples, each)
        return Known(
            first_seen=min(self.first_seen, other.first_seen),
            last_seen=max(self.last_seen, other.last_seen),
            count=self.count + other.count,
            types=types,
            examples=examples,
        )


Names = dict[Name, Known]


def note(names: Names, event: Event) -> None:
    """Notes what this event names; nothing of what rules or the engine report themselves."""
    for name, value, shown in _told(event):
        _note(names, name, event.timestamp, value, shown=shown)


def examples_told(event: Event, among: Mapping[Name, Known]) -> Iterator[tuple[Name, Any]]:
    """Those of the examples of these names that this event has told too."""
    for name, value, shown in _told(event):
        known = among.get(name)
        if shown and known is not None and known.examples:
            example = example_of(name, value)
            if example is not None and example in known.examples:
                yield name, example


def type_of(value: Any) -> str | None:
    """The type of a JSON value as people call it; text that is a date or a moment is a date. None for no value."""
    if isinstance(value, bool):
        return TRUTH
    if isinstance(value, int | float):
        return NUMBER
    if isinstance(value, str):
        return DATE if read_time(value) is not None else TEXT
    return LIST if isinstance(value, list) else OBJECT if isinstance(value, dict) else None


def example_of(name: Name, value: Any) -> Any:
    """A value that may be shown to whoever writes rules; None for one that may say who somebody is, masked in part."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int | float) or value == "" or is_personal(name):
        return None
    text = str(value)
    if isinstance(value, str) and text.startswith(("http://", "https://", "/")):
        text = re.split(r"[?#]", text, maxsplit=1)[0]
    if _MAIL.search(text):
        return f"{MASK}@{MASK}"
    if read_time(text) is None and (_DIGITS.search(text) or _IP.search(text)):
        return MASK
    if len(text) > LONGEST_EXAMPLE or _TOKEN.fullmatch(text):
        return None
    return text if isinstance(value, str) else value


def is_personal(name: Name) -> bool:
    """Whether the values of this name are nobody's business: by what it is called."""
    if name.of == "Form Field Filled":
        return name.name not in {"form", "field"}
    if name.name.lower() in _HARMLESS:
        return False
    words = {each.lower() for each in _WORDS.findall(name.name)}
    return bool(words & _PERSONAL) or (name.kind == TRAIT and "name" in words)


def _told(event: Event) -> Iterator[tuple[Name, Any, bool]]:
    """Every name in an event, its value, and whether that may serve as an example."""
    if event.type == SIGNAL:
        if event.name == CHANGED:
            yield from _told_traits(event.properties)
        return
    yield Name(EVENT, "", event.name), None, False
    for name, value in event.properties.items():
        yield Name(PROPERTY, event.name, name), value, True
    yield from _told_traits(event.traits)
    told = event.context.get("traits")
    if isinstance(told, dict):
        yield from _told_traits(told)


def _told_traits(told: Mapping[str, Any]) -> Iterator[tuple[Name, Any, bool]]:
    for name, value in told.items():
        if name not in RANK:
            yield Name(TRAIT, "", name), value, True
    for kind, name, value in operations_of(told):
        if kind in {"$add", "$subtract"}:
            yield Name(TRAIT, "", name), 0, False
        elif kind in {"$append", "$remove"}:
            yield Name(TRAIT, "", name), [], True
        else:
            yield Name(TRAIT, "", name), value, True


def _note(names: Names, name: Name, at: datetime, value: Any, *, shown: bool) -> None:
    if not 0 < len(name.name) <= LONGEST_NAME:
        return
    known = names.get(name)
    if known is None:
        if len(names) >= MOST_NEW:
            return
        known = names[name] = Known(at, at)
    known.count += 1
    known.first_seen, known.last_seen = min(known.first_seen, at), max(known.last_seen, at)
    kind = type_of(value)
    if kind is not None:
        known.types[kind] = known.types.get(kind, 0) + 1
        if shown and len(known.examples) < EXAMPLES:
            _add_example(known.examples, example_of(name, value))


def _add_example(examples: list[Any], value: Any) -> None:
    new = not any(each == value and isinstance(each, bool) is isinstance(value, bool) for each in examples)
    if value is not None and len(examples) < EXAMPLES and new:
        examples.append(value)
