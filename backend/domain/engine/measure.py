"""What an event says about what was said before: sessions that go on, reports of the page, goals that are reached."""

from typing import TYPE_CHECKING

from backend.domain import exposure
from backend.domain.attention import FEEDBACK
from backend.domain.condition import HistoryNeeded
from backend.domain.engine.result import PastNeeded
from backend.domain.event import Event
from backend.domain.goal import after_report, goal_value, with_goal
from backend.domain.rule import CompiledRule
from backend.domain.rule.compiled import CompiledGoal

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk


def measure(walk: "Walk", event: Event) -> None:
    """What an event says about what was said to this visitor before, or was not, for comparison."""
    profile = walk.result.profile
    until = profile.attended_until
    if until is not None and event.timestamp <= until and exposure.shows_presence(event):
        exposures = exposure.with_presence(profile.exposures, event.timestamp)
        profile.__dict__["exposures"] = exposures
        profile.__dict__["attended_until"] = exposure.attended_until(exposures)
    if event.name in FEEDBACK:
        _reported(walk, event)
    elif event.name == "Unsubscribed":
        profile.__dict__["exposures"] = exposure.with_leave(profile.exposures, event.timestamp)
    for rule in walk.ruleset.goals.get(event.name, ()):
        if rule.goal is not None and any(each.rule_id == rule.id for each in profile.contacts):
            _reach(walk, rule, rule.goal, event)


def _reported(walk: "Walk", event: Event) -> None:
    """The page told what became of a message."""
    profile, told = walk.result.profile, event.properties.get("message_id")
    contact = next((each for each in profile.contacts if each.message_id == told and each.said), None)
    if contact is None:
        return
    if contact.clicked_at is not None:
        profile.__dict__["exposures"] = exposure.with_click(profile.exposures, contact.rule_id, contact.step)
    rule = walk.ruleset.by_id.get(contact.rule_id)
    if rule is not None and rule.goal is not None:
        profile.__dict__["contacts"] = after_report(profile.contacts, told, rule.goal)


def _reach(walk: "Walk", rule: CompiledRule, goal: CompiledGoal, event: Event) -> None:
    """An event that may be the goal of a rule which spoke to this visitor, or did not, for comparison."""
    walk.past.cut = event.moment
    profile = walk.result.profile
    try:
        if not goal.where(walk.moment(event.timestamp, event)):
            return
        value = goal_value(event, goal)
    except HistoryNeeded as needed:
        raise PastNeeded.by(needed, (rule,), event.timestamp) from needed
    except Exception as error:
        walk.failed(rule.id, error)
        return
    at = event.timestamp
    profile.__dict__["contacts"] = with_goal(profile.contacts, rule.id, goal, at, value)
    profile.__dict__["exposures"] = exposure.with_goal(profile.exposures, rule.id, at, goal.within, value)
