"""From JSON to a rule: every mistake is found in one go, each with its path and a sentence."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from backend.domain.condition import Condition, read_condition
from backend.domain.condition.fields import parse_event_path
from backend.domain.condition.parse import read_event_name, read_window
from backend.domain.duration import parse_duration
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.profile import STAGES
from backend.domain.rule.message import read_message
from backend.domain.rule.model import (
    ZERO,
    Cancel,
    EventTrigger,
    Message,
    Reentry,
    RuleSpec,
    StageTrigger,
    Trigger,
    Variant,
)

KEYS = ("name", "priority", "category", "trigger", "audience", "delay", "cancel", "reentry", "message", "goal")
READ_ONLY = frozenset({"id", "site", "site_id", "status", "version", "created_at", "updated_at"})
"""What a rule that was read carries beside; sent back, it is passed over."""

NOT_YET = ("caps", "cap", "quiet_hours", "journey", "steps", "segments", "goals", "experiment")
"""Names under which people look for what nothing serves yet."""

CATEGORIES = ("promotional", "transactional")
POLICIES = ("once", "every", "per_key")
LONGEST_NAME = 200
HIGHEST_PRIORITY = 1_000_000
MOST_CANCELS = 20
MOST_ENTRIES = 1_000_000
DEFAULTS: dict[str, Any] = {
    "priority": 0,
    "category": "promotional",
    "audience": None,
    "delay": "0s",
    "cancel": [],
    "reentry": {"policy": "once"},
    "goal": None,
}
SIMULATED = Message(channels=("popup",), variants=(Variant(name="A", content={"body": "…"}),))
"""What a simulated rule says that says nothing."""


def parse_rule(doc: object, *, simulated: bool = False) -> RuleSpec:
    """Read a rule document; raise RuleErrors carrying all its mistakes.

    With `simulated`, name and message may be missing: a rule that is only tried out needs neither.
    """
    mistakes = Mistakes()
    if not isinstance(doc, dict):
        mistakes.add((), "A rule is an object with name, trigger, message and so on.")
        doc = {}
        mistakes.raise_if_any()
    for key in NOT_YET:
        if key in doc:
            mistakes.add((key,), f"{quoted(key)} is not available yet.")
    mistakes.known_keys({key: None for key in doc if key not in READ_ONLY and key not in NOT_YET}, KEYS, ())
    given = {key: doc[key] for key in KEYS if doc.get(key) is not None}
    if simulated:
        given.setdefault("name", "Simulation")
    for key, sentence in _MISSING.items():
        if key not in given and not (simulated and key == "message"):
            mistakes.add((key,), sentence)
    spec = {key: _READERS[key](value, mistakes) for key, value in given.items()}
    if simulated:
        spec.setdefault("message", SIMULATED)
    mistakes.raise_if_any()
    return RuleSpec(**spec, document=DEFAULTS | given)


_MISSING = {
    "name": "A rule needs a name.",
    "trigger": 'A rule needs a trigger: {"event": "…"} or {"stage": "…"}.',
    "message": "A rule needs a message: what is said, and by which channels.",
}


def _read_name(value: object, mistakes: Mistakes) -> str:
    if not isinstance(value, str) or not value.strip():
        mistakes.add(("name",), "Expected a name as text.")
    elif len(value) > LONGEST_NAME:
        mistakes.add(("name",), f"A name is at most {LONGEST_NAME} characters long.")
    return str(value)


def _read_priority(value: object, mistakes: Mistakes) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > HIGHEST_PRIORITY:
        mistakes.add(("priority",), "Expected a whole number, such as 10; the higher goes first.")
        return 0
    return value


def _read_category(value: object, mistakes: Mistakes) -> object:
    if value not in CATEGORIES:
        hint = nearest(value, CATEGORIES)
        mistakes.add(("category",), f"Expected promotional or transactional, not {quoted(value)}.{hint}")
    return value


def _read_trigger(value: object, mistakes: Mistakes) -> Trigger | None:
    if not isinstance(value, dict):
        mistakes.add(("trigger",), 'A trigger is an object: {"event": "…"} or {"stage": "…"}.')
        return None
    kinds = [key for key in ("event", "stage", "segment") if key in value]
    if len(kinds) != 1:
        wrong = "A trigger has one of event, stage and segment, not several." if kinds else _no_kind(value)
        mistakes.add(("trigger",), wrong)
        return None
    if kinds == ["segment"]:
        mistakes.add(("trigger", "segment"), "Segments are not available yet.")
        return None
    if kinds == ["stage"]:
        if "where" in value:
            mistakes.add(("trigger", "where"), "Only an event has a where; put conditions into the rule's audience.")
        mistakes.known_keys(value, ("stage", "where"), ("trigger",))
        stage = value["stage"]
        if stage not in STAGES:
            known = ", ".join(STAGES)
            wrong = f"Unknown stage {quoted(stage)}; there are {known}.{nearest(stage, STAGES)}"
            mistakes.add(("trigger", "stage"), wrong)
        return StageTrigger(stage=stage)
    mistakes.known_keys(value, ("event", "where"), ("trigger",))
    event = mistakes.attempt(read_event_name, value["event"], ("trigger", "event"))
    where = _read_where(value, ("trigger",), mistakes, entered=False)
    return EventTrigger(event=event or "", where=where)


def _no_kind(value: Mapping[Any, Any]) -> str:
    hints = (nearest(key, ("event", "stage")) for key in list(value)[:5])
    return f"A trigger has one of event, stage and segment.{next(filter(None, hints), '')}"


def _read_where(
    value: Mapping[Any, Any], path: tuple[str | int, ...], mistakes: Mistakes, *, entered: bool
) -> Condition | None:
    if value.get("where") is None:
        return None
    return read_condition(value["where"], (*path, "where"), mistakes, entered=entered)


def _read_audience(value: object, mistakes: Mistakes) -> Condition | None:
    return read_condition(value, ("audience",), mistakes)


def _read_delay(value: object, mistakes: Mistakes) -> timedelta:
    delay = mistakes.attempt(parse_duration, value, ("delay",))
    return ZERO if delay is None else delay


def _read_cancels(value: object, mistakes: Mistakes) -> tuple[Cancel, ...]:
    if not isinstance(value, list):
        mistakes.add(("cancel",), 'Expected a list such as [{"event": "Order Completed"}].')
        return ()
    if len(value) > MOST_CANCELS:
        mistakes.add(("cancel",), f"At most {MOST_CANCELS} events can cancel one rule.")
        return ()
    return tuple(_read_cancel(each, ("cancel", position), mistakes) for position, each in enumerate(value))


def _read_cancel(value: object, path: tuple[str | int, ...], mistakes: Mistakes) -> Cancel:
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"event": "Order Completed"}.')
        return Cancel(event="")
    mistakes.known_keys(value, ("event", "where", "same"), path)
    event = mistakes.attempt(read_event_name, value.get("event"), (*path, "event"))
    where = _read_where(value, path, mistakes, entered=True)
    same = None
    if value.get("same") is not None:
        same = mistakes.attempt(parse_event_path, value["same"], (*path, "same"))
    return Cancel(event=event or "", where=where, same=same)


def _read_reentry(value: object, mistakes: Mistakes) -> Reentry:
    if not isinstance(value, dict):
        mistakes.add(("reentry",), 'Expected an object such as {"policy": "once"}.')
        return Reentry()
    noted = mistakes.total
    mistakes.known_keys(value, ("policy", "at_most", "per", "key"), ("reentry",))
    policy = value.get("policy", "once")
    if policy not in POLICIES:
        wrong = f"Unknown policy {quoted(policy)}: once, every or per_key.{nearest(policy, POLICIES)}"
        mistakes.add(("reentry", "policy"), wrong)
        return Reentry()
    at_most, per, key = (value.get(name) for name in ("at_most", "per", "key"))
    if at_most is not None and (
        isinstance(at_most, bool) or not isinstance(at_most, int) or not 0 < at_most <= MOST_ENTRIES
    ):
        mistakes.add(("reentry", "at_most"), "Expected a whole number, 1 or more.")
    if (at_most is None) is not (per is None):
        missing, other = ("per", "at_most") if per is None else ("at_most", "per")
        mistakes.add(("reentry", missing), f"{other} needs {missing} beside it: at most so many within so long.")
    if policy != "every":
        for name, given in (("at_most", at_most), ("per", per)):
            if given is not None:
                mistakes.add(("reentry", name), f'Only the policy "every" takes {name}.')
    if policy == "per_key" and key is None:
        mistakes.add(("reentry", "key"), 'The policy "per_key" needs a key, such as "properties.cart_id".')
    elif policy != "per_key" and key is not None:
        mistakes.add(("reentry", "key"), 'Only the policy "per_key" takes a key.')
    span = mistakes.attempt(read_window, per, ("reentry", "per")) if per is not None else None
    path = mistakes.attempt(parse_event_path, key, ("reentry", "key")) if key is not None else None
    return Reentry(policy=policy, at_most=at_most, per=span, key=path) if mistakes.total == noted else Reentry()


def _read_message(value: object, mistakes: Mistakes) -> Message | None:
    return read_message(value, ("message",), mistakes)


def _read_goal(value: object, mistakes: Mistakes) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        mistakes.add(("goal",), 'Expected an object such as {"event": "Order Completed", "within": "3d"}.')
        return {}
    mistakes.known_keys(value, ("event", "within"), ("goal",))
    mistakes.attempt(read_event_name, value.get("event"), ("goal", "event"))
    if value.get("within") is not None:
        mistakes.attempt(read_window, value["within"], ("goal", "within"))
    return value


_READERS: dict[str, Any] = {
    "name": _read_name,
    "priority": _read_priority,
    "category": _read_category,
    "trigger": _read_trigger,
    "audience": _read_audience,
    "delay": _read_delay,
    "cancel": _read_cancels,
    "reentry": _read_reentry,
    "message": _read_message,
    "goal": _read_goal,
}
