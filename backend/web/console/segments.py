"""The pages of segments: all of them with their sizes, one with its members, a condition counted before it is kept."""

import json
from collections.abc import Sequence
from typing import Any

from flask import request

from backend.domain.condition import read_condition
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline import access
from backend.pipeline.measure import measure
from backend.schemas.page import read_cursor, write_cursor
from backend.storage import segments as stored
from backend.storage import sweeps, visitors
from backend.web.console.phrases import sentences
from backend.web.console.site_pages import Answer, address, fragment, page, reader, show
from backend.web.console.written import value_of
from backend.web.context import runtime

MEMBERS = 50
LONGEST = 20_000
EXAMPLE = {
    "all": [
        {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
        {"not": {"performed": "Order Completed", "within": "30d"}},
    ]
}


@page("/segments", name="segments")
def all_segments(*, site: Site) -> Answer:
    """Every segment with its size."""
    with runtime().db.read() as connection:
        found = stored.list_segments(connection, site.id)
        sizes = stored.sizes(connection, [each.id for each in found])
        built = sweeps.built(connection, site.id)
        total = visitors.count(connection, site.id)
    rows = [
        {
            "segment": each,
            "size": sizes[each.id],
            "share": sizes[each.id] / total if total else 0.0,
            "manual": bool(each.document["manual"]),
            "building": not each.document["manual"] and each.revision > built,
        }
        for each in found
    ]
    example = json.dumps(EXAMPLE, indent=2)
    return show("segments", "segments", rows=rows, total=total, example=example)


@page("/segments/<segment_id>")
def segment(segment_id: str, *, site: Site) -> Answer:
    """One segment: what it asks, and who is in it, who came last first."""
    return segment_page(site, segment_id)


def segment_page(site: Site, segment_id: str, mistakes: Sequence[tuple[str, str]] = ()) -> str:
    """The page of a segment, with what stands in the way of what was asked."""
    rt, after = runtime(), read_cursor(request.args.get("cursor"), int, str)
    with rt.db.read() as connection:
        found = stored.get_segment(connection, site.id, segment_id)
        if found is None:
            raise NotFound("There is no such segment.")
        members = stored.list_members(connection, found.id, MEMBERS + 1, after)
        size = stored.sizes(connection, [found.id])[found.id]
        profiles = visitors.load(connection, [visitor_id for visitor_id, _ in members])
        building = not found.document["manual"] and found.revision > sweeps.built(connection, site.id)
    shown = [(profiles[key].profile, at) for key, at in members[:MEMBERS] if key in profiles]
    ids = [profile.id for profile, _ in shown]
    access.note_list(rt, site.id, reader(), "list", len(ids), {"segment": found.id}, "segment_page")
    access.note(rt, site.id, reader(), "list", dict.fromkeys(ids), "segment_page")
    following = write_cursor(stored.member_place(members[MEMBERS - 1])) if len(members) > MEMBERS else None
    return show(
        "segments",
        "segment",
        segment=found,
        mistakes=mistakes,
        size=size,
        building=building,
        members=shown,
        condition=found.document.get("condition"),
        next=address("segment", found.id, cursor=following) if following else None,
    )


@page("/segments/count", methods=("POST",))
def count_condition(*, site: Site) -> Answer:
    """For how many visitors a condition holds now, before anything is kept."""
    rt, text = runtime(), request.form.get("condition", "")[:LONGEST]
    try:
        told = value_of(text)
    except RuleErrors as error:
        return fragment("_mistakes", mistakes=sentences(error.errors))
    with rt.db.read() as connection:
        mistakes = Mistakes(stored.known(connection, site.id))
    condition: Any = read_condition(told, ("condition",), mistakes, entered=False, lasting=True)
    if mistakes or condition is None:
        return fragment("_mistakes", mistakes=sentences(mistakes.errors))
    size, total = measure(rt, site, condition, rt.clock())
    return fragment("_counted", size=size, total=total)
