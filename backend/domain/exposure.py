"""Who is compared with whom? For each step of a rule, the first moment at which a person was told, or held out.

From that moment on both are measured alike, seen or not (by intention to treat), and each person counts once. Tuples,
because a profile carries one for every step that ever spoke to its person: as JSON they are arrays without names.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from backend.domain.event import SIGNAL, Event
from backend.domain.session import GAP, Spans

EXPOSURE_LIMIT = 500
"""Steps in whose comparison one person takes part; in further ones they are not counted."""

LEAVE_WINDOW = timedelta(days=7)
"""So long after the moment an unsubscription is put down to it."""

LONGEST_STAY = timedelta(days=1)
"""A session is not measured any longer: whatever reports for days on end is no person."""

NOT_PRESENT = frozenset(
    {
        *("Message Shown", "Message Clicked", "Message Dismissed", "Message Replied", "Message Answered"),
        *("Unsubscribed", "Subscribed"),
    }
)
"""Events that only those can cause who were told something: they do not show that a session goes on."""


class Exposure(NamedTuple):
    """The moment `at` which counts for one step of a rule; `variant` is the arm, also where nothing was said.

    `person` is whom the arm was dealt out to by hash: it holds through merges. `test` names the contest in which the
    variant stands, "" where there is none. `last` is the latest event of the session that was going on `at` that
    moment, None where there was none. Of goals the first one within the rule's window counts.
    """

    rule_id: str
    step: str
    variant: str
    channel: str
    at: datetime
    person: str
    test: str = ""
    last: datetime | None = None
    goal_at: datetime | None = None
    goal_value: Decimal | None = None
    clicked: bool = False
    unsubscribed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """The rule and the step."""
        return self.rule_id, self.step

    @property
    def stayed(self) -> timedelta | None:
        """How long the session went on after the moment; None where none was going on."""
        return None if self.last is None else min(max(self.last - self.at, timedelta(0)), LONGEST_STAY)


Exposures = tuple[Exposure, ...]


def find(exposures: Exposures, rule_id: str, step: str) -> Exposure | None:
    """The exposure to this step, if there was one."""
    return next((each for each in exposures if each.rule_id == rule_id and each.step == step), None)


def with_exposure(exposures: Exposures, exposure: Exposure) -> Exposures:
    """The exposures with one more; only the first to a step counts."""
    if len(exposures) >= EXPOSURE_LIMIT or find(exposures, *exposure.key) is not None:
        return exposures
    return (*exposures, exposure)


def session_at(spans: Spans, at: datetime) -> datetime | None:
    """The latest event, at this moment, of the session that is going on; None where there is none."""
    for start, end in reversed(spans):
        if start <= at <= end + GAP:
            return min(end, at)
    return None


def attended_until(exposures: Exposures) -> datetime | None:
    """Up to when a further event belongs to a session that is measured; None where none is."""
    return max((each.last + GAP for each in exposures if each.last is not None), default=None)


def shows_presence(event: Event) -> bool:
    """Whether the person did something of their own accord."""
    return event.type != SIGNAL and event.name not in NOT_PRESENT and "chimein" not in event.context


def with_presence(exposures: Exposures, moment: datetime) -> Exposures:
    """The exposures after an event of the person: the sessions to which it belongs are longer now.

    An event that comes so late that later ones did not seem to belong to its session does not bring those in.
    """
    return tuple(
        each._replace(last=moment)
        if each.last is not None and each.last < moment <= each.last + GAP and moment > each.at
        else each
        for each in exposures
    )


def with_click(exposures: Exposures, rule_id: str, step: str) -> Exposures:
    """The exposures after a click on a message of this step."""
    return tuple(
        each._replace(clicked=True) if each.key == (rule_id, step) and not each.clicked else each for each in exposures
    )


def with_goal(exposures: Exposures, rule_id: str, at: datetime, within: timedelta, value: Decimal) -> Exposures:
    """The exposures after the rule's goal was reached; whatever the order of arrival, the earliest counts."""
    return tuple(
        each._replace(goal_at=at, goal_value=value)
        if each.rule_id == rule_id and each.at <= at < each.at + within and (each.goal_at is None or at < each.goal_at)
        else each
        for each in exposures
    )


def with_leave(exposures: Exposures, moment: datetime) -> Exposures:
    """The exposures after the person unsubscribed."""
    return tuple(
        each._replace(unsubscribed=True) if each.at <= moment < each.at + LEAVE_WINDOW else each for each in exposures
    )


def merged(a: Exposures, b: Exposures) -> Exposures:
    """The exposures of two profiles that turn out to be one person: the earlier of each, with what came of both."""
    found = {each.key: each for each in a}
    for each in b:
        other = found.get(each.key)
        found[each.key] = each if other is None else _joined(other, each)
    return tuple(sorted(found.values(), key=lambda each: (each.at, each.key)))[:EXPOSURE_LIMIT]


def _joined(a: Exposure, b: Exposure) -> Exposure:
    first, second = sorted((a, b), key=lambda each: (each.at, each.person, each.variant))
    reached = min((each for each in (a, b) if each.goal_at is not None), key=_goal_at, default=first)
    return first._replace(
        goal_at=reached.goal_at,
        goal_value=reached.goal_value,
        clicked=first.clicked or second.clicked,
        unsubscribed=first.unsubscribed or second.unsubscribed,
    )


def _goal_at(exposure: Exposure) -> tuple[datetime, Decimal]:
    assert exposure.goal_at is not None
    return exposure.goal_at, exposure.goal_value or Decimal(0)
