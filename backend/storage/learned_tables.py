"""The SQL schema of what sites learn of themselves: small reference tables, as in `tables`."""

from sqlalchemy import BigInteger, Column, Table, Text

from backend.storage.tables import metadata

product_intervals = Table(
    "product_intervals",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("learned_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),  # the seconds that one piece of each product usually lasts
)

property_catalogue = Table(
    "property_catalogue",
    metadata,
    *(Column(name, Text, primary_key=True) for name in ("site_id", "kind", "event", "name")),  # event: of a property
    *(Column(name, BigInteger, nullable=False) for name in ("first_seen", "last_seen")),
    Column("document", Text, nullable=False),  # how often it was looked at, types, examples
)
