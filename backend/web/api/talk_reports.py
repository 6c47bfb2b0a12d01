"""`/api/v1/sites/{site}/conversations/report` and `…/export`: what conversations brought about, and they as files."""

from collections.abc import Mapping
from typing import Any

from flask import Response, stream_template

from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline.report_desk import report_on_conversations
from backend.schemas.desk_report import DeskReportOut, DeskReportQuery, TalkExportQuery, TalkLineOut, ThreadExportQuery
from backend.storage import conversations
from backend.web.api import talk_files
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import looked, noting
from backend.web.context import runtime

LINES = "application/x-ndjson"

blueprint = Blueprint("talk_reports", __name__, "What conversations brought about, and conversations as files.")


@blueprint.route("/sites/<site>/conversations/report", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(DeskReportQuery, location="query")
@blueprint.response(200, DeskReportOut)
def report_on_talks(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Report on conversations

    Of those that began on these days: how soon they were answered and closed, by the clock and in working hours, how
    many went on after that, and how they were rated. Of these days: how many were open at once, what operators said,
    and the orders that followed within `window`. With `by`, the same for each day, operator or department. An order is
    put down to whoever answered its customer last before it, and only once; what several reports of one order say of
    its worth, the last one says. That it followed does not prove that it was caused.
    """
    return report_on_conversations(
        runtime(), site, query.get("since"), query.get("until"), query.get("by"), query["window"]
    )


@blueprint.route("/sites/<site>/conversations/export", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(TalkExportQuery, location="query")
@blueprint.response(200, TalkLineOut)
def export_conversations(query: Mapping[str, Any], *, site: Site) -> Response:
    """Export conversations

    As lines of JSON (`application/x-ndjson`): each conversation, then its parts in order; `record` says which of both a
    line is. The file is made as it is sent, however many there are; every visitor in it is noted in the access log.
    With `notes=false` only what visitors may read themselves.
    """
    since, until = query.get("since"), query.get("until")
    asked = {"since": since, "until": until, "notes": query["notes"]}
    noted = noting(site, "export", {name: value for name, value in asked.items() if value is not None})
    file = talk_files.lines(runtime(), site, since, until, notes=query["notes"], noted=noted)
    return Response(file, mimetype=LINES, headers=_attached("conversations.jsonl"))


@blueprint.route("/sites/<site>/conversations/<conversation_id>/export", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ThreadExportQuery, location="query")
@blueprint.response(200, TalkLineOut)
def export_a_conversation(query: Mapping[str, Any], conversation_id: str, *, site: Site) -> Response:
    """Export a conversation

    As a page that stands for itself (`html`: no script, nothing is fetched), or as lines of JSON (`jsonl`). With
    `notes=false` only what the visitor may read: without notes and without what was done to the conversation.
    """
    rt = runtime()
    with rt.db.read() as conn:
        found = conversations.find(conn, site.id, conversation_id)
    if found is None:
        raise NotFound("There is no such conversation.")
    looked(site, "export", [found.visitor_id])
    headers = _attached(f"conversation-{found.id}.{query['format']}")
    if query["format"] == "jsonl":
        file = talk_files.thread_lines(rt, [found], notes=query["notes"])
        return Response(file, mimetype=LINES, headers=headers)
    values = talk_files.page_values(rt, site, found, notes=query["notes"])
    headers |= {
        "Content-Security-Policy": f"{values['policy']}; frame-ancestors 'none'; sandbox",
        "Referrer-Policy": "no-referrer",
    }
    return Response(stream_template("conversation.html", **values), mimetype="text/html", headers=headers)


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
