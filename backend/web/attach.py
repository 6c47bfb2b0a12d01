"""Files of conversations: `POST /v1/attachments` takes a visitor's, `/files/ID/NAME` gives them back."""

import json
from urllib.parse import quote

from flask import Blueprint, Response, current_app, request, send_file

from backend.domain.attachment import IMAGES, LARGEST, Attachment, told_of
from backend.domain.site import Site
from backend.errors import ChimeinError, Malformed, TooLarge, TooManyRequests
from backend.pipeline.attach import address_of, attach, served
from backend.web.context import runtime
from backend.web.cors import allow, preflight
from backend.web.errors import answer
from backend.web.live import Hello, greeted
from backend.web.throttle import Throttle

blueprint = Blueprint("attach", __name__)

LONGEST_FIELDS = 2**19  # what is read at once counts against it too
MOST_BODY = LARGEST + 2**17
POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

THROTTLE = "chimein.attach"
A_SECOND = 1
"""Files of one address, for longer than a moment."""

blueprint.add_url_rule("/v1/attachments", "preflight", preflight, methods=["OPTIONS"])


@blueprint.route("/v1/attachments", methods=["POST"], provide_automatic_options=False)
def send() -> Response:
    """Takes a file of a visitor, who proves themselves as to `/v1/conversation`; it is said with a later message."""
    site: Site | None = None
    request.max_content_length = MOST_BODY
    request.max_form_memory_size = LONGEST_FIELDS
    request.max_form_parts = 10
    rt = runtime()
    try:
        if (request.content_length or 0) > MOST_BODY:
            raise TooLarge(f"A file may have {LARGEST // 2**20} MB.")
        form, file = request.form, request.files.get("file")
        told = {name: form.get(name) or None for name in ("anonymousId", "userId", "userHash")}
        site, who = greeted(
            rt,
            Hello(
                write_key=form.get("writeKey", ""),
                anonymous_id=told["anonymousId"],
                user_id=told["userId"],
                user_hash=told["userHash"],
            ),
        )
        if file is None:
            raise Malformed("`file` is required, as multipart/form-data.")
        if seconds := _throttle().wait(request.remote_addr or ""):
            raise TooManyRequests("Too many files from this address.", retry_after=seconds)
        owner = who.visitor_ids[0] if who.user_id is None else who.visitor_ids[-1]
        made = attach(rt, site.id, owner, file.filename, file.read(LARGEST + 1))
    except ChimeinError as error:
        return allow(answer(error), site)
    body = json.dumps(told_of(made) | {"url": address_of(rt, made.id, made.name)})
    return allow(Response(body, 201, mimetype="application/json", headers={"Cache-Control": "no-store"}), site)


@blueprint.get("/files/<attachment_id>/<name>")
def fetch(attachment_id: str, name: str) -> Response:
    """A file, for whoever has its address; nothing in it can run here."""
    del name  # it is there for people to read
    found, place = served(runtime(), attachment_id, request.args.get("t", ""))
    response = send_file(place, mimetype=found.type, conditional=True, etag=found.digest, max_age=3600)
    if found.type == "text/plain":
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
    response.headers["Content-Disposition"] = _disposition(found)
    response.headers["Cache-Control"] = "private, max-age=3600"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _throttle() -> Throttle:
    found: Throttle = current_app.extensions.setdefault(THROTTLE, Throttle(A_SECOND))
    return found


def _disposition(attachment: Attachment) -> str:
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "._- ") else "_" for each in attachment.name)
    way = "inline" if attachment.type in IMAGES else "attachment"
    return f"{way}; filename=\"{plain}\"; filename*=UTF-8''{quote(attachment.name, safe='')}"
