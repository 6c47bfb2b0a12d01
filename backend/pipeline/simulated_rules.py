"""What do simulated rules ask for? The events that start them, how far back they look, and segments."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from backend.domain.engine import SIGNALS, Segments
from backend.domain.engine.segments import CompiledSegment
from backend.domain.funnel import Funnel
from backend.domain.rule import CompiledRule, Rule
from backend.domain.segment import Segment
from backend.domain.site import Site
from backend.storage.database import Connection
from backend.storage.segments import load_segments


def starts(rules: Iterable[CompiledRule]) -> frozenset[str] | None:
    """The events without which none of these rules starts, where profiles count them; None: it cannot be told."""
    names: set[str] = set()
    for rule in rules:
        if rule.event is None or rule.event in SIGNALS:
            return None
        names.add(rule.event)
    return frozenset(names)


def spans(rules: Sequence[CompiledRule], segments: Segments | None = None) -> dict[str, timedelta]:
    """How far back rules and segments look for events of a name, where all of them do so in bounds."""
    found: dict[str, timedelta] = {}
    everybody: list[CompiledRule | CompiledSegment] = [*rules, *(segments.all if segments is not None else ())]
    for name in frozenset().union(*(each.history for each in everybody)):
        asking = [each for each in everybody if name in each.history]
        if all(name in each.lookback for each in asking):
            found[name] = max(each.lookback[name] for each in asking)
    return found


def asked_for(
    connection: Connection, site: Site, rules: Sequence[Rule], given: Sequence[Segment] = ()
) -> Segments | None:
    """The segments that these rules ask for, and a funnel of the site's own.

    Those `given` stand in for the stored ones of the same id.
    """
    if not site.funnel.own and not any(rule.spec.segments for rule in rules):
        return None
    own = {each.id for each in given}
    stored = load_segments(connection, site.id).get(site.id, [])
    return asked_among([*(each for each in stored if each.id not in own), *given], rules, site.funnel)


def asked_among(segments: Sequence[Segment], rules: Iterable[Rule], funnel: Funnel) -> Segments | None:
    """Of these segments those that the rules ask for, and the stages of the funnel; all others need not be asked."""
    named = frozenset[str]().union(*(rule.spec.segments for rule in rules))
    return Segments(segments, funnel).only(each.id for each in segments if named & {each.id, each.spec.name})
