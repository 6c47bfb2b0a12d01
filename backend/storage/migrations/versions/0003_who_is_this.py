"""Who is this: facts, names of what is reported, privacy, merges that can be undone, stages, the catalogue"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _facts()
    _privacy()
    _identity()
    _funnel()
    _catalogue()


def downgrade() -> None:
    _no_catalogue()
    _no_funnel()
    _no_identity()
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
        sa.Column("shown", sa.BigInteger(), nullable=True),
        sa.Column("asked", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_log")),
    )
    op.create_index("ix_access_log_site_id_at", "access_log", ["site_id", "at", "id"])
    op.create_index("ix_access_log_visitor_at", "access_log", ["visitor", "at"])
    op.create_table(
        "thinned",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("visitor_id", "site_id")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("visitor_id", name=op.f("pk_thinned")),
    )
    op.create_table(
        "withheld",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("site_id", "day", "reason")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "day", "reason", name=op.f("pk_withheld")),
    )


def _no_privacy() -> None:
    for name in ("withheld", "thinned", "access_log", "erasures", "tombstones"):
        op.drop_table(name)


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


def _no_funnel() -> None:
    op.execute("DELETE FROM sweeps WHERE kind = 'stages'")
    op.drop_index("ix_visitors_site_id_merged_into", table_name="visitors")
    op.drop_table("stage_entries")


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


def _no_catalogue() -> None:
    for name in ("feeds", "interests", "relations", "products", "catalogues"):
        op.drop_table(name)
    op.execute("DELETE FROM sweeps WHERE kind IN ('product', 'interests')")
    op.drop_index("ix_sweeps_rule_id", table_name="sweeps")
    op.drop_column("sweeps", "subject")
