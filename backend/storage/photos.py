"""The bytes of operators' photos: files below the data directory, each called by its digest and by nothing else."""

from pathlib import Path

from backend.domain.photo import DIGEST
from backend.storage.files import write

DIRECTORY = "photos"


def put(data_dir: Path, digest: str, data: bytes) -> None:
    """Writes a photo, whole or not at all."""
    write(_place(data_dir, digest), data)


def read(data_dir: Path, digest: str) -> bytes | None:
    """The bytes of a photo; None where there is none of this name, or what is asked for is no name of one."""
    if DIGEST.fullmatch(digest) is None:
        return None
    try:
        return _place(data_dir, digest).read_bytes()
    except FileNotFoundError:
        return None


def drop(data_dir: Path, digest: str) -> None:
    """Removes a photo."""
    _place(data_dir, digest).unlink(missing_ok=True)


def _place(data_dir: Path, digest: str) -> Path:
    if DIGEST.fullmatch(digest) is None:
        raise ValueError(f"{digest!r} is no digest")
    return data_dir / DIRECTORY / digest
