"""Explain: every gate of a rule for one visitor now, each with its verdict."""

from typing import Any

from backend.domain.profile import Profile
from backend.pipeline.explain import explain
from backend.storage.rules import get_rule
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, Shop, call, identify, popup_rule

ADDED = {"product_id": "mug", "price": 5}


def gates(shop: Shop, rule_id: str, profile: Profile | None = None) -> dict[str, tuple[bool, Any]]:
    """Each gate's verdict and reason."""
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    found = explain(shop.rt, shop.site, stored.rule(), profile or shop.profile())
    return {str(each["gate"]): (bool(each["open"]), each["reason"]) for each in found}


def test_every_gate_is_open_for_somebody_who_would_be_addressed(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(popup_rule(audience={"performed": "Product Added"}, reentry={"policy": "every"}))
    shop.send(call("Product Added", ADDED))
    found = gates(shop, rule_id)
    assert list(found) == ["trigger", "reentry", "rule", "audience", "channel", "caps", "template", "holdout"]
    assert all(open_ for open_, _ in found.values()), found


def test_a_trigger_that_never_happened(shop: Shop) -> None:
    where = {"field": "event.properties.price", "op": "gte", "value": 100}
    rule_id = shop.rule(popup_rule() | {"trigger": {"event": "Product Added", "where": where}})
    shop.send(call("Product Added", ADDED))
    assert gates(shop, rule_id)["trigger"] == (False, None)
    assert gates(shop, rule_id)["reentry"] == (True, None)
    shop.send(call("Product Added", {**ADDED, "price": 100}))
    assert gates(shop, rule_id)["trigger"] == (True, None)


def test_closed_gates_tell_why(shop: Shop) -> None:
    audience = {"field": "profile.stage", "op": "eq", "value": "customer"}
    mail = {"channels": ["email"], "variants": [{"name": "A", "content": {"subject": "Hi", "body": "…"}}]}
    cases: list[tuple[dict[str, Any], str, str]] = [
        (popup_rule(audience=audience), "audience", "not_matching"),
        (popup_rule(message={**POPUP, "holdout": 100}), "holdout", "holdout"),
        (popup_rule(message=mail), "channel", "no_address"),
    ]
    shop.send(call("Product Added", ADDED))
    for document, gate, reason in cases:
        assert gates(shop, shop.rule(document))[gate] == (False, reason)
    paused = shop.rule(popup_rule())
    shop.set_rule(paused, "paused")
    assert gates(shop, paused)["rule"] == (False, "rule_paused")


def test_what_waits_and_what_was_denied(each_shop: Shop) -> None:
    """A denied trigger leaves no enrolment; explain tells of it."""
    shop = each_shop
    waiting = shop.rule(popup_rule(delay="30m", reentry={"policy": "every"}))
    once = shop.rule(popup_rule())
    limited = shop.rule(popup_rule(reentry={"policy": "every", "at_most": 1, "per": "1h"}))
    keyed = shop.rule(popup_rule(reentry={"policy": "per_key", "key": "properties.product_id"}))
    shop.send(call("Product Added", ADDED))
    assert gates(shop, waiting)["reentry"] == (False, "live")
    assert gates(shop, once)["reentry"] == (False, "once")
    assert gates(shop, limited)["reentry"] == (False, "at_most")
    assert gates(shop, keyed)["reentry"] == (False, "per_key")
    shop.wait(hours=1)
    assert gates(shop, waiting)["reentry"] == (True, None)
    assert gates(shop, limited)["reentry"] == (True, None)
    assert gates(shop, once)["reentry"] == (False, "once")
    shop.send(call("Product Removed", ADDED), call("Product Viewed", {"product_id": "other"}))
    assert gates(shop, keyed)["reentry"] == (False, "per_key")


def test_a_merged_person_is_explained_with_what_their_browsers_did(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule(delay="30m", audience={"performed": "Product Added", "within": "1h"}))
    shop.send(call("Product Added", ADDED))
    shop.send(identify("u"))
    found = gates(shop, rule_id, shop.profile(user_id="u"))
    assert found["trigger"] == (True, None)
    assert found["reentry"] == (False, "live")
    assert found["audience"] == (True, None)


def test_a_stage_as_trigger(shop: Shop) -> None:
    rule_id = shop.rule({"name": "Stage", "trigger": {"stage": "cart"}, "message": POPUP})
    shop.send(call("Product Viewed", ADDED))
    assert gates(shop, rule_id)["trigger"] == (False, None)
    shop.send(call("Product Added", ADDED))
    assert gates(shop, rule_id)["trigger"] == (True, None)
    assert gates(shop, rule_id)["reentry"] == (False, "once")
