"""The step `write_down`: a rule as somebody wrote it is read, before it is kept, checked or shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.domain.event import Event
from backend.domain.fact import Standards, facts_of
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.profile import Profile
from backend.domain.rule import Rule, RuleSpec, parse_rule
from backend.domain.site import Site
from backend.domain.template import TemplateError, parse_content, render_content, template_context
from backend.pipeline.check import Warned, circles, doubts
from backend.pipeline.targets import refuse_targets
from backend.runtime import Runtime
from backend.storage import events, intervals, visitors
from backend.storage.segments import known

STATUSES = ("draft", "active", "paused", "archived")
ENROLLED = ("keep", "move")


def read_rule(rt: Runtime, site: Site, body: Mapping[str, Any]) -> tuple[RuleSpec, dict[str, Any]]:
    """The rule, and apart from it what only says where it stands; `RuleErrors` with the path of each mistake."""
    mistakes: dict[str, Any] = {}
    if body.get("status", "draft") not in STATUSES:
        mistakes["status"] = [f"Must be one of {', '.join(STATUSES)}."]
    if type(body.get("version", 1)) is not int:
        mistakes["version"] = ["Must be a whole number."]
    if body.get("enrolled", "keep") not in ENROLLED:
        mistakes["enrolled"] = [
            "Expected keep (who is in the rule goes on by their version) or move (with the new one)."
        ]
    try:
        with rt.db.read() as connection:
            segments = known(connection, site.id)
        spec = parse_rule(dict(body), segments=segments, stages=site.funnel.names)
        refused = Mistakes()
        refuse_targets(spec.document.get("steps"), rt.settings.allow_private, refused)
        mistakes.update(refused.errors)
    except RuleErrors as error:
        mistakes.update(error.errors)
    if mistakes:
        raise RuleErrors(mistakes)
    return spec, {name: body[name] for name in ("status", "version", "enrolled") if name in body}


def warnings_of(rt: Runtime, site: Site, spec: RuleSpec, rule_id: str, status: Any) -> Sequence[Warned]:
    """What speaks against a rule, though it is no mistake; `RuleErrors` for an active one in an endless circle."""
    rule = Rule(id=rule_id, site_id=site.id, spec=spec, status=status)
    with rt.db.read() as connection:
        return [*circles(connection, site, rule), *doubts(connection, site, spec)]


def preview(
    rt: Runtime, site: Site, content: Mapping[str, Any], profile: Profile, trigger: str | None, *, mail: bool
) -> Mapping[str, Any]:
    """What this content would say to this visitor now, after the latest event of the trigger's name.

    `TemplateError` tells why it would say nothing.
    """
    templates = parse_content(content, mail=mail)
    if templates.constant:
        return render_content(templates, {})
    with rt.db.read() as connection:
        event = _latest(connection, profile, trigger)
        standards = Standards.of(site.policy, intervals.of_site(connection, site.id))
    facts = facts_of(profile, rt.clock(), standards, None)
    return render_content(templates, template_context(profile, event, site.name, site.currency, facts))


def _latest(connection: Any, profile: Profile, name: str | None) -> Event | None:
    if not name:
        return None
    found = events.history(connection, visitors.members_of(profile), [name])
    return max((event for _, event in found), key=lambda each: each.moment, default=None)


__all__ = ["ENROLLED", "STATUSES", "TemplateError", "preview", "read_rule", "warnings_of"]
