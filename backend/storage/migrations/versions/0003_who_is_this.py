"""Entries into the stages of funnels"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _funnel()


def downgrade() -> None:
    _without_funnel()


def _funnel() -> None:
    op.create_table(
        "stage_entries",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("stage", "source", "device")),
        sa.PrimaryKeyConstraint("visitor_id", "at", name=op.f("pk_stage_entries")),
    )
    op.create_index(
        "ix_stage_entries_site_id_at",
        "stage_entries",
        ["site_id", "at", "visitor_id", "revision", "stage", "source", "device"],
    )
    op.create_index(
        "ix_visitors_site_id_merged_into",
        "visitors",
        ["site_id", "visitor_id", "merged_into"],
        sqlite_where=sa.text("merged_into IS NOT NULL"),
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    # Everybody who was here before: when they came into which stage follows from their events.
    op.execute(
        "INSERT INTO sweeps (id, site_id, rule_id, kind, due_at, next_at)"
        " SELECT 'stages-' || id, id, '0', 'stages', created_at, created_at FROM sites"
    )


def _without_funnel() -> None:
    op.execute("DELETE FROM sweeps WHERE kind = 'stages'")
    op.drop_index("ix_visitors_site_id_merged_into", table_name="visitors")
    op.drop_table("stage_entries")
