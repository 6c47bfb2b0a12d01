"""Traits changed by pages, backends and the API; and the catalogue of what a site reports."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from werkzeug.serving import make_server

from backend.app import create_app
from backend.domain.vocabulary import Name
from backend.storage import vocabularies
from chimein import Client
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import ADMIN, START, WRITE_KEY, Shop, at, call, identify, popup_rule, state_of

HEADERS = {"Authorization": f"Bearer {ADMIN}"}


def patch(shop: Shop, body: Any, visitor: str | None = None) -> Any:
    path = f"/api/v1/sites/shop/visitors/{visitor or shop.profile().id}/traits"
    return shop.client.patch(path, json=body, headers=HEADERS)


def test_the_api_changes_traits_through_the_log_once_and_in_order(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(identify("u1", {"points": 1, "coupon": "X"}))
    seen = shop.profile().last_seen
    shop.clock.forward(hours=1)
    body = {
        "set": {"plan": "pro", "since": "2026-03-01T10:00:00+01:00", "address": {"city": "Graz"}},
        "add": {"points": "2.50"},
        "append": {"tags": ["tea", "cup"]},
        "unset": ["coupon"],
        "idempotency_key": "k1",
    }
    answers = [patch(shop, body) for _ in range(3)]
    assert [each.status_code for each in answers] == [202] * 3
    assert len({each.json["event_id"] for each in answers}) == 1
    shop.put(identify("u1", {"$subtract": {"points": 1}}, timestamp=at(minutes=30).isoformat()))
    shop.processor.drain()
    profile = shop.profile()
    assert profile.traits == {
        "plan": "pro",
        "since": "2026-03-01T10:00:00+01:00",
        "address": {"city": "Graz"},
        "points": 2.5,
        "tags": ["tea", "cup"],
    }
    assert seen == START
    assert profile.last_seen == at(minutes=30)  # the page's call, not the API's
    shown = shop.client.get(f"/api/v1/sites/shop/visitors/{profile.id}/events", headers=HEADERS).json["items"]
    assert answers[0].json["event_id"] in [each["id"] for each in shown]


def test_a_change_by_the_api_meets_a_batch_that_is_folded_at_the_same_moment(shop: Shop) -> None:
    shop.send(identify("u1", {"points": 0}))
    shop.put(*(identify("u1", {"$add": {"points": 1}}) for _ in range(50)))
    for _ in range(5):
        assert patch(shop, {"add": {"points": 10}}).status_code == 202
    shop.put(*(identify("u1", {"$add": {"points": 1}}) for _ in range(50)))
    shop.processor.drain()
    before = state_of(shop.rt)
    assert shop.profile().traits["points"] == 150
    shop.restart().drain()
    assert state_of(shop.rt) == before


def test_a_rule_starts_when_the_api_changes_a_trait(shop: Shop) -> None:
    shop.rule(popup_rule(None, trigger={"trait": "plan", "to": "pro"}))
    shop.send(call("Page Viewed"))
    patch(shop, {"set": {"plan": "pro"}})
    shop.processor.drain()
    assert [each[0] for each in shop.outcomes()] == ["sent"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ("_schema",)),
        ({"set": {}}, ("_schema",)),
        ({"sett": {"a": 1}}, ("sett",)),
        ({"add": {"n": "much"}}, ("add", "n")),
        ({"add": {"n": True}}, ("add", "n")),
        ({"add": {"n": None}}, ("add", "n")),
        ({"add": [1]}, ("add",)),
        ({"set": {"": 1}}, ("set", "")),
        ({"set": {"$add": {"n": 1}}}, ("set", "$add")),
        ({"set": {"n": 1}, "add": {"n": 1}}, ("add", "n")),
        ({"set": {"n": "x" * 9_000}}, ("set", "n")),
        ({"append": {"n": list(range(300))}}, ("append", "n")),
        ({"set": {"n": [[[[[[[[1]]]]]]]]}}, ("set", "n")),
        ({"unset": "n"}, ("unset",)),
        ({"unset": [5]}, ("unset", "0")),
        ({"set": {f"n{n}": 1 for n in range(101)}}, ("set",)),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_with_its_place(shop: Shop, body: Any, path: tuple[str, ...]) -> None:
    shop.send(call("Page Viewed"))
    answer = patch(shop, body)
    assert answer.status_code == 422, answer.text
    found = answer.json["errors"]
    for key in path:
        found = found[key]
    shop.processor.drain()
    assert shop.profile().traits == {}


def test_a_visitor_who_is_not_there_cannot_be_changed(shop: Shop) -> None:
    assert patch(shop, {"set": {"a": 1}}, "f" * 32).status_code == 404


def test_the_collector_takes_operations_and_a_merge_keeps_them(each_shop: Shop) -> None:
    shop = each_shop
    shop.clock.forward(days=1)
    played = {"traits": {"$add": {"rounds": 2}, "$append": {"tags": "a"}}}
    shop.send(call("Played", context=played, timestamp=at(hours=2)))
    shop.send(identify("u1", {"$add": {"rounds": 5}, "$set_once": {"email": "ada@example.com"}}, anonymousId="other"))
    shop.send(identify("u1", {"rounds": 100}, timestamp=at(hours=1).isoformat()))
    assert shop.profile().traits == {"rounds": 107, "tags": ["a"], "email": "ada@example.com"}


def test_the_last_event_of_a_quiet_site_is_learned_without_another(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.send(call("Page Viewed"))
    shop.send(call("Table Booked", {"seats": 4}))

    def seats() -> list[Any]:
        with shop.rt.db.read() as connection:
            return list(vocabularies.find(connection, shop.site.id, kind="property"))

    shop.processor.step(0)
    assert seats() == [], "not for each event"
    monkeypatch.setattr(shop.processor.names, "_write_at", 0.0)
    shop.processor.step(0)
    assert [name.name for name, _ in seats()] == ["seats"]


def test_what_a_site_reports_is_learned_and_conditions_are_checked_against_it(each_shop: Shop) -> None:
    shop = each_shop
    for number in range(12):
        shop.send(
            call("Table Booked", {"seats": number, "note": "by the window"}, anonymousId=f"p{number}"),
            identify(f"u{number}", {"tier": "gold", "email": "ada@example.com"}, anonymousId=f"p{number}"),
        )
        if number == 5:
            shop.processor.names.write()
    shop.processor.names.write()
    with shop.rt.db.read() as connection:
        seats = dict(vocabularies.find(connection, shop.site.id, kind="property"))[
            Name("property", "Table Booked", "seats")
        ]
    assert (seats.count, seats.types) == (12, {"number": 12})
    path = "/api/v1/sites/shop/catalogue/properties"
    listed = shop.client.get(f"{path}?kind=property&event=Table+Booked", headers=HEADERS).json["items"]
    assert [(each["field"], each["types"], each["count"]) for each in listed] == [
        ("event.properties.note", ["text"], 12),
        ("event.properties.seats", ["number"], 12),
    ]
    assert (listed[0]["examples"], listed[1]["examples"]) == ([], [0, 1, 2, 3, 4])
    assert shop.client.get(f"{path}?q=TIE", headers=HEADERS).json["items"][0]["examples"] == ["gold"]
    first = shop.client.get(f"{path}?limit=1", headers=HEADERS).json
    second = shop.client.get(f"{path}?limit=1&cursor={first['next_cursor']}", headers=HEADERS).json
    assert first["items"] != second["items"]
    condition = {
        "all": [
            {"field": "profile.traits.teir", "op": "eq", "value": "gold"},
            {"field": "profile.traits.tier", "op": "gt", "value": 5},
            {"performed": "Table Booked", "where": {"field": "event.properties.seat", "op": "gt", "value": 2}},
        ]
    }
    saved = shop.client.post("/api/v1/sites/shop/segments", json={"name": "s", "condition": condition}, headers=HEADERS)
    told = {each["path"]: each["message"] for each in saved.json["warnings"]}
    assert 'Did you mean "tier"?' in told["condition.all.0.field"]
    assert '"tier" never was a number' in told["condition.all.1.value"]
    assert 'Did you mean "seats"?' in told["condition.all.2.where.field"]
    again = shop.client.put(f"/api/v1/sites/shop/segments/{saved.json['id']}", json=saved.json, headers=HEADERS)
    assert again.status_code == 200, again.text
    rule = popup_rule("Table Bookd", audience=condition["all"][1])
    made = shop.client.post("/api/v1/sites/shop/rules", json=rule, headers=HEADERS)
    told = {each["path"]: each["message"] for each in made.json["warnings"]}
    assert 'Did you mean "Table Booked"?' in told["trigger.event"]
    assert "never was a number" in told["audience.value"]


def test_a_busy_site_costs_a_sample_and_what_cannot_be_written_is_nobody_elses_trouble(shop: Shop) -> None:
    names = shop.processor.names
    shop.send(*(call("Page Viewed", {f"p{n}": 1}, anonymousId=f"v{n}") for n in range(400)))
    noted = names._noted[shop.site.id]
    assert 2 <= len(noted) < 40
    names._write_at = 0.0
    names.rt = None  # type: ignore[assignment]
    shop.send(call("Page Viewed"))
    assert shop.profile().counts == {"Page Viewed": 1}


def test_the_python_sdk_sends_operations_and_names_what_cannot_be_sent(shop: Shop) -> None:
    server = make_server("127.0.0.1", 0, create_app(shop.rt.settings, runtime=shop.rt))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    troubles: list[Any] = []
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with Client(WRITE_KEY, url, sync=True, on_error=lambda *trouble: troubles.append(trouble)) as client:
            assert client.change_traits("u1", set={"plan": "pro", "old": 1}, add={"balance": Decimal("0.10")})
            assert client.change_traits("u1", add={"balance": Decimal("0.20")}, append={"tags": ["a"]}, unset="old")
            assert client.change_traits("u1", set_once={"plan": "free"}, subtract={"balance": 1}, remove={"tags": "a"})
            assert not client.change_traits("u1", add=[1])  # type: ignore[arg-type]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    shop.processor.drain()
    assert shop.profile(user_id="u1").traits == {"plan": "pro", "balance": -0.7, "tags": []}
    assert [str(error) for error, _ in troubles] == ["add must be a mapping, not list"]
