"""The products of each site, what goes together with each, and how many of them only events told of."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from backend.domain.product import Product, is_available
from backend.schemas.documents import decode_product, encode_product
from backend.storage.bulk import delete_rows, insert_rows, rows_of, upsert_rows
from backend.storage.catalogue_tables import catalogues, products, relations
from backend.storage.times import from_micros, to_micros

LONGEST_SEARCH = 1_500


@dataclass(frozen=True, kw_only=True, slots=True)
class Related:
    """What goes together with a product, the best first: (product id, how much, from 0 to 1)."""

    similar: Sequence[tuple[str, float]] = ()
    bought_together: Sequence[tuple[str, float]] = ()


def lock(conn: Connection, site_id: str) -> int:
    """Makes others who write products of this site wait; returns how many there are of which only events told."""
    insert_rows(conn, catalogues, [(site_id, None, 0, None)], ignore=True)
    query = select(catalogues.c.learned).where(catalogues.c.site_id == site_id)
    return int(conn.scalars(query if conn.dialect.name == "sqlite" else query.with_for_update()).one())


def count_learned(conn: Connection, site_id: str, more: int) -> None:
    """Notes that events told of so many more products that nobody else told of, or fewer."""
    if more:
        learned = catalogues.c.learned + more
        conn.execute(update(catalogues).where(catalogues.c.site_id == site_id).values(learned=learned))


def load(conn: Connection, site_id: str, ids: Collection[str]) -> dict[str, Product]:
    """The products with these ids, as far as the site has them."""
    if not ids:
        return {}
    columns = (products.c.product_id, products.c.document)
    among = {products.c.site_id: [site_id], products.c.product_id: list(ids)}
    return {product_id: decode_product(text) for product_id, text in rows_of(conn, columns, among)}


def save(conn: Connection, site_id: str, found: Sequence[Product]) -> None:
    """Writes these products, whether they are there already or not."""
    rows = []
    for each in sorted(found, key=lambda each: each.id):
        facts = each.facts
        named = (each.id, *(facts.get(name) for name in ("name", "brand", "category")))
        search = " ".join(text for text in named if text).lower()[:LONGEST_SEARCH]
        moments = to_micros(each.created_at), to_micros(each.updated_at)
        there = int(is_available(facts))
        rows.append((site_id, each.id, search, facts.get("category"), there, encode_product(each), *moments))
    upsert_rows(conn, products, rows, keys=2)


def find(
    conn: Connection,
    site_id: str,
    *,
    words: str | None = None,
    category: str | None = None,
    available: bool | None = None,
    limit: int,
    after: str | None = None,
) -> list[Product]:
    """A site's products in order of id, behind `after`; each of `words` stands in id, name, brand or category."""
    query = select(products.c.document).where(products.c.site_id == site_id)
    for word in (words or "").lower().split():
        query = query.where(products.c.search.contains(word, autoescape=True))
    if category is not None:
        query = query.where(products.c.category == category)
    if available is not None:
        query = query.where(products.c.available == int(available))
    if after is not None:
        query = query.where(products.c.product_id > after)
    return [decode_product(text) for text in conn.scalars(query.order_by(products.c.product_id).limit(limit))]


def count(conn: Connection, site_id: str) -> int:
    """How many products the site has."""
    return int(conn.scalar(select(func.count()).select_from(products).where(products.c.site_id == site_id)) or 0)


def remove(conn: Connection, site_id: str, product_id: str) -> bool:
    """Takes a product away, with what goes together with it; False where there is none. The catalogue is locked."""
    found = load(conn, site_id, [product_id]).get(product_id)
    if found is None:
        return False
    delete_rows(conn, products, [(site_id, product_id)])
    delete_rows(conn, relations, [(site_id, product_id)])
    count_learned(conn, site_id, 0 if found.told else -1)
    return True


def related(conn: Connection, site_id: str, ids: Collection[str]) -> dict[str, Related]:
    """What goes together with these products, as it was counted last."""
    if not ids:
        return {}
    columns = (relations.c.product_id, relations.c.document)
    among = {relations.c.site_id: [site_id], relations.c.product_id: list(ids)}
    return {product_id: _related(text) for product_id, text in rows_of(conn, columns, among)}


def save_related(conn: Connection, site_id: str, found: Mapping[str, Related], counted_at: datetime) -> None:
    """Writes what goes together with each of these."""
    moment = to_micros(counted_at)
    rows = [
        (site_id, product_id, json.dumps([each.similar, each.bought_together]), moment)
        for product_id, each in sorted(found.items())
    ]
    upsert_rows(conn, relations, rows, keys=2)


def related_at(conn: Connection, site_id: str) -> datetime | None:
    """When it was counted last what goes together on this site."""
    moment = conn.scalar(select(catalogues.c.related_at).where(catalogues.c.site_id == site_id))
    return None if moment is None else from_micros(moment)


def end_relating(conn: Connection, site_id: str, counted_at: datetime) -> None:
    """Notes that it is counted; what goes together with nothing any more is forgotten."""
    moment = to_micros(counted_at)
    insert_rows(conn, catalogues, [(site_id, None, 0, None)], ignore=True)
    conn.execute(update(catalogues).where(catalogues.c.site_id == site_id).values(related_at=moment))
    conn.execute(delete(relations).where(relations.c.site_id == site_id, relations.c.counted_at < moment))


def _related(text: str) -> Related:
    similar, together = json.loads(text)
    return Related(
        similar=[(product_id, score) for product_id, score in similar],
        bought_together=[(product_id, score) for product_id, score in together],
    )
