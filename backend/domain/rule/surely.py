"""Can a condition hold for an event of which only some values are known? Undecided counts as yes."""

from typing import Any

from backend.domain.condition import NO_HISTORY, All, AnyOf, Comparison, Condition, Moment, Not, compile_condition
from backend.domain.condition.fields import dig_event
from backend.domain.condition.when import Relative
from backend.domain.event import Event
from backend.domain.profile import Profile


class _Unknown:
    """A value that nobody knows beforehand."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()

_NOBODY = Profile(id="", site_id="")


def may_hold(condition: Condition | None, event: Event) -> bool:
    """Whether the condition may hold at this event, for some visitor; what is UNKNOWN in the event may be anything."""
    return condition is None or _holds(condition, event) is not False


def _holds(condition: Condition, event: Event) -> bool | None:
    """True, False, or None where it depends."""
    match condition:
        case All(parts=parts):
            found = [_holds(part, event) for part in parts]
            return False if False in found else None if None in found else True
        case AnyOf(parts=parts):
            found = [_holds(part, event) for part in parts]
            return True if True in found else None if None in found else False
        case Not(part=part):
            inner = _holds(part, event)
            return None if inner is None else not inner
        case Comparison():
            return _compared(condition, event)
        case _:
            return None


def _compared(node: Comparison, event: Event) -> bool | None:
    if node.field.root != "event" or node.field.parts[0] not in {"properties", "traits", "name"}:
        return None
    if isinstance(node.value, Relative) or node.op == "unchanged_for" or unknown(event, node.field.parts):
        return None
    try:
        moment = Moment(
            profile=_NOBODY, at=event.timestamp, event=event, entered=None, history=NO_HISTORY, zone_name="UTC"
        )
        return compile_condition(node)(moment)
    except Exception:
        return None


def unknown(event: Event, parts: tuple[str, ...]) -> bool:
    """Whether the value at this path, or what it lies in, is not known."""
    return any(dig_event(event, parts[: end + 1]) is UNKNOWN for end in range(len(parts)))
