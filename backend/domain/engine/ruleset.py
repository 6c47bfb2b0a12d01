"""The compiled rules of one site, found by what they listen to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from backend.domain.dispatch import Dispatch, Places
from backend.domain.event import Event
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule, SiteLimits
from backend.domain.site import Site

Rules = tuple[CompiledRule, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruleset:
    """Which rules may start at an event, at a stage, when a trait changes, when a session begins, and at what moments.

    `dispatch` knows which of the active rules an event starts, `events` are the names that they listen to; `by_stage`
    and `at_session` are sets as `dispatch` numbers them. `watches` are the rules that start at moments which no event
    marks. `former` are versions of rules by (id, version) by which enrolments go on that began with them.
    """

    site: Site
    by_id: Mapping[str, CompiledRule]
    dispatch: Dispatch
    events: frozenset[str]
    by_stage: Mapping[str, Places]
    by_trait: Mapping[str, Rules]
    at_session: Places = 0
    watches: Rules = ()
    former: Mapping[tuple[str, int], CompiledRule]
    limits: SiteLimits
    goals: Mapping[str, Rules]

    @classmethod
    def of(cls, site: Site, rules: Iterable[CompiledRule], former: Iterable[CompiledRule] = ()) -> "Ruleset":
        """All rules that may still fire; those that are active start enrolments, higher priority first."""
        ordered = sorted(rules, key=lambda rule: (-rule.rule.spec.priority, rule.id))
        by_stage: dict[str, Rules] = {}
        by_trait: dict[str, Rules] = {}
        active = [rule for rule in ordered if rule.rule.status == "active"]
        dispatch = Dispatch(active)
        for rule in active:
            if rule.stage is not None:
                by_stage[rule.stage] = (*by_stage.get(rule.stage, ()), rule)
            elif rule.trait is not None:
                by_trait[rule.trait] = (*by_trait.get(rule.trait, ()), rule)
        return cls(
            site=site,
            by_id=MappingProxyType({rule.id: rule for rule in ordered}),
            dispatch=dispatch,
            events=frozenset(rule.event for rule in active if rule.event is not None),
            by_stage={stage: dispatch.places(group) for stage, group in by_stage.items()},
            by_trait=by_trait,
            at_session=dispatch.places(rule for rule in active if rule.session),
            watches=tuple(rule for rule in active if rule.watch is not None),
            limits=SiteLimits.of(site.policy),
            goals=_by_goal(ordered),
            former={(rule.id, rule.rule.version): rule for rule in former},
        )

    def rule_of(self, rule_id: str, version: int) -> CompiledRule | None:
        """The rule by which an enrolment goes on: its own version where that is kept, else the present one."""
        present = self.by_id.get(rule_id)
        if not self.former or present is None or present.rule.version == version:
            return present
        return self.former.get((rule_id, version), present)

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
            moment = rule.watch.next(profile, profile.woken_at, self.site.timezone)
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
