"""What did a gate read? The values behind a verdict, in words, for people who ask why."""

from dataclasses import dataclass

from backend.domain.budget import told_caps
from backend.domain.calendar import zone_of
from backend.domain.condition import Moment
from backend.domain.condition.why import found, memberships, why_not
from backend.domain.decide import Gate, dealt_to
from backend.domain.exposure import find
from backend.domain.reach import Reach, reach, told_ways
from backend.domain.rule import CompiledRule, SiteLimits
from backend.domain.rule.compiled import SayOp
from backend.domain.site import Site
from backend.domain.variant import bucket


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """What the gates were asked about."""

    site: Site
    limits: SiteLimits
    rule: CompiledRule
    op: SayOp | None
    moment: Moment

    def of(self, gate: Gate) -> Gate:
        """The gate with the values that it read, open or closed."""
        tell = {
            "rule": self._rule,
            "audience": self._audience,
            "holdout": self._holdout,
            "channel": self._channel,
            "caps": self._caps,
            "template": self._template,
        }.get(gate.name)
        told = tell(gate) if tell is not None else None
        return gate if not told else gate._replace(detail=told)

    def _rule(self, gate: Gate) -> str:
        return f"{gate.detail} Version {self.rule.rule.version}."

    def _audience(self, gate: Gate) -> str | None:
        audience = self.rule.rule.spec.audience
        if audience is None:
            return "Everybody."
        if gate.open:
            return " ".join(found(audience, self.moment))
        return " ".join([*why_not(audience, self.moment), *memberships(audience, self.moment)])

    def _holdout(self, gate: Gate) -> str | None:
        if self.op is None:
            return None
        profile, message = self.moment.profile, self.op.message
        person = dealt_to(profile, find(profile.exposures, self.rule.id, self.op.name))
        told = [
            gate.detail or "",
            f"Bucket {bucket(self.rule.id, person):.2f} of 100, held out below {message.holdout:g}.",
        ]
        if self.limits.holdout:
            of_site = bucket("site", profile.person or profile.id)
            told.append(f"Of the site: bucket {of_site:.2f}, held out below {self.limits.holdout:g}.")
        if len(message.variants) > 1:
            told.append("Weights: " + ", ".join(f"{each.name} {each.weight:g}" for each in message.variants) + ".")
        return " ".join(filter(None, told))

    def _channel(self, gate: Gate) -> str | None:
        if self.op is None:
            return None
        ways = told_ways(self.moment.profile, self.op.message.channels, self.site.policy)
        return " ".join([gate.detail or "", *ways])

    def _caps(self, gate: Gate) -> str | None:
        if self.op is None:
            return None
        profile, spec, at = self.moment.profile, self.rule.rule.spec, self.moment.at
        way = reach(profile, self.op.message.channels, self.site.policy)
        if not isinstance(way, Reach):
            return None
        zone = zone_of(profile.device.timezone, self.site.timezone)
        about = (profile, way.channel, spec.category, at, zone)
        told = [gate.detail or ""]
        if spec.limits.ignore_caps:
            told.append("The rule ignores the site's caps.")
        else:
            told += [f"Site: {each}" for each in told_caps(self.limits.caps, profile.contacts, *about)]
        own = [each for each in profile.contacts if each.rule_id == self.rule.id]
        told += [f"Rule: {each}" for each in told_caps(spec.limits.caps, own, *about)]
        return " ".join(told)

    def _template(self, gate: Gate) -> str | None:
        if gate.open or self.moment.event is not None:
            return None
        return f"{gate.detail} The trigger has not happened, so nothing is known of its event."
