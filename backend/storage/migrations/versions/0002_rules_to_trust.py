"""Steps of rules, moments without events, sweeps, tallies"""

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
    op.create_index("ix_visitors_site_id_visitor_id", "visitors", ["site_id", "visitor_id"])
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
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("site_id", "rule_id", "day", "step", "variant", "channel", "metric"), name=op.f("pk_tallies")
        ),
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


def downgrade() -> None:
    op.drop_table("segment_members")
    op.drop_table("segments")
    op.drop_table("tallies")
    op.drop_table("sweeps")
    op.drop_index("ix_visitors_site_id_visitor_id", table_name="visitors")
    op.drop_index("ix_visitors_wake_at", table_name="visitors")
    op.drop_column("visitors", "wake_at")
    op.drop_column("messages", "step")
