"""Who belongs to which segment, as a visitor goes through time: asked where something may have changed it, and when."""

from bisect import insort
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from backend.domain.condition import HistoryNeeded, Moment
from backend.domain.condition.turning import next_turn
from backend.domain.engine.result import PastNeeded
from backend.domain.engine.segments import CompiledSegment, Segments
from backend.domain.engine.stages import note_stage
from backend.domain.event import SIGNAL, Event
from backend.domain.identifier import NOTED
from backend.domain.past import END_OF_MOMENT, Since, together
from backend.domain.profile import Profile, Standing
from backend.domain.rule import CompiledRule
from backend.domain.rule.compile import BROADCAST, OF_PRODUCTS, SENT, TRIGGERED
from backend.domain.trait import CHANGED

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk

ADDED = "Segment Member Added"
REMOVED = "Segment Member Removed"
"""The signals by which a list is kept by hand; `properties.segment_id` names it."""

ENTERED = "Segment Entered"
LEFT = "Segment Left"
STAGE = "Stage Entered"
"""The signals that mark a change which time alone brought about."""

SIGNALS = frozenset(
    {SENT, TRIGGERED, BROADCAST, ADDED, REMOVED, ENTERED, LEFT, STAGE, CHANGED, NOTED, *OF_PRODUCTS.values()}
)
"""The names of what is nobody's doing: no profile counts it."""

NOBODY = Standing()


class Change(NamedTuple):
    """A visitor came into a segment, or left it."""

    segment_id: str
    entered: bool


class Membership:
    """The standings of one visitor within one walk; they change only here."""

    def __init__(self, walk: "Walk", segments: Segments) -> None:
        self.walk = walk
        self.segments = segments
        self.due = segments_due(self._profile, self.segments)
        standings = self._profile.segments.values() if self.due is not None else ()
        self.promised = frozenset(each.due_at for each in standings)
        self.fresh = self._is_new() and not (self._profile.anonymous_ids or self._profile.user_id)
        self._asleep: frozenset[int] | None = None

    @property
    def _profile(self) -> Profile:
        return self.walk.result.profile

    def parts(self) -> list[Any]:
        """The parts of the profile that segments look at, as they are before an event."""
        state = self._profile.__dict__
        return [state[part] for part in self.segments.watched]

    def build(self, at: datetime, order: int) -> None:
        """Asks those definitions that are newer than this profile knows, without a word: nobody enters by that.

        `order` is the place, at that moment, of what is to happen next. Nobody has been anything before their first
        event, which then is what they enter by.
        """
        profile, segments = self._profile, self.segments
        self.restage()
        built = profile.segments_built
        if built >= segments.revision and not self.walk.behind:
            return
        profile.__dict__["segments_built"] = max(built, segments.revision)
        if self._is_new():
            return
        newer = frozenset(place for place, each in enumerate(segments.all) if each.segment.revision > built)
        if self.walk.behind:
            newer |= segments.staged
        latest = max(filter(None, (at, profile.last_seen, profile.segments_at)))
        self.walk.past.cut = (at, order - 1) if latest == at else (latest, END_OF_MOMENT)
        self._ask_some(newer, latest)
        self._forget_the_gone()

    def restage(self) -> None:
        """Writes into the profile in which stage of the site's own funnel it is: folding knows the built-in one."""
        stages = self.segments.stages
        if stages is not None:
            stage = stages.of(self._profile)
            if stage != self._profile.stage:
                self._profile.__dict__["stage"] = stage

    def restaged(self, at: datetime) -> None:
        """Asks for the stage, and those that ask for it, without a word: what is known of it was written anew."""
        self.restage()
        self.walk.past.cut = (at, END_OF_MOMENT)
        self._ask_some(self.segments.by_stage(), at)

    def look_back(self, names: Collection[str], at: datetime) -> None:
        """Asks those that look at the history of these events, without a word: some of it is kept no longer.

        Not those that are to be asked anyway because their time has come.
        """
        if self._is_new():
            return
        self.restage()
        latest = max(filter(None, (at, self._profile.last_seen, self._profile.segments_at)))
        self.walk.past.cut = (latest, END_OF_MOMENT)
        self._ask_some(self.segments.looking_at(names) - self._due_places(latest), latest)

    def _ask_some(self, places: frozenset[int], at: datetime) -> list[Change]:
        """Asks these; where all are to be asked after a merge, that is still to be done."""
        profile = self._profile
        merged = profile.segments_built > 0 and profile.segments_at is None
        changes = self._ask(places, at)
        if merged:
            profile.__dict__["segments_at"] = None
        return changes

    def fold(self, event: Event, before: list[Any]) -> list[Change]:
        """What an event changes, which was folded just now; `before` are the parts as they were."""
        profile, segments = self._profile, self.segments
        self.restage()
        known = profile.segments_at is not None or self.fresh
        at = event.timestamp if profile.segments_at is None else max(event.timestamp, profile.segments_at)
        if not known:
            places = frozenset(range(len(segments.all)))
        else:
            places = segments.concerned(event.name, before, profile.__dict__)
            if self.fresh:
                self.fresh = False
                places = places | segments.of_nobody
            if self.due is not None and self.due <= event.timestamp:
                places = places | self._due_places(event.timestamp)
            elif self.due is not None and self.due > at:
                places = places - self._sleeping()
        given = self._given(event) if event.type == SIGNAL else None
        if not places and not given:
            return []
        self.walk.past.cut = event.moment if at == event.timestamp else (at, END_OF_MOMENT)
        return self._ask(places, at, given, told=known)

    def pass_to(self, at: datetime) -> list[Change]:
        """What time alone has changed at this moment."""
        merged = self._profile.segments_at is None
        self.walk.past.cut = (at, END_OF_MOMENT)
        changes = self._ask(self._due_places(at), at)
        if merged:
            self._profile.__dict__["segments_at"] = None  # the others are still to be asked
        return changes

    def settle(self, until: datetime) -> list[Change]:
        """Asks them all, where that is still to be done though nothing happened: after a merge."""
        profile = self._profile
        if profile.segments_at is not None or self._is_new():
            return []
        at = until if profile.last_seen is None else max(until, profile.last_seen)
        self.walk.past.cut = (at, END_OF_MOMENT)
        return self._ask(frozenset(range(len(self.segments.all))), at)

    def rules(self, changes: Iterable[Change]) -> list[CompiledRule]:
        """The rules that wait for these changes."""
        waiting = self.walk.ruleset.by_segment
        return [rule for change in changes for rule in waiting.get(change, ())]

    def _is_new(self) -> bool:
        """Whether nothing at all has happened to this visitor yet."""
        return self._profile.first_seen is None and self._profile.segments_at is None

    def _due_places(self, at: datetime) -> frozenset[int]:
        places = self.segments.places
        return frozenset(
            places[segment_id]
            for segment_id, each in self._profile.segments.items()
            if each.due_at is not None and each.due_at <= at and segment_id in places
        )

    def _sleeping(self) -> frozenset[int]:
        """The places of those that no event changes before time does."""
        if self._asleep is None:
            standings, segments = self._profile.segments, self.segments
            waiting = {segment_id for segment_id, each in standings.items() if each.due_at is not None}
            self._asleep = frozenset(place for place in segments.idle if segments.all[place].id in waiting)
        return self._asleep

    def _given(self, event: Event) -> dict[int, bool]:
        """Which list is told by hand that this visitor belongs to it, or does not."""
        if event.name not in (ADDED, REMOVED):
            return {}
        place = self.segments.places.get(str(event.properties.get("segment_id")))
        if place is None or self.segments.all[place].test is not None:
            return {}
        return {place: event.name == ADDED}

    def _ask(
        self, places: frozenset[int], at: datetime, given: dict[int, bool] | None = None, *, told: bool = False
    ) -> list[Change]:
        """Asks these, and those that ask for one that changes, each behind those that it asks for.

        `told`: it is an event that asks, of a visitor whose other answers are known.
        """
        profile = self._profile
        state = profile.__dict__
        segments = self.segments.all
        changes: list[Change] = []
        asked = places if not given else places | given.keys()
        todo = sorted(asked)
        moment = self.walk.moment(at, None, (at, END_OF_MOMENT))
        standings = dict(profile.segments)
        state["segments"], state["segments_at"] = standings, at
        for place in todo:  # which grows behind the place where we are
            each = segments[place]
            before = standings.get(each.id, NOBODY)
            if told and each.idle and before.due_at is not None and before.due_at > at:
                continue  # what happened only puts off the moment at which time turns it
            was = before.entered_at is not None
            try:
                after = self._standing(each, before, moment, given.get(place) if given else None)
            except HistoryNeeded as needed:
                since: Since = {needed.name: needed.since}
                for other in todo:
                    since = together(since, segments[other].since(at))
                raise PastNeeded(since) from needed
            except Exception as error:  # a mistake of ours: it costs neither the event nor the others
                self.walk.failed(each.id, error)
                standings[each.id] = before._replace(due_at=None)
                continue
            if after != before:
                standings[each.id] = after
            if (after.entered_at is not None) is not was:
                if place in self.segments.staged:
                    self.restage()
                else:
                    changes.append(Change(each.id, not was))
                for follower in self.segments.followers(each.id):
                    if follower not in asked:
                        asked = asked | {follower}
                        insort(todo, follower)
        self.due, self._asleep = segments_due(profile, self.segments), None
        self.walk.result.woken = True
        if self.segments.stages is not None:
            note_stage(self.walk, at)
        return changes

    def _standing(self, each: CompiledSegment, before: Standing, moment: Moment, given: bool | None) -> Standing:
        was = before.entered_at is not None
        test = each.test if each.staying is None else each.asked(was)[0]
        holds = test(moment) if test is not None else was if given is None else given
        if each.patient and holds is was and before.due_at is not None and before.due_at > moment.at:
            return before
        turning = each.turning
        if each.staying is not None:
            test, turning = each.asked(holds)
        if turning is None or test is None:
            due = None
        else:
            due = next_turn(None if each.idle else test, turning, moment, holds)
        if holds is was:
            return before if due == before.due_at else before._replace(due_at=due)
        if holds:
            return Standing(moment.at, before.left_at, due)
        return Standing(None, moment.at, due)

    def _forget_the_gone(self) -> None:
        """Drops what is known of segments that are no longer there."""
        places, state = self.segments.places, self._profile.__dict__
        state["segments"] = {key: each for key, each in state["segments"].items() if key in places}
        self.due, self._asleep = segments_due(self._profile, self.segments), None


def segments_due(profile: Profile, segments: Segments) -> datetime | None:
    """When time alone may change how this visitor stands with one of these segments."""
    due: datetime | None = None
    for segment_id, each in profile.segments.items():
        if each.due_at is not None and (due is None or each.due_at < due) and segment_id in segments.places:
            due = each.due_at
    return due
