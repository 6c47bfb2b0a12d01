"""The catalogue: products, what goes together, who is interested in what, feeds"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _catalogue()


def _catalogue() -> None:
    op.add_column("sweeps", sa.Column("subject", sa.Text(), server_default="", nullable=False))
    op.create_index("ix_sweeps_rule_id", "sweeps", ["rule_id", "due_at"])
    op.create_table(
        "catalogues",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("noting_since", sa.BigInteger(), nullable=True),
        sa.Column("learned", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("related_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site_id", name=op.f("pk_catalogues")),
    )
    op.create_table(
        "products",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "product_id", name=op.f("pk_products")),
    )
    op.create_index("ix_products_site_id_category", "products", ["site_id", "category", "product_id"])
    op.create_table(
        "relations",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "product_id", name=op.f("pk_relations")),
    )
    op.create_table(
        "interests",
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("visitor_id", "product_id", "kind", name=op.f("pk_interests")),
    )
    op.create_index("ix_interests_site_id_product_id", "interests", ["site_id", "product_id", "visitor_id"])
    op.create_table(
        "feeds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("every_seconds", sa.BigInteger(), nullable=True),
        sa.Column("complete", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("fetched_at", sa.BigInteger(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feeds")),
    )
    op.create_index(op.f("ix_feeds_site_id"), "feeds", ["site_id"])
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_feeds_due_at", "feeds", ["due_at"], sqlite_where=due, postgresql_where=due)
