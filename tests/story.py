"""One visitor's story for tests of the engine: rules, events at their moments, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.domain.engine import Advance, Ruleset, advance
from backend.domain.engine.segments import Segments
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import Rule, compile_rule, parse_rule
from backend.domain.segment import Segment, parse_segment
from backend.domain.site import Policy, Site
from backend.domain.winner import Winners

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""

SITE = Site(id="site", name="shop", write_key="w", secret_key="s", timezone="Europe/Berlin")


def saying(body: str = "Hello", channel: str = "popup", **message: Any) -> dict[str, Any]:
    """The message of a rule, or of a step."""
    content = {"title": "Hello", "body": body, "subject": "Hello"}
    return {"channels": [channel], "variants": [{"name": "A", "content": content}], **message}


def rule(rule_id: str, trigger: Mapping[str, Any] | str, **parts: Any) -> Rule:
    """An active rule that says hello."""
    told = {"event": trigger} if isinstance(trigger, str) else dict(trigger)
    if "steps" not in parts:
        parts.setdefault("message", saying())
    spec = parse_rule({"name": rule_id, "trigger": told, "reentry": {"policy": "every"}, **parts})
    return Rule(id=rule_id, site_id=SITE.id, spec=spec, status="active")


def segment(segment_id: str, condition: Mapping[str, Any] | None, revision: int = 1) -> Segment:
    """A segment of that site; without condition it is kept by hand."""
    told = {"manual": True} if condition is None else {"condition": condition}
    return Segment(id=segment_id, site_id=SITE.id, spec=parse_segment({"name": segment_id, **told}), revision=revision)


@dataclass
class Story:
    """What one visitor did, and the rules of their site."""

    rules: list[Rule]
    policy: Policy = field(default_factory=lambda: Policy(dismiss_backoff=timedelta(0)))
    profile: Profile = field(default_factory=lambda: Profile(id="visitor", site_id=SITE.id, person="visitor"))
    events: list[Event] = field(default_factory=list)
    zone: str | None = None
    segments: list[Segment] = field(default_factory=list)
    winners: Winners | None = None

    def did(self, name: str, at: datetime | float, **properties: Any) -> Event:
        """An event; `at` may be minutes after noon."""
        context = {"timezone": self.zone} if self.zone else {}
        return self.event(at, name=name, type="track", properties=properties, context=context)

    def told(self, at: datetime | float, **traits: Any) -> Event:
        """Traits that the visitor was introduced with."""
        context = {"timezone": self.zone} if self.zone else {}
        return self.event(at, name="Identify", type="identify", traits=traits, context=context)

    def event(self, at: datetime | float, **facts: Any) -> Event:
        moment = at if isinstance(at, datetime) else NOON + timedelta(minutes=at)
        number = len(self.events)
        made = Event(
            message_id=f"m{number}",
            timestamp=moment,
            received_at=moment,
            order=number,
            anonymous_id="ann",
            **facts,
        )
        self.events.append(made)
        return made

    def ruleset(self) -> Ruleset:
        site = Site(**{**{name: getattr(SITE, name) for name in SITE.__slots__}, "policy": self.policy})
        segments = Segments(self.segments) if self.segments else None
        return Ruleset.of(site, [compile_rule(each) for each in self.rules], segments=segments, winners=self.winners)

    def run(self, until: datetime | float = 60 * 24 * 30) -> Advance:
        """The whole story in one go, up to `until` (minutes after noon, or a moment)."""
        end = until if isinstance(until, datetime) else NOON + timedelta(minutes=until)
        events = sorted((each for each in self.events if each.timestamp <= end), key=lambda each: each.moment)
        past = Past(by_name(events), complete=True)
        return advance(self.ruleset(), self.profile, (), events, past, until=end, now=None)

    def run_in_steps(self, until: datetime | float = 60 * 24 * 30) -> tuple[Profile, dict[str, Enrolment], list[Any]]:
        """The same event by event, as it happens live; gives profile, enrolments by id, and messages."""
        end = until if isinstance(until, datetime) else NOON + timedelta(minutes=until)
        profile, known, messages = self.profile, dict[str, Enrolment](), []
        events = sorted((each for each in self.events if each.timestamp <= end), key=lambda each: each.moment)
        emitted: list[Event] = []
        for index in range(len(events) + 1):
            now = events[index : index + 1]
            upto = now[0].timestamp if now else end
            past = Past(by_name([*events[: index + 1], *emitted]), complete=True)
            result = advance(self.ruleset(), profile, list(known.values()), now, past, until=upto, now=None)
            profile = result.profile
            known |= result.enrolments
            messages += result.messages
            emitted += result.emitted
        return profile, known, messages


def minutes(moment: datetime) -> float:
    """Minutes after noon."""
    return (moment - NOON) / timedelta(minutes=1)


def outcomes(result: Advance | Mapping[str, Enrolment]) -> list[tuple[str, str | None, str | None]]:
    """(rule, outcome, reason) of each enrolment, in order of entry."""
    found = result.enrolments if isinstance(result, Advance) else result
    ordered = sorted(found.values(), key=lambda each: (each.entered_at, each.rule_id))
    return [(each.rule_id, each.outcome, each.reason) for each in ordered]


def sent(result: Advance) -> list[tuple[str, float]]:
    """(rule or rule/step, minutes after noon) of each message."""
    return [
        (f"{each.rule_id}/{each.step}" if each.step else each.rule_id, minutes(each.created_at))
        for each in result.messages
    ]
