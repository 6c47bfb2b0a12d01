"""What of visitors' lives do simulated rules ask for? The events that start them, and how far back they look."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from backend.domain.engine import SIGNALS
from backend.domain.rule import CompiledRule


def starts(rules: Iterable[CompiledRule]) -> frozenset[str] | None:
    """The events without which none of these rules starts, where profiles count them; None: it cannot be told."""
    names: set[str] = set()
    for rule in rules:
        if rule.event is None or rule.event in SIGNALS:
            return None
        names.add(rule.event)
    return frozenset(names)


def spans(rules: Sequence[CompiledRule]) -> dict[str, timedelta]:
    """How far back the rules look for events of a name, where all of them do so in bounds."""
    found: dict[str, timedelta] = {}
    for name in frozenset().union(*(rule.history for rule in rules)):
        asking = [rule for rule in rules if name in rule.history]
        if all(name in rule.lookback for rule in asking):
            found[name] = max(rule.lookback[name] for rule in asking)
    return found
