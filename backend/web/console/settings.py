"""The page of a site's settings: the snippet and whether it reports, zone, money, origins, policy, stages, tokens."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import request
from marshmallow import ValidationError

from backend.domain.calendar import known_zones
from backend.domain.site import Site
from backend.errors import ChimeinError, NotFound
from backend.pipeline.settle import settle
from backend.pipeline.watch import watch
from backend.schemas.site import SitePatch, site_view
from backend.schemas.token import ROLES, TokenIn
from backend.storage import tokens, visitor_lists
from backend.web.console.phrases import sentences
from backend.web.console.site_pages import Answer, address, fragment, page, redirected, show
from backend.web.context import runtime
from backend.web.snippet import snippet

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FRESH = timedelta(minutes=2)
PAGES = 5
MOST_TOKENS = 200
ADVANCED = ("stages", "policy", "capture", "attention")
FLAGS = {
    "require_signature": "Link a visitor to a user only by a signed user id (userHash)",
    "unverified_email": "Write to addresses that were only typed into a form",
    "honour_gpc": "Do not observe browsers that send Global Privacy Control",
    "honour_dnt": "Do not observe browsers that send Do Not Track",
}


@page("/settings")
def settings(*, site: Site) -> Answer:
    """Everything that can be set on a site."""
    return _settings(site)


def _settings(site: Site, **more: Any) -> str:
    with runtime().db.read() as connection:
        given = tokens.list_tokens(connection, site_id=site.id, limit=MOST_TOKENS)
    view = SitePatch().dump(site_view(site))
    told = {
        "snippet": str(snippet(site.write_key, runtime().settings.public_url.rstrip("/"))),
        "zones": sorted(known_zones()),
        "flags": FLAGS,
        "view": view,
        "advanced": {name: json.dumps(view[name], ensure_ascii=False, indent=2) for name in ADVANCED},
        "tokens": given,
        "roles": ROLES,
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
    policy: dict[str, Any] = {name: name in form for name in FLAGS}
    if form.get("holdout", "").strip():
        policy["holdout"] = _number(form["holdout"])
    for name in ("max_event_age", "dismiss_backoff"):
        if form.get(name, "").strip():
            policy[name] = form[name].strip()
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
    """Changes stages, policy, capture or attention as they are written in the API."""
    name, text = request.form.get("name", ""), request.form.get("text", "")
    if name not in ADVANCED:
        raise NotFound("There is no such setting.")
    try:
        value = json.loads(text)
    except ValueError as error:
        return _settings(site, typed={name: text}, wrong=name, mistakes=[("", f"This is no JSON: {error}.")])
    return _settle(site, {name: value}, name)


def _settle(site: Site, body: Mapping[str, Any], wrong: str) -> Answer:
    try:
        _, warnings = settle(runtime(), site.id, SitePatch().load(body))
    except ValidationError as error:
        return _settings(site, typed=_typed(body), wrong=wrong, mistakes=sentences(error.messages))
    except ChimeinError as error:
        told = sentences(error.errors) or [("", error.message)]
        return _settings(site, typed=_typed(body), wrong=wrong, mistakes=told)
    if warnings:
        return _settings(site, wrong=wrong, warnings=[(each.path, each.message) for each in warnings])
    return redirected(address("settings", done="saved"))


def _typed(body: Mapping[str, Any]) -> dict[str, str]:
    return {name: request.form.get("text", "") for name in body if name in ADVANCED and "text" in request.form}


@page("/settings/tokens", right="administer", methods=("POST",))
def new_token(*, site: Site) -> Answer:
    """Makes a token for this site; its text is shown this once."""
    rt = runtime()
    try:
        body = TokenIn().load({"name": request.form.get("name", "").strip(), "role": request.form.get("role", "")})
    except ValidationError as error:
        return _settings(site, wrong="tokens", mistakes=sentences(error.messages))
    with rt.db.begin() as connection:
        _, text = tokens.create_token(
            connection, rt.sites.vault, name=body["name"], role=body["role"], site_id=site.id, now=rt.clock()
        )
    return _settings(site, fresh_token=text)


@page("/settings/tokens/<token_id>/revoke", right="administer", methods=("POST",))
def revoke_token(token_id: str, *, site: Site) -> Answer:
    """Revokes a token of this site."""
    with runtime().db.begin() as connection:
        found = tokens.get_token(connection, token_id)
        if found is None or found.site_id != site.id:
            raise NotFound("There is no such token.")
        tokens.delete_token(connection, token_id)
    return redirected(address("settings", done="revoked") + "#tokens")


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
