"""`…/segments/{id}/import` and `…/export`: the visitors of a segment come from files, and go into them."""

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.pipeline.enlist import Enlisted, Problem, enlist
from backend.runtime import Runtime
from backend.schemas.member_file import COLUMNS, csv_text, json_lines, member_cells, read_csv, read_lines
from backend.schemas.segment import MOST_PROBLEMS, ExportQuery, ImportOut, ImportQuery, MemberRowOut
from backend.storage import segments, visitors
from backend.storage.segments import StoredSegment
from backend.web.api.blueprint import Blueprint, unpacked
from backend.web.api.looks import Notes, noting
from backend.web.context import runtime

LINES = "application/x-ndjson"
CSV = "text/csv"
JSON_LINES = (LINES, "application/jsonl")

LINES_AT_ONCE = 200
AT_ONCE = 500
"""Members in memory while a file is written."""

_FILE = {
    "description": (
        "A file of one visitor a row, by visitor_id, user_id, anonymous_id or email: CSV whose first line names the "
        "columns (others are passed over), or one JSON object a line. An address that was only typed into a form names "
        "nobody, unless `policy.unverified_email` says so. At most 1 MB, or 8 MB in gzip: send a larger one in pieces. "
        "Repeating it does no harm."
    ),
    "required": True,
    "content": {
        CSV: {"schema": {"type": "string"}, "example": "email,user_id\njo@shop.example,\n,user-42\n"},
        LINES: {"schema": {"type": "string"}, "example": '{"anonymous_id": "d3b0…"}\n'},
    },
}

logger = logging.getLogger(__name__)
blueprint = Blueprint("lists", __name__, "Visitors of a segment from files, and into them.")


@blueprint.route("/sites/<site>/segments/<segment_id>/import", methods=["POST"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_FILE)
@blueprint.arguments(ImportQuery, location="query")
@blueprint.response(200, ImportOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(415, "UNSUPPORTED_MEDIA_TYPE")
def import_members(query: Mapping[str, Any], segment_id: str, *, site: Site) -> dict[str, Any] | Response:
    """Put the visitors of a file on a list

    Only where the segment is kept by hand. Each row that names nobody of this site, or several, or that cannot be read,
    is told with its line and a sentence; all others are accepted, and take effect in their turn, like events.

    With `Accept: application/x-ndjson` the answer is made of lines as it goes on: one for each row that is left out,
    and last the numbers.
    """
    rt = runtime()
    with rt.db.read() as conn:
        stored = _present(segments.get_segment(conn, site.id, segment_id))
    if not stored.document["manual"]:
        raise Conflict("This segment is not kept by hand: its members follow from its condition.")
    if request.mimetype not in (CSV, *JSON_LINES):
        raise UnsupportedMediaType(f"Send a file, and say which kind it is: Content-Type: {CSV}, or {LINES}.")
    body = request.get_data()
    body = unpacked(body) if request.content_encoding else body
    rows = read_csv(body) if request.mimetype == CSV else read_lines(body)
    steps = enlist(rt, site, stored.id, rows, remove=query["remove"], dry_run=query["dry_run"])
    if request.accept_mimetypes.best_match(("application/json", LINES), default="application/json") == LINES:
        return Response(_lines(steps), mimetype=LINES)
    problems: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, Enlisted):
            return {**_numbers(step), "problems": problems}
        if len(problems) < MOST_PROBLEMS:
            problems.append(_problem(step))
    raise AssertionError("it ends with what came of it")


@blueprint.route("/sites/<site>/segments/<segment_id>/export", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ExportQuery, location="query")
@blueprint.response(200, MemberRowOut)
def export_members(query: Mapping[str, Any], segment_id: str, *, site: Site) -> Response:
    """Export a segment's visitors

    As a file of one row for each, in order of their ids: how they are named, their stage, what they bought, since when
    they are a member, and when they had left before. In CSV a cell that a spreadsheet could take for a formula begins
    with a quote. The file is made as it is sent, however many there are; who enters or leaves meanwhile may be in it.
    """
    rt = runtime()
    with rt.db.read() as conn:
        stored = _present(segments.get_segment(conn, site.id, segment_id))
    kind = query["format"]
    headers = {"Content-Disposition": f'attachment; filename="segment-{stored.id}.{kind}"'}
    mimetype = CSV if kind == "csv" else LINES
    notes = noting(site, "export", {"segment": stored.id, "format": kind})
    return Response(_file(rt, site, stored.id, kind, notes), mimetype=mimetype, headers=headers)


def _file(rt: Runtime, site: Site, segment_id: str, kind: str, notes: Notes) -> Iterator[str]:
    """The file in pieces; whom a piece names is noted before it leaves, and at the end how many they were."""
    write = csv_text if kind == "csv" else json_lines
    note_piece, note_whole = notes
    after, shown = "", 0
    try:
        if kind == "csv":
            yield csv_text([COLUMNS])
        while True:
            with rt.db.read() as conn:
                found = visitors.members(conn, segment_id, after, AT_ONCE)
            if not found:
                return
            note_piece(profile.id for profile, *_ in found)
            shown += len(found)
            yield write([member_cells(*each, segment_id, site.currency) for each in found])
            after = found[-1][0].id
    finally:
        note_whole(shown)


def _lines(steps: Iterator[Problem | Enlisted]) -> Iterator[str]:
    try:
        while some := list(islice(steps, LINES_AT_ONCE)):
            told = [_numbers(step) if isinstance(step, Enlisted) else _problem(step) for step in some]
            yield "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in told)
    except Exception as error:
        logger.error("an import broke off", exc_info=error)
        failure = {"code": "internal", "status": 500, "message": "Something went wrong here; it has been logged."}
        yield json.dumps({**failure, "errors": {}}) + "\n"


def _numbers(done: Enlisted) -> dict[str, Any]:
    return {"rows": done.rows, "accepted": done.accepted, **done.problems, "stopped_at": done.stopped_at}


def _problem(problem: Problem) -> dict[str, Any]:
    return {"line": problem.line, "code": problem.code, "message": problem.message}


def _present(stored: StoredSegment | None) -> StoredSegment:
    if stored is None:
        raise NotFound("There is no such segment.")
    return stored
