"""The table about who is who: merges, and what of them was taken back."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from backend.storage.metadata import metadata

merges = Table(
    "merges",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("member_id", "site_id", "source", "message_id")),
    Column("author", Text),  # the name of the token, of what the API said
    Column("at", BigInteger, nullable=False),
    *(Column("undone_at", BigInteger), Column("undone_by", Text)),
)
Index("ix_merges_member_id", merges.c.member_id)
