"""A site that is removed is gone from every table that knows sites or visitors, and from the disk."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, Table, Text, func, select

from backend.domain.identity import derive
from backend.pipeline.remove import remove_site
from backend.storage import files, sites, tables
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop

NAMES = ("site_id", "visitor_id")
KNOWING = [table for table in tables.metadata.sorted_tables if any(name in table.c for name in NAMES)]


def value(column: Column[Any], table: Table, site_id: str) -> object:
    if column.name in NAMES:
        return site_id if column.name == "site_id" else derive("visitor", site_id)
    if isinstance(column.type, BigInteger | Integer):
        return 1
    return f"{table.name}-{site_id}" if isinstance(column.type, Text) else 1


def counted(shop: Shop, site_id: str) -> dict[str, int]:
    told = {}
    with shop.rt.db.read() as connection:
        for table in KNOWING:
            wanted = [table.c[name] == value(table.c[name], table, site_id) for name in NAMES if name in table.c]
            told[table.name] = connection.scalar(select(func.count()).select_from(table).where(*wanted)) or 0
    return told


def test_a_site_is_gone_from_every_table_that_knows_sites_or_visitors_and_from_the_disk(each_shop: Shop) -> None:
    shop = each_shop
    assert {table.name for table in KNOWING} >= {
        *("conversations", "parts", "attachments", "mail_addresses", "conversation_mails", "hooks", "canned_replies"),
        *("departments", "memberships", "push_subscriptions", "events", "visitors", "segment_members", "tombstones"),
    }
    other = sites.new_site("other")
    with shop.rt.db.begin() as connection:
        sites.create_site(connection, shop.rt.sites.vault, other, shop.clock())
        for site_id in (shop.site.id, other.id):
            for table in KNOWING:
                row = {column.name: value(column, table, site_id) for column in table.columns}
                connection.execute(table.insert().values(row))
    for site_id in (shop.site.id, other.id):
        files.put(shop.rt.settings.data_dir, site_id, derive("visitor", site_id), "d" * 64, b"x")
    assert set(counted(shop, shop.site.id).values()) == {1}
    remove_site(shop.rt, shop.site.id)
    assert set(counted(shop, shop.site.id).values()) == {0}
    assert set(counted(shop, other.id).values()) == {1}
    lying = [
        each.parent.parent.name for each in (shop.rt.settings.data_dir / "attachments").rglob("*") if each.is_file()
    ]
    assert lying == [other.id]
