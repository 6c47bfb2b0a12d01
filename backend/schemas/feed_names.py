"""What do feeds call things? Google's names of a product's facts, and those that shops' exports use, as ours."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("id", "product_id", "offer_id"), "id"),
    **dict.fromkeys(("name", "title"), "name"),
    "price": "price",
    "list_price": "list_price",
    "sale_price": "sale_price",
    "sale_price_effective_date": "sale_price_effective_date",
    "currency": "currency",
    **dict.fromkeys(("stock", "quantity", "inventory", "sell_on_google_quantity"), "stock"),
    "quantity_to_sell_on_facebook": "stock",
    **dict.fromkeys(("available", "availability"), "available"),
    **dict.fromkeys(("url", "link"), "url"),
    **dict.fromkeys(("image_url", "image_link", "image"), "image_url"),
    **dict.fromkeys(("category", "product_type"), "category"),
    "google_product_category": "google_category",
    "brand": "brand",
    **{name: f"attributes.{name}" for name in ("color", "size", "material", "pattern", "condition", "gender")},
    **{name: f"attributes.{name}" for name in ("age_group", "gtin", "mpn", "item_group_id")},
}
"""What a column or element means; `attributes.…` is one of the attributes."""


def document_of(values: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """A row by what its columns mean, as a product's document: what is sold at a lower price now costs that."""
    doc: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, value in values.items():
        if name.startswith("attributes."):
            attributes[name.removeprefix("attributes.")] = value
        elif name not in {"sale_price", "sale_price_effective_date", "google_category"}:
            doc[name] = value
    if "category" not in doc and "google_category" in values:
        doc["category"] = values["google_category"]
    if "sale_price" in values and _in_force(values.get("sale_price_effective_date"), now):
        if "price" in doc:
            doc.setdefault("list_price", doc["price"])
        doc["price"] = values["sale_price"]
    if attributes:
        doc["attributes"] = attributes
    return doc


def _in_force(told: str | None, now: datetime) -> bool:
    """Whether a span of two moments, as `start/end`, holds now; also where it cannot be read."""
    if not told:
        return True
    start, slash, end = told.replace(" ", "").partition("/")
    try:
        first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    except ValueError:
        return not slash
    if first.tzinfo is None or last.tzinfo is None:
        first, last = first.replace(tzinfo=now.tzinfo), last.replace(tzinfo=now.tzinfo)
    return first <= now <= last
