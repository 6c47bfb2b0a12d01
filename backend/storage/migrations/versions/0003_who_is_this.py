"""Who is this: facts about people and the names of what is reported of them"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _facts()


def downgrade() -> None:
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
