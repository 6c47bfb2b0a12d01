"""The page of a site's policy: how much may be said and when, consent, and how long things are kept; JSON beside it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import request

from backend.domain.calendar.read import THENS, WEEKDAYS
from backend.domain.consent import CATEGORIES
from backend.domain.message import CHANNELS
from backend.domain.rule.limits import MOST_CAPS, PERS
from backend.domain.site import Site
from backend.schemas.site import SitePatch, site_view
from backend.web.console.forms import KEPT, Form, or_none, saved, typed
from backend.web.console.hours_form import DAYS
from backend.web.console.site_pages import Answer, address, page, redirected, show

AT = "policy"
SPANS = ("max_event_age", "dismiss_backoff", "access_log_kept")
ASKED = {"store": "Before anything is stored", "show": "Before a message is shown", "mail": "Before a mail is sent"}
PLACES = {
    **{f"{AT}.{name}": name for name in (*SPANS, "holdout", "phone_region", "hide_query", "retention")},
    **{f"{AT}.consent.{name}": f"consent-{name}" for name in ASKED},
    f"{AT}.quiet_hours.from": "quiet-from",
    f"{AT}.quiet_hours.to": "quiet-to",
    f"{AT}.quiet_hours.weekdays": "quiet-days",
    f"{AT}.quiet_hours.holidays": "quiet-holidays",
    f"{AT}.quiet_hours.channels": "quiet-channels",
    f"{AT}.quiet_hours": "quiet-from",
    f"{AT}.caps": "cap-0-count",
    **{
        f"{AT}.caps.{row}.{name}": f"cap-{row}-{field}"
        for row in range(MOST_CAPS)
        for name, field in (("count", "count"), ("within", "window"), ("per", "window"), ("channels", "channels"))
    },
    **{f"{AT}.caps.{row}": f"cap-{row}-window" for row in range(MOST_CAPS)},
}


@page("/settings/policy")
def policy(*, site: Site) -> Answer:
    """What the site allows."""
    return policy_page(site)


def policy_page(site: Site, form: Form = KEPT, text: str | None = None, mistakes: Sequence[Any] = ()) -> str:
    """The page, with what was typed as JSON and what is wrong with it."""
    view: dict[str, Any] = SitePatch().dump(site_view(site))["policy"]
    return show(
        "settings",
        "policy",
        form=form,
        view=view,
        caps=_rows(view["caps"], form),
        quiet=view["quiet_hours"] or {},
        days=DAYS,
        channels=CHANNELS,
        categories=[("", "nothing is asked"), *((each, each) for each in CATEGORIES)],
        asked=ASKED,
        retention="\n".join(f"{name} {span}" for name, span in view["retention"].items()),
        text=json.dumps(view, ensure_ascii=False, indent=2) if text is None else text,
        mistakes=mistakes,
    )


@page("/settings/policy", right="administer", methods=("POST",), name="change_policy")
def change_policy(*, site: Site) -> Answer:
    """Changes what the form tells of, and leaves the rest of the policy."""
    body: dict[str, Any] = {name: typed(name) for name in SPANS}
    body["holdout"] = _number(typed("holdout") or "0")
    body["phone_region"] = or_none("phone_region")
    body["hide_query"] = typed("hide_query").replace(",", " ").split()
    kept = (each.strip().rpartition(" ") for each in _lines("retention"))
    body["retention"] = {name.strip(): span for name, _, span in kept}
    body["consent"] = {name: or_none(f"consent-{name}") for name in ASKED}
    body["caps"], body["quiet_hours"] = _caps(), _quiet(site.policy.quiet_hours)
    form = saved(site, {"policy": body}, PLACES)
    return redirected(address("policy", done="saved")) if form.fine else policy_page(site, form)


def _caps() -> list[dict[str, Any]]:
    """The caps of the form; the channels and category of each as they stand there."""
    found: list[dict[str, Any]] = []
    for row in range(MOST_CAPS):
        count, window = typed(f"cap-{row}-count"), typed(f"cap-{row}-window")
        if not count and not window:
            continue
        cap: dict[str, Any] = {"count": int(count) if count.isascii() and count.isdecimal() else count}
        cap["per" if window in PERS else "within"] = window
        if channels := typed(f"cap-{row}-channels").replace(",", " ").split():
            cap["channels"] = channels
        if category := typed(f"cap-{row}-category"):
            cap["category"] = category
        found.append(cap)
    return found


def _rows(kept: Sequence[Mapping[str, Any]], form: Form) -> list[dict[str, str]]:
    """The caps as rows of the form, and an empty one."""
    if form.again:
        told = _caps()
    else:
        told = [dict(each) for each in kept]
    rows = [
        {
            "count": str(each.get("count", "")),
            "window": str(each.get("within") or each.get("per") or ""),
            "channels": ", ".join(map(str, each.get("channels") or ())),
            "category": str(each.get("category") or ""),
        }
        for each in told
    ]
    return [*rows, {"count": "", "window": "", "channels": "", "category": ""}][:MOST_CAPS]


def _quiet(kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The quiet hours of the form; None where there are none."""
    if typed("quiet") != "on":
        return None
    then = typed("quiet-then")
    told = {
        **(kept or {}),
        "from": or_none("quiet-from"),
        "to": or_none("quiet-to"),
        "weekdays": [each for each in WEEKDAYS if each in request.form.getlist("quiet-days")] or None,
        "holidays": typed("quiet-holidays").replace(",", " ").split() or None,
        "channels": typed("quiet-channels").replace(",", " ").split() or None,
        "then": then if then in THENS else THENS[0],
    }
    return {name: each for name, each in told.items() if each is not None}


def _lines(name: str) -> list[str]:
    return [each for each in typed(name).splitlines() if each.strip()]


def _number(text: str) -> Any:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text
