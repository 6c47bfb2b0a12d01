"""The verb `attach`: a file is taken, kept under the visitor whose conversation it belongs to, and served for a while.

It is bound to a part when that is said; what is never said goes after a day, and with its visitor goes everything.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import structlog

from backend.domain.attachment import LARGEST, Attachment, kind_of, name_of
from backend.domain.sealed import seal_text, unseal_text
from backend.errors import Forbidden, Invalid, NotFound, TooLarge, TooManyRequests, Unavailable
from backend.runtime import Runtime
from backend.storage import attachments, files, visitors

PURPOSE = b"chimein attachment 1"

MOST_A_DAY = 50
MOST_BYTES_A_DAY = 100 * 2**20
"""Of one visitor."""

MOST_UNSAID = 2 * 2**30
"""Bytes of a site's files that nobody has said anything with yet: a flood must not fill the disk."""

SERVED_FOR = timedelta(hours=24)
UNSAID_FOR = timedelta(hours=24)
AT_ONCE = 200

log = structlog.get_logger(__name__)


def attach(
    rt: Runtime, site_id: str, visitor_id: str, name: str | None, data: bytes, file_id: str | None = None
) -> Attachment:
    """Takes a file; with a `file_id` of the caller's once, however often it comes.

    TooLarge, Invalid where it is none that is taken, TooManyRequests, Unavailable.
    """
    if len(data) > LARGEST:
        raise TooLarge(f"A file may have {LARGEST // 2**20} MB.")
    kind = kind_of(data)
    if kind is None:
        raise Invalid(
            "Files of this kind are not taken.",
            {
                "file": [
                    "Send an image (PNG, JPEG, GIF, WebP), a PDF, plain text, or an office document without macros."
                ]
            },
        )
    if file_id is not None:
        with rt.db.read() as connection:
            known = attachments.find(connection, file_id)
        if known is not None:
            return known
    now = rt.clock()
    made = Attachment(
        id=file_id or uuid4().hex,
        site_id=site_id,
        visitor_id=visitor_id,
        name=name_of(name, kind[1]),
        type=kind[0],
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        at=now,
    )
    with rt.db.read() as connection:
        count, size = attachments.waiting(connection, visitor_id, now - timedelta(days=1))
        unsaid = attachments.unsaid(connection, site_id)
    if count >= MOST_A_DAY or size + made.size > MOST_BYTES_A_DAY:
        raise TooManyRequests("That is enough for a day.", retry_after=3600)
    if unsaid + made.size > MOST_UNSAID:
        raise Unavailable("Too many files wait here.", retry_after=600)
    files.put(rt.settings.data_dir, site_id, visitor_id, made.digest, data)
    with rt.db.begin() as connection:
        attachments.insert(connection, made)
    return made


def address_of(rt: Runtime, attachment_id: str, name: str) -> str:
    """Where whoever knows this address finds the file, for about a day."""
    until = rt.clock().replace(minute=0, second=0, microsecond=0) + SERVED_FOR
    token = seal_text(rt.settings.secret_key, PURPOSE, f"{attachment_id}\n{int(until.timestamp())}")
    return f"{rt.settings.public_url}/files/{attachment_id}/{quote(name, safe='')}?t={token}"


def addressed(rt: Runtime, told: Mapping[str, Any]) -> dict[str, Any]:
    """A part as it is told to somebody, with the addresses of its files."""
    content = told.get("content") or {}
    if not content.get("attachments"):
        return dict(told)
    found = [each for each in content["attachments"] if isinstance(each, Mapping)]
    listed = [{**each, "url": address_of(rt, each["id"], each["name"])} for each in found]
    return {**told, "content": {**content, "attachments": listed}}


def served(rt: Runtime, attachment_id: str, token: str) -> tuple[Attachment, Path]:
    """The file behind an address. Forbidden where that is wrong or over, NotFound where the file is gone."""
    told = unseal_text(rt.settings.secret_key, PURPOSE, token)
    if told is None:
        raise Forbidden("This address is not one of ours.")
    named, until = told.split("\n")
    if named != attachment_id or datetime.fromtimestamp(int(until), UTC) <= rt.clock():
        raise Forbidden("This address is over: open the conversation again.")
    with rt.db.read() as connection:
        found = attachments.find(connection, attachment_id)
    place = (
        None if found is None else files.place_of(rt.settings.data_dir, found.site_id, found.visitor_id, found.digest)
    )
    if found is None or place is None:
        raise NotFound("This file is gone.")
    return found, place


def take_away(rt: Runtime, visitor_id: str, part_id: str) -> None:
    """Removes the files of a part that was taken back."""
    with rt.db.read() as connection:
        found = attachments.of_part(connection, visitor_id, part_id)
    for each in found:
        _remove(rt, each)


def forget_unsaid(rt: Runtime) -> int:
    """Removes files that were sent a day ago and never said with anything; returns how many."""
    with rt.db.read() as connection:
        found = attachments.forgotten(connection, rt.clock() - UNSAID_FOR, AT_ONCE)
    for each in found:
        _remove(rt, each)
    return len(found)


def erase_files(rt: Runtime, site_id: str, person: Mapping[str, visitors.Stored]) -> None:
    """Removes every file of these visitors."""
    files.forget(rt.settings.data_dir, site_id, person)


def _remove(rt: Runtime, attachment: Attachment) -> None:
    with rt.db.begin() as connection:
        last = attachments.remove(connection, attachment.visitor_id, attachment.id)
    if last:
        files.drop(rt.settings.data_dir, attachment.site_id, attachment.visitor_id, attachment.digest)
