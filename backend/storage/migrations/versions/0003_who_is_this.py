"""Who is this: a journal of merges that can be undone"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _identity()


def downgrade() -> None:
    _no_identity()


def _identity() -> None:
    # Both databases would keep the old key under its name, so the journal moves out and in again.
    op.execute("CREATE TABLE merges_before AS SELECT * FROM merges")
    op.drop_table("merges")
    op.create_table(
        "merges",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("visitor_id", "id", "member_id", "site_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("source", "message_id")),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("visitor_id", "id", name=op.f("pk_merges")),
    )
    op.execute(
        "INSERT INTO merges (visitor_id, id, member_id, site_id, source, message_id, at) "
        "SELECT visitor_id, member_id, member_id, "
        "COALESCE((SELECT site_id FROM visitors WHERE visitors.visitor_id = merges_before.visitor_id), ''), "
        "source, message_id, at FROM merges_before"
    )
    op.drop_table("merges_before")
    op.create_index("ix_merges_member_id", "merges", ["member_id"])


def _no_identity() -> None:
    op.execute("CREATE TABLE merges_after AS SELECT * FROM merges")
    op.drop_table("merges")
    op.create_table(
        "merges",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("visitor_id", "member_id", "source", "message_id")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("visitor_id", "member_id", name=op.f("pk_merges")),
    )
    op.execute(
        "INSERT INTO merges (visitor_id, member_id, source, message_id, at) "
        "SELECT visitor_id, member_id, min(source), min(message_id), min(at) FROM merges_after "
        "WHERE undone_at IS NULL GROUP BY visitor_id, member_id"
    )
    op.drop_table("merges_after")
