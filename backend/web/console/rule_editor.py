"""The editor of a rule: a form and the JSON beside it, checked as one writes, with a preview for a chosen visitor."""

from collections.abc import Mapping
from typing import Any

from flask import jsonify, request
from werkzeug.wrappers import Response

from backend.domain.message import CHANNELS
from backend.domain.mistakes import RuleErrors
from backend.domain.site import Site
from backend.errors import Invalid
from backend.pipeline import edit
from backend.pipeline.write_down import TemplateError, preview, read_rule, warnings_of
from backend.storage import visitor_lists
from backend.web.auth import principal
from backend.web.console.condition_names import names_of
from backend.web.console.phrases import called, sentences
from backend.web.console.rules import meant, rule_of
from backend.web.console.site_pages import Answer, address, page, show
from backend.web.console.visitors import visitor_of
from backend.web.console.written import kept, object_of, version_of
from backend.web.context import runtime

LONGEST = 200_000
PEOPLE = 12
BEGINNING: Mapping[str, Any] = {
    "name": "",
    "trigger": {"event": "Product Added"},
    "audience": {"all": [{"not": {"performed": "Order Completed", "within": "1d"}}]},
    "delay": "30m",
    "message": {
        "channels": ["popup"],
        "variants": [
            {
                "name": "A",
                "content": {
                    "title": "Still yours, {{ first_name | default: 'friend' }}",
                    "body": "Shall we keep it for you?",
                    "button": {"text": "Finish", "url": "/cart"},
                },
            }
        ],
    },
    "goal": {"event": "Order Completed", "within": "3d"},
}


@page("/rules/new", right="rules")
def rule_new(*, site: Site) -> Answer:
    """A rule that is yet to be written."""
    return _editor(site, BEGINNING, None)


@page("/rules/<rule_id>/edit", right="rules")
def rule_edit(rule_id: str, *, site: Site) -> Answer:
    """A rule that is to be changed."""
    stored = rule_of(site, rule_id)
    return _editor(site, stored.document, stored)


def _editor(site: Site, document: Mapping[str, Any], stored: Any) -> str:
    names = names_of(site, events=True)
    with runtime().db.read() as connection:
        lately = visitor_lists.find(connection, site.id, limit=PEOPLE)
    lately = sorted(lately, key=lambda each: each.user_id is None)  # whose name fills a text in come first
    told = {
        **names.told,
        "rule": document,
        "version": stored.version if stored is not None else None,
        "save": address("rule_save"),
        "check": address("rule_check"),
        "preview": address("rule_preview"),
        "id": stored.id if stored is not None else None,
        "channels": list(CHANNELS),
    }
    return show(
        "rules",
        "rule_edit",
        told=told,
        stored=stored,
        names=names,
        people=[(each.user_id or each.id, called(each)) for each in lately],
    )


@page("/rules/check", right="rules", methods=("POST",))
def rule_check(*, site: Site) -> Response:
    """What is wrong with a rule as it is written, each with its path; and what is no mistake, and hardly meant."""
    try:
        body = _body()
        spec, envelope = read_rule(runtime(), site, body)
        status = envelope.get("status", "draft")
        found = warnings_of(runtime(), site, spec, request.form.get("id", ""), status)
    except RuleErrors as error:
        return jsonify({"mistakes": sentences(error.errors), "warnings": []})
    return jsonify({"mistakes": [], "warnings": [(each.path, each.message) for each in found]})


@page("/rules/preview", right="rules", methods=("POST",))
def rule_preview(*, site: Site) -> Response:
    """What each variant would say to a visitor now."""
    body, rt = _body(), runtime()
    found = meant(site, request.form.get("visitor", "").strip()[:320])
    if found is None:
        return jsonify({"visitor": None, "said": []})
    profile = visitor_of(site, found)
    message, trigger = _mapping(body.get("message")), _mapping(body.get("trigger")).get("event")
    channels = message.get("channels")
    mail = isinstance(channels, list) and "email" in channels
    said: list[dict[str, Any]] = []
    variants = message.get("variants")
    for each in variants[:20] if isinstance(variants, list) else ():
        content = _mapping(_mapping(each).get("content"))
        texts = {name: value for name, value in content.items() if name not in ("html", "answers")}
        try:
            name = trigger if isinstance(trigger, str) else None
            said.append({"content": preview(rt, site, texts, profile, name, mail=mail)})
        except (TemplateError, TypeError, AttributeError, KeyError) as error:
            why = str(error) if isinstance(error, TemplateError) else "It cannot be read yet."
            said.append({"mistake": why})
    return jsonify({"visitor": called(profile), "said": said})


@page("/rules/save", right="rules", methods=("POST",))
def rule_save(*, site: Site) -> Response:
    """Keeps a rule: a new one as a draft, another one as its next version."""
    rt, rule_id = runtime(), request.form.get("id", "")

    def keep() -> str:
        spec, _ = read_rule(rt, site, _body())
        if rule_id:
            done = edit.replace(
                rt,
                site,
                rule_id,
                spec,
                status=None,
                enrolled="move" if request.form.get("enrolled") == "move" else "keep",
                expected=version_of(request.form.get("version", "")),
                author=principal().name,
            )
        else:
            done = edit.create(rt, site, spec, "draft", principal().name)
        return address("rule", done.stored.id, done="saved")

    return kept(keep)


def _body() -> dict[str, Any]:
    text = request.form.get("rule", "")
    if len(text) > LONGEST:
        raise Invalid("The rule is too long.", {"": ["The rule is too long."]})
    told = object_of(text, "rule")
    return {name: value for name, value in told.items() if name not in ("status", "version", "enrolled")}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
