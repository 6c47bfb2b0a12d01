"""How the catalogue of properties is written: each name that a site reports, with its types and examples."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.vocabulary import KINDS, Known, Name
from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.page import PageQuery


class NamesQuery(PageQuery):
    """Which names to list."""

    kind = fields.String(validate=validate.OneOf(KINDS))
    event = fields.String(
        validate=validate.Length(1, 255), metadata={"description": "Properties of this event.", "example": "Signed Up"}
    )
    q = fields.String(validate=validate.Length(1, 100), metadata={"description": "What stands in the name."})


class NameOut(StrictSchema):
    """A name that the site reports."""

    kind = fields.String(metadata={"enum": list(KINDS)})
    name = fields.String(metadata={"example": "price"})
    event = fields.String(
        allow_none=True, metadata={"description": "Whose property it is.", "example": "Product Viewed"}
    )
    field = fields.String(
        allow_none=True,
        metadata={"description": "How a condition names it.", "example": "event.properties.price"},
    )
    types = fields.List(fields.String(), metadata={"description": "The most frequent first.", "example": ["number"]})
    examples = fields.List(
        fields.Raw(),
        metadata={"description": "Some values; none where they may say who somebody is.", "example": [19.9, 5]},
    )
    count = fields.Integer(metadata={"description": "How often it was looked at; only a sample is."})
    first_seen = Moment()
    last_seen = Moment()


def name_view(found: tuple[Name, Known]) -> dict[str, Any]:
    """The name as `NameOut` dumps it."""
    name, known = found
    roots = {"property": f"event.properties.{name.name}", "trait": f"profile.traits.{name.name}"}
    return {
        "kind": name.kind,
        "name": name.name,
        "event": name.of or None,
        "field": roots.get(name.kind),
        "types": sorted(known.types, key=lambda each: (-known.types[each], each)),
        "examples": known.examples,
        "count": known.count,
        "first_seen": known.first_seen,
        "last_seen": known.last_seen,
    }
