"""The verb `decide`: the gates between an enrolment and its message, asked in order; each can only hold back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from backend.domain.attention import GLOBALLY_HELD_OUT, HELD_OUT, said
from backend.domain.budget import over_cap, refused, waved_away
from backend.domain.calendar import QuietHours, SendWindow, open_from, zone_of
from backend.domain.condition import Moment
from backend.domain.consent import NOTHING_ASKED, lacking
from backend.domain.event import Event
from backend.domain.exposure import Exposure, find
from backend.domain.fact import facts_of
from backend.domain.message import ON_SITE
from backend.domain.profile import Profile
from backend.domain.reach import Reach, reach
from backend.domain.rule import CompiledRule, Variant
from backend.domain.rule.compiled import SayOp
from backend.domain.rule.limits import SiteLimits
from backend.domain.shelf import Shelf
from backend.domain.site import Site
from backend.domain.template import MissingValue, TemplateError, render_content, template_context
from backend.domain.variant import assign, is_held_out
from backend.domain.winner import Winners

NO_OPERATOR = "no_operator"
"""Why a message that requires an operator was not sent."""


class Gate(NamedTuple):
    """One gate's verdict; a tuple, since each decision makes several.

    `reason` is the outcome code where it is closed, `detail` the values that it read. `until` is when to ask again,
    where it is closed only for a time; `by` the rules that spoke before.
    """

    name: str
    open: bool
    reason: str | None = None
    detail: str | None = None
    until: datetime | None = None
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saying:
    """What passes all gates: the wording, the way, and the rendered content."""

    variant: Variant
    reach: Reach
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What would have been said, had this person not been left out for comparison, as `variant` tells: by whom."""

    variant: str
    channel: str
    gate: Gate


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What holds for all rules of a site: its limits, the variants that have won, and the products at hand.

    `spoken` is when the message would leave, where that is later than the moment that is asked about.
    """

    site: Site
    limits: SiteLimits
    winners: Winners
    spoken: datetime | None = None
    shelf: Shelf = field(default_factory=lambda: Shelf(complete=True))


def decide(
    setting: Setting, rule: CompiledRule | None, op: SayOp | None, moment: Moment, trigger: Event | None
) -> Saying | HeldOut | Gate:
    """What is to be said at this moment, or would be but for the holdout, or the first gate that is closed."""
    last: Saying | HeldOut | Gate = Gate("rule", False, "rule_paused", "The rule is gone.")
    for step in gates(setting, rule, op, moment, trigger):
        last = step
        if isinstance(step, Gate) and not step.open and step.name != "holdout":
            return step
    return last


def gates(
    setting: Setting, rule: CompiledRule | None, op: SayOp | None, moment: Moment, trigger: Event | None
) -> Iterator[Gate | Saying | HeldOut]:
    """Each gate's verdict, in order; at the end, where all could be asked and are open, what is to be said.

    The holdout comes last: those held out are exactly those who would have been told, so they can be compared.
    """
    if rule is None or rule.rule.status != "active":
        status = "gone" if rule is None else rule.rule.status
        yield Gate("rule", False, "rule_paused", f"The rule is {status}.")
        if rule is None or op is None:
            return
    elif op is None:
        return
    else:
        yield Gate("rule", True, None, "The rule is active.")
    if asks_audience(rule, op.name):
        matching = rule.audience(moment)
        yield Gate("audience", matching, None if matching else "not_matching")
    site, profile = setting.site, moment.profile
    way = reach(profile, op.message.channels, site.policy)
    if isinstance(way, str):
        yield Gate("channel", False, way, "None of " + ", ".join(op.message.channels) + " leads to this visitor.")
        return
    yield Gate("channel", True, None, f"{way.channel} leads to this visitor.")
    if site.policy.consent is not NOTHING_ASKED and rule.rule.spec.category != "transactional":
        yield _consent_gate(site, profile, way.channel)
    if op.message.requires_operator:
        yield _operator_gate(moment)
    at = setting.spoken or moment.at
    yield from _time_gates(site, setting.limits, rule, profile, way.channel, at)
    known = find(profile.exposures, rule.id, op.name)
    variant, why = variant_for(setting.winners, rule, op, profile, known, moment.at)
    saying = _rendered(setting, op, moment, trigger, variant, way)
    if isinstance(saying, Gate):
        yield saying
        return
    yield Gate("template", True, None, "Every name has a value.")
    held_out = held_out_by(setting.limits, rule, op, profile, known)
    if held_out is None:
        yield Gate("holdout", True, None, f"Not held out; {why}.")
        yield saying
        return
    share = setting.limits.holdout if held_out == GLOBALLY_HELD_OUT else op.message.holdout
    of = "this site's visitors" if held_out == GLOBALLY_HELD_OUT else "those"
    told = f"One of the {share:g} % of {of} who get nothing, for comparison."
    gate = Gate("holdout", False, "holdout", told)
    yield gate
    yield HeldOut(held_out, way.channel, gate)


def _consent_gate(site: Site, profile: Profile, channel: str) -> Gate:
    missing = lacking(site.policy.consent, profile.consents, on_site=channel in ON_SITE)
    if missing is not None:
        return Gate("consent", False, "no_consent", f"They have not agreed to {missing}.")
    return Gate("consent", True, None, "What the site asks for is agreed to.")


def _operator_gate(moment: Moment) -> Gate:
    if moment.operator_online:
        return Gate("operator", True, None, "Somebody is there to answer.")
    return Gate("operator", False, NO_OPERATOR, "Nobody is there to answer, and the message requires an operator.")


def variant_for(
    winners: Winners, rule: CompiledRule, op: SayOp, profile: Profile, known: Exposure | None, at: datetime
) -> tuple[Variant, str]:
    """The wording for this person, and why: the one that they had, the one that has won, or what chance dealt out."""
    variants = op.message.variants
    kept = next((each for each in variants if known and each.name == known.variant and each.weight > 0), None)
    if kept is not None:
        return kept, f"variant {kept.name}, as before"
    won = winners.get((rule.id, op.name, op.test)) if op.test else None
    if won is not None and won.since <= at:
        winner = next((each for each in variants if each.name == won.variant), None)
        if winner is not None:
            return winner, f"variant {winner.name}, which has won: {won.sentence}"
    dealt = assign(rule.id, dealt_to(profile, known), variants)
    assert dealt is not None
    return dealt, f"variant {dealt.name}"


def dealt_to(profile: Profile, known: Exposure | None) -> str:
    """The name for which chance deals: the person's, or that under which they were first dealt something here."""
    return (known.person if known is not None else "") or profile.person or profile.id


def asks_audience(rule: CompiledRule, step: str) -> bool:
    """Whether the audience is asked again at this step: in a rule of one message, and where a journey says so."""
    return step == "" or rule.rule.spec.exit.not_matching


def held_out_by(
    limits: SiteLimits, rule: CompiledRule, op: SayOp, profile: Profile, known: Exposure | None
) -> str | None:
    """Why this person gets nothing, for comparison; None where they get something.

    Transactional messages always go, unless their own rule holds somebody out.
    """
    promotional = rule.rule.spec.category != "transactional"
    if promotional and limits.holdout and is_held_out("site", profile.person or profile.id, limits.holdout):
        return GLOBALLY_HELD_OUT
    return HELD_OUT if is_held_out(rule.id, dealt_to(profile, known), op.message.holdout) else None


def held_back(
    site: Site, limits: SiteLimits, rule: CompiledRule, profile: Profile, channel: str, at: datetime
) -> Gate | None:
    """The first limit on time and number that holds this channel back now; None where none does."""
    return next((gate for gate in _time_gates(site, limits, rule, profile, channel, at) if not gate.open), None)


def _time_gates(
    site: Site, limits: SiteLimits, rule: CompiledRule, profile: Profile, channel: str, at: datetime
) -> Iterator[Gate]:
    own, spec = rule.rule.spec.limits, rule.rule.spec
    transactional = spec.category == "transactional"
    quiet = None if own.quiet_off else own.quiet or (None if transactional else limits.quiet)
    if quiet is None and not own.windows and not own.caps and not limits.caps and not profile.contacts:
        return
    zone = zone_of(profile.device.timezone, site.timezone)
    if (quiet is not None and _concerns(quiet, channel)) or own.windows:
        yield _quiet_gate(quiet if quiet is not None and _concerns(quiet, channel) else None, own.windows, at, zone)
    if transactional:
        return
    held = refused(profile.contacts, channel)
    if held is None and not own.ignore_caps:
        held = waved_away(profile.contacts, channel, at, limits.dismiss_backoff) or over_cap(
            limits.caps, profile.contacts, profile, channel, spec.category, at, zone
        )
    if held is None and own.caps:
        mine = [contact for contact in profile.contacts if contact.rule_id == rule.id]
        held = over_cap(own.caps, mine, profile, channel, spec.category, at, zone)
    if held is not None:
        yield Gate("caps", False, held.reason, held.detail, held.until, held.by)
    else:
        yield Gate("caps", True, None, f"Messages so far: {len(said(profile.contacts))}; no cap is reached.")


def _concerns(quiet: QuietHours, channel: str) -> bool:
    """Whether the hours hold for this channel: unless told otherwise, for all that reach people who are elsewhere."""
    return channel in quiet.channels if quiet.channels else channel not in ON_SITE


def _quiet_gate(quiet: QuietHours | None, windows: tuple[SendWindow, ...], at: datetime, zone: tzinfo) -> Gate:
    until = open_from(quiet, windows, at, zone)
    local = at.astimezone(zone).strftime("%H:%M on %A")
    if until is None:
        return Gate("quiet_hours", True, None, f"It is {local} there.")
    told = f"It is {local} there; next at {until.astimezone(zone).strftime('%Y-%m-%d %H:%M')}."
    return Gate(
        "quiet_hours", False, "quiet_hours", told, None if quiet is not None and quiet.then == "abort" else until
    )


def _rendered(
    setting: Setting,
    op: SayOp,
    moment: Moment,
    trigger: Event | None,
    variant: Variant,
    way: Reach,
) -> Saying | Gate:
    templates, site = op.templates[variant.name], setting.site
    context: Mapping[str, Any] = {}
    if not templates.constant:
        facts = facts_of(moment.profile, moment.at, moment.standards, moment.history, op.facts)
        context = template_context(
            moment.profile, trigger, site.name, site.currency, facts, shelf=setting.shelf, asked=op.product
        )
    try:
        return Saying(variant, way, render_content(templates, context))
    except MissingValue as missing:
        return Gate("template", False, "missing_value", str(missing))
    except TemplateError as error:
        return Gate("template", False, "missing_value", str(error))
