"""What may be attached to what is said? Images and documents, known by their content and by nothing that is claimed."""

import io
import re
import zipfile
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LARGEST = 10 * 2**20
"""Bytes of one attachment."""

LONGEST_NAME = 120
MOST_IN_A_PART = 10

OFFICE = {
    "word/": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    "xl/": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    "ppt/": ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
}
OPEN = {
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.presentation": "odp",
}
IMAGES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
ALIASES = {"jpg": {"jpeg", "jpe", "jfif"}, "txt": {"csv", "md", "log", "text"}}
MOST_ENTRIES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """One file; its bytes lie under its visitor and `digest`. `part_id` is what it was said with, None: nothing yet."""

    id: str
    site_id: str
    visitor_id: str
    name: str
    type: str
    size: int
    digest: str
    at: datetime
    part_id: str | None = None


def kind_of(data: bytes) -> tuple[str, str] | None:
    """The media type of these bytes and the ending of its name; None for what is not taken."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", "jpg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif", "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", "webp"
    if data.startswith(b"%PDF-"):
        return "application/pdf", "pdf"
    if data.startswith(b"PK\x03\x04"):
        return _office(data)
    return ("text/plain", "txt") if _is_text(data) else None


def _office(data: bytes) -> tuple[str, str] | None:
    """An office document without macros: its list of contents is read, nothing of it is unpacked but 100 bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(names) > MOST_ENTRIES or any("vbaproject" in name.lower() for name in names):
                return None
            if names[:1] == ["mimetype"]:
                with archive.open("mimetype") as file:
                    told = file.read(100).strip()
                return (told.decode(), OPEN[told]) if told in OPEN else None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, KeyError, OSError, EOFError):
        return None
    if "[Content_Types].xml" not in names:
        return None
    return next((found for start, found in OFFICE.items() if any(name.startswith(start) for name in names)), None)


def _is_text(data: bytes) -> bool:
    """Plain text; markup that a browser could run is none."""
    if not data.strip() or re.search(rb"[\x00-\x08\x0e-\x1f]", data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return re.match(rb"(\xef\xbb\xbf)?\s*<", data) is None


def name_of(told: str | None, ending: str) -> str:
    """The file's name as it is shown: one line, without a path, hidden characters or an ending that belies it."""
    name = plain_name(told)
    stem, dot, claimed = name.rpartition(".")
    if not dot:
        stem, claimed = name, ""
    if claimed.lower() not in {ending} | ALIASES.get(ending, set()):
        stem, claimed = name, ending
    stem = stem[: LONGEST_NAME - len(claimed) - 1].strip(" .") or "file"
    return f"{stem}.{claimed}"


def plain_name(told: str | None) -> str:
    """A name on one line, without a path and hidden characters; empty where nothing is left of it."""
    name = re.split(r"[/\\]", told or "")[-1]
    name = "".join(each for each in name if each.isprintable() and each not in '<>:"|?*')
    return re.sub(r"[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", "", name).strip(" .")


def told_of(attachment: Attachment) -> dict[str, Any]:
    """The attachment as the content of a part holds it."""
    return {"id": attachment.id, "name": attachment.name, "type": attachment.type, "size": attachment.size}
