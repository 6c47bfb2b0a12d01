"""The editor of a segment: a form and the JSON beside it, its members counted before it is kept; and its end."""

from collections.abc import Mapping
from typing import Any

from flask import jsonify, request
from werkzeug.wrappers import Response

from backend.domain.condition import read_condition
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.site import Site
from backend.errors import Conflict
from backend.pipeline import define
from backend.pipeline.measure import measure
from backend.storage import segments as stored
from backend.storage import visitors
from backend.web.console.condition_names import names_of
from backend.web.console.phrases import sentences
from backend.web.console.segments import segment_page
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.console.written import kept, object_of, version_of
from backend.web.context import runtime

LONGEST = 50_000
COUNTED_BY_ITSELF = 20_000
"""Visitors; with more of them somebody has to ask for the count, which takes its time."""
BEGINNING: Mapping[str, Any] = {
    "name": "",
    "description": "",
    "condition": {
        "all": [
            {"performed": "Product Added", "within": "7d"},
            {"not": {"performed": "Order Completed", "within": "30d"}},
        ]
    },
}


@page("/segments/new", right="rules")
def segment_new(*, site: Site) -> Answer:
    """A segment that is yet to be written."""
    return _editor(site, BEGINNING, None)


@page("/segments/<segment_id>/edit", right="rules")
def segment_edit(segment_id: str, *, site: Site) -> Answer:
    """A segment that is to be changed."""
    with runtime().db.read() as connection:
        found = define.present(stored.get_segment(connection, site.id, segment_id))
    return _editor(site, found.document, found)


def _editor(site: Site, document: Mapping[str, Any], segment: stored.StoredSegment | None) -> str:
    names = names_of(site)
    with runtime().db.read() as connection:
        total = visitors.count(connection, site.id)
    known = dict(names.told["segments"])
    if segment is not None:
        known.pop(segment.id, None)  # it cannot ask for itself
    told = {
        **names.told,
        "segments": known,
        "whole": {name: value for name, value in document.items() if value is not None},
        "id": segment.id if segment is not None else "",
        "version": segment.version if segment is not None else "",
        "check": address("segment_check"),
        "save": address("segment_save"),
        "total": total,
        "often": total <= COUNTED_BY_ITSELF,
    }
    return show("segments", "segment_edit", told=told, segment=segment, names=names, total=total)


@page("/segments/check", methods=("POST",))
def segment_check(*, site: Site) -> Response:
    """What is wrong with a segment's condition as it is written, and, where asked for, for how many it holds now."""
    rt = runtime()
    try:
        told = _body().get("condition")
    except RuleErrors as error:
        return jsonify({"mistakes": sentences(error.errors)})
    if told is None:
        return jsonify({"mistakes": [] if _body().get("manual") else [("condition", "Say who belongs to it.")]})
    with rt.db.read() as connection:
        mistakes = Mistakes(stored.known(connection, site.id))
    condition: Any = read_condition(told, ("condition",), mistakes, entered=False, lasting=True)
    if mistakes or condition is None:
        return jsonify({"mistakes": sentences(mistakes.errors)})
    if "count" not in request.form:
        return jsonify({"mistakes": []})
    size, total = measure(rt, site, condition, rt.clock())
    return jsonify({"mistakes": [], "size": size, "total": total})


@page("/segments/save", right="rules", methods=("POST",))
def segment_save(*, site: Site) -> Response:
    """Keeps a segment: a new one, or another definition of one there is."""
    rt, segment_id = runtime(), request.form.get("id", "")

    def keep() -> str:
        body = _body()
        if segment_id:
            body["version"] = version_of(request.form.get("version", "")) or 0
            done = define.replace(rt, site, segment_id, body)
        else:
            done = define.create(rt, site, body)
        return address("segment", done.stored.id, done="saved")

    return kept(keep)


@page("/segments/<segment_id>/delete", right="rules", methods=("POST",))
def segment_delete(segment_id: str, *, site: Site) -> Answer:
    """Takes a segment away; where rules, segments or stages ask for it, the page names them."""
    with runtime().db.read() as connection:
        found = define.present(stored.get_segment(connection, site.id, segment_id))
    if request.form.get("sure") != "yes":
        return redirected(address("segment", found.id))
    try:
        define.remove(runtime(), site, segment_id)
    except Conflict as error:
        return segment_page(site, segment_id, mistakes=[("", error.message)])
    return redirected(address("segments", done="deleted"))


def _body() -> dict[str, Any]:
    text = request.form.get("whole", "")
    if len(text) > LONGEST:
        raise RuleErrors({"": ["The segment is too long."]})
    told = object_of(text, "segment")
    return {name: value for name, value in told.items() if name != "version"}
