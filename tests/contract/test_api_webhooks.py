"""`webhooks`: what was told to the site's own systems, retried on demand; and what a rule may call."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backend.domain.webhook import GIVE_UP, Webhook, webhook_id, webhook_secret
from backend.runtime import Runtime
from backend.storage import webhooks
from backend.storage.queue import WEBHOOKS
from tests.contract.conftest import RULE, Api

VISITOR = "a" * 32


def a_webhook(rt: Runtime, site: str, rule: str, visitor: str = VISITOR, number: int = 0, **changes: Any) -> Webhook:
    """One that was promised just now."""
    now = rt.clock()
    made = Webhook(
        id=webhook_id(visitor, f"enrolment {number}", "webhook 1"),
        site_id=site,
        visitor_id=visitor,
        rule_id=rule,
        enrolment_id=f"enrolment {number}",
        step="webhook 1",
        method="POST",
        url="https://shop.example/hook",
        target="shop.example:443",
        headers={"Authorization": "Bearer geheim"},
        body={"order": "o-1"},
        created_at=now,
        expires_at=now + GIVE_UP,
        due_at=now,
    )
    return replace(made, **changes)


def promise(rt: Runtime, *made: Webhook) -> None:
    with rt.db.begin() as conn:
        webhooks.insert(conn, made)


def test_the_log_tells_how_far_each_came_but_not_its_headers(rt: Runtime, api: Api, site: str, rule: str) -> None:
    failed = a_webhook(rt, site, rule, status="failed", attempts=3, answered=410, reason="410 Gone.")
    promise(rt, replace(failed, ended_at=failed.created_at))
    answer = api.get(f"/sites/{site}/webhooks")
    [item] = answer.json["items"]
    assert "geheim" not in answer.text
    expected = {"status": "failed", "attempts": 3, "answered": 410, "reason": "410 Gone.", "next_try_at": None}
    assert expected.items() <= item.items()
    assert item["body"] == {"order": "o-1"}
    assert (item["method"], item["url"], item["step"]) == ("POST", "https://shop.example/hook", "webhook 1")


def test_the_log_can_be_filtered_and_read_page_by_page(rt: Runtime, api: Api, site: str, rule: str) -> None:
    made = [a_webhook(rt, site, rule, number=number) for number in range(5)]
    other = a_webhook(rt, site, "b" * 32, "c" * 32, status="delivered")
    promise(rt, *made, other)
    path = f"/sites/{site}/webhooks"
    newest_first = [each.id for each in made[::-1]]
    assert [each["id"] for each in api.all_items(f"{path}?rule={rule}", 2)] == newest_first
    assert [each["id"] for each in api.all_items(f"{path}?status=queued", 3)] == newest_first
    assert [each["id"] for each in api.all_items(f"{path}?status=delivered", 2)] == [other.id]
    assert api.get(f"{path}?visitor={VISITOR}").json["items"] == [], "nobody has this id"
    assert api.get(f"{path}?status=lost").status_code == 422
    assert api.get(f"{path}?cursor=x").status_code == 422


@pytest.mark.parametrize("status", ["failed", "skipped", "queued"])
def test_a_webhook_is_begun_anew_on_demand(rt: Runtime, api: Api, site: str, rule: str, status: str) -> None:
    later = rt.clock() + timedelta(hours=6)
    made = a_webhook(rt, site, rule, status=status, attempts=9, due_at=later, reason="500 no")
    promise(rt, made)
    before = rt.queue.waiting(WEBHOOKS)
    answer = api.post(f"/sites/{site}/webhooks/{made.id}/retry")
    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["attempts"], answer.json["id"]) == ("queued", 0, made.id)
    assert answer.json["next_try_at"] < later.isoformat()
    assert rt.queue.waiting(WEBHOOKS) == before + 1
    with rt.db.begin() as conn:
        claim = webhooks.claim(conn, (made.visitor_id, made.id), rt.clock())
    assert claim is not None
    assert claim.webhook.expires_at > made.expires_at
    assert claim.webhook.body == made.body


@pytest.mark.parametrize("status", ["delivered", "sending"])
def test_what_was_delivered_or_is_on_its_way_is_not_sent_again(
    rt: Runtime, api: Api, site: str, rule: str, status: str
) -> None:
    made = a_webhook(rt, site, rule, status=status)
    promise(rt, made)
    answer = api.post(f"/sites/{site}/webhooks/{made.id}/retry")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")


@pytest.mark.parametrize("unknown", [f"{VISITOR}.{'0' * 32}", VISITOR, "x", f"{VISITOR}.{'0' * 32}x", "%00", "." * 65])
def test_a_webhook_that_is_none_is_not_found(api: Api, site: str, unknown: str) -> None:
    assert api.post(f"/sites/{site}/webhooks/{unknown}/retry").status_code in {404, 400, 422}


def test_an_administrator_reads_the_secret_that_webhooks_are_signed_with(api: Api, site: str) -> None:
    told = api.get(f"/sites/{site}").json
    assert told["webhook_secret"] == webhook_secret(told["secret_key"])
    assert api("PATCH", f"/sites/{site}", {"webhook_secret": "whsec_mine"}).status_code == 422


def calling(url: str) -> dict[str, Any]:
    webhook = {"webhook": {"url": url}}
    steps = [{"wait": {"events": [{"event": "A"}], "timeout": "1h"}, "else": [{"split": [{"steps": [webhook]}, {}]}]}]
    return {key: value for key, value in RULE.items() if key != "message"} | {"steps": steps}


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://hooks.example/x", "Only https:"),
        ("https://hooks.example:8080/x", "Only port 443"),
        ("https://127.0.0.1/{{ x }}", "CHIMEIN_ALLOW_PRIVATE"),
        ("https://localhost?{{ x }}", "CHIMEIN_ALLOW_PRIVATE"),
        ("https://redis", "CHIMEIN_ALLOW_PRIVATE"),
    ],
)
def test_a_webhook_that_would_never_be_called_is_refused_with_the_rule(
    api: Api, site: str, rule: str, url: str, sentence: str
) -> None:
    for answer in (
        api.post(f"/sites/{site}/rules", calling(url)),
        api("PUT", f"/sites/{site}/rules/{rule}", calling(url)),
    ):
        assert answer.status_code == 422, answer.text
        found = answer.json["errors"]["steps"]["0"]["else"]["0"]["split"]["0"]["steps"]["0"]["webhook"]["url"]
        assert sentence in found[0]


def test_a_webhook_that_may_be_called_is_kept(api: Api, site: str) -> None:
    answer = api.post(f"/sites/{site}/rules", calling("https://hooks.example/{{ event.properties.id }}"))
    assert answer.status_code == 201, answer.text
    assert api.get(f"/sites/{site}/rules/{answer.json['id']}").json["steps"] == answer.json["steps"]
