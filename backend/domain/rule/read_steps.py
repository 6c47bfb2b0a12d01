"""How are the steps of a journey written? Each is an object with one of its kinds as a key."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from backend.domain.calendar import read_local_delay
from backend.domain.condition import read_condition
from backend.domain.condition.fields import parse_event_path
from backend.domain.condition.parse import read_event_name
from backend.domain.duration import parse_duration
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.rule.message import read_message
from backend.domain.rule.model import (
    ZERO,
    Arm,
    Branch,
    Cancel,
    Delay,
    Emit,
    Say,
    SetTrait,
    Split,
    Step,
    Steps,
    Stop,
    Wait,
)
from backend.domain.rule.read_trigger import read_where
from backend.domain.rule.read_webhook import read_webhook
from backend.domain.template import TemplateError, parse_template

Path: TypeAlias = tuple[str | int, ...]
Document: TypeAlias = Mapping[Any, Any]

MOST_STEPS = 100
DEEPEST = 8
MOST_ARMS = 10
MOST_CANCELS = 20
MOST_VALUES = 50
LONGEST_NAME = 100

INTERNAL = frozenset(
    {
        *("Rule Triggered", "Broadcast", "Message Sent", "Inactive", "Date Reached"),
        *("Segment Entered", "Segment Left", "Segment Member Added", "Segment Member Removed"),
    }
)
"""Events that the engine makes itself."""


def read_steps(value: object, mistakes: Mistakes) -> Steps:
    """Read a journey; at least one of its steps says or does something."""
    reader = _Reader(mistakes)
    steps = reader.steps(value, ("steps",), 1)
    if not mistakes and not reader.acts:
        mistakes.add(("steps",), "None of these steps says or does anything.")
    return steps


def read_cancel(value: object, path: Path, mistakes: Mistakes) -> Cancel:
    """An event that ends an enrolment, or a waiting."""
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"event": "Order Completed"}.')
        return Cancel(event="")
    mistakes.known_keys(value, ("event", "where", "same"), path)
    event = mistakes.attempt(read_event_name, value.get("event"), (*path, "event"))
    where = read_where(value, path, mistakes, entered=True)
    same = None
    if value.get("same") is not None:
        same = mistakes.attempt(parse_event_path, value["same"], (*path, "same"))
    return Cancel(event=event or "", where=where, same=same)


def read_cancels(value: object, path: Path, mistakes: Mistakes) -> tuple[Cancel, ...]:
    """A list of such events."""
    if not isinstance(value, list):
        mistakes.add(path, 'Expected a list such as [{"event": "Order Completed"}].')
        return ()
    if len(value) > MOST_CANCELS:
        mistakes.add(path, f"At most {MOST_CANCELS} events can cancel one rule.")
        return ()
    return tuple(read_cancel(each, (*path, position), mistakes) for position, each in enumerate(value))


class _Reader:
    """Reads one journey, counting its steps and naming those that have no name."""

    def __init__(self, mistakes: Mistakes) -> None:
        self.mistakes = mistakes
        self.count = 0
        self.acts = 0
        self.names: set[str] = set()
        self.kinds: dict[str, tuple[tuple[str, ...], Callable[[Document, Path, int], Step | None]]] = {
            "delay": ((), self._delay),
            "wait": (("then", "else"), self._wait),
            "branch": ((), self._branch),
            "split": (("name",), self._split),
            "message": (("name",), self._message),
            "set_trait": ((), self._set_trait),
            "emit": ((), self._emit),
            "webhook": (("name",), self._webhook),
            "stop": ((), self._stop),
        }

    def steps(self, value: object, path: Path, depth: int) -> Steps:
        if not isinstance(value, list):
            self.mistakes.add(path, 'Expected a list of steps, such as [{"delay": "1h"}, {"message": {…}}].')
            return ()
        if depth > DEEPEST:
            self.mistakes.add(path, f"Steps nest at most {DEEPEST} deep.")
            return ()
        found: list[Step] = []
        for position, each in enumerate(value):
            self.count += 1
            if self.count > MOST_STEPS:
                self.mistakes.add((*path, position), f"A journey has at most {MOST_STEPS} steps.")
                return ()
            step = self.step(each, (*path, position), depth)
            if step is not None:
                found.append(step)
        return tuple(found)

    def step(self, value: object, path: Path, depth: int) -> Step | None:
        if not isinstance(value, dict):
            self.mistakes.add(path, 'A step is an object such as {"delay": "1h"}.')
            return None
        kinds = [key for key in self.kinds if key in value]
        if len(kinds) != 1:
            names = ", ".join(self.kinds)
            hint = next(filter(None, (nearest(key, self.kinds) for key in list(value)[:5])), "")
            self.mistakes.add(path, f"A step has one of {names}{', not several' if kinds else ''}.{hint}")
            return None
        beside, read = self.kinds[kinds[0]]
        self.mistakes.known_keys(value, (kinds[0], *beside), path)
        return read(value, path, depth)

    def _delay(self, value: Document, path: Path, _depth: int) -> Step:
        told, here = value["delay"], (*path, "delay")
        if isinstance(told, dict):
            for unit in ("hours", "minutes", "seconds"):
                if unit in told:
                    exact = 'An exact time is written "delay": "24h"; an object counts days of the calendar.'
                    self.mistakes.add((*here, unit), exact)
                    return Delay(span=ZERO)
            local = read_local_delay(told, here, self.mistakes)
            return Delay(span=ZERO if local is None else local)
        span = self.mistakes.attempt(parse_duration, told, here)
        return Delay(span=ZERO if span is None else span)

    def _wait(self, value: Document, path: Path, depth: int) -> Step:
        told, here = value["wait"], (*path, "wait")
        if not isinstance(told, dict):
            self.mistakes.add(here, 'Expected an object such as {"events": [{"event": "…"}], "timeout": "3d"}.')
            return Stop()
        self.mistakes.known_keys(told, ("events", "until", "timeout"), here)
        if told.get("events") in (None, []) and told.get("until") is None:
            self.mistakes.add(here, "A wait needs events, or a condition at until.")
        events = read_cancels(told["events"], (*here, "events"), self.mistakes) if "events" in told else ()
        until = (
            read_condition(told["until"], (*here, "until"), self.mistakes) if told.get("until") is not None else None
        )
        timeout: timedelta | None = None
        if "timeout" in told:
            timeout = self.mistakes.attempt(parse_duration, told["timeout"], (*here, "timeout"))
            if timeout == ZERO:
                self.mistakes.add((*here, "timeout"), "A wait of no time waits for nothing: use a branch.")
        else:
            self.mistakes.add((*here, "timeout"), "A wait needs a timeout, such as 3d: nobody may wait for ever.")
        return Wait(
            timeout=timeout or ZERO,
            events=events,
            until=until,
            then=self.steps(value.get("then", []), (*path, "then"), depth + 1),
            otherwise=self.steps(value.get("else", []), (*path, "else"), depth + 1),
        )

    def _branch(self, value: Document, path: Path, depth: int) -> Step | None:
        told, here = value["branch"], (*path, "branch")
        if not isinstance(told, dict) or "if" not in told:
            self.mistakes.add(here, 'Expected an object such as {"if": {…}, "then": […], "else": […]}.')
            return None
        self.mistakes.known_keys(told, ("if", "then", "else"), here)
        condition = read_condition(told["if"], (*here, "if"), self.mistakes)
        then = self.steps(told.get("then", []), (*here, "then"), depth + 1)
        otherwise = self.steps(told.get("else", []), (*here, "else"), depth + 1)
        return None if condition is None else Branch(condition=condition, then=then, otherwise=otherwise)

    def _split(self, value: Document, path: Path, depth: int) -> Step:
        told, here = value["split"], (*path, "split")
        name = self._name(value.get("name"), "split", path)
        if not isinstance(told, list) or not 2 <= len(told) <= MOST_ARMS:
            self.mistakes.add(here, f"A split is a list of 2 to {MOST_ARMS} ways, each with weight and steps.")
            return Stop()
        arms = [self._arm(each, index, (*here, index), depth) for index, each in enumerate(told)]
        for index, arm in enumerate(arms):
            if arm.name in {each.name for each in arms[:index]}:
                self.mistakes.add((*here, index, "name"), f"Two ways are named {quoted(arm.name)}.")
        if not any(arm.weight for arm in arms):
            self.mistakes.add(here, "At least one way needs a weight above 0.")
        return Split(name=name, arms=tuple(arms))

    def _arm(self, value: object, index: int, path: Path, depth: int) -> Arm:
        if not isinstance(value, dict):
            self.mistakes.add(path, 'Expected an object such as {"weight": 1, "steps": […]}.')
            return Arm(name=str(index), weight=1, steps=())
        self.mistakes.known_keys(value, ("name", "weight", "steps"), path)
        weight, name = value.get("weight", 1), value.get("name", chr(ord("A") + index))
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e9:
            self.mistakes.add((*path, "weight"), "A weight is a number, 0 or more.")
            weight = 1
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            self.mistakes.add((*path, "name"), f"Expected a name of 1 to {LONGEST_NAME} characters.")
        return Arm(name=str(name), weight=weight, steps=self.steps(value.get("steps", []), (*path, "steps"), depth + 1))

    def _message(self, value: Document, path: Path, _depth: int) -> Step | None:
        self.acts += 1
        name = self._name(value.get("name"), "message", path)
        message = read_message(value["message"], (*path, "message"), self.mistakes)
        return None if message is None else Say(name=name, message=message)

    def _set_trait(self, value: Document, path: Path, _depth: int) -> Step:
        self.acts += 1
        return SetTrait(traits=self._values(value["set_trait"], (*path, "set_trait")))

    def _emit(self, value: Document, path: Path, _depth: int) -> Step | None:
        self.acts += 1
        told, here = value["emit"], (*path, "emit")
        if not isinstance(told, dict):
            self.mistakes.add(here, 'Expected an object such as {"event": "Coupon Granted", "properties": {}}.')
            return None
        self.mistakes.known_keys(told, ("event", "properties"), here)
        event = self.mistakes.attempt(read_event_name, told.get("event"), (*here, "event"))
        if event in INTERNAL:
            self.mistakes.add((*here, "event"), f"{quoted(event)} is an event that only chimein reports.")
        return Emit(event=event or "", properties=self._values(told.get("properties", {}), (*here, "properties")))

    def _webhook(self, value: Document, path: Path, _depth: int) -> Step | None:
        self.acts += 1
        name = self._name(value.get("name"), "webhook", path)
        return read_webhook(value["webhook"], (*path, "webhook"), name, self.mistakes)

    def _stop(self, value: Document, path: Path, _depth: int) -> Step:
        if value["stop"] is not True:
            self.mistakes.add((*path, "stop"), "Expected true.")
        return Stop()

    def _values(self, value: object, path: Path) -> Mapping[str, Any]:
        """Names with plain values; texts are Liquid, and must parse."""
        if not isinstance(value, dict) or len(value) > MOST_VALUES:
            self.mistakes.add(path, f"Expected an object of at most {MOST_VALUES} names and values.")
            return {}
        for key, each in value.items():
            if isinstance(each, str):
                try:
                    parse_template(each)
                except TemplateError as error:
                    self.mistakes.add((*path, key), str(error))
            elif each is not None and not isinstance(each, bool | int | float):
                self.mistakes.add((*path, key), "Expected a text, a number, true, false or null.")
        return value

    def _name(self, value: object, kind: str, path: Path) -> str:
        if value is None:
            number = next(each for each in range(1, MOST_STEPS + 2) if f"{kind} {each}" not in self.names)
            value = f"{kind} {number}"
        if not isinstance(value, str) or not 0 < len(value.strip()) <= LONGEST_NAME:
            self.mistakes.add((*path, "name"), f"Expected a name of 1 to {LONGEST_NAME} characters.")
        elif value in self.names:
            self.mistakes.add((*path, "name"), f"Two steps are named {quoted(value)}.")
        self.names.add(str(value))
        return str(value)
