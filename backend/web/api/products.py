"""`/api/v1/sites/{site}/products`: the catalogue, as it was told and as events taught it."""

from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from flask import request

from backend.domain.product_facts import read_facts, read_id
from backend.domain.site import Site
from backend.errors import Invalid, Malformed, NotFound
from backend.pipeline.import_products import import_products, report_view
from backend.pipeline.stock_up import stock_up
from backend.schemas.feed import Format
from backend.schemas.page import page_of, read_cursor
from backend.schemas.product import (
    EXAMPLE,
    BulkIn,
    ImportQuery,
    ProductIn,
    ProductOut,
    ProductsQuery,
    ReportOut,
    WholeProductOut,
    product_view,
)
from backend.storage import products
from backend.web.api.blueprint import Blueprint, body_doc, object_body
from backend.web.api.paging import page
from backend.web.context import runtime

blueprint = Blueprint("products", __name__, "The catalogue: what is sold, for how much, and how many are left.")

MOST_UPLOADED = 100 * 2**20
"""Bytes of a file that is sent, as it is sent."""

_TYPES: Mapping[str, Format | None] = {
    "application/json": "json",
    **dict.fromkeys(("application/x-ndjson", "application/jsonl", "application/x-jsonlines"), "jsonl"),
    **dict.fromkeys(("text/csv", "text/tab-separated-values"), "csv"),
    **dict.fromkeys(("application/xml", "text/xml", "application/rss+xml", "application/atom+xml"), "xml"),
    **dict.fromkeys(("application/gzip", "application/octet-stream"), None),
}
_CSV = "id,name,price,stock\nk-17,Copper kettle,134.00 EUR,12\n"
_BULK = {
    "description": "Products: JSON (a list, or `products`), JSON lines, CSV, or Google's XML; may be packed by gzip.",
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": BulkIn},
            "example": [{"id": "k-17", **EXAMPLE}],
        },
        "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"id": "k-17", "stock": 0}\n'},
        "text/csv": {"schema": {"type": "string"}, "example": _CSV},
        "application/xml": {"schema": {"type": "string"}},
    },
}


@blueprint.route("/sites/<site>/products", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ProductsQuery, location="query")
@blueprint.response(200, page_of(ProductOut))
def list_products(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List products

    In order of their ids.
    """
    after = read_cursor(query.get("cursor"), str)
    available = query.get("available")
    with runtime().db.read() as conn:
        found = products.find(
            conn,
            site.id,
            words=query.get("q"),
            category=query.get("category"),
            available=None if available is None else available == "true",
            limit=query["limit"] + 1,
            after=None if after is None else after[0],
        )
    return page(found, query["limit"], product_view, lambda each: (each.id,))


@blueprint.route("/sites/<site>/products", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(ImportQuery, location="query")
@blueprint.described(requestBody=_BULK)
@blueprint.response(200, ReportOut)
@blueprint.alt_response(415, "UNSUPPORTED_MEDIA_TYPE")
def import_many_products(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Import products

    A row tells what it tells: other facts of its product stay, and an empty cell says nothing (null in JSON takes a
    fact back). A bad row costs only itself; `errors` names its line, its field and what is wrong. CSV needs a first
    line with the columns' names, ours or Google's (`title`, `link`, `image_link`, `sale_price`, `availability`, …),
    separated by comma, semicolon or tab; columns that are not known are not read, `attributes.colour` is an attribute.
    XML is Google's product feed as RSS 2.0 or Atom. Up to 100 MB a request, 8 MB as JSON. A lower price, or one that
    is there again, starts the rules that wait for it: `{"product": "price_dropped"}`.
    """
    request.max_content_length = MOST_UPLOADED
    if request.mimetype not in _TYPES and query.get("format") is None:
        raise Malformed("Say how the products are written, by Content-Type or format: csv, json, jsonl or xml.")
    kind = cast(Format | None, query.get("format") or _TYPES.get(request.mimetype))
    stream = cast(BinaryIO, request.stream)
    complete = query["complete"] == "true"
    source: Any = "feed" if complete or kind in ("csv", "xml") else "api"
    rt = runtime()
    return report_view(import_products(rt, site.id, stream, source, kind, complete=complete), rt.clock())


@blueprint.route("/sites/<site>/products/<path:product_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, WholeProductOut)
def get_a_product(product_id: str, *, site: Site) -> dict[str, Any]:
    """Get a product

    With what goes together with it, counted every hour while a rule asks for it: who is interested in what is noted
    only then.
    """
    with runtime().db.read() as conn:
        found = products.load(conn, site.id, [product_id]).get(product_id)
        if found is None:
            raise NotFound("There is no such product.")
        related = products.related(conn, site.id, [product_id]).get(product_id, products.Related())
    return {
        **product_view(found),
        "similar": [{"id": other, "score": score} for other, score in related.similar],
        "bought_together": [{"id": other, "score": score} for other, score in related.bought_together],
    }


@blueprint.route("/sites/<site>/products/<path:product_id>", methods=["PUT"])
@blueprint.allow("rules")
@blueprint.described(
    requestBody=body_doc(ProductIn, "The facts; whatever was told before and is left out is gone.", EXAMPLE)
)
@blueprint.response(200, ProductOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def put_a_product(product_id: str, *, site: Site) -> dict[str, Any]:
    """Tell of a product

    What is told here, or by a feed, holds against whatever events say; of these two the later one counts. A lower
    price, or one that is there again, starts the rules that wait for it.
    """
    rt, body = runtime(), object_body()
    facts, mistakes = read_facts({name: value for name, value in body.items() if name != "id"})
    errors: dict[str, list[str]] = {}
    try:
        if read_id(product_id) != product_id or str(body.get("id", product_id)) != product_id:
            errors["id"] = ["The id stands in the address; another one here would be another product."]
    except ValueError as error:
        errors["id"] = [str(error)]
    for name, sentence in mistakes:
        errors.setdefault(name, []).append(sentence)
    if errors:
        raise Invalid("This is no product.", errors)
    stock_up(rt, site.id, [(product_id, facts)], "api", whole=True)
    with rt.db.read() as conn:
        return product_view(products.load(conn, site.id, [product_id])[product_id])


@blueprint.route("/sites/<site>/products/<path:product_id>", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.response(204)
def delete_a_product(product_id: str, *, site: Site) -> None:
    """Delete a product

    With everything that was told of it. A feed that tells of it brings it back, and within ten minutes an event.
    """
    with runtime().db.begin() as conn:
        products.lock(conn, site.id)
        if not products.remove(conn, site.id, product_id):
            raise NotFound("There is no such product.")
