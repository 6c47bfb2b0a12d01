"""The bytes of attachments: files below the data directory, each visitor's in a directory of their own.

Nothing of a name that somebody chose is part of a path: site and visitor are ids, the file is called by its digest.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
DIRECTORY = "attachments"


def put(data_dir: Path, site_id: str, visitor_id: str, digest: str, data: bytes) -> None:
    """Writes these bytes, whole or not at all."""
    write(_place(data_dir, site_id, visitor_id, digest), data)


def write(place: Path, data: bytes) -> None:
    """Writes a file of ours, whole or not at all, in a directory that nobody else may look into."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = place.with_name(f"{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def place_of(data_dir: Path, site_id: str, visitor_id: str, digest: str) -> Path | None:
    """Where these bytes lie; None where they are gone."""
    place = _place(data_dir, site_id, visitor_id, digest)
    return place if place.is_file() else None


def drop(data_dir: Path, site_id: str, visitor_id: str, digest: str) -> None:
    """Removes one file."""
    _place(data_dir, site_id, visitor_id, digest).unlink(missing_ok=True)


def forget(data_dir: Path, site_id: str, visitor_ids: Iterable[str]) -> None:
    """Removes every file of these visitors; OSError where one stays."""
    for each in visitor_ids:
        place = _place(data_dir, site_id, each)
        if place.is_dir():
            shutil.rmtree(place)


def forget_site(data_dir: Path, site_id: str) -> None:
    """Removes every file of a site."""
    place = _place(data_dir, site_id)
    if place.is_dir():
        shutil.rmtree(place)


def _place(data_dir: Path, *ids: str) -> Path:
    if not all(map(_ID.fullmatch, ids)):
        raise ValueError(f"{ids} cannot be a path")
    return data_dir.joinpath(DIRECTORY, *ids)
