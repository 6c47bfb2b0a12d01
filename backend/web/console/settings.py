"""The first page of a site's settings: the snippet and whether it reports, zone, money, origins, keys, capture."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import request
from marshmallow import ValidationError

from backend.domain.calendar import known_zones
from backend.domain.mistakes import RuleErrors
from backend.domain.site import Site
from backend.errors import ChimeinError, NotFound
from backend.pipeline.settle import settle
from backend.pipeline.watch import watch
from backend.schemas.site import SitePatch, site_view
from backend.storage import visitor_lists
from backend.web.console.phrases import sentences
from backend.web.console.site_pages import Answer, address, fragment, page, redirected, show
from backend.web.console.site_policy import policy_page
from backend.web.console.written import value_of
from backend.web.context import runtime
from backend.web.snippet import snippet

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FRESH = timedelta(minutes=2)
PAGES = 5
HERE = ("capture", "attention")
ADVANCED = (*HERE, "policy")
FLAGS = {
    "require_signature": "Link a visitor to a user only by a signed user id (userHash)",
    "unverified_email": "Write to addresses that were only typed into a form",
    "honour_gpc": "Do not observe browsers that send Global Privacy Control",
    "honour_dnt": "Do not observe browsers that send Do Not Track",
}


@page("/settings")
def settings(*, site: Site) -> Answer:
    """What a site is: the snippet, its name and zone, who may report, its keys."""
    return _settings(site)


def _settings(site: Site, **more: Any) -> str:
    view = SitePatch().dump(site_view(site))
    told = {
        "snippet": str(snippet(site.write_key, runtime().settings.public_url.rstrip("/"))),
        "zones": sorted(known_zones()),
        "flags": FLAGS,
        "view": view,
        "advanced": {name: json.dumps(view[name], ensure_ascii=False, indent=2) for name in HERE},
        "typed": {},
        "mistakes": [],
        "wrong": "",
        "check": _check(site),
    }
    return show("settings", "settings", **(told | more))


@page("/settings/check")
def check(*, site: Site) -> Answer:
    """Whether the site's pages report, as of now."""
    return fragment("_check", check=_check(site))


def _check(site: Site) -> Mapping[str, Any]:
    rt = runtime()
    now = rt.clock()
    with rt.db.read() as connection:
        latest = visitor_lists.recent(connection, site.id, BEGINNING, 1)
    seen = latest[0].last_seen if latest else None
    here = watch(rt, site, limit=200).visitors if seen is not None and now - seen < timedelta(minutes=5) else ()
    pages: dict[str, datetime] = {}
    for each in here:
        url = each.profile.page.get("url") or each.path
        if url and each.profile.last_seen is not None:
            pages.setdefault(url[:200], each.profile.last_seen)
    return {
        "seen": seen,
        "state": "none" if seen is None else "fresh" if now - seen < FRESH else "old",
        "pages": list(pages.items())[:PAGES],
    }


@page("/settings/site", right="administer", methods=("POST",))
def settings_site(*, site: Site) -> Answer:
    """Changes names, zone, currency, origins and the switches of the policy."""
    form = request.form
    policy = {name: name in form for name in FLAGS}
    body = {
        "name": form.get("name", "").strip(),
        "title": form.get("title", "").strip() or None,
        "timezone": form.get("timezone", "").strip(),
        "currency": form.get("currency", "").strip().upper(),
        "origins": form.get("origins", "").split(),
        "policy": policy,
    }
    return _settle(site, body, "site")


@page("/settings/advanced", right="administer", methods=("POST",))
def settings_advanced(*, site: Site) -> Answer:
    """Changes policy, capture or attention as they are written in the API."""
    name, text = request.form.get("name", ""), request.form.get("text", "")
    if name not in ADVANCED:
        raise NotFound("There is no such setting.")
    try:
        value = value_of(text)
    except RuleErrors as error:
        return _again(site, name, text, sentences(error.errors))
    return _settle(site, {name: value}, name)


def _settle(site: Site, body: Mapping[str, Any], wrong: str) -> Answer:
    text = request.form.get("text", "")
    try:
        _, warnings = settle(runtime(), site.id, SitePatch().load(body))
    except ValidationError as error:
        return _again(site, wrong, text, sentences(error.messages))
    except ChimeinError as error:
        return _again(site, wrong, text, sentences(error.errors) or [("", error.message)])
    if warnings:
        return _settings(site, wrong=wrong, warnings=[(each.path, each.message) for each in warnings])
    return redirected(address("policy" if wrong == "policy" else "settings", done="saved"))


def _again(site: Site, wrong: str, text: str, mistakes: Sequence[tuple[str, str]]) -> Answer:
    """The page on which it was written, as it was sent, with what is wrong with it."""
    if wrong == "policy":
        return policy_page(site, text=text, mistakes=mistakes)
    return _settings(site, typed={wrong: text}, wrong=wrong, mistakes=mistakes)
