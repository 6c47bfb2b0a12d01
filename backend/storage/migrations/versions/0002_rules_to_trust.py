"""Steps of rules, moments without events, sweeps, tallies, webhooks, versions of rules"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("step", sa.Text(), server_default="", nullable=False))
    op.add_column("visitors", sa.Column("wake_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_visitors_wake_at",
        "visitors",
        ["wake_at"],
        sqlite_where=sa.text("wake_at IS NOT NULL"),
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )
    op.add_column("rules", sa.Column("key", sa.Text(), nullable=True))
    op.create_index("ux_rules_key", "rules", ["site_id", "key"], unique=True)
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.Text(), server_default="", nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
    )

    op.create_table(
        "tallies",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("site_id", "rule_id", "day", "step", "variant", "channel", "metric")
        ),
        sa.Column("number", sa.BigInteger().with_variant(sa.Numeric(38, 0), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint(
            *("site_id", "rule_id", "day", "step", "variant", "channel", "metric"), name=op.f("pk_tallies")
        ),
    )
    op.create_table(
        "rule_versions",
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("enrolled", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "version", name=op.f("pk_rule_versions")),
    )
    op.add_column("rules", sa.Column("moved_to", sa.Integer(), server_default="0", nullable=False))
    op.add_column("enrolments", sa.Column("rule_version", sa.Integer(), server_default="1", nullable=False))
    op.add_column("enrolments", sa.Column("outcome", sa.Text(), nullable=True))
    op.add_column("enrolments", sa.Column("reason", sa.Text(), nullable=True))
    op.create_index(
        "ix_enrolments_rule_id_rule_version",
        "enrolments",
        ["rule_id", "rule_version"],
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "webhooks",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("visitor_id", "id", "site_id", "rule_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("enrolment_id", "step", "method", "url", "target")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("headers", "body", "status")),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("answered", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("created_at", "expires_at", "due_at")),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("lease_until", "ended_at")),
        sa.PrimaryKeyConstraint("visitor_id", "id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_site_id_created_at", "webhooks", ["site_id", "created_at"])
    op.create_index(
        "ix_webhooks_due_at",
        "webhooks",
        ["due_at"],
        sqlite_where=sa.text("status IN ('queued', 'sending')"),
        postgresql_where=sa.text("status IN ('queued', 'sending')"),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("site_id", "name", name=op.f("uq_segments_site_id_name")),
    )
    op.create_table(
        "segment_members",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("visitor_id", "segment_id", name=op.f("pk_segment_members")),
    )
    op.create_index(
        "ix_segment_members_segment_id_entered_at", "segment_members", ["segment_id", "entered_at", "visitor_id"]
    )
    op.create_index("ix_segment_members_segment_id_visitor_id", "segment_members", ["segment_id", "visitor_id"])
    op.create_table(
        "contests",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("rule_id", "step", "test", "site_id")),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=True),
        sa.Column("variant", sa.Text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "step", "test", name=op.f("pk_contests")),
    )
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """What is there so far: one version of each rule, by which everybody who is in it goes on, as they did before."""
    connection.execute(
        sa.text(
            "INSERT INTO rule_versions (rule_id, version, site_id, document, enrolled, created_at) "
            "SELECT id, version, site_id, document, 'move', updated_at FROM rules"
        )
    )
    if connection.dialect.name == "sqlite":
        told = "json_extract(document, '$.{}')"
        changed = "json_set(document, '$.rule_version', :version, '$.position', :position)"
    else:
        told = "(document::jsonb ->> '{}')"
        changed = (
            "(document::jsonb || jsonb_build_object("
            "'rule_version', CAST(:version AS integer), 'position', CAST(:position AS integer)))::text"
        )
    outcome, reason = told.format("outcome"), told.format("reason")
    connection.execute(
        sa.text(f"UPDATE enrolments SET outcome = {outcome}, reason = {reason} WHERE status = 'ended'")  # noqa: S608
    )
    waiting = sa.text(
        f"UPDATE enrolments SET document = {changed}, rule_version = :version "  # noqa: S608
        "WHERE rule_id = :rule AND status = 'waiting'"
    )
    for rule_id, version, document in connection.execute(sa.text("SELECT id, version, document FROM rules")).all():
        # Whoever waits has their delay behind them; a rule without one lets nobody wait.
        delayed = json.loads(document).get("delay", "0s") not in {"0s", "0m", "0h", "0d"}
        connection.execute(waiting, {"rule": rule_id, "version": version, "position": int(delayed)})


def downgrade() -> None:
    op.drop_table("contests")
    op.drop_table("segment_members")
    op.drop_table("segments")
    op.drop_table("webhooks")
    op.drop_index("ix_enrolments_rule_id_rule_version", table_name="enrolments")
    for name in ("reason", "outcome", "rule_version"):
        op.drop_column("enrolments", name)
    op.drop_column("rules", "moved_to")
    op.drop_table("rule_versions")
    op.drop_table("tallies")
    op.drop_table("sweeps")
    op.drop_index("ux_rules_key", table_name="rules")
    op.drop_column("rules", "key")
    op.drop_index("ix_visitors_wake_at", table_name="visitors")
    op.drop_column("visitors", "wake_at")
    op.drop_column("messages", "step")
