"""How lists are asked for and answered: a limit, an opaque cursor, `items` and `next_cursor`."""

import base64
import binascii
import json
from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError, fields

from backend.schemas.fields import StrictSchema

LARGEST = 200
USUAL = 50


class Limit(fields.Integer):
    """How many items at most; from a query it comes as text."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= LARGEST):
            raise ValidationError(f"Must be a whole number from 1 to {LARGEST}.")
        return int(text)


class PageQuery(StrictSchema):
    """Which part of a list."""

    limit = Limit(
        load_default=USUAL, metadata={"description": "How many items at most.", "minimum": 1, "maximum": LARGEST}
    )
    cursor = fields.String(metadata={"description": "`next_cursor` of the page before."})


@cache
def page_of(items: type[Schema]) -> type[Schema]:
    """The shape of one page of such items."""
    return StrictSchema.from_dict(
        {
            "items": fields.List(fields.Nested(items), required=True),
            "next_cursor": fields.String(
                required=True,
                allow_none=True,
                metadata={"description": "Where the next page begins; null: there is none."},
            ),
        },
        name=items.__name__.removesuffix("Out") + "Page",
    )


def write_cursor(place: tuple[int | str, ...]) -> str:
    """A place in a list as a text that says nothing to its reader."""
    raw = json.dumps(place, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def read_cursor(text: str | None, *shape: type) -> tuple[Any, ...] | None:
    """The place that `write_cursor` wrote, its parts of these types; ValidationError for anything else."""
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if type(parts) is not list or tuple(map(type, parts)) != shape:
            raise ValueError
        if any(isinstance(part, int) and abs(part) >= 2**63 for part in parts) or "\\u0000" in json.dumps(parts):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise ValidationError({"cursor": ["Is no cursor of this list."]}) from None
    return tuple(parts)
