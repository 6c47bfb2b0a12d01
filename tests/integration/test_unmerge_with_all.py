"""A merge that is undone leaves all that hangs on a visitor where it was: stages, interests, what was said."""

from typing import Any

import sqlalchemy

from backend.domain.identity import known_visitor
from backend.pipeline.merge import merge_visitors
from backend.pipeline.unmerge import unmerge
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify
from tests.integration.lives import furnish
from tests.integration.test_segments import ask, good


def rows(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    with shop.rt.db.read() as connection:
        return sorted(tuple(row) for row in connection.execute(sqlalchemy.text(query)))


def snapshot(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """What is known of everybody, as reports and rules see it: by person where a row counts for that."""
    person = "(SELECT coalesce(merged_into, visitor_id) FROM visitors v WHERE v.visitor_id = t.visitor_id)"
    return {
        "stages": rows(shop, f"SELECT {person}, at, stage, revision FROM stage_entries t"),
        "interests": rows(shop, f"SELECT {person}, product_id, kind, max(at) FROM interests t GROUP BY 1, 2, 3"),
        "members": rows(shop, "SELECT visitor_id, segment_id, entered_at FROM segment_members"),
        "enrolments": rows(shop, f"SELECT {person}, id, outcome, reason FROM enrolments t"),
        "messages": rows(shop, f"SELECT {person}, id, status, content FROM messages t"),
        "webhooks": rows(shop, f"SELECT {person}, id, status, url FROM webhooks t"),
        "events": rows(shop, "SELECT visitor_id, message_id FROM events"),
        "visitors": rows(shop, "SELECT visitor_id, merged_into, user_id, email, stage FROM visitors"),
    }


def test_everything_is_as_it_was_and_what_came_meanwhile_goes_where_it_belongs(each_shop: Shop) -> None:
    shop = each_shop
    furnish(shop)
    for user in ("u", "v"):
        browser = f"of-{user}"
        shop.send(identify(user, {"name": f"Name of {user}", "plan": "paid"}, anonymousId=browser))
        shop.wait(seconds=5)
        shop.send(call("Product Viewed", {"product_id": f"p-{user}"}, userId=user))
        shop.wait(seconds=5)
        shop.send(call("Product Added", {"product_id": f"p-{user}", "price": 3}, userId=user))
        shop.wait(seconds=5)
        shop.send(call("Order Completed", {"total": 3, "order_id": user}, userId=user))
    shop.wait(minutes=11)
    before = snapshot(shop)
    assert [name for name, found in before.items() if not found] == ["webhooks"]
    u, v = (known_visitor(shop.site.id, each) for each in "uv")
    made = merge_visitors(shop.rt, shop.site, u, v, "tests").merge
    assert made is not None
    shop.wait(seconds=1)
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    shop.wait(seconds=1)
    assert snapshot(shop) == before
    made = merge_visitors(shop.rt, shop.site, u, v, "tests").merge
    assert made is not None
    shop.wait(seconds=1)
    shop.send(
        call("Products Searched", {"query": "of v"}, userId="v"),
        call("Product Viewed", {"product_id": "new"}, userId="v"),
    )
    [hook] = rows(shop, "SELECT id FROM webhooks")
    shop.wait(seconds=1)
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    shop.wait(seconds=1)
    after = snapshot(shop)
    assert {row[0] for row in after["interests"] if row[1] == "new"} == {v}
    assert {row[0] for row in after["webhooks"]} == {v}
    assert "searched" not in shop.profile(user_id="u").traits
    assert shop.profile(user_id="v").traits["searched"] == "of v"
    assert shop.profile(user_id="v").counts["Search Noted"] == 1
    assert {row for row in after["stages"] if row[0] == u} == {row for row in before["stages"] if row[0] == u}
    shop.send(call("Page Viewed", userId="u"), call("Page Viewed", userId="v"))
    assert shop.dead() == []
    assert good(ask(shop, "POST", f"/webhooks/{hook[0]}/retry"))["id"] == hook[0]
