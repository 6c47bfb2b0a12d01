"""The step `history`: each visitor's stored events in order of time, with no more of them in memory than a piece."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.event import Event
from backend.domain.identifier import Reading
from backend.domain.past import Past, Since, by_name, together
from backend.domain.site import Site
from backend.pipeline.persons import as_believed
from backend.runtime import Runtime
from backend.schemas.documents import ProfileHead
from backend.storage import events, histories

VISITORS_AT_ONCE = 1_000
EVENTS_AT_ONCE = 5_000
"""So many events are in memory at a time; a visitor who has more is gone through in pieces."""


@dataclass(frozen=True, slots=True)
class Life:
    """A visitor with `total` stored events: all of them, or None where those are too many or not wanted."""

    head: ProfileHead
    total: int
    wanted: bool = False
    events: Sequence[Event] | None = None


class Reader:
    """Reads the histories of one site up to `until`, without the events that `left_out` tells of."""

    def __init__(
        self,
        rt: Runtime,
        site: Site,
        until: datetime,
        left_out: Callable[[Event], bool],
        at_once: int = EVENTS_AT_ONCE,
    ) -> None:
        self.rt = rt
        self._at_once = at_once
        self.site = site
        self.until = until
        self._left_out = left_out
        self._reading = Reading.of(site.policy)

    def lives(self, start: str, wanted: Callable[[ProfileHead], bool], *, empty: bool = False) -> Iterator[list[Life]]:
        """Groups of visitors from the id `start` on, in order of id; those without any event only with `empty`.

        Each group is read in a transaction of its own: nobody holds the database while the rules are at work.
        """
        inclusive = True
        while True:
            with self.rt.db.read() as connection:
                heads = histories.heads(connection, self.site.id, start, VISITORS_AT_ONCE, inclusive=inclusive)
            if not heads:
                return
            yield from self.of(heads, wanted, empty=empty)
            start, inclusive = heads[-1].id, False

    def of(
        self, heads: Sequence[ProfileHead], wanted: Callable[[ProfileHead], bool], *, empty: bool = False
    ) -> Iterator[list[Life]]:
        """As `lives`, of these visitors."""
        with self.rt.db.read() as connection:
            members = [member for head in heads for member in (head.id, *head.members)]
            lengths = histories.lengths(connection, members, self.until)
        known = [(head, sum(lengths.get(member, 0) for member in (head.id, *head.members))) for head in heads]
        for group in self._groups([Life(head, total, wanted(head)) for head, total in known if total or empty]):
            yield self._read(group)

    def _read(self, group: Sequence[Life]) -> list[Life]:
        ids = [member for life in group if self._fits(life) for member in (life.head.id, *life.head.members)]
        if not ids:
            return list(group)
        with self.rt.db.read() as connection:
            found = histories.whole(connection, ids, self.until)
        return [replace(life, events=self._of(life.head, found)) if self._fits(life) else life for life in group]

    def _fits(self, life: Life) -> bool:
        return life.wanted and life.total <= self._at_once

    def _groups(self, lives: Sequence[Life]) -> Iterator[list[Life]]:
        """The lives in groups whose events fit into memory together."""
        group: list[Life] = []
        size = 0
        for life in lives:
            length = life.total if self._fits(life) else 0
            if group and size + length > self._at_once:
                yield group
                group, size = [], 0
            group.append(life)
            size += length
        if group:
            yield group

    def _of(self, head: ProfileHead, found: Mapping[str, list[Event]]) -> list[Event]:
        told = [
            believed
            for member in (head.id, *head.members)
            for event in found.get(member, ())
            if (believed := self._believed(member, event)) is not None
        ]
        if head.members:
            told.sort(key=lambda event: event.moment)
        return told

    def _believed(self, visitor_id: str, event: Event) -> Event | None:
        """The event without a user id that was not believed when it came: it was stored as the browser's own then."""
        if self._left_out(event):
            return None
        return as_believed(visitor_id, event, self.site, self._reading)

    def parts(self, head: ProfileHead) -> Iterator[list[Event]]:
        """The events of one visitor in pieces; what happened at one instant is in one piece."""
        ids, after, held = (head.id, *head.members), None, list[Event]()
        while True:
            with self.rt.db.read() as connection:
                found = histories.part(connection, ids, after, self.until, self._at_once)
            if not found:
                break
            after = found[-1][1].moment
            told = [*held, *(each for pair in found if (each := self._believed(*pair)) is not None)]
            last = after[0]
            held = [event for event in told if event.timestamp == last]
            if len(held) < len(told):
                yield told[: len(told) - len(held)]
        if held:
            yield held

    def past(self, head: ProfileHead, since: Since, until: datetime) -> dict[str, list[Event]]:
        """The events of one visitor by name, each from when it is asked, up to `until`."""
        asked = [(member, *each) for member in (head.id, *head.members) for each in since.items()]
        with self.rt.db.read() as connection:
            found = [self._believed(*pair) for pair in events.history_since(connection, asked, until)]
        return by_name((event for event in found if event is not None), since)


class LongPast:
    """What rules asked of a long history so far, kept along while it is gone through, and no more of it.

    `spans` are how far back the rules look for events of a name, where that is bounded.
    """

    def __init__(self, reader: Reader, head: ProfileHead, spans: Mapping[str, timedelta]) -> None:
        self._reader = reader
        self._head = head
        self._spans = spans
        self._since: dict[str, datetime | None] = {}
        self._kept: dict[str, list[Event]] = {}
        self._emitted: list[Event] = []
        self._last: datetime | None = None

    def go_on(self, piece: Sequence[Event]) -> None:
        """The next piece is at hand; what no rule can ask for any more is forgotten."""
        for name, kept in self._kept.items():
            if name in self._spans and self._last is not None:
                bound = self._last - self._spans[name]
                known = self._since[name]
                if known is None or known < bound:
                    self._since[name] = bound
                    self._kept[name] = [event for event in kept if event.timestamp >= bound]
        for event in piece:
            if event.name in self._kept:
                self._kept[event.name].append(event)
        self._last = piece[-1].timestamp

    @property
    def begun(self) -> bool:
        """Whether there was any piece."""
        return self._last is not None

    def past(self) -> Past:
        """What is at hand."""
        return Past({name: list(events) for name, events in self._kept.items()}, since=dict(self._since))

    def want(self, since: Since) -> None:
        """A rule asked for this: it is read, up to the end of the piece."""
        assert self._last is not None
        self._since = together(self._since, since)
        wanted = {name: self._since[name] for name in since}
        fresh = self._reader.past(self._head, wanted, self._last)
        for name, bound in wanted.items():
            made = [each for each in self._emitted if each.name == name and (bound is None or each.timestamp >= bound)]
            self._kept[name] = sorted((*fresh[name], *made), key=lambda event: event.moment)

    def emitted(self, made: Sequence[Event]) -> None:
        """The rules reported this on the way."""
        self._emitted.extend(made)
        for event in made:
            if event.name in self._kept:
                self._kept[event.name].append(event)
                self._kept[event.name].sort(key=lambda each: each.moment)
