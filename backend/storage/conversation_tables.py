"""The tables about conversations: what is said, who answers, and where they work."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from backend.storage.metadata import metadata

conversations = Table(
    "conversations",
    metadata,
    Column("visitor_id", Text, primary_key=True),  # with whom it began
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("site_id", "opened_by", "state")),
    *(Column(name, Text) for name in ("anonymous_id", "message_id", "assignee_id", "department_id")),
    Column("priority", Integer, nullable=False, server_default="0"),  # its place in PRIORITIES
    Column("tags", Text, nullable=False, server_default="[]"),
    Column("created_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    *(Column(name, Integer, nullable=False, server_default="0") for name in ("last", "seen", "read")),
    *(Column(name, BigInteger) for name in ("snoozed_until", "waiting_since", "answered_at", "closed_at")),
    Column("mailed", Integer, nullable=False, server_default="0"),  # the last part that went out by mail
    Column("mail_due_at", BigInteger),  # when to look again whether something goes out by mail; None: at once
    Column("mails_off_at", BigInteger),  # since when no mails of it are wanted
    Column("routed_at", BigInteger),  # when somebody was last looked for who answers
    Column("route_at", BigInteger),  # when that is to be done again
    Column("rating", Integer),
    Column("remark", Text),
    Column("preview", Text, nullable=False, server_default=""),
)
Index("ix_conversations_id", conversations.c.id)
Index("ix_conversations_site_id_state_last_at", *(conversations.c[name] for name in ("site_id", "state", "last_at")))
Index(
    "ix_conversations_site_id_assignee_id_last_at",
    *(conversations.c[name] for name in ("site_id", "assignee_id", "last_at")),
)
Index(
    "ix_conversations_waiting_since",
    conversations.c.waiting_since,
    sqlite_where=text("waiting_since IS NOT NULL"),
    postgresql_where=text("waiting_since IS NOT NULL"),
)
Index(
    "ix_conversations_snoozed_until",
    conversations.c.snoozed_until,
    sqlite_where=text("snoozed_until IS NOT NULL"),
    postgresql_where=text("snoozed_until IS NOT NULL"),
)
_UNMAILED = "last > mailed AND last > seen"
Index(
    "ix_conversations_unmailed",
    conversations.c.last_at,
    sqlite_where=text(_UNMAILED),
    postgresql_where=text(_UNMAILED),
)

parts = Table(
    "parts",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("id", "site_id", "author", "kind", "channel", "text")),
    Column("author_id", Text),
    Column("content", Text, nullable=False, server_default="{}"),
    Column("words", Text, nullable=False, server_default=""),  # the text as it is searched: case folded
    Column("at", BigInteger, nullable=False),
    *(Column(name, BigInteger) for name in ("edited_at", "deleted_at")),
)
Index("ix_parts_visitor_id_id", parts.c.visitor_id, parts.c.id, unique=True)
Index("ix_parts_site_id_at", parts.c.site_id, parts.c.at)

attachments = Table(
    "attachments",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("site_id", "name", "type", "digest")),
    Column("size", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("part_id", Text),  # None: uploaded, and not said yet
)
Index("ix_attachments_id", attachments.c.id)
Index(
    "ix_attachments_site_id_at",
    attachments.c.site_id,
    attachments.c.at,
    sqlite_where=text("part_id IS NULL"),
    postgresql_where=text("part_id IS NULL"),
)

operators = Table(
    "operators",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password", Text),  # argon2id; None: invited, and has not chosen one yet
    Column("photo", Text),  # the digest of a picture
    Column("settings", Text, nullable=False, server_default="{}"),
    *(Column(name, BigInteger, nullable=False) for name in ("created_at", "updated_at")),
    *(Column(name, BigInteger) for name in ("disabled_at", "seen_at")),
)

memberships = Table(
    "memberships",
    metadata,
    Column("operator_id", Text, primary_key=True),
    Column("site_id", Text, primary_key=True),  # empty: every site
    Column("role", Text, nullable=False),
    Column("departments", Text, nullable=False, server_default="[]"),
    Column("capacity", Integer, nullable=False, server_default="10"),  # conversations at a time
    Column("presence", Text, nullable=False, server_default="online"),  # online, away, off: as they chose
    Column("given_at", BigInteger, nullable=False, server_default="0"),  # whose turn is the longest ago comes next
)
Index("ix_memberships_site_id", memberships.c.site_id)

departments = Table(
    "departments",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("document", Text, nullable=False, server_default="{}"),  # hours, routing
    *(Column(name, BigInteger, nullable=False) for name in ("created_at", "updated_at")),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("digest", Text, primary_key=True),  # of the cookie
    Column("operator_id", Text, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in ("created_at", "used_at")),
    Column("agent", Text, nullable=False, server_default=""),
)
Index("ix_console_sessions_operator_id", console_sessions.c.operator_id)

operator_links = Table(
    "operator_links",
    metadata,
    Column("digest", Text, primary_key=True),  # of what stands in the link
    Column("operator_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("ix_operator_links_operator_id", operator_links.c.operator_id)

canned_replies = Table(
    "canned_replies",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("shortcut", Text, nullable=False),
    Column("text", Text, nullable=False),  # Liquid
    *(Column(name, BigInteger, nullable=False) for name in ("created_at", "updated_at")),
)
Index("ix_canned_replies_site_id_shortcut", canned_replies.c.site_id, canned_replies.c.shortcut, unique=True)

mail_addresses = Table(
    "mail_addresses",  # to which a conversation is written, each with its own address for answers
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("site_id", "digest")),  # the keyed hash of the token
    Column("created_at", BigInteger, nullable=False),
    Column("refused_at", BigInteger),  # since when it is known to lead nowhere
)
Index("ix_mail_addresses_digest", mail_addresses.c.digest, unique=True)

conversation_mails = Table(
    "conversation_mails",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),  # of the last part in it
    *(Column(name, Text, nullable=False) for name in ("id", "site_id", "address", "status")),
    Column("first", Integer, nullable=False),  # the number of the first part that is new in it
    Column("attempts", Integer, nullable=False, server_default="0"),
    *(Column(name, BigInteger, nullable=False) for name in ("created_at", "due_at")),
    *(Column(name, BigInteger) for name in ("lease_until", "sent_at")),
    Column("reason", Text),
)
_ON_ITS_WAY = "status IN ('queued', 'claimed', 'sending')"
Index(
    "ix_conversation_mails_due_at",
    conversation_mails.c.due_at,
    sqlite_where=text(_ON_ITS_WAY),
    postgresql_where=text(_ON_ITS_WAY),
)
