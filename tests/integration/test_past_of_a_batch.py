"""Who did something for the first time in this batch has all of it at hand; who did it before is asked of storage."""

from typing import Any

import pytest

from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify, popup_rule

DEAR = {"field": "event.properties.price", "op": "gte", "value": 100}
OFTEN = {"performed": "Product Viewed", "where": DEAR, "count": {"op": "gte", "value": 3}, "within": "1h"}


def view(price: int = 100, **fields: Any) -> dict[str, Any]:
    return call("Product Viewed", {"product_id": "mug", "price": price}, **fields)


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_three_dear_views_in_one_batch_or_in_several(each_shop: Shop, before: int) -> None:
    shop = each_shop
    shop.rule(popup_rule("Product Viewed", audience=OFTEN))
    shop.send(call("Page Viewed"))  # so that this visitor is known
    if before:
        shop.send(*(view() for _ in range(before)))
    assert [outcome for outcome, _ in shop.outcomes()] == (["sent"] if before == 3 else [])
    shop.send(view(5), *(view() for _ in range(3 - before)))
    assert [outcome for outcome, _ in shop.outcomes()] == ["sent"]


def test_what_was_done_long_ago_is_not_counted_and_what_another_browser_did_is(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule("Product Viewed", audience=OFTEN))
    shop.send(view(), view())
    shop.clock.forward(hours=2)
    shop.send(view(), view())
    assert shop.outcomes() == []
    shop.send(identify("the user"))
    assert shop.outcomes(user_id="the user") == []
    shop.send(view(anonymousId="second"), identify("the user", anonymousId="second"))
    assert [outcome for outcome, _ in shop.outcomes(user_id="the user")] == ["sent"], "two of the one, one of the other"


def test_two_questions_of_which_only_one_is_answered_by_the_batch(each_shop: Shop) -> None:
    """The views are new, the searches are not."""
    shop = each_shop
    searched = {"performed": "Products Searched", "count": {"op": "gte", "value": 2}, "within": "1d"}
    shop.rule(popup_rule("Product Viewed", audience={"all": [OFTEN, searched]}))
    shop.send(*(call("Products Searched", {"query": "mug"}) for _ in range(2)))
    shop.send(view(), view(), view())
    assert [outcome for outcome, _ in shop.outcomes()] == ["sent"]
