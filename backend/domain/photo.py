"""What is an operator's photo? A small picture that browsers show, known by its content alone."""

import hashlib
import re
from dataclasses import dataclass

LARGEST = 200_000
"""Bytes."""

SIDE = 256
"""Pixels of a side, as the console sends them."""

LONGEST_SIDE = 1_024
"""Pixels; few bytes may unpack to a picture that no phone can hold."""

DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG: what begins a frame, and tells its size


@dataclass(frozen=True, slots=True)
class Face:
    """How an operator is shown: what they are called, and the digest of their photo, or for a page its address."""

    name: str
    photo: str | None = None


def type_of(data: bytes) -> str | None:
    """The media type of a photo of fitting measures; None for anything else."""
    for kind, measure in (("image/png", _png), ("image/jpeg", _jpeg), ("image/webp", _webp)):
        found = measure(data)
        if found is not None:
            return kind if all(0 < side <= LONGEST_SIDE for side in found) else None
    return None


def digest_of(operator_id: str, data: bytes) -> str:
    """What a photo is called: by its bytes and by whose it is, so that no two operators share a file."""
    return hashlib.sha256(b"%b\0%b" % (operator_id.encode(), data)).hexdigest()


def _png(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 33:
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg(data: bytes) -> tuple[int, int] | None:
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while data[at : at + 1] == b"\xff" and at + 9 <= len(data):
        mark = data[at + 1]
        if mark == 0xFF:  # filling
            at += 1
        elif mark in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        told = int.from_bytes(data[21:25], "little")
        return 1 + (told & 0x3FFF), 1 + (told >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(data[26:28], "little") & 0x3FFF,
            int.from_bytes(data[28:30], "little") & 0x3FFF,
        )
    return None
