"""A rule may ask that somebody is there: live by who is online, simulated by the working hours, and it says why not."""

from typing import Any

from backend.pipeline.desk import choose
from backend.pipeline.permits import Permits
from backend.storage import deliveries
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, Shop, call, identify, popup_rule
from tests.integration.test_explain import told as explained
from tests.integration.test_routing import ANNA, HOURS, hire, monday, policy

ASKING = popup_rule("Asked", message={**POPUP, "requires_operator": True}, reentry={"policy": "every"})
ONLINE = {"field": "site.operator_online", "op": "eq", "value": True}


def inbox(shop: Shop) -> list[Any]:
    answer = shop.client.post("/v1/inbox", json={"writeKey": shop.site.write_key, "anonymousId": "ann"})
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json["items"]
    return found


def test_it_is_sent_only_while_somebody_is_there_and_shown_only_then(each_shop: Shop) -> None:
    shop = each_shop
    monday(shop)
    policy(shop, hours=HOURS)
    rule_id = shop.rule(ASKING)
    by_condition = shop.rule(popup_rule("Asked", audience=ONLINE, reentry={"policy": "every"}))
    shop.send(call("Asked"))
    hire(shop, ANNA)
    shop.clock.forward(seconds=2)
    shop.send(call("Asked"))
    both = {(each.rule_id, each.outcome, each.reason) for each in shop.enrolments()}
    assert both == {
        (rule_id, "skipped", "no_operator"),
        (rule_id, "sent", None),
        (by_condition, "sent", None),
    }, "where the audience does not hold nobody enters at all"
    gate = next(each for each in explained(shop, rule_id)["gates"] if each["gate"] == "operator")
    assert (gate["open"], gate["reason"]) == (True, None)
    assert len(inbox(shop)) == 2
    choose(shop.rt, shop.site, ANNA, "away")
    shop.clock.forward(seconds=2)
    assert inbox(shop) == [], "it is asked again when the page asks"
    assert [each.status for each in shop.messages()] == ["skipped"] * 2
    assert {each.reason for each in shop.enrolments() if each.rule_id == rule_id} == {"no_operator"}
    gate = next(each for each in explained(shop, rule_id)["gates"] if each["gate"] == "operator")
    assert (gate["open"], gate["reason"]) == (False, "no_operator")


def test_who_is_online_outside_their_hours_is_not_there(shop: Shop) -> None:
    policy(shop, hours=HOURS)  # it is Sunday
    hire(shop, ANNA)
    shop.rule(ASKING)
    shop.send(call("Asked"))
    assert shop.outcomes() == [("skipped", "no_operator")]


def test_a_mail_that_requires_an_operator_waits_for_none(shop: Shop) -> None:
    monday(shop)
    policy(shop, hours=HOURS)
    hire(shop, ANNA)
    content = {"subject": "S", "body": "B"}
    message = {"channels": ["email"], "variants": [{"content": content}], "requires_operator": True}
    shop.rule(popup_rule("Asked", message=message))
    shop.send(identify("u", {"email": "u@shop.example"}), call("Asked", userId="u", anonymousId="ann"))
    [mail] = shop.messages()
    with shop.rt.db.begin() as connection:
        claim = deliveries.claim(connection, (mail.visitor_id, mail.id), shop.clock(), ["email"])
        assert claim is not None
        assert Permits(shop.rt.sites).ask(connection, claim, shop.clock()) is None
    assert shop.outcomes(user_id="u") == [("skipped", "no_operator")]


def test_simulated_the_working_hours_decide(shop: Shop) -> None:
    """Who was there is not kept: so a simulation says what would be sent if in these hours somebody always is."""
    policy(shop, hours=HOURS)
    shop.send(call("Asked"))  # on Sunday
    monday(shop)
    shop.send(call("Asked"))
    monday(shop, hours=9)  # at seven in the evening
    shop.send(call("Asked"))
    shop.clock.forward(seconds=1)
    result = shop.simulate(ASKING)
    assert [(each.outcome, each.reason) for each in result.items] == [
        ("skipped", "no_operator"),
        ("sent", None),
        ("skipped", "no_operator"),
    ]
    assert len(shop.simulate(popup_rule("Asked", audience=ONLINE, reentry={"policy": "every"})).items) == 1
    policy(shop, routing="manual")
    assert {each.outcome for each in shop.simulate(ASKING).items} == {"sent"}, "without hours always"


def test_a_rule_that_requires_what_the_site_has_not_is_warned_of(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}"}

    def warned() -> list[str]:
        answer = shop.client.post(f"/api/v1/sites/{shop.site.id}/rules/validate", json=ASKING, headers=headers)
        assert answer.status_code == 200, answer.text
        return [each["path"] for each in answer.json["warnings"]]

    assert "message.requires_operator" in warned()
    hire(shop, ANNA, here=False)
    assert "message.requires_operator" not in warned()
    wrong = {**ASKING, "message": {**ASKING["message"], "requires_operator": "yes"}}
    answer = shop.client.post(f"/api/v1/sites/{shop.site.id}/rules/validate", json=wrong, headers=headers)
    assert answer.json["errors"]["message"]["requires_operator"] == ["Expected true or false."]
