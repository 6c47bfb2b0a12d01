"""The tables about who is told of conversations: the site's own systems, operators' browsers, their mail."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from backend.storage.metadata import metadata

hooks = Table(
    "hooks",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # a list of names
    Column("format", Text, nullable=False),  # chimein, slack
    Column("active", Integer, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in ("created_at", "updated_at")),
)

push_subscriptions = Table(
    "push_subscriptions",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),  # follows from the endpoint: a browser is told once
    *(Column(name, Text, nullable=False) for name in ("operator_id", "endpoint", "p256dh", "auth")),
    Column("created_at", BigInteger, nullable=False),
    Column("session", Text),  # the digest of the console's session in which it was made; None: made through the API
)
Index("ix_push_subscriptions_operator_id", push_subscriptions.c.operator_id)
Index("ix_push_subscriptions_session", push_subscriptions.c.session)

digests = Table(
    "digests",
    metadata,
    Column("operator_id", Text, primary_key=True),
    Column("tried_at", BigInteger, nullable=False),  # when a mail was last on its way
    Column("told_until", BigInteger, nullable=False),  # whoever waited too long by then was told of
)
