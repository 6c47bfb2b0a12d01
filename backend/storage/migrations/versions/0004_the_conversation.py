"""The conversation: what is said, who answers, and where they work"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _talk()
    _desk()
    _routing()
    _notices()
    _links()
    _mailing()


def downgrade() -> None:
    with op.batch_alter_table("webhooks") as batch:
        for name in ("hook_id", "kind"):
            batch.drop_column(name)
    for name in (
        *("digests", "push_subscriptions", "hooks"),
        "operator_links",
        *("conversation_mails", "mail_addresses"),
        *("canned_replies", "console_sessions", "departments", "memberships", "operators"),
        *("attachments", "parts", "conversations"),
    ):
        op.drop_table(name)


def _talk() -> None:
    op.create_table(
        "conversations",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("anonymous_id", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("assignee_id", sa.Text(), nullable=True),
        sa.Column("department_id", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("read", sa.Integer(), server_default="0", nullable=False),
        sa.Column("snoozed_until", sa.BigInteger(), nullable=True),
        sa.Column("waiting_since", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("mailed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("mail_due_at", sa.BigInteger(), nullable=True),
        sa.Column("mails_off_at", sa.BigInteger(), nullable=True),
        sa.Column("routed_at", sa.BigInteger(), nullable=True),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("remark", sa.Text(), nullable=True),
        sa.Column("preview", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("visitor_id", "id", name=op.f("pk_conversations")),
    )
    op.create_index("ix_conversations_id", "conversations", ["id"], unique=False)
    op.create_index(
        "ix_conversations_site_id_assignee_id_last_at",
        "conversations",
        ["site_id", "assignee_id", "last_at"],
        unique=False,
    )
    op.create_index(
        "ix_conversations_site_id_state_last_at", "conversations", ["site_id", "state", "last_at"], unique=False
    )
    op.create_index(
        "ix_conversations_snoozed_until",
        "conversations",
        ["snoozed_until"],
        unique=False,
        sqlite_where=sa.text("snoozed_until IS NOT NULL"),
        postgresql_where=sa.text("snoozed_until IS NOT NULL"),
    )
    op.create_index(
        "ix_conversations_waiting_since",
        "conversations",
        ["waiting_since"],
        unique=False,
        sqlite_where=sa.text("waiting_since IS NOT NULL"),
        postgresql_where=sa.text("waiting_since IS NOT NULL"),
    )
    op.create_table(
        "parts",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), server_default="{}", nullable=False),
        sa.Column("words", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("edited_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("visitor_id", "conversation_id", "number", name=op.f("pk_parts")),
    )
    op.create_index("ix_parts_site_id_at", "parts", ["site_id", "at"], unique=False)
    op.create_index("ix_parts_visitor_id_id", "parts", ["visitor_id", "id"], unique=True)
    op.create_table(
        "attachments",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("visitor_id", "id", name=op.f("pk_attachments")),
    )
    op.create_index("ix_attachments_id", "attachments", ["id"], unique=False)
    op.create_index(
        "ix_attachments_site_id_at",
        "attachments",
        ["site_id", "at"],
        unique=False,
        sqlite_where=sa.text("part_id IS NULL"),
        postgresql_where=sa.text("part_id IS NULL"),
    )


def _desk() -> None:
    op.create_table(
        "operators",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("photo", sa.Text(), nullable=True),
        sa.Column("settings", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operators")),
        sa.UniqueConstraint("email", name=op.f("uq_operators_email")),
    )
    op.create_table(
        "memberships",
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("departments", sa.Text(), server_default="[]", nullable=False),
        sa.Column("capacity", sa.Integer(), server_default="10", nullable=False),
        sa.Column("presence", sa.Text(), server_default="online", nullable=False),
        sa.PrimaryKeyConstraint("operator_id", "site_id", name=op.f("pk_memberships")),
    )
    op.create_index("ix_memberships_site_id", "memberships", ["site_id"], unique=False)
    op.create_table(
        "departments",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_departments")),
    )
    op.create_table(
        "console_sessions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.Column("agent", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_console_sessions")),
    )
    op.create_index("ix_console_sessions_operator_id", "console_sessions", ["operator_id"], unique=False)
    op.create_table(
        "canned_replies",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("shortcut", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_canned_replies")),
    )
    op.create_index("ix_canned_replies_site_id_shortcut", "canned_replies", ["site_id", "shortcut"], unique=True)


def _routing() -> None:
    op.add_column("conversations", sa.Column("route_at", sa.BigInteger(), nullable=True))
    op.add_column("memberships", sa.Column("given_at", sa.BigInteger(), server_default="0", nullable=False))


def _notices() -> None:
    op.create_table(
        "hooks",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_hooks")),
    )
    op.create_table(
        "push_subscriptions",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("p256dh", sa.Text(), nullable=False),
        sa.Column("auth", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_push_subscriptions")),
    )
    op.create_index("ix_push_subscriptions_session", "push_subscriptions", ["session"], unique=False)
    op.create_index("ix_push_subscriptions_operator_id", "push_subscriptions", ["operator_id"], unique=False)
    op.create_table(
        "digests",
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("told_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("operator_id", name=op.f("pk_digests")),
    )
    op.add_column("webhooks", sa.Column("kind", sa.Text(), server_default="rule", nullable=False))
    op.add_column("webhooks", sa.Column("hook_id", sa.Text(), nullable=True))


def _links() -> None:
    op.create_table(
        "operator_links",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_operator_links")),
    )
    op.create_index("ix_operator_links_operator_id", "operator_links", ["operator_id"], unique=False)


def _mailing() -> None:
    unmailed = sa.text("last > mailed AND last > seen")
    op.create_index(
        "ix_conversations_unmailed",
        "conversations",
        ["last_at"],
        unique=False,
        sqlite_where=unmailed,
        postgresql_where=unmailed,
    )
    op.create_table(
        "mail_addresses",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("refused_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("visitor_id", "conversation_id", "address", name=op.f("pk_mail_addresses")),
    )
    op.create_index("ix_mail_addresses_digest", "mail_addresses", ["digest"], unique=True)
    op.create_table(
        "conversation_mails",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("visitor_id", "conversation_id", "number", name=op.f("pk_conversation_mails")),
    )
    on_its_way = sa.text("status IN ('queued', 'claimed', 'sending')")
    op.create_index(
        "ix_conversation_mails_due_at",
        "conversation_mails",
        ["due_at"],
        unique=False,
        sqlite_where=on_its_way,
        postgresql_where=on_its_way,
    )
