"""The table of the funnel: who came into which stage when."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from backend.storage.metadata import metadata

stage_entries = Table(
    "stage_entries",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("site_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),  # of the site's funnel
    Column("stage", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("device", Text, nullable=False),
)
Index(
    "ix_stage_entries_site_id_at",  # holds all that a report reads
    *(stage_entries.c[name] for name in ("site_id", "at", "visitor_id", "revision", "stage", "source", "device")),
)
