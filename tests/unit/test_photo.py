"""A photo is known by its bytes, and by how large a picture they unpack to."""

import struct

import pytest

from backend.domain.photo import DIGEST, digest_of, type_of


def png(width: int = 256, height: int = 256) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(60)


def jpeg(width: int = 256, height: int = 256) -> bytes:
    head = b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + bytes(14)
    return head + b"\xff\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + bytes(60)


def webp(kind: bytes, measures: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + b"\x0a\0\0\0" + measures + bytes(60)


LOSSY = webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 256, 256))
LOSSLESS = webp(b"VP8L", b"\x2f" + struct.pack("<I", 255 | 255 << 14))
EXTENDED = webp(b"VP8X", bytes(4) + struct.pack("<I", 255)[:3] + struct.pack("<I", 255)[:3])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        *[(png(), "image/png"), (jpeg(), "image/jpeg"), (jpeg(1_024, 768), "image/jpeg")],
        *[(each, "image/webp") for each in (LOSSY, LOSSLESS, EXTENDED)],
    ],
)
def test_pictures_of_browsers_are_taken(data: bytes, kind: str) -> None:
    assert type_of(data) == kind


@pytest.mark.parametrize(
    "data",
    [
        *[b"", b"GIF89a" + bytes(60), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!doctype html>", b"%PDF-1.7"],
        *[
            png(30_000, 30_000),
            png(0, 9),
            jpeg(1_025, 9),
            png()[:20],
            jpeg()[:22],
            LOSSY[:20],
            b"\xff\xd8" + b"\xff" * 99,
        ],
        b"\xff\xd8" + b"\xff\xe0\0\0" * 50,
        b"RIFF\0\0\0\0WAVE" + bytes(60),
        webp(b"VP8X", bytes(4) + b"\xff" * 6),
    ],
)
def test_nothing_else_is(data: bytes) -> None:
    assert type_of(data) is None


def test_no_two_operators_share_a_photo() -> None:
    assert digest_of("a", png()) != digest_of("b", png())
    assert DIGEST.fullmatch(digest_of("a", png()))
