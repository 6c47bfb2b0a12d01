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
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("site_id", "rule_id", "day", "step", "variant", "channel", "metric"), name=op.f("pk_tallies")
        ),
    )


def downgrade() -> None:
    op.drop_table("tallies")
    op.drop_table("sweeps")
    op.drop_index("ux_rules_key", table_name="rules")
    op.drop_column("rules", "key")
    op.drop_index("ix_visitors_wake_at", table_name="visitors")
    op.drop_column("visitors", "wake_at")
    op.drop_column("messages", "step")
