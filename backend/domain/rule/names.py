"""Which names of events, properties and traits does a rule use, and were they ever seen? If not, they may be typos.

They cannot be mistakes: what a site will report tomorrow is nobody's to forbid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeAlias

from backend.domain.mistakes import nearest, quoted
from backend.domain.profile import STAGES
from backend.domain.rule.texts import answered_traits, names_in_texts
from backend.domain.template.context import PRODUCT_EVENTS, PRODUCT_NAMES, RESERVED
from backend.domain.vocabulary import DATE, LIST, TEXT, type_of

Path: TypeAlias = tuple[str | int, ...]

EVENTS = frozenset(
    {
        *("Page Viewed", "Screen Viewed", "Identify", "Group", "Alias", "Form Field Filled", "Signed Up"),
        *("Products Searched", "Product List Viewed", "Product List Filtered", "Promotion Viewed", "Promotion Clicked"),
        *("Product Clicked", "Product Viewed", "Product Added", "Product Removed", "Cart Viewed"),
        *("Checkout Started", "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered"),
        *("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"),
        *("Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed"),
        *("Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart"),
        *("Product Shared", "Cart Shared", "Product Reviewed"),
        *("Message Sent", "Message Shown", "Message Clicked", "Message Dismissed", "Message Replied"),
        *("Message Answered", "Rule Triggered", "Broadcast", "Inactive", "Date Reached", "Replenishment Due"),
        *("Price Dropped", "Back In Stock", "Low Stock", "Consent Updated"),
        *("Time On Page", "Scrolled", "Exit Intent"),  # pages report them only once a rule asks for them
    }
)
"""What needs no having been seen: the names of the e-commerce specification, and our own."""

TRAITS = frozenset(
    {
        *("address", "age", "avatar", "birthday", "city", "company", "country", "created_at", "createdAt"),
        *("description", "email", "first_name", "firstName", "gender", "id", "last_name", "lastName", "name"),
        *("phone", "plan", "title", "username", "website"),
    }
)

ENOUGH = 10
"""Of an event that was seen at least so often, the properties are known."""


@dataclass(slots=True)
class Seen:
    """A sample of what a site reported: the events, with how many were looked at, their properties, people's traits.

    `types` are those of the values, with how many were looked at, by kind, event and name as in `Use`.
    """

    visitors: int = 0
    events: dict[str, int] = field(default_factory=dict)
    properties: dict[str, dict[str, int]] = field(default_factory=dict)
    traits: set[str] = field(default_factory=set)
    types: dict[tuple[str, str, str], dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """One name in a rule; `kind` is event, property or trait, `of` the event whose property it is."""

    path: Path
    kind: str
    name: str
    of: str | None = None


def unseen(document: Mapping[str, Any], seen: Seen) -> Iterator[tuple[Path, str]]:
    """A sentence, with its path, for each name that the rule uses and that nobody reported, with the nearest that is.

    Nothing where next to nothing was seen: a new site has no past to compare with.
    """
    if seen.visitors == 0:
        return
    told: set[tuple[str, str, str | None]] = set()
    for use in uses_of(document):
        key = (use.kind, use.name, use.of)
        if key in told:
            continue
        told.add(key)
        sentence = _judged(use, seen)
        if sentence is not None:
            yield use.path, sentence


def mistyped(document: Mapping[str, Any], seen: Seen) -> Iterator[tuple[Path, str]]:
    """A sentence, with its path, for each value that is held against a field which never had one of its type."""
    trigger = document.get("trigger")
    event = trigger.get("event") if isinstance(trigger, Mapping) else None
    for use, path, asked in _compared(document, (), event if isinstance(event, str) else None):
        wanted = _wanted(asked)
        known = seen.types.get((use.kind, use.of or "", use.name), {})
        if not wanted or sum(known.values()) < ENOUGH or wanted & known.keys():
            continue
        usual = max(sorted(known), key=lambda each: known[each])
        told = " or ".join(sorted(wanted))
        of = f" of {use.of}" if use.of else ""
        yield path, f"{quoted(use.name)}{of} never was a {told} in what this site reported; it was a {usual}."


def _compared(node: object, path: Path, event: str | None) -> Iterator[tuple[Use, Path, Mapping[str, Any]]]:
    """The comparisons of a document, each with what it looks at."""
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from _compared(each, (*path, index), event)
    elif isinstance(node, Mapping):
        if isinstance(node.get("field"), str):
            for use in _field(node["field"], path, event):
                if node["field"].count(".") == 2:  # not of what lies below an object
                    yield use, (*path, "value"), node
        for key in ("event", "performed"):
            event = node[key] if isinstance(node.get(key), str) else event
        for key, each in node.items():
            if key not in _NOT_CONDITIONS and key != "value":
                yield from _compared(each, (*path, key), event)


def _wanted(asked: Mapping[str, Any]) -> set[str]:
    """The types of which a value must be for the comparison to hold; none where any may do."""
    op, value = asked.get("op"), asked.get("value")
    if op in {"is_set", "is_not_set", "ne", "not_in", "not_contains", "unchanged_for"}:
        return set()
    if op in {"before", "after"} or isinstance(value, Mapping):
        return {DATE}
    found: set[str] = set()
    for each in value if isinstance(value, list) else [value]:
        kind = type_of(each)
        found |= {TEXT, DATE} if kind in {TEXT, DATE} else {kind} if kind is not None else set()
    if op == "contains":
        found |= {LIST, TEXT}
    return found


def _judged(use: Use, seen: Seen) -> str | None:
    where = f"among the latest {seen.visitors} visitors of this site"
    if use.kind == "event":
        if use.name in seen.events or use.name in EVENTS:
            return None
        return f"No event named {quoted(use.name)} was seen {where}.{_nearest(use.name, seen.events, EVENTS)}"
    if use.kind == "trait":
        if use.name in seen.traits or use.name in TRAITS:
            return None
        names = (seen.traits, TRAITS, *([RESERVED] if "content" in use.path else []))
        return f"No trait named {quoted(use.name)} was seen {where}.{_nearest(use.name, *names)}"
    known = seen.properties.get(use.of or "", {})
    if use.name in known or seen.events.get(use.of or "", 0) < ENOUGH or not known:
        return None
    return f"No {use.of} with a property {quoted(use.name)} was seen {where}.{_nearest(use.name, known)}"


def _nearest(name: str, *known: Any) -> str:
    """The known name that is most like this one, whatever the case; the site's own first."""
    for names in known:
        by_lower = {each.lower(): each for each in sorted(names)}
        close = get_close_matches(name[:100].lower(), by_lower, n=1, cutoff=0.7)
        if close:
            return f" Did you mean {quoted(by_lower[close[0]])}?"
    return ""


def uses_of(document: Mapping[str, Any]) -> Iterator[Use]:
    """Every name that the conditions and texts of a rule use, but for those that it brings about itself."""
    made_events: set[str] = set()
    made_traits: set[str] = set()
    _made(document.get("steps"), made_events, made_traits)
    made_traits.update(answered_traits(document))
    trigger = document.get("trigger")
    event = trigger.get("event") if isinstance(trigger, Mapping) else None
    event = event if isinstance(event, str) else None
    for use in (*_uses(document, (), event), *_told(document, event)):
        if use.name not in (made_traits if use.kind == "trait" else made_events if use.kind == "event" else ()):
            yield use


def _made(node: object, events: set[str], traits: set[str]) -> None:
    if isinstance(node, list):
        for each in node:
            _made(each, events, traits)
    elif isinstance(node, Mapping):
        emit, told = node.get("emit"), node.get("set_trait")
        if isinstance(emit, Mapping) and isinstance(emit.get("event"), str):
            events.add(emit["event"])
        if isinstance(told, Mapping):
            traits.update(told)
        for key, each in node.items():
            if key not in {"emit", "set_trait", "message"}:
                _made(each, events, traits)


_NOT_CONDITIONS = frozenset({"message", "emit", "set_trait", "name", "category"})
"""What holds texts and values, but no conditions."""


def _uses(node: object, path: Path, event: str | None) -> Iterator[Use]:
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from _uses(each, (*path, index), event)
        return
    if not isinstance(node, Mapping):
        return
    if isinstance(node.get("field"), str):
        yield from _field(node["field"], (*path, "field"), event)
    for key in ("event", "performed"):
        if isinstance(node.get(key), str):
            yield Use((*path, key), "event", node[key])
            event = node[key]
    for key in ("trait", "date"):
        if path == ("trigger",) and isinstance(node.get(key), str):
            yield Use((*path, key), "trait", node[key].removeprefix("profile.traits."))
    for key, each in node.items():
        if key not in _NOT_CONDITIONS and key != "value":
            yield from _uses(each, (*path, key), event)


def _told(document: Mapping[str, Any], event: str | None) -> Iterator[Use]:
    """The names that texts read; what begins with none of our own is a trait."""
    for path, names in names_in_texts(document):
        if names[0] not in RESERVED:
            yield Use(path, "trait", names[0])
        elif names[0] != "product":
            yield from _field(".".join(names), path, event)
        elif event in PRODUCT_EVENTS and len(names) > 1 and names[1] not in PRODUCT_NAMES:
            yield Use(path, "property", names[1], event)


def unknown_stages(node: object, stages: Sequence[str] = STAGES) -> Iterator[tuple[Path, str]]:
    """A sentence, with its path, for each stage that a condition compares with and that is none of `stages`."""
    for path, name in stages_asked(node):
        if name not in stages:
            yield path, f"There is no stage {quoted(name)}; there are {', '.join(stages)}.{nearest(name, stages)}"


def stages_asked(node: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The stages that the conditions of a document compare with, each with its path."""
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from stages_asked(each, (*path, index))
    elif isinstance(node, Mapping):
        if node.get("field") == "profile.stage" and node.get("op") in {"eq", "ne", "in", "not_in"}:
            value = node.get("value")
            told = value if isinstance(value, list) else [value]
            yield from (((*path, "value"), each) for each in told if isinstance(each, str))
        for key, each in node.items():
            if key not in _NOT_CONDITIONS and key != "value":
                yield from stages_asked(each, (*path, key))


def _field(text: str, path: Path, event: str | None) -> Iterator[Use]:
    root, _, rest = text.partition(".")
    first, _, below = rest.partition(".")
    name = below.split(".")[0]
    if not name:
        return
    if root == "profile" and first == "traits":
        yield Use(path, "trait", name)
    elif root == "profile" and first in {"counts", "last_at"}:
        yield Use(path, "event", below)
    elif root == "event" and first == "properties" and event is not None:
        yield Use(path, "property", name, event)
