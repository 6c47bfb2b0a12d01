"""Explain: every gate of a rule for one visitor now, each with its verdict."""

from typing import Any

from backend.domain.profile import Profile
from backend.domain.rule import parse_rule
from backend.pipeline.explain import explain
from backend.storage.rules import get_rule, replace_rule
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, Shop, call, identify, popup_rule

ADDED = {"product_id": "mug", "price": 5}


def gates(shop: Shop, rule_id: str, profile: Profile | None = None) -> dict[str, tuple[bool, Any]]:
    """Each gate's verdict and reason."""
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    found = explain(shop.rt, shop.site, stored.rule(), profile or shop.profile())
    return {each.name: (each.open, each.reason) for each in found.gates}


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


def told(shop: Shop, rule_id: str) -> Any:
    """The explanation as the API answers it for ann."""
    answer = shop.client.get(
        f"/api/v1/sites/{shop.site.id}/rules/{rule_id}/explain?visitor={shop.profile().id}",
        headers={"Authorization": f"Bearer {shop.rt.settings.admin_token}"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json


def test_open_gates_tell_what_they_read(each_shop: Shop) -> None:
    shop = each_shop
    both = {**POPUP, "channels": ["email", "popup"], "holdout": 0.001}
    audience = {
        "all": [
            {"field": "profile.stage", "op": "eq", "value": "cart"},
            {"not": {"performed": "Order Completed", "within": "1d"}},
        ]
    }
    caps = [{"count": 3, "within": "7d"}]
    both["variants"] = [{"name": "A", "content": {"title": "T", "subject": "T", "body": "T"}}]
    rule_id = shop.rule(popup_rule(audience=audience, message=both, caps=caps, reentry={"policy": "every"}))
    shop.send(call("Product Added", ADDED))
    details = {each["gate"]: each["detail"] for each in told(shop, rule_id)["gates"]}
    assert 'profile.stage eq "cart": it is cart.' in details["audience"].replace('"cart".', "cart.")
    assert "not performed Order Completed" in details["audience"]
    assert "(0 times ever)" in details["audience"]
    assert "of 100, held out below 0.001" in details["holdout"]
    assert "variant A" in details["holdout"]
    assert "email: no address." in details["channel"]
    assert "popup: 1 known browser." in details["channel"]
    assert f"Rule: 1 of 3 within 7d (popup of {rule_id} at 2026-03-01T09:00:00Z)." in details["caps"]
    shop.send(identify("u", {"email": "ann@example.com"}))
    details = {each["gate"]: each["detail"] for each in told(shop, rule_id)["gates"]}
    assert "email: ann@example.com, from the trait email." in details["channel"]


def test_whoever_is_in_a_rule_is_told_of_their_version_and_step(each_shop: Shop) -> None:
    shop = each_shop
    steps = [{"delay": "1h"}, {"name": "first", "message": POPUP}]
    rule_id = shop.rule({"name": "r", "trigger": {"event": "Product Added"}, "steps": steps})
    shop.send(call("Product Added", ADDED))
    later = {"name": "r", "trigger": {"event": "Product Added"}, "steps": [{"delay": "9h"}, *steps]}
    with shop.rt.db.begin() as connection:
        replace_rule(connection, shop.site.id, rule_id, parse_rule(later), now=shop.clock())
    found = told(shop, rule_id)
    assert (found["rule_version"], found["enrolment"]["rule_version"]) == (1, 1)
    assert (found["enrolment"]["step"], found["enrolment"]["place"]) == ("delay", "steps.0")
    assert found["enrolment"]["waits_for"] == "The end of the delay."
    assert found["enrolment"]["due_at"] == "2026-03-01T10:00:00Z"
    with shop.rt.db.begin() as connection:
        replace_rule(connection, shop.site.id, rule_id, parse_rule(later), enrolled="move", now=shop.clock())
    found = told(shop, rule_id)
    assert (found["rule_version"], found["enrolment"]["rule_version"]) == (3, 3), "as they go on, moved or not yet"
    assert found["enrolment"]["place"] == "steps.1"


def test_a_trigger_that_started_nothing_is_told_with_the_reason(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED))
    assert told(shop, rule_id)["denied"] is None
    shop.clock.forward(minutes=5)
    shop.send(call("Product Added", ADDED, messageId="again"))
    assert told(shop, rule_id)["denied"] == {"event_id": "again", "at": "2026-03-01T09:05:00Z", "reason": "once"}
    other = shop.rule(popup_rule(audience={"field": "profile.stage", "op": "eq", "value": "new"}))
    assert told(shop, other)["denied"]["reason"] is None
