"""The verb `decide`: the gates between an enrolment and its message, asked in order; each can only hold back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend.domain.condition import Moment
from backend.domain.event import Event
from backend.domain.profile import Profile
from backend.domain.reach import Reach, reach
from backend.domain.rule import CompiledRule, Variant
from backend.domain.site import Site
from backend.domain.template import MissingValue, TemplateError, render_content, template_context
from backend.domain.variant import assign


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's verdict; `reason` is the outcome code where it is closed, `detail` the values that it read."""

    name: str
    open: bool
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Saying:
    """What passes all gates: the wording, the way, and the rendered content."""

    variant: Variant
    reach: Reach
    content: Mapping[str, Any]


def decide(site: Site, rule: CompiledRule | None, moment: Moment, trigger: Event | None) -> Saying | Gate:
    """What is to be said at this moment, or the first gate that is closed."""
    last: Saying | Gate = Gate("rule", False, "rule_paused", "The rule is gone.")
    for step in gates(site, rule, moment, trigger):
        last = step
        if isinstance(step, Gate) and not step.open:
            return step
    return last


def gates(site: Site, rule: CompiledRule | None, moment: Moment, trigger: Event | None) -> Iterator[Gate | Saying]:
    """Each gate's verdict, in order; at the end, where all could be asked and are open, what is to be said."""
    if rule is None or rule.rule.status != "active":
        status = "gone" if rule is None else rule.rule.status
        yield Gate("rule", False, "rule_paused", f"The rule is {status}.")
        if rule is None:
            return
    else:
        yield Gate("rule", True, None, "The rule is active.")
    matching = rule.audience(moment)
    yield Gate("audience", matching, None if matching else "not_matching")
    message = rule.message
    profile = moment.profile
    variant = assign(rule.id, profile.person or profile.id, message.variants, message.holdout)
    if variant is None:
        yield Gate("holdout", False, "holdout", f"One of the {message.holdout:g} % who get nothing, for comparison.")
        return
    yield Gate("holdout", True, None, f"Not held out; variant {variant.name}.")
    way = reach(profile, message.channels, site.policy)
    if isinstance(way, str):
        yield Gate("channel", False, way, "None of " + ", ".join(message.channels) + " leads to this visitor.")
        return
    yield Gate("channel", True, None, f"{way.channel} leads to this visitor.")
    saying = _rendered(site, rule, profile, trigger, variant, way)
    if isinstance(saying, Gate):
        yield saying
        return
    yield Gate("template", True, None, "Every name has a value.")
    yield saying


def _rendered(
    site: Site, rule: CompiledRule, profile: Profile, trigger: Event | None, variant: Variant, way: Reach
) -> Saying | Gate:
    templates = rule.templates[variant.name]
    context = {} if templates.constant else template_context(profile, trigger, site.name, site.currency)
    try:
        return Saying(variant, way, render_content(templates, context))
    except MissingValue as missing:
        return Gate("template", False, "missing_value", str(missing))
    except TemplateError as error:
        return Gate("template", False, "missing_value", str(error))
