"""How is a rule's message written? Channels in order of preference, variants with weights, the share held out."""

from math import isfinite
from typing import Any

from backend.domain.condition.parse import read_window
from backend.domain.message import CHANNELS, DISPLAYS
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.rule.model import Message, Variant
from backend.domain.rule.read_winner import read_winner
from backend.domain.template import read_content

PLANNED = frozenset(
    {"webpush", "telegram", "webhook", "viber", "whatsapp", "messenger", "instagram", "facebook", "sms", "vk", "slack"}
)
"""Channels that the language names already and that nothing serves yet."""

MOST_VARIANTS = 20
LONGEST_NAME = 100
LETTERS = "ABCDEFGHIJKLMNOPQRST"

Path = tuple[str | int, ...]


def read_message(value: object, path: Path, mistakes: Mistakes) -> Message | None:
    """Read what a rule says, noting every mistake below `path`."""
    if not isinstance(value, dict):
        mistakes.add(path, "A message is an object with channels and variants.")
        return None
    known = (
        "channels",
        "variants",
        "holdout",
        "fallback_after",
        "expires_after",
        "winner",
        "display",
        "requires_operator",
    )
    mistakes.known_keys(value, known, path)
    channels = _read_channels(value.get("channels"), (*path, "channels"), mistakes)
    variants = _read_variants(value.get("variants"), channels, (*path, "variants"), mistakes)
    holdout = value.get("holdout")
    if holdout is not None and (not _is_amount(holdout) or holdout > 100):
        mistakes.add((*path, "holdout"), "Expected a percentage from 0 to 100.")
    given: dict[str, Any] = {
        name: mistakes.attempt(read_window, value[name], (*path, name))
        for name in ("fallback_after", "expires_after")
        if value.get(name) is not None
    }
    if value.get("winner") is not None:
        given["winner"] = read_winner(value["winner"], variants, (*path, "winner"), mistakes)
    display = value.get("display")
    if display is not None:
        _check_display(display, channels, (*path, "display"), mistakes)
    requires = value.get("requires_operator", False)
    if not isinstance(requires, bool):
        mistakes.add((*path, "requires_operator"), "Expected true or false.")
    told = {name: each for name, each in given.items() if each is not None}
    told |= {"display": display, "requires_operator": requires is True}
    message = Message(channels=channels, variants=variants, holdout=holdout or 0, **told)
    fallback = message.fallback_after
    if fallback is not None and fallback >= message.expires_after and not mistakes.lenient:
        wrong = "By then the message has expired (expires_after): it would never go on to the next channel."
        mistakes.add((*path, "fallback_after"), wrong)
    return message


def _check_display(value: object, channels: tuple[str, ...], path: Path, mistakes: Mistakes) -> None:
    if value not in DISPLAYS:
        mistakes.add(path, f"Expected {', '.join(DISPLAYS[:-1])} or {DISPLAYS[-1]}.{nearest(value, DISPLAYS)}")
    elif "popup" not in channels:
        mistakes.add(path, "Only a pop-up comes into sight in one way or the other; popup is not among the channels.")


def _read_channels(value: object, path: Path, mistakes: Mistakes) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        mistakes.add(path, 'Expected a list of channels in order of preference, such as ["popup", "email"].')
        return ()
    for position, channel in enumerate(value[:100]):
        if isinstance(channel, str) and channel in PLANNED:
            mistakes.add((*path, position), f"The channel {quoted(channel)} is not available yet.")
        elif not isinstance(channel, str) or channel not in CHANNELS:
            mistakes.add((*path, position), f"Unknown channel {quoted(channel)}.{nearest(channel, CHANNELS)}")
        elif channel in value[:position]:
            mistakes.add((*path, position), f"The channel {quoted(channel)} stands here twice.")
    return tuple(channel for channel in value if isinstance(channel, str))


def _read_variants(value: object, channels: tuple[str, ...], path: Path, mistakes: Mistakes) -> tuple[Variant, ...]:
    if not isinstance(value, list) or not value:
        mistakes.add(path, "A message needs a list with at least one variant.")
        return ()
    if len(value) > MOST_VARIANTS:
        mistakes.add(path, f"A message has at most {MOST_VARIANTS} variants.")
        return ()
    noted = mistakes.total
    variants: list[Variant] = []
    for position, each in enumerate(value):
        variant = _read_variant(each, position, channels, (*path, position), mistakes)
        if variant is None:
            continue
        if any(variant.name == other.name for other in variants):
            mistakes.add((*path, position, "name"), f"Two variants are named {quoted(variant.name)}.")
        variants.append(variant)
    if mistakes.total == noted and not any(variant.weight for variant in variants):
        mistakes.add(path, "At least one variant needs a weight above 0.")
    return tuple(variants)


def _read_variant(
    value: object, position: int, channels: tuple[str, ...], path: Path, mistakes: Mistakes
) -> Variant | None:
    if not isinstance(value, dict):
        mistakes.add(path, "A variant is an object with name, weight and content.")
        return None
    mistakes.known_keys(value, ("name", "weight", "content"), path)
    name = value.get("name", LETTERS[position])
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        mistakes.add((*path, "name"), f"Expected a name of 1 to {LONGEST_NAME} characters.")
        name = LETTERS[position]
    weight = value.get("weight", 1)
    if not _is_amount(weight):
        mistakes.add((*path, "weight"), "A weight is a number, 0 or more.")
        weight = 1
    content = read_content(value.get("content"), channels, (*path, "content"), mistakes)
    return Variant(name=name, weight=weight, content=content)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and 0 <= value <= 1e9
