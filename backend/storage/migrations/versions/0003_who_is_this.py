"""Who is this: facts, the names of what is reported, tombstones, the access log, and what was not let in"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _facts()
    _privacy()


def downgrade() -> None:
    _no_privacy()
    _no_facts()


def _facts() -> None:
    op.create_table(
        "product_intervals",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("learned_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_product_intervals")),
    )
    op.create_table(
        "property_catalogue",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("site_id", "kind", "event", "name")),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "kind", "event", "name", name=op.f("pk_property_catalogue")),
    )


def _no_facts() -> None:
    op.drop_table("property_catalogue")
    op.drop_table("product_intervals")


def _privacy() -> None:
    op.create_table(
        "tombstones",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("site_id", "digest", "kind")),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site_id", "digest", name=op.f("pk_tombstones")),
    )
    op.create_table(
        "erasures",
        sa.Column("site_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("last_at", "number", "scrubbed_at")),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_erasures")),
    )
    op.create_table(
        "access_log",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "site_id")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("token", "role", "action", "visitor")),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_log")),
    )
    op.create_index("ix_access_log_site_id_at", "access_log", ["site_id", "at", "id"])
    op.create_index("ix_access_log_visitor_at", "access_log", ["visitor", "at"])
    op.create_table(
        "withheld",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("site_id", "day", "reason")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "day", "reason", name=op.f("pk_withheld")),
    )


def _no_privacy() -> None:
    for name in ("withheld", "access_log", "erasures", "tombstones"):
        op.drop_table(name)
