"""The pages of visitors: who was here, and everything that is known of one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response, request

from backend.domain.enrolment import Enrolment
from backend.domain.identifier import verified
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.domain.standing import Standing
from backend.errors import NotFound
from backend.pipeline import access
from backend.pipeline.erase import erase
from backend.pipeline.standing import Standings
from backend.schemas.page import read_cursor, write_cursor
from backend.storage import (
    conversations,
    enrolments,
    events,
    merges,
    messages,
    rules,
    segments,
    visitor_lists,
    visitors,
)
from backend.web.console.site_pages import Answer, address, fragment, page, reader, redirected, show
from backend.web.context import runtime
from backend.web.exported import export_whole

LISTED = 50
HAPPENED = 40
BESIDE = 20
"""Enrolments, messages, conversations and merges of one visitor that are shown, the latest."""


@page("/visitors", name="visitors")
def all_visitors(*, site: Site) -> Answer:
    """Visitors, last seen first, or those whom one looks for."""
    rt = runtime()
    asked = {name: told for name in ("q", "stage", "segment") if (told := request.args.get(name, "").strip()[:320])}
    after = read_cursor(request.args.get("cursor"), int, str)
    with rt.db.read() as connection:
        known = segments.known(connection, site.id)
    mistake = _mistake(site, asked, known)
    found = [] if mistake else _find(site, asked, after)
    shown = found[:LISTED]
    access.note_list(rt, site.id, reader(), "list", len(shown), _named(asked), "visitors_page")
    access.note(rt, site.id, reader(), "list", dict.fromkeys(each.id for each in shown), "visitors_page")
    following = write_cursor(visitor_lists.cursor_of(shown[-1])) if len(found) > LISTED else None
    return show(
        "visitors",
        "visitors",
        found=shown,
        asked=asked,
        filtered=bool(asked),
        mistake=mistake,
        segments=known,
        action=address("visitors"),
        next=address("visitors", **asked, cursor=following) if following else None,
    )


def _mistake(site: Site, asked: Mapping[str, str], known: Mapping[str, str]) -> str | None:
    if asked.get("stage", site.funnel.names[0]) not in site.funnel.names:
        return "There is no such stage any more."
    if "segment" in asked and asked["segment"] not in known:
        return "There is no such segment any more."
    return None


def _find(site: Site, asked: Mapping[str, str], after: tuple[int, str] | None) -> list[Profile]:
    """Whoever is meant: an address, a user id, an anonymous id, or our own id of a visitor."""
    words, stage, segment = asked.get("q"), asked.get("stage"), asked.get("segment")
    with runtime().db.read() as connection:
        find = partial(visitor_lists.find, connection, site.id, stage=stage, segment=segment)
        if words is None:
            return find(limit=LISTED + 1, after=after)
        named = find(email=words, limit=LISTED) if "@" in words else []
        named += [*find(user_id=words, limit=1), *find(anonymous_id=words, limit=1)]
        found = {each.id: each for each in named}
        own = visitors.load_profile(connection, words) if _is_id(words) else None
        if own is not None and own.site_id == site.id:
            found[own.id] = own
    return list(found.values())


def _named(asked: Mapping[str, str]) -> dict[str, str]:
    """The filter as the log of looks may keep it: what names a person is hashed there."""
    told = {name: value for name, value in asked.items() if name != "q"}
    if "q" in asked:
        told["email" if "@" in asked["q"] else "user_id"] = asked["q"]
    return told


@dataclass(frozen=True, kw_only=True, slots=True)
class Entered:
    """One enrolment with its rule's name and where it stands; `outcome` is `waiting` while it does."""

    enrolment: Enrolment
    rule: str
    standing: Standing | None
    outcome: str


@page("/visitors/<visitor_id>")
def visitor(visitor_id: str, *, site: Site) -> Answer:
    """Everything that is known of one visitor."""
    profile = visitor_of(site, visitor_id)
    members = visitors.members_of(profile)
    proven = verified(profile.identifiers)
    with runtime().db.read() as connection:
        known = segments.known(connection, site.id)
        said = messages.list_messages(connection, site.id, visitor_ids=members, limit=BESIDE)
        talks = conversations.of_visitors(connection, members, BESIDE)
        merged = merges.list_merges(connection, members, BESIDE)
        entered = enrolments.list_enrolments(connection, members, BESIDE)
        standings = Standings(connection)
        names = {each.id: str(each.document.get("name")) for each in _rules(connection, site, entered)}
        enrolled = [
            Entered(
                enrolment=each,
                rule=names.get(each.rule_id, "A rule that was deleted"),
                standing=standings.of(each),
                outcome=each.outcome or ("deferred" if each.deferred else "waiting"),
            )
            for each in entered
        ]
    choices = {each.category: each for each in profile.consents}
    return show(
        "visitors",
        "visitor",
        profile=profile,
        identifiers=[_identifier(each, proven) for each in profile.identifiers],
        traits=sorted(profile.traits.items())[:60],
        choices=list(choices.values()),
        belongs=[(key, name) for key, name in known.items() if profile.is_in(key)],
        said=said,
        talks=talks,
        merged=merged,
        enrolled=enrolled,
        **_timeline(profile, None),
    )


def _rules(connection: Any, site: Site, entered: list[Enrolment]) -> list[rules.StoredRule]:
    found = (rules.get_rule(connection, site.id, each) for each in {each.rule_id for each in entered})
    return [each for each in found if each is not None]


def _identifier(each: Any, proven: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    names = ("kind", "value", "source", "last_seen", "page", "field")
    return {name: getattr(each, name) for name in names} | {"verified": (each.kind, each.value) in proven}


@page("/visitors/<visitor_id>/timeline")
def timeline(visitor_id: str, *, site: Site) -> Answer:
    """Earlier events of a visitor."""
    profile = visitor_of(site, visitor_id)
    return fragment("_timeline", **_timeline(profile, request.args.get("cursor")))


def _timeline(profile: Profile, cursor: str | None) -> dict[str, Any]:
    before = read_cursor(cursor, int, int)
    with runtime().db.read() as connection:
        found = events.list_events(connection, visitors.members_of(profile), HAPPENED + 1, before)
    shown = found[:HAPPENED]
    older = write_cursor(events.cursor_of(shown[-1])) if len(found) > HAPPENED else None
    return {"timeline": shown, "older": address("timeline", profile.id, cursor=older) if older else None}


@page("/visitors/<visitor_id>/export")
def export_visitor(visitor_id: str, *, site: Site) -> Response:
    """Everything that is kept of a visitor, as one file."""
    profile = visitor_of(site, visitor_id, "export")
    access.bring_in(runtime())
    headers = {
        "Content-Disposition": f'attachment; filename="visitor-{profile.id}.json"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(export_whole(runtime(), site, profile), mimetype="application/json", headers=headers)


@page("/visitors/<visitor_id>/erase", right="administer", methods=("POST",))
def erase_visitor(visitor_id: str, *, site: Site) -> Answer:
    """Erases a visitor for good; the form asks whether that is meant."""
    if request.form.get("sure") != "yes":
        return redirected(address("visitor", visitor_id))
    if not _is_id(visitor_id) or not erase(runtime(), site.id, visitor_id, reader()):
        raise NotFound("There is no such visitor.")
    return redirected(address("visitors", done="erased"))


def visitor_of(site: Site, visitor_id: str, action: str = "read") -> Profile:
    """The site's visitor with this id, or whom it was merged into; NotFound where there is none. The look is noted."""
    profile = None
    if _is_id(visitor_id):
        with runtime().db.read() as connection:
            profile = visitors.load_profile(connection, visitor_id)
    if profile is None or profile.site_id != site.id:
        raise NotFound("There is no such visitor.")
    access.note(runtime(), site.id, reader(), action, [profile.id], request.endpoint or "")
    return profile


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None
