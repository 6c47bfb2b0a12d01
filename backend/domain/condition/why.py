"""Why does a condition not hold? The parts that are at fault, each with what was asked and what was found."""

from datetime import datetime, timedelta
from typing import Any

from backend.domain.condition.compile import compile_condition
from backend.domain.condition.fields import getter
from backend.domain.condition.local import clock, local_now
from backend.domain.condition.moment import Moment
from backend.domain.condition.tree import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Count,
    InSegment,
    LocalTime,
    Not,
    Performed,
    walk,
)
from backend.domain.duration import format_duration

LONGEST_VALUE = 80
_OFTEN = {
    "eq": "exactly",
    "ne": "other than",
    "gt": "more than",
    "gte": "at least",
    "lt": "less than",
    "lte": "at most",
}


def why_not(condition: Condition, moment: Moment) -> list[str]:
    """A sentence for each part that keeps the condition from holding at this moment; none when it holds."""
    if compile_condition(condition)(moment):
        return []
    match condition:
        case All(parts=parts):
            return [sentence for part in parts for sentence in why_not(part, moment)]
        case AnyOf(parts=parts):
            return ["None of these holds: " + " ".join(each for part in parts for each in why_not(part, moment))]
        case Not(part=part):
            return [f"It holds, and must not: {_told(part)}."]
        case InSegment(segment=segment):
            return [f"{_told(condition)} was asked; they are no member{_left(moment, segment)}."]
        case LocalTime():
            return [f"{_told(condition)} was asked; it is {local_now(moment):%H:%M on %A} there."]
        case Comparison(field=field):
            return [f"{_told(condition)} was asked; {field} is {_shown(getter(field)(moment))}."]
        case _:
            return [f"{_told(condition)} was asked, and is not so."]


def found(condition: Condition, moment: Moment) -> list[str]:
    """A sentence for each part, whether it holds or not: what was asked, and what was found."""
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            return [sentence for part in parts for sentence in found(part, moment)]
        case Not(part=Comparison() | LocalTime() | Performed() as part):
            return [f"not {sentence}" for sentence in found(part, moment)]
        case Not(part=part):
            return found(part, moment)
        case LocalTime():
            return [f"{_told(condition)}: it is {local_now(moment):%H:%M on %A} there."]
        case Comparison(field=field):
            return [f"{_told(condition)}: it is {_shown(getter(field)(moment))}."]
        case Performed(event=event):
            held = "so" if compile_condition(condition)(moment) else "not so"
            return [f"{_told(condition)}: {held} ({moment.profile.counts.get(event, 0)} times ever)."]
        case InSegment():
            return memberships(condition, moment)
        case _:
            return [f"{_told(condition)}: {'so' if compile_condition(condition)(moment) else 'not so'}."]


def memberships(condition: Condition, moment: Moment) -> list[str]:
    """A sentence for each segment that the condition asks for: a member since when, or none, and until when."""
    told: dict[str, str] = {}
    for node in walk(condition):
        if isinstance(node, InSegment):
            standing = moment.profile.segments.get(node.segment)
            since = None if standing is None else standing.entered_at
            verdict = f"no member{_left(moment, node.segment)}" if since is None else f"member since {_shown(since)}"
            told[node.segment] = f"{_named(node)}: {verdict}."
    return list(told.values())


def _named(node: InSegment) -> str:
    return f'"{node.name or node.segment}"'


def _left(moment: Moment, segment: str) -> str:
    standing = moment.profile.segments.get(segment)
    return f", left at {_shown(standing.left_at)}" if standing is not None and standing.left_at is not None else ""


def _told(condition: Condition) -> str:
    match condition:
        case Comparison(field=field, op=op, value=value):
            return f"{field} {op}" + ("" if value is None else f" {_shown(value)}")
        case Performed():
            return _told_performed(condition)
        case LocalTime(start=start, end=end):
            return f"a local time from {clock(start)} to {clock(end)}"
        case InSegment():
            return f"the segment {_named(condition)}"
        case All(parts=parts):
            return "all of (" + ", ".join(map(_told, parts)) + ")"
        case AnyOf(parts=parts):
            return "any of (" + ", ".join(map(_told, parts)) + ")"
        case Not(part=part):
            return f"not ({_told(part)})"
        case _:
            return "a condition"


def _told_performed(node: Performed) -> str:
    told = f"performed {node.event}"
    if node.count is not None:
        told += f" {_told_count(node.count)}"
    for name, edge in (("first", node.first), ("last", node.last)):
        told += "" if edge is None else f", {name} {edge.op} {_shown(edge.value)}"
    for amount in node.amounts:
        told += f", {amount.kind} of {'.'.join(amount.of)} {amount.op} {_shown(amount.value)}"
    if node.within is not None:
        told += f" within {format_duration(node.within)}"
    return told + (f" and {format_duration(node.ago)} ago" if node.ago else "")


def _told_count(count: Count) -> str:
    if isinstance(count.value, tuple):
        return f"{count.value[0]} to {count.value[1]} times"
    often = {1: "once", 2: "twice"}.get(count.value, f"{count.value} times")
    return f"{_OFTEN[count.op]} {often}"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        text = "[" + ", ".join(map(_shown, value)) + "]"
    else:
        text = f'"{value}"' if isinstance(value, str) else f"{value}"
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
