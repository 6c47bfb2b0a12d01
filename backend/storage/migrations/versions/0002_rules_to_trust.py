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


def downgrade() -> None:
    op.drop_table("contests")
    op.drop_table("tallies")
    op.drop_table("sweeps")
    op.drop_index("ix_visitors_wake_at", table_name="visitors")
    op.drop_column("visitors", "wake_at")
    op.drop_column("messages", "step")
