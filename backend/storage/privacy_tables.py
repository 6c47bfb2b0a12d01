"""The tables about privacy: whom to forget for good, who looked at whom, what was not let in."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from backend.storage.metadata import metadata

tombstones = Table(
    "tombstones",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),  # keyed: tells whether a name is one of the erased, and no name
    Column("kind", Text, nullable=False),
    Column("erased_at", BigInteger, nullable=False),
    Column("lifted_at", BigInteger),  # the person came back of their own accord
)

erasures = Table(
    "erasures",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("last_at", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("scrubbed_at", BigInteger, nullable=False),  # no erasure before left anything in the log or on disk
)

access_log = Table(
    "access_log",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("token", Text, nullable=False),  # its name
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("visitor", Text, nullable=False),  # the id, or its keyed hash once they are erased; empty: a whole list
    Column("detail", Text, nullable=False, server_default=""),
    Column("shown", BigInteger),  # of a list: how many
    Column("asked", Text),  # of a list: what was asked for, as JSON; whatever names somebody as a keyed hash
)
Index("ix_access_log_site_id_at", access_log.c.site_id, access_log.c.at, access_log.c.id)
Index("ix_access_log_visitor_at", access_log.c.visitor, access_log.c.at)

thinned = Table(
    "thinned",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),  # when events of theirs were removed first
)

withheld = Table(
    "withheld",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("day", Text, primary_key=True),  # in UTC
    Column("reason", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
