"""The verb `portray`: an operator gets a photo, which visitors and colleagues see beside their name, or loses it."""

from dataclasses import replace

from backend.domain.photo import LARGEST, LONGEST_SIDE, Face, digest_of, type_of
from backend.errors import Invalid, NotFound, TooLarge
from backend.runtime import Runtime
from backend.storage import operators, photos

WANTED = f"Send a JPEG, PNG or WebP picture of at most {LONGEST_SIDE} pixels a side."


def portray(rt: Runtime, operator_id: str, data: bytes) -> str:
    """Gives the operator a photo instead of the one they had; returns its digest. TooLarge, Invalid, NotFound."""
    if len(data) > LARGEST:
        raise TooLarge(f"A photo may have {LARGEST // 1000} kB.")
    if type_of(data) is None:
        raise Invalid("This cannot be a photo.", {"photo": [WANTED]})
    digest = digest_of(operator_id, data)
    photos.put(rt.settings.data_dir, digest, data)
    _change(rt, operator_id, digest)
    return digest


def hide(rt: Runtime, operator_id: str) -> None:
    """Takes the operator's photo away, if they have one. NotFound."""
    _change(rt, operator_id, None)


def seen(rt: Runtime, digest: str) -> tuple[bytes, str]:
    """A photo and its media type; NotFound where nobody has it any more."""
    data = photos.read(rt.settings.data_dir, digest)
    kind = None if data is None else type_of(data)
    if data is None or kind is None:
        raise NotFound("There is no such photo.")
    return data, kind


def address_of(rt: Runtime, digest: str | None) -> str | None:
    """Where everybody finds a photo; None where there is none."""
    return None if digest is None else f"{rt.settings.public_url}/photos/{digest}"


def for_pages(rt: Runtime, face: Face) -> Face:
    """The face with the address of its photo, as pages are told of it."""
    return replace(face, photo=address_of(rt, face.photo))


def _change(rt: Runtime, operator_id: str, digest: str | None) -> None:
    with rt.db.begin() as connection:
        before = operators.portray(connection, operator_id, digest, rt.clock())
    # The file of the one before is nobody's: the digest says whose it was.
    if before is not None and before != digest:
        photos.drop(rt.settings.data_dir, before)
