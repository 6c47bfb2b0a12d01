"""The step `simulate`: rules over stored history, in event time, by the engine that runs live; nothing is written."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from backend.domain.condition import SharedTests
from backend.domain.engine import Advance, PastNeeded, Ruleset, Segments, advance
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.past import Past, by_name
from backend.domain.profile import NAME_LIMIT, Profile, new_profile
from backend.domain.rule import Rule, compile_rule
from backend.domain.rule.compiled import CallOutOp, EmitOp
from backend.domain.segment import Segment
from backend.domain.shelf import Shelf
from backend.domain.site import Site
from backend.domain.winner import Winners
from backend.pipeline.desk import by_hours
from backend.pipeline.history import EVENTS_AT_ONCE, Life, LongPast, Reader
from backend.pipeline.shelve import fetching_products
from backend.pipeline.simulated import Item, Progress, SimulationResult, Summary, item_of
from backend.pipeline.simulated_changes import Changes, Told
from backend.pipeline.simulated_rules import asked_for, spans, starts
from backend.runtime import Runtime
from backend.schemas.documents import ProfileHead
from backend.storage import contests, desks, intervals, simulations


def simulate(
    rt: Runtime,
    site: Site,
    rules: Sequence[Rule],
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> SimulationResult:
    """What `rules`, together, would have done with the stored events: enrolments entered in `[since, until)`.

    `until` is now when left out, `since` the beginning. `cursor` is `next_cursor` of the page before.
    """
    for step in simulating(rt, site, rules, since, until, limit, cursor):
        if isinstance(step, SimulationResult):
            return step
    raise AssertionError("a simulation ends with its result")


def simulating(
    rt: Runtime,
    site: Site,
    rules: Sequence[Rule],
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
    *,
    segments: Sequence[Segment] = (),
    at_once: int = EVENTS_AT_ONCE,
) -> Iterator[Progress | SimulationResult]:
    """As `simulate`, telling how far it is on the way; the last that comes is the result. Closing it stops the work.

    `segments` stand in for the stored ones of the same id. At most `at_once` events are in memory, beside what rules
    ask of the past of a visitor who has more.

    A summary is kept for some minutes: then a later page begins where the one before ended, and ends when it is full.
    """
    until = until if until is not None else rt.clock()
    place = read_place(cursor)
    with rt.db.read() as connection:
        asked = asked_for(connection, site, rules, segments)
        winners = contests.winners(connection, site.id).get(site.id)
        usual = intervals.of_site(connection, site.id)
        departments = desks.documents(connection, site.id)
    key = _digest(
        site,
        rules,
        since,
        until,
        None if asked is None else [each.segment for each in asked.all],
        winners,
        usual,
        departments,
    )
    known = simulations.recall(rt.redis, key) if cursor else None
    run = _Run(site, rules, since, until, segments=asked, winners=winners, usual=usual)
    run.reader = reader = Reader(rt, site, until, run.reports, at_once)
    run.ruleset = replace(run.ruleset, shelf=Shelf(present=False), somebody=by_hours(site, departments))
    with rt.db.read() as connection:
        run.changes = Changes.read(connection, site.id, run.ruleset.by_id.values())
    items: list[Item] = []
    start = place[0] if known is not None else ""
    for group in reader.lives(start, run.concerns):
        for life in group:
            found = run.live(life)
            if life.head.id >= place[0]:
                items.extend(found[place[1] :] if life.head.id == place[0] else found)
                del items[limit + 1 :]
            if known is not None and len(items) > limit:
                break
        yield Progress(share_of(group[-1].head.id), run.summary.visitors, run.summary.events)
        if known is not None and len(items) > limit:
            break
    summary = known if known is not None else run.summary.as_dict()
    simulations.remember(rt.redis, key, summary)
    more = len(items) > limit
    page = items[:limit]
    yield SimulationResult(page, summary, _place_behind(page, place) if more else None)


def simulate_over(
    histories: Iterable[tuple[Profile, Sequence[Event]]],
    site: Site,
    rules: Sequence[Rule],
    since: datetime | None,
    until: datetime,
    limit: int,
    cursor: str | None = None,
    segments: Segments | None = None,
) -> SimulationResult:
    """The same over histories that are at hand, in order of id: each person, and their events in order of moment."""
    run = _Run(site, rules, since, until, segments=segments)
    place = read_place(cursor)
    items: list[Item] = []
    for profile, stored in histories:
        events = [event for event in stored if not run.reports(event)]
        head = ProfileHead(
            id=profile.id, person=profile.person, user_id=profile.user_id, anonymous_ids=profile.anonymous_ids
        )
        found = run.live(Life(head, len(events), wanted=True, events=events))
        if head.id >= place[0]:
            items.extend(found[place[1] :] if head.id == place[0] else found)
    page = items[:limit]
    return SimulationResult(page, run.summary.as_dict(), _place_behind(page, place) if len(items) > limit else None)


def read_place(cursor: str | None) -> tuple[str, int]:
    """The visitor at whom a page begins, and how many of their items came before; ValueError for no cursor of ours."""
    if cursor is None:
        return "", 0
    visitor_id, _, given = cursor.partition(".")
    if not given.isascii() or not given.isdecimal() or len(given) > 9:
        raise ValueError("Is no cursor of a simulation.")
    return visitor_id, int(given)


def share_of(visitor_id: str) -> float:
    """Which part of all visitors has an id up to this one: the ids are hashes, so they lie evenly."""
    return min(int(visitor_id[:8], 16) / 2**32, 1.0)


def _place_behind(page: Sequence[Item], place: tuple[str, int]) -> str:
    last = page[-1].visitor_id
    given = sum(1 for item in page if item.visitor_id == last)
    return f"{last}.{given + place[1] if last == place[0] else given}"


def _digest(site: Site, rules: Sequence[Rule], *others: object) -> str:
    """What the summary depends on, beside the events that are stored."""
    asked = [(rule.id, rule.version, rule.spec) for rule in rules]
    return hashlib.blake2b(repr((site, asked, others)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class _Run:
    """One simulation: the rules, and what has come of them so far."""

    reader: Reader | None = None
    """Where the past of a long life is read; None where every life is at hand."""

    changes = Changes()

    def __init__(
        self,
        site: Site,
        rules: Sequence[Rule],
        since: datetime | None,
        until: datetime,
        *,
        segments: Segments | None = None,
        winners: Winners | None = None,
        usual: Mapping[str, float] | None = None,
    ) -> None:
        shared = SharedTests()
        self.site, self.since, self.until = site, since, until
        compiled = [compile_rule(replace(rule, status="active"), shared) for rule in rules]
        self.ruleset = Ruleset.of(
            site, compiled, segments=segments, winners=winners, intervals=usual, somebody=by_hours(site, {})
        )
        self.summary = Summary()
        self._names = {rule.id: rule.spec.name for rule in rules}
        self._starts = starts(compiled)
        self._at_once = not any(isinstance(op, EmitOp | CallOutOp) for rule in compiled for op in rule.program)
        self._asks = segments is not None or any(rule.history for rule in compiled)
        self._spans = spans(compiled, segments)

    def reports(self, event: Event) -> bool:
        """Whether one of these rules reported the event, live; simulated, it reports it again."""
        told = event.context.get("chimein")
        if not isinstance(told, dict):
            return False
        rule_id = told.get("rule")
        return isinstance(rule_id, str) and rule_id in self._names

    def concerns(self, head: ProfileHead) -> bool:
        """Whether a rule can have started for this visitor: whether they did what starts one, and in the span."""
        if self._starts is None or len(head.counts) >= NAME_LIMIT:
            return True
        done = [name for name in self._starts if name in head.counts]
        if self.since is None or not self._at_once:
            return bool(done)
        return any(head.last_at[name] >= self.since for name in done)

    def _listens(self, event: Event) -> bool:
        """Whether a rule may start at this event, in the span."""
        if self.since is not None and self._at_once and event.timestamp < self.since:
            return False
        return self.ruleset.dispatch.listening(event) != 0

    def live(self, life: Life) -> list[Item]:
        """One visitor's life under the rules: the items of the span, in order of their triggers."""
        self.summary.visitors += 1
        if not life.wanted:
            self.summary.events += life.total
            return []
        if life.events is not None and self._starts is not None and not any(map(self._listens, life.events)):
            self.summary.events += len(life.events)
            return []
        found: dict[str, Enrolment] = {}
        messages: list[Message] = []
        calls: Counter[str] = Counter()
        for result, count in self._all(life) if life.events is not None else self._in_pieces(life):
            self.summary.events += count
            found.update(result.enrolments)
            messages.extend(result.messages)
            for call in result.webhooks:
                calls[call.enrolment_id] += 1
            for denial in result.denials:
                if _within(denial.at, self.since, self.until):
                    self.summary.denied[denial.reason] += 1
            for collision in result.collisions:
                if _within(collision.at, self.since, self.until):
                    self.summary.collide(collision)
        entered = [each for each in found.values() if _within(each.entered_at, self.since, self.until)]
        entered.sort(key=lambda each: each.trigger.moment)
        names = self._names
        items = [item_of(each, life.head, names[each.rule_id], messages, calls[each.id]) for each in entered]
        self.summary.count(items)
        return items

    def _all(self, life: Life) -> Iterator[tuple[Advance, int]]:
        events, profile = life.events or (), _nobody(self.site, life.head)
        woven = Told(self.changes, life.head).within(events, self.until)
        if not self._asks:
            with suppress(PastNeeded):  # of a visitor with more names than profiles count
                yield self._advance(profile, (), woven, Past({}), self.until), len(events)
                return
        past = Past(by_name(woven), complete=True)
        yield self._advance(profile, (), woven, past, self.until), len(events)

    def _advance(
        self, profile: Profile, known: Sequence[Enrolment], events: Sequence[Event], past: Past, until: datetime
    ) -> Advance:
        """The engine's verb; products that texts ask for are fetched on the way."""

        def do() -> Advance:
            return advance(self.ruleset, profile, known, events, past, until=until, now=None)

        return do() if self.reader is None else fetching_products(self.reader.rt, self.site.id, self.ruleset.shelf, do)

    def _in_pieces(self, life: Life) -> Iterator[tuple[Advance, int]]:
        """A long life, as the live processor goes through it: piece by piece, the past as far as a rule asks for it."""
        assert self.reader is not None
        past, told = LongPast(self.reader, life.head, self._spans), Told(self.changes, life.head)
        profile, known = _nobody(self.site, life.head), dict[str, Enrolment]()
        for piece in self.reader.parts(life.head):
            past.go_on(piece)
            end = piece[-1].timestamp
            result = self._piece(past, profile, known, told.within(piece, end), end)
            past.emitted(result.emitted)
            profile, known = result.profile, known | result.enrolments
            yield result, len(piece)
            known = {each.id: each for each in known.values() if self._counts(each, piece[-1].timestamp)}
        if past.begun:
            yield self._piece(past, profile, known, told.within((), self.until), self.until), 0

    def _piece(
        self,
        past: LongPast,
        profile: Profile,
        known: Mapping[str, Enrolment],
        piece: Sequence[Event],
        until: datetime,
    ) -> Advance:
        while True:
            try:
                enrolments = tuple(known.values())
                return self._advance(profile, enrolments, piece, past.past(), until)
            except PastNeeded as needed:
                past.want(needed.since)

    def _counts(self, enrolment: Enrolment, at: datetime) -> bool:
        """Whether an enrolment may still matter: it waits, or re-entry asks for it."""
        rule = self.ruleset.by_id[enrolment.rule_id]
        reentry = rule.rule.spec.reentry
        if enrolment.waiting or reentry.policy != "every":
            return True
        return reentry.at_most is not None and (reentry.per is None or enrolment.entered_at > at - reentry.per)


def _nobody(site: Site, head: ProfileHead) -> Profile:
    """The visitor before their first event."""
    profile = new_profile(head.id, site.id)
    profile.__dict__["person"] = head.person
    return profile


def _within(moment: datetime, since: datetime | None, until: datetime) -> bool:
    return (since is None or since <= moment) and moment < until
