"""The SQL schema of the catalogue: products, what goes together, who is interested in what, feeds. As in `tables`."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from backend.storage.metadata import metadata

catalogues = Table(
    "catalogues",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("noting_since", BigInteger),  # from when on it is noted who looks at what; null: it is not
    Column("learned", BigInteger, nullable=False, server_default="0"),  # products of which only events told
    Column("related_at", BigInteger),  # when what goes together was counted last
)

products = Table(
    "products",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("search", Text, nullable=False),  # what it is found by, in lower case
    Column("category", Text),
    Column("available", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
Index("ix_products_site_id_category", products.c.site_id, products.c.category, products.c.product_id)

relations = Table(
    "relations",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("counted_at", BigInteger, nullable=False),
)

interests = Table(
    "interests",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # viewed, carted, bought
    Column("site_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),  # the last time
)
Index("ix_interests_site_id_product_id", interests.c.site_id, interests.c.product_id, interests.c.visitor_id)

feeds = Table(
    "feeds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("every_seconds", BigInteger),  # null: only when asked
    Column("complete", Integer, nullable=False),  # 1: what is not in it cannot be bought
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),  # null: not to be fetched by itself
    Column("lease_until", BigInteger),
    Column("fetched_at", BigInteger),
    Column("report", Text),  # of the last time
)
Index(
    "ix_feeds_due_at",
    feeds.c.due_at,
    sqlite_where=text("due_at IS NOT NULL"),
    postgresql_where=text("due_at IS NOT NULL"),
)
