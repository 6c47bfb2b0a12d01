"""The pages of rules: all of them with their numbers, one with its report, why it spoke or not, and its versions."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from flask import request

from backend.domain.calendar import day_of, zone_of
from backend.domain.mistakes import RuleErrors
from backend.domain.rule import parse_rule
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline import edit
from backend.pipeline.explain import explain
from backend.pipeline.report import report_on_rule, report_on_site
from backend.storage import rule_versions, rules, visitor_lists, visitors
from backend.storage.rules import StoredRule
from backend.web.auth import principal
from backend.web.console.charts import NARROW, by_day, whisker
from backend.web.console.phrases import sentences
from backend.web.console.site_pages import Answer, address, fragment, page, redirected, show
from backend.web.console.visitors import visitor_of
from backend.web.console.written import version_of
from backend.web.context import runtime

MOST = 500
STATES = ("active", "draft", "paused", "archived")
DRAWN = ("sent", "clicked", "converted")
SPANS = {"7": 7, "30": 30, "90": 90}
VERSIONS = 50


@page("/rules", name="rules")
def all_rules(*, site: Site) -> Answer:
    """Every rule with its state and what came of it."""
    asked = request.args.get("status", "")
    with runtime().db.read() as connection:
        found = rules.list_rules(connection, site.id, limit=MOST)
    told = report_on_site(runtime(), site, None, None)
    numbers = {each["rule_id"]: each for each in told["rules"]}
    counts = {state: sum(1 for each in found if each.status == state) for state in STATES}
    chosen = asked if asked in STATES else ""
    shown = [each for each in found if (each.status == chosen if chosen else each.status != "archived")]
    return show(
        "rules",
        "rules",
        rules=sorted(shown, key=lambda each: (STATES.index(each.status), -each.updated_at.timestamp())),
        numbers=numbers,
        counts=counts,
        chosen=chosen,
        any=bool(found),
    )


@page("/rules/<rule_id>")
def rule(rule_id: str, *, site: Site) -> Answer:
    """One rule: its state, its report, and for a visitor why it would speak or not."""
    stored = rule_of(site, rule_id)
    return show("rules", "rule", **_whole(site, stored))


def _whole(site: Site, stored: StoredRule) -> dict[str, Any]:
    span = SPANS.get(request.args.get("days", ""), 30)
    today = day_of(runtime().clock(), zone_of(site.timezone))
    since = today - timedelta(days=span - 1)
    told = report_on_rule(runtime(), site, stored.id, since, today)
    with runtime().db.read() as connection:
        versions = rule_versions.list_versions(connection, site.id, stored.id, limit=VERSIONS, before=None)
    numbers: dict[date, Mapping[str, int]] = {each["day"]: each for each in told["days"]}
    days = [(day, numbers.get(day, {})) for day in (since + timedelta(days=n) for n in range(span))]
    return {
        "rule": stored,
        "told": told,
        "span": span,
        "spans": SPANS.values(),
        "chart": by_day(days, DRAWN),
        "narrow_chart": by_day(days, DRAWN, NARROW),
        "lifts": [(each, whisker(each["difference_interval"], each["difference"])) for each in told["lift"]],
        "versions": versions,
        "sketch": sketch(stored.document),
        "asked": request.args.get("visitor", "").strip()[:320],
    }


@page("/rules/<rule_id>/state", right="rules", methods=("POST",))
def rule_state(rule_id: str, *, site: Site) -> Answer:
    """Switches a rule on or off."""
    rt, wanted = runtime(), request.form.get("status", "")
    stored = rule_of(site, rule_id)
    if wanted == "active":
        try:
            edit.activate(rt, site, stored.id)
        except RuleErrors as error:
            return show("rules", "rule", **_whole(site, stored), mistakes=sentences(error.errors))
        done = "activated"
    elif wanted in ("paused", "archived"):
        with rt.db.begin() as connection:
            edit.present(rules.set_status(connection, site.id, stored.id, wanted, now=rt.clock()))  # type: ignore[arg-type]
        done = wanted
    else:
        return redirected(address("rule", stored.id))
    if request.form.get("from") == "list":
        return redirected(address("rules", done=done))
    return redirected(address("rule", stored.id, done=done))


@page("/rules/<rule_id>/restore", right="rules", methods=("POST",))
def rule_restore(rule_id: str, *, site: Site) -> Answer:
    """Makes what a rule said before its next version."""
    stored, told = rule_of(site, rule_id), request.form.get("version", "")
    kept = None
    if (version := version_of(told)) is not None:
        with runtime().db.read() as connection:
            kept = rule_versions.get_version(connection, site.id, stored.id, version)
    if kept is None:
        raise NotFound("The rule has no such version.")
    spec = parse_rule(dict(kept.document), stored=True)
    edit.replace(runtime(), site, stored.id, spec, status=None, enrolled="keep", expected=None, author=principal().name)
    return redirected(address("rule", stored.id, done="restored"))


@page("/rules/<rule_id>/why")
def rule_why(rule_id: str, *, site: Site) -> Answer:
    """Every gate of a rule for one visitor, by id, address, user id or anonymous id."""
    stored, asked = rule_of(site, rule_id), request.args.get("visitor", "").strip()[:320]
    found = meant(site, asked)
    if found is None:
        return fragment("_nobody", asked=asked)
    try:
        told = explain(runtime(), site, stored.rule(), visitor_of(site, found))
    except RuleErrors as error:
        return fragment("_mistakes", mistakes=sentences(error.errors))
    return fragment("_gates", told=told)


def meant(site: Site, asked: str) -> str | None:
    """The id of the visitor who is meant; None where there is none."""
    if not asked:
        return None
    with runtime().db.read() as connection:
        own = visitors.load_profile(connection, asked)
        if own is not None:
            return own.id if own.site_id == site.id else None
        if "@" in asked:
            found = visitor_lists.find(connection, site.id, email=asked, limit=1)
        else:
            found = visitor_lists.find(connection, site.id, user_id=asked, limit=1)
        found = found or visitor_lists.find(connection, site.id, anonymous_id=asked, limit=1)
    return found[0].id if found else None


def rule_of(site: Site, rule_id: str) -> StoredRule:
    """The site's rule with this id; NotFound where there is none."""
    with runtime().db.read() as connection:
        return edit.present(rules.get_rule(connection, site.id, rule_id))


def sketch(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a rule says, in a few lines."""
    told: list[tuple[str, str]] = []
    trigger = document.get("trigger")
    if isinstance(trigger, Mapping):
        kind = next((each for each in ("event", "stage", "segment", "trait") if each in trigger), None)
        names = {"event": "When", "stage": "On entering the stage", "segment": "On entering the segment"}
        told.append((names.get(kind or "", "When"), str(trigger.get(kind)) if kind else _first(trigger)))
    if document.get("broadcast"):
        told.append(("To", "everybody who fits, at once"))
    if document.get("delay"):
        told.append(("Then wait", _plain(document["delay"])))
    message = document.get("message")
    if isinstance(message, Mapping):
        told.append(("Say by", ", ".join(map(str, message.get("channels", ())))))
        told.append(("Variants", ", ".join(str(each.get("name")) for each in message.get("variants", ()))))
        if message.get("holdout"):
            told.append(("Hold out", f"{message['holdout']} %"))
    if document.get("steps"):
        told.append(("Steps", str(len(document["steps"]))))
    goal = document.get("goal")
    if isinstance(goal, Mapping):
        told.append(("Goal", f"{goal.get('event')} within {_plain(goal.get('within'))}"))
    reentry = document.get("reentry")
    if isinstance(reentry, Mapping):
        told.append(("Re-entry", str(reentry.get("policy"))))
    return told


def _first(trigger: Mapping[str, Any]) -> str:
    return ", ".join(str(each).replace("_", " ") for each in trigger)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else "as the rule says"
