"""A webhook step when its turn comes: the request that it promises, complete but for its signature."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.domain.consent import lacking
from backend.domain.enrolment import Enrolment
from backend.domain.profile import Profile
from backend.domain.rule.compiled import CallOutOp
from backend.domain.rule.model import Rule
from backend.domain.rule.read_webhook import is_header_text
from backend.domain.site import Site
from backend.domain.template import MissingValue, Template, TemplateError, render
from backend.domain.template.context import plain
from backend.domain.web_address import parse_web_address
from backend.domain.webhook import GIVE_UP, LONGEST_BODY, Webhook, webhook_id


class NotAgreed(ValueError):
    """Nobody may be told of them."""


def why_not_called(error: ValueError) -> str:
    """The reason that is noted for what `promised` raised."""
    if isinstance(error, NotAgreed):
        return "no_consent"
    return "missing_value" if isinstance(error, MissingValue) else "not_callable"


def promised(
    enrolment: Enrolment,
    rule: Rule,
    op: CallOutOp,
    profile: Profile,
    context: Mapping[str, Any],
    *,
    site: Site,
    at: datetime,
    now: datetime,
) -> Webhook:
    """The webhook of this step at the moment `at`, dated by `now`; a ValueError says why it cannot be called.

    It carries elsewhere what is known of somebody, as a mail does: so a promotional rule asks for the same consent.
    """
    missing = call_out_lacks(site, rule.spec.category, profile)
    if missing is not None:
        raise NotAgreed(f"They have not agreed to {missing}.")
    address = parse_web_address(render(op.url, context))
    headers = {name: render(template, context) for name, template in op.headers.items()}
    for name, text in headers.items():
        if not is_header_text(text):
            raise TemplateError(f"{name}: a header is one line of ASCII.")
    body = _told(enrolment, rule, op.name, profile, context, at) if op.body is None else _filled(op.body, context)
    size = len(json.dumps(body, allow_nan=False))
    if size > LONGEST_BODY:
        raise TemplateError(f"The body of a webhook has at most {LONGEST_BODY // 1024} kB.")
    return Webhook(
        id=webhook_id(enrolment.visitor_id, enrolment.id, op.name),
        site_id=enrolment.site_id,
        visitor_id=enrolment.visitor_id,
        rule_id=enrolment.rule_id,
        enrolment_id=enrolment.id,
        step=op.name,
        method=op.method,
        url=str(address),
        target=address.target,
        headers=headers,
        body=body,
        created_at=now,
        expires_at=now + GIVE_UP,
        due_at=now,
    )


def call_out_lacks(site: Site, category: object, profile: Profile) -> str | None:
    """The consent for want of which a rule of this category must not tell another system of them; None: none."""
    return None if category == "transactional" else lacking(site.policy.consent, profile.consents, on_site=False)


def _filled(value: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(value, Template):
        return render(value, context)
    if isinstance(value, Mapping):
        return {key: _filled(each, context) for key, each in value.items()}
    return [_filled(each, context) for each in value] if isinstance(value, list) else value


def _told(
    enrolment: Enrolment, rule: Rule, step: str, profile: Profile, context: Mapping[str, Any], at: datetime
) -> dict[str, Any]:
    """What is sent where the step says nothing else: who, what led to it, and where in which rule."""
    told = context.get("event", {})
    return {
        "rule": {"id": rule.id, "name": rule.spec.name, "version": rule.version},
        "step": step,
        "enrolment_id": enrolment.id,
        "visitor": {
            "id": profile.id,
            "user_id": profile.user_id,
            "anonymous_id": enrolment.trigger.anonymous_id,
            "traits": plain(profile.traits),
        },
        "event": {name: each for name, each in told.items() if name != "name"},
        "at": plain(at),
    }
