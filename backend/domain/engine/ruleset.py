"""The compiled rules of one site, found by what they listen to."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from backend.domain.condition import HistoryNeeded, Moment, Test
from backend.domain.dispatch import Dispatch, Places
from backend.domain.engine.membership import segments_due
from backend.domain.engine.result import VersionNeeded
from backend.domain.engine.segments import Segments
from backend.domain.event import Event
from backend.domain.fact import STANDARD, Standards
from backend.domain.identifier import PLAIN, Reading
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule, SiteLimits
from backend.domain.shelf import Shelf
from backend.domain.site import Site
from backend.domain.winner import Winners

Rules = tuple[CompiledRule, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruleset:
    """Which rules may start at an event, at a stage, when a trait changes, when a session begins, and at what moments.

    `dispatch` knows which of the active rules an event starts, `events` are the names that they listen to; `by_stage`
    and `at_session` are sets as `dispatch` numbers them, `rules_at` are those of `by_stage` one by one. `watches` are
    the rules that start at moments which no event marks, `segments` those of the site (None: it has none, and the
    built-in funnel), `by_segment` the rules by the segment's id and whether it is entered. `former` are versions of
    rules by (id, version) by which enrolments go on that began with them, as far as they were asked for; None for one
    that nobody has. `winners` are the variants that get everybody who is new, `standards` what facts are measured by,
    `reading` how it reads addresses. `shelf` holds the products that templates asked for; `notes_interests`: it must be
    known who is interested in what. `somebody` tells whether an operator is there; None: nobody ever is.
    """

    site: Site
    by_id: Mapping[str, CompiledRule]
    dispatch: Dispatch
    events: frozenset[str]
    by_stage: Mapping[str, Places]
    rules_at: Mapping[str, Rules] = field(default_factory=dict)
    by_trait: Mapping[str, Rules]
    at_session: Places = 0
    watches: Rules = ()
    segments: Segments | None = None
    by_segment: Mapping[tuple[str, bool], Rules] = field(default_factory=dict)
    limits: SiteLimits
    goals: Mapping[str, Rules]
    winners: Winners
    standards: Standards = STANDARD
    shelf: Shelf = field(default_factory=lambda: Shelf(complete=True))
    notes_interests: bool = False
    former: MutableMapping[tuple[str, int], CompiledRule | None] = field(default_factory=dict)
    reading: Reading = PLAIN
    somebody: Callable[[datetime], bool] | None = None

    @classmethod
    def of(
        cls,
        site: Site,
        rules: Iterable[CompiledRule],
        segments: Segments | None = None,
        winners: Winners | None = None,
        intervals: Mapping[str, float] | None = None,
        shelf: Shelf | None = None,
        somebody: Callable[[datetime], bool] | None = None,
    ) -> "Ruleset":
        """All rules that may still fire; those that are active start enrolments, higher priority first."""
        ordered = sorted(rules, key=lambda rule: (-rule.rule.spec.priority, rule.id))
        by_stage: dict[str, Rules] = {}
        by_trait: dict[str, Rules] = {}
        by_segment: dict[tuple[str, bool], Rules] = {}
        active = [rule for rule in ordered if rule.rule.status == "active"]
        dispatch = Dispatch(active)
        for rule in active:
            if rule.stage is not None:
                by_stage[rule.stage] = (*by_stage.get(rule.stage, ()), rule)
            elif rule.trait is not None:
                by_trait[rule.trait] = (*by_trait.get(rule.trait, ()), rule)
            elif rule.segment is not None:
                by_segment[rule.segment] = (*by_segment.get(rule.segment, ()), rule)
        return cls(
            site=site,
            by_id=MappingProxyType({rule.id: rule for rule in ordered}),
            dispatch=dispatch,
            events=frozenset(rule.event for rule in active if rule.event is not None),
            by_stage={stage: dispatch.places(group) for stage, group in by_stage.items()},
            rules_at=by_stage,
            by_trait=by_trait,
            segments=segments,
            by_segment=by_segment,
            at_session=dispatch.places(rule for rule in active if rule.session),
            watches=tuple(rule for rule in active if rule.watch is not None),
            limits=SiteLimits.of(site.policy),
            goals=_by_goal(ordered),
            winners=winners or {},
            standards=Standards.of(site.policy, intervals),
            reading=Reading.of(site.policy),
            shelf=shelf if shelf is not None else Shelf(complete=True),
            somebody=somebody,
            notes_interests=any(rule.relates for rule in ordered),
        )

    def rule_of(self, rule_id: str, version: int) -> CompiledRule | None:
        """The rule by which an enrolment goes on that entered `version`: that one, or the one that it was moved to.

        None where the rule is not live, or the version lost; raises `VersionNeeded` where it is not in `former` yet.
        """
        present = self.by_id.get(rule_id)
        if present is None or present.rule.version == version:
            return present
        return self.version_of(present, max(version, present.rule.moved_to))

    def version_of(self, present: CompiledRule, version: int) -> CompiledRule | None:
        """This version of a rule; None where it is lost, raises `VersionNeeded` where it is not in `former` yet."""
        if present.rule.version == version:
            return present
        try:
            return self.former[present.id, version]
        except KeyError:
            raise VersionNeeded(present.id, version) from None

    def may_concern(self, profile: Profile, signal: Event, *tests: Test) -> bool:
        """Whether these tests hold for a visitor whom a signal is to reach.

        What takes their history is left to the processor, which knows it.
        """
        moment = Moment(
            profile=profile,
            at=signal.timestamp,
            event=signal,
            entered=signal.moment,
            zone_name=self.site.timezone,
            standards=self.standards,
            somebody=self.somebody,
        )
        for test in tests:
            try:
                if not test(moment):
                    return False
            except HistoryNeeded:
                continue
        return True

    def wake_of(self, profile: Profile) -> datetime | None:
        """When somebody must look at this visitor though nothing comes in; None: there is no need to."""
        found = self.next_wake(profile) if self.watches else None
        due = segments_due(profile, self.segments) if self.segments is not None else None
        return min((each for each in (due, found[0] if found else None) if each is not None), default=None)

    def asked(self, event: Event, profile: Profile, stage: str, traits: Mapping[str, Any], sessions: int) -> Places:
        """The rules that an event may start, once it is folded into `profile`; the rest is what that was before."""
        found = self.dispatch.listening(event)
        if profile.stage != stage:
            found |= self.by_stage.get(profile.stage, 0)
        if profile.sessions > sessions:
            found |= self.at_session
        if profile.traits is not traits and self.by_trait:
            found |= self.dispatch.places(self._changed(traits, profile.traits))
        return found

    def _changed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[CompiledRule]:
        """The rules that wait for a change such as those between these traits."""
        found: list[CompiledRule] = []
        for name, rules in self.by_trait.items():
            old, new = before.get(name), after.get(name)
            if old != new:
                found.extend(rule for rule in rules if rule.change is not None and rule.change(old, new))
        return found

    def next_wake(self, profile: Profile) -> tuple[datetime, Rules] | None:
        """The next moment that a rule waits for without an event, and the rules that do."""
        best: datetime | None = None
        rules: list[CompiledRule] = []
        for rule in self.watches:
            assert rule.watch is not None
            moment = rule.watch.next(profile, profile.woken_at, self.site.timezone, self.standards)
            if moment is None or (best is not None and moment > best):
                continue
            if moment != best:
                rules = []
            best = moment
            rules.append(rule)
        return None if best is None else (best, tuple(rules))


def _by_goal(rules: Iterable[CompiledRule]) -> dict[str, Rules]:
    """The rules by the event that is their goal; a rule that is paused still learns what it did."""
    found: dict[str, Rules] = {}
    for rule in rules:
        if rule.goal is not None:
            found[rule.goal.event] = (*found.get(rule.goal.event, ()), rule)
    return found
