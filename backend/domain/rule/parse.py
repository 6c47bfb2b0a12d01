"""From JSON to a rule: every mistake is found in one go, each with its path and a sentence."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from backend.domain.condition import Condition, read_condition
from backend.domain.condition.fields import parse_event_path
from backend.domain.condition.parse import read_event_name, read_window
from backend.domain.duration import parse_duration
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.rule.limits import CATEGORIES, LIMIT_KEYS, read_limits
from backend.domain.rule.message import read_message
from backend.domain.rule.model import (
    ZERO,
    Cancel,
    Exit,
    Goal,
    Message,
    Reentry,
    RuleSpec,
    Say,
    Steps,
    Variant,
    messages_of,
)
from backend.domain.rule.read_steps import read_cancels, read_steps
from backend.domain.rule.read_trigger import read_trigger, read_where
from backend.domain.rule.replenish import KEY

KEYS = (
    *("name", "priority", "category", "trigger", "audience", "delay", "cancel", "exit", "reentry", "message", "steps"),
    *("goal", "key", *LIMIT_KEYS),
)
READ_ONLY = frozenset(
    {"id", "site", "site_id", "status", "version", "created_at", "updated_at", "enrolled", "enrolments", "warnings"}
)
"""What a rule that was read carries beside; sent back, it is passed over."""

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)

NOT_YET = ("experiment",)
"""Names under which people look for what nothing serves yet."""

BASES = ("sent", "shown", "clicked")
POLICIES = ("once", "every", "per_key")
LONGEST_NAME = 200
HIGHEST_PRIORITY = 1_000_000
MOST_ENTRIES = 1_000_000
LONGEST_KEY = 100
DEFAULTS: dict[str, Any] = {
    "key": None,
    "priority": 0,
    "category": "promotional",
    "audience": None,
    "delay": "0s",
    "cancel": [],
    "reentry": {"policy": "once"},
    "goal": None,
}
SIMULATED: Steps = (
    Say(name="", message=Message(channels=("popup",), variants=(Variant(name="A", content={"body": "…"}),))),
)
"""What a simulated rule says that says nothing."""


def parse_rule(
    doc: object,
    *,
    simulated: bool = False,
    stored: bool = False,
    segments: Mapping[str, str] | None = None,
    stages: Sequence[str] | None = None,
) -> RuleSpec:
    """Read a rule document; raise RuleErrors carrying all its mistakes.

    With `simulated`, name and message may be missing: a rule that is only tried out needs neither. With `stored` what
    was taken before goes on working, though it would be refused now. `segments` are those that it may refer to, as the
    name of each by its id; None: any. `stages` are those of its site; None: the built-in ones.
    """
    mistakes = Mistakes(segments, lenient=stored, stages=stages)
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
        if key not in given:
            mistakes.add((key,), sentence)
    if "message" in given and "steps" in given:
        mistakes.add(("steps",), "A rule has a message or steps, not both.")
    if "message" not in given and "steps" not in given and not simulated:
        mistakes.add(("message",), "A rule needs a message: what is said, and by which channels.")
    if "reentry" not in given and isinstance(given.get("trigger"), dict) and "replenishment" in given["trigger"]:
        given["reentry"] = {"policy": "per_key", "key": KEY}  # not once in a life, but once for each purchase
    spec = {key: read(given[key], mistakes) for key, read in _READERS.items() if key in given}
    steps = spec.pop("message", None) or spec.get("steps") or SIMULATED
    limits = read_limits(given, mistakes)
    if "key" in given:
        mistakes.attempt(read_key, given["key"], ("key",))
    if spec.get("exit", Exit()).goal and "goal" not in given:
        mistakes.add(("exit", "goal"), "There is no goal at which to leave.")
    if "goal" not in given:
        for say in messages_of(steps):
            if say.message.winner is not None and say.message.winner.by == "goal":
                where = ("message",) if say.name == "" else ("steps",)
                told = "There is no goal by which to choose a winner"
                told += "." if say.name == "" else f" (message {quoted(say.name)})."
                mistakes.add((*where, "winner", "by") if say.name == "" else where, told)
    mistakes.raise_if_any()
    parts = {**spec, "steps": steps, "limits": limits, "segments": mistakes.referred}
    return RuleSpec(**parts, document=DEFAULTS | given)


_MISSING = {
    "name": "A rule needs a name.",
    "trigger": 'A rule needs a trigger: {"event": "…"} or {"stage": "…"}.',
}


def read_key(value: object) -> str:
    """Accept a rule's key: by it a rule is the same one in every installation."""
    if not isinstance(value, str) or len(value) > LONGEST_KEY or _KEY.fullmatch(value) is None:
        raise ValueError(
            f"A key is 1 to {LONGEST_KEY} small letters, digits, hyphens, dots and underscores, such as cart-left."
        )
    return value


def _read_name(value: object, mistakes: Mistakes) -> str:
    if not isinstance(value, str) or not value.strip():
        mistakes.add(("name",), "Expected a name as text.")
    elif len(value) > LONGEST_NAME:
        mistakes.add(("name",), f"A name is at most {LONGEST_NAME} characters long.")
    return str(value)


def _read_priority(value: object, mistakes: Mistakes) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > HIGHEST_PRIORITY:
        span = f"from -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}"
        mistakes.add(("priority",), f"Expected a whole number {span}, such as 10; the higher goes first.")
        return 0
    return value


def _read_category(value: object, mistakes: Mistakes) -> object:
    if value not in CATEGORIES:
        hint = nearest(value, CATEGORIES)
        mistakes.add(("category",), f"Expected promotional or transactional, not {quoted(value)}.{hint}")
    return value


def _read_audience(value: object, mistakes: Mistakes) -> Condition | None:
    return read_condition(value, ("audience",), mistakes)


def _read_delay(value: object, mistakes: Mistakes) -> timedelta:
    if isinstance(value, dict):
        sentence = 'Expected a duration such as 30m. A delay by the clock is a step: {"steps": [{"delay": …}, …]}.'
        mistakes.add(("delay",), sentence)
        return ZERO
    delay = mistakes.attempt(parse_duration, value, ("delay",))
    return ZERO if delay is None else delay


def _read_cancels(value: object, mistakes: Mistakes) -> tuple[Cancel, ...]:
    return read_cancels(value, ("cancel",), mistakes)


def _read_exit(value: object, mistakes: Mistakes) -> Exit:
    if not isinstance(value, dict):
        mistakes.add(("exit",), 'Expected an object such as {"goal": true, "not_matching": true}.')
        return Exit()
    mistakes.known_keys(value, ("goal", "not_matching"), ("exit",))
    for name in ("goal", "not_matching"):
        if not isinstance(value.get(name, False), bool):
            mistakes.add(("exit", name), "Expected true or false.")
    return Exit(goal=value.get("goal") is True, not_matching=value.get("not_matching") is True)


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


def _read_message(value: object, mistakes: Mistakes) -> Steps:
    message = read_message(value, ("message",), mistakes)
    return () if message is None else (Say(name="", message=message),)


def _read_goal(value: object, mistakes: Mistakes) -> Goal | None:
    if not isinstance(value, dict):
        mistakes.add(("goal",), 'Expected an object such as {"event": "Order Completed", "within": "3d"}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, ("event", "where", "within", "from", "value"), ("goal",))
    told: dict[str, Any] = {
        "event": mistakes.attempt(read_event_name, value.get("event"), ("goal", "event")),
        "where": read_where(value, ("goal",), mistakes, entered=True),
        "basis": value.get("from", "sent"),
    }
    if told["basis"] not in BASES:
        wrong = f"Expected sent, shown or clicked, not {quoted(told['basis'])}.{nearest(told['basis'], BASES)}"
        mistakes.add(("goal", "from"), wrong)
    if value.get("within") is not None:
        told["within"] = mistakes.attempt(read_window, value["within"], ("goal", "within"))
    if value.get("value") is not None:
        told["value"] = mistakes.attempt(parse_event_path, value["value"], ("goal", "value"))
    return Goal(**told) if mistakes.total == noted else None


_READERS: dict[str, Any] = {
    "name": _read_name,
    "priority": _read_priority,
    "category": _read_category,
    "trigger": read_trigger,
    "audience": _read_audience,
    "delay": _read_delay,
    "cancel": _read_cancels,
    "exit": _read_exit,
    "reentry": _read_reentry,
    "message": _read_message,
    "steps": read_steps,
    "goal": _read_goal,
}
