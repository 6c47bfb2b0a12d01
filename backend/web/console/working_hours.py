"""The page of when and how a site answers: working hours, who gets what waits, and what is said meanwhile."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import request

from backend.domain.calendar import known_zones, zone_of
from backend.domain.desk import desk_of
from backend.domain.duration import format_duration
from backend.domain.hours import Hours
from backend.domain.promise import ASK, BUSY, CLOSED, LANGUAGES, TEXTS
from backend.domain.site import Site
from backend.schemas.site import SitePatch
from backend.web.console.forms import KEPT, Form, loaded, or_none, saved, typed
from backend.web.console.hours_form import DAYS, document_of, fields_of
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.context import runtime

ROUTINGS: Mapping[str, str] = {
    "manual": "Operators take what waits themselves",
    "round_robin": "Each in turn who is online and has room",
    "previous": "Who answered this visitor last, else each in turn",
}
SAID = {
    CLOSED: "Outside the hours ({when} stands for the time)",
    BUSY: "When nobody is free",
    ASK: "To ask for an e-mail address",
}
SPOKEN = {"en": "English", "ru": "Russian", "bg": "Bulgarian", "uk": "Ukrainian", "ja": "Japanese"}
AT = "policy.desk"
PLACES = {
    f"{AT}.routing": "routing",
    f"{AT}.unanswered_after": "unanswered_after",
    f"{AT}.digest_after": "digest_after",
    "policy.conversation.mail_after": "mail_after",
    **{f"{AT}.texts.{kind}.{language}": f"text-{kind}-{language}" for kind in SAID for language in LANGUAGES},
}


@page("/settings/hours")
def hours(*, site: Site) -> Answer:
    """When the site answers, and how."""
    return _hours(site, KEPT)


def _hours(site: Site, form: Form) -> str:
    document = dict(site.policy.desk or {})
    desk, told = desk_of(site.policy.desk), document.get("hours")
    mail_after = site.policy.conversation.mail_after
    return show(
        "settings",
        "hours",
        form=form,
        kept="own" if told else "always",
        hours=beginning(site),
        days=DAYS,
        zones=zones(),
        routings=ROUTINGS,
        routing=desk.routing,
        unanswered_after=format_duration(desk.unanswered_after),
        digest_after=format_duration(desk.digest_after) if desk.digest_after else "",
        mail_after=format_duration(mail_after) if mail_after is not None else "",
        texts=desk.texts,
        builtin=TEXTS,
        said=SAID,
        changed={language for told in desk.texts.values() for language in told},
        opened={name.rpartition("-")[2] for name in form.beside if name.startswith("text-")},
        languages={each: SPOKEN.get(each, each) for each in LANGUAGES},
        when=when_open(desk.hours, runtime().clock()),
    )


@page("/settings/hours", right="administer", methods=("POST",), name="change_hours")
def change_hours(*, site: Site) -> Answer:
    """Changes when and how the site answers."""
    desk: dict[str, Any] = dict(site.policy.desk or {})
    places, unread = dict(PLACES), dict[str, str]()
    if typed("hours") == "own":
        desk["hours"], more, unread = document_of(request.form, f"{AT}.hours")
        places |= more
    else:
        desk.pop("hours", None)
    desk["routing"] = or_none("routing")
    desk["unanswered_after"] = or_none("unanswered_after")
    desk["digest_after"] = or_none("digest_after")
    texts = {kind: {each: text for each in LANGUAGES if (text := typed(f"text-{kind}-{each}"))} for kind in SAID}
    desk["texts"] = {kind: told for kind, told in texts.items() if told} or None
    kept = {name: each for name, each in desk.items() if each is not None or name == "digest_after"}
    body = {"policy": {"desk": kept, "conversation": {"mail_after": or_none("mail_after")}}}
    if unread:
        _, form = loaded(SitePatch(), body, places)  # for the other mistakes
        return _hours(site, Form(again=True, beside={**form.beside, **unread}, rest=form.rest))
    form = saved(site, body, places)
    return redirected(address("hours", done="saved")) if form.fine else _hours(site, form)


def zones() -> list[str]:
    """The names of all time zones."""
    return sorted(known_zones())


def when_open(told: Hours, now: datetime) -> str:
    """Whether the hours hold, and until when, or from when on, as a sentence by their own clock."""
    zone = zone_of(told.zone)
    if told.is_open(now):
        until = told.closes_next(now)
        return "Open, always." if until is None else f"Open until {until.astimezone(zone):%A %H:%M}."
    since = told.opens_next(now)
    return "Closed, and never open." if since is None else f"Closed until {since.astimezone(zone):%A, %d %b, %H:%M}."


def beginning(site: Site) -> dict[str, str]:
    """The site's hours as they stand in the fields; usual ones where it has written down none."""
    if told := (site.policy.desk or {}).get("hours"):
        return fields_of(told)
    usual = {f"day-{day}": "09:00–18:00" for day in DAYS if day not in ("sat", "sun")}
    return fields_of(None) | {"zone": site.timezone, **usual}
