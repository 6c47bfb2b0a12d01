"""How a product is written, how it is shown, and how the report of an import reads."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.product import Product, is_available
from backend.domain.product_facts import LONGEST_ATTRIBUTE, LONGEST_NAME, MOST_ATTRIBUTES
from backend.schemas.feed import FORMATS
from backend.schemas.fields import Duration, Flag, Moment, Money, StrictSchema
from backend.schemas.page import PageQuery

EXAMPLE: dict[str, Any] = {
    "name": "Copper kettle",
    "price": "134.00",
    "currency": "EUR",
    "stock": 12,
    "url": "https://shop.example/kettles/k-17",
    "image_url": "https://shop.example/images/k-17.jpg",
    "category": "Kitchen > Kettles",
    "brand": "Hearth & Leaf",
    "attributes": {"colour": "copper", "litres": 1.2},
}


class ProductIn(StrictSchema):
    """Facts of a product; null takes one back."""

    name = fields.String(allow_none=True, metadata={"maxLength": LONGEST_NAME})
    price = fields.String(
        allow_none=True,
        metadata={
            "description": 'What it costs now: a number, or text such as "134.00" or "134.00 EUR".',
            "example": "134.00",
        },
    )
    list_price = fields.String(allow_none=True, metadata={"description": "What it costs without a reduction."})
    currency = fields.String(allow_none=True, metadata={"example": "EUR"})
    stock = fields.Integer(allow_none=True, metadata={"minimum": 0, "description": "How many pieces there are."})
    available = fields.Boolean(
        allow_none=True,
        metadata={
            "description": "Whether it can be bought; left out: as `stock` says. Feeds may write in_stock, "
            "out_of_stock, preorder or backorder."
        },
    )
    url = fields.String(allow_none=True, metadata={"description": "An http or https address, or a path."})
    image_url = fields.String(allow_none=True, metadata={"description": "As `url`."})
    category = fields.String(allow_none=True, metadata={"maxLength": LONGEST_NAME})
    brand = fields.String(allow_none=True, metadata={"maxLength": LONGEST_NAME})
    attributes = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        metadata={
            "description": f"At most {MOST_ATTRIBUTES}: texts of {LONGEST_ATTRIBUTE} characters, numbers, true, false."
        },
    )


class BulkIn(ProductIn):
    """One product of many."""

    id = fields.String(required=True, metadata={"maxLength": 255, "description": "As `product_id` in events."})


class RelatedOut(StrictSchema):
    """Another product, and how near it is."""

    id = fields.String()
    score = fields.Float(metadata={"description": "0 to 1: the share of people whom both have in common."})


class ProductOut(StrictSchema):
    """A product as it stands."""

    id = fields.String()
    name = fields.String()
    price = Money()
    list_price = Money()
    currency = fields.String()
    stock = fields.Integer()
    available = fields.Boolean(metadata={"description": "False where anybody said that it cannot be bought."})
    url = fields.String()
    image_url = fields.String()
    category = fields.String()
    brand = fields.String()
    attributes = fields.Dict(keys=fields.String())
    sources = fields.Dict(
        keys=fields.String(),
        values=fields.String(metadata={"enum": ["api", "feed", "event"]}),
        metadata={"description": "By whom each fact was told last; what events tell holds where nobody else told."},
    )
    created_at = Moment()
    updated_at = Moment()


class WholeProductOut(ProductOut):
    """A product, and what goes together with it."""

    similar = fields.List(
        fields.Nested(RelatedOut), metadata={"description": "Looked at by the same people, the nearest first."}
    )
    bought_together = fields.List(fields.Nested(RelatedOut), metadata={"description": "Bought in the same orders."})


class ProductsQuery(PageQuery):
    """Which products."""

    q = fields.String(
        validate=validate.Length(1, 200),
        metadata={"description": "Words, each of which stands in id, name, brand or category."},
    )
    category = fields.String(validate=validate.Length(1, LONGEST_NAME))
    available = fields.String(validate=validate.OneOf(["true", "false"]))


class ImportQuery(StrictSchema):
    """How a file is to be read."""

    format = fields.String(
        validate=validate.OneOf(FORMATS),
        metadata={"description": "Left out: as Content-Type says, else as the file begins."},
    )
    complete = fields.String(
        load_default="false",
        validate=validate.OneOf(["true", "false"]),
        metadata={"description": "true: what earlier files told of and this one does not hold is sold out."},
    )


class RowErrorOut(StrictSchema):
    """One mistake of a file."""

    line = fields.Integer(metadata={"description": "The line on which the row begins; in JSON its place, from 1."})
    id = fields.String(allow_none=True)
    field = fields.String(allow_none=True, metadata={"description": "Null: the row as a whole."})
    message = fields.String(metadata={"example": "Expected the three capital letters of a currency, such as EUR."})


class ReportOut(StrictSchema):
    """What became of a file of products."""

    rows = fields.Integer()
    created = fields.Integer()
    changed = fields.Integer()
    unchanged = fields.Integer()
    rejected = fields.Integer(metadata={"description": "Rows that were left out; their neighbours were not."})
    ended = fields.Integer(metadata={"description": "Products that a complete file does not hold any more."})
    errors = fields.List(fields.Nested(RowErrorOut), metadata={"description": "The first hundred mistakes."})
    failed = fields.String(
        allow_none=True, metadata={"description": "Why nothing further could be read; what came before was taken over."}
    )
    note = fields.String(allow_none=True)
    at = Moment()


class FeedIn(StrictSchema):
    """An address from which products are fetched."""

    url = fields.String(required=True, metadata={"maxLength": 2048, "example": "https://shop.example/feeds/google.xml"})
    format = fields.String(load_default="auto", validate=validate.OneOf(["auto", *FORMATS]))
    every = Duration(
        allow_none=True,
        load_default=None,
        metadata={"description": "How often, from 15m to 30d; null: only when asked.", "example": "6h"},
    )
    complete = Flag(
        load_default=False, metadata={"description": "What is not in it any more cannot be bought: it is sold out."}
    )


class FeedOut(StrictSchema):
    """A feed and what became of it the last time."""

    id = fields.String()
    url = fields.String()
    format = fields.String()
    every = Duration(allow_none=True)
    complete = fields.Boolean()
    created_at = Moment()
    due_at = Moment(allow_none=True, metadata={"description": "When it is fetched next."})
    fetched_at = Moment(allow_none=True)
    report = fields.Raw(
        allow_none=True, metadata={"type": "object", "description": "As the answer to POST products; null before."}
    )


class FeedsOut(StrictSchema):
    """All feeds of a site."""

    items = fields.List(fields.Nested(FeedOut))
    next_cursor = fields.String(allow_none=True, metadata={"description": "Always null: a site has few."})


def product_view(product: Product) -> dict[str, Any]:
    """A product as `ProductOut` dumps it."""
    facts = product.facts
    return {
        **facts,
        "id": product.id,
        "available": is_available(facts),
        "sources": product.sources,
        "created_at": product.created_at,
        "updated_at": product.updated_at,
    }
