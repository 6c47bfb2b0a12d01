"""Identifiers and merges as the API shows them (contract, section 3)."""

from typing import Any

import pytest

from tests.contract.conftest import Api
from tests.contract.test_api_visitors import at, send, track

__all__ = ["send"]


def typed(who: str, value: str, minutes: float) -> dict[str, Any]:
    return track(who, "Form Field Filled", minutes, form="checkout", field="email", value=value, page="/checkout")


def identify(who: str, user_id: str, **traits: Any) -> dict[str, Any]:
    made = {"type": "identify", "messageId": f"{who}-{user_id}", "anonymousId": who, "userId": user_id}
    return {**made, "timestamp": at(5), "traits": traits}


def found(api: Api, site: str, **query: str) -> Any:
    [item] = api.get(f"/sites/{site}/visitors?" + "&".join(f"{name}={each}" for name, each in query.items())).json[
        "items"
    ]
    return item


def test_a_typed_address_is_shown_with_its_place_and_is_found_however_it_is_written(
    api: Api, site: str, send: Any
) -> None:
    send(typed("ada", " Ada@Example.COM", 0), typed("ada", "ada@example.com", 3))
    visitor = found(api, site, email="ADA@example.com")
    [address] = [each for each in visitor["identifiers"] if each["kind"] == "email"]
    assert address == {
        "kind": "email",
        "value": "ada@example.com",
        "source": "form_field",
        "page": "/checkout",
        "field": "email",
        "first_seen": address["first_seen"],
        "last_seen": address["last_seen"],
        "verified": False,
        "verified_at": None,
    }
    assert address["first_seen"] < address["last_seen"]
    assert found(api, site, email="%20ada@EXAMPLE.com%20")["id"] == visitor["id"]


def test_what_another_system_has_proven_is_verified(api: Api, site: str, send: Any) -> None:
    send(typed("ada", "ada@example.com", 0))
    assert api("PATCH", f"/sites/{site}", {"policy": {"phone_region": "AT"}}).status_code == 200
    visitor_id = found(api, site, anonymous_id="ada")["id"]
    path = f"/sites/{site}/visitors/{visitor_id}/identifiers"
    assert api.post(path, {"kind": "email", "value": "Ada@example.com", "verified": True}).json == {"accepted": 1}
    assert api.post(path, {"kind": "phone", "value": "0660 1234567", "source": "operator"}).status_code == 202
    send(track("bob", "Page Viewed", 1))  # and what lies in the log before it
    shown = {(each["kind"], each["source"]): each for each in api.get(path[: -len("/identifiers")]).json["identifiers"]}
    assert shown["email", "form_field"]["verified"] is shown["email", "api"]["verified"] is True
    assert shown["email", "api"]["verified_at"].endswith("Z")
    phone = shown["phone", "operator"]
    assert (phone["value"], phone["verified"]) == ("+436601234567", False)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"kind": "email", "value": "null"}, "value"),
        ({"kind": "email", "value": "nonsense", "verified": True}, "value"),
        ({"kind": "pigeon", "value": "x"}, "kind"),
        ({"kind": "user_id", "value": "u"}, "kind"),
        ({"kind": "email"}, "value"),
        ({"kind": "email", "value": "a@b.example", "source": "double_opt_in"}, "source"),
        ({"kind": "email", "value": "a@b.example", "verified": "yes"}, "verified"),
        ({"kind": "email", "value": "a@b.example", "owner": 1}, "owner"),
    ],
)
def test_an_identifier_without_sense_is_refused(api: Api, site: str, send: Any, body: Any, where: str) -> None:
    send(track("ada", "Page Viewed", 0))
    answer = api.post(f"/sites/{site}/visitors/{found(api, site, anonymous_id='ada')['id']}/identifiers", body)
    assert answer.status_code == 422
    assert answer.json["errors"][where]


@pytest.mark.parametrize(
    ("policy", "where"),
    [
        ({"phone_region": "Austria"}, "phone_region"),
        ({"phone_region": "XX"}, "phone_region"),
        ({"phone_region": 43}, "phone_region"),
        ({"placeholders": "null"}, "placeholders"),
        ({"placeholders": [1]}, "placeholders"),
        ({"placeholders": ["x" * 101]}, "placeholders"),
    ],
)
def test_a_policy_about_people_without_sense_is_refused(api: Api, site: str, policy: Any, where: str) -> None:
    answer = api("PATCH", f"/sites/{site}", {"policy": policy})
    assert answer.status_code == 422
    assert answer.json["errors"]["policy"][where]


def test_a_merge_is_previewed_made_listed_and_undone(api: Api, site: str, send: Any) -> None:
    send(track("ada", "Page Viewed", 0), identify("ada", "u", plan="free"))
    send(track("bob", "Page Viewed", 1), identify("bob", "v", plan="paid"))
    u, v = (found(api, site, user_id=each)["id"] for each in "uv")
    path = f"/sites/{site}/visitors/{u}"
    told = api.post(f"{path}/merge?preview=true", {"with": v}).json
    assert (told["preview"], told["merge"], told["visitor"]["counts"]) == (
        True,
        None,
        {"Page Viewed": 2, "Identify": 2},
    )
    assert {each["field"] for each in told["conflicts"]} == {"user_id", "traits.plan"}
    assert told["visitor"]["facts"] == api.get(path).json["facts"]
    assert api.get(path).json["counts"]["Page Viewed"] == 1
    made = api.post(f"{path}/merge", {"with": v}).json
    assert made["merge"]["source"] == "api"
    assert made["merge"]["message_id"] is None
    assert api.get(f"/sites/{site}/visitors/{v}").json["id"] == u
    assert len(api.get(f"/sites/{site}/visitors").json["items"]) == 1
    assert api.post(f"{path}/merge", {"with": v}).status_code == 409
    journal = api.get(f"{path}/merges").json["items"]
    assert sorted(each["source"] for each in journal) == ["api", "identify", "identify"]
    undo = f"/sites/{site}/visitors/{v}/merges/{made['merge']['id']}/undo"
    undone = api.post(undo).json
    assert (undone["visitor"]["id"], undone["freed"]["id"]) == (u, v)
    assert undone["merge"]["undone_by"] == made["merge"]["author"]
    assert api.post(undo).status_code == 409
    assert [each["undone_at"] is None for each in api.get(f"{path}/merges?limit=200").json["items"]].count(False) == 1


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", {"with": "0" * 32}, 422),
        ("", {"with": "x"}, 422),
        ("", {"with": None}, 422),
        ("", {}, 422),
        ("", {"with": "0" * 32, "force": True}, 422),
        ("?preview=maybe", {"with": "0" * 32}, 422),
        ("", [], 422),
    ],
)
def test_a_merge_without_sense_is_refused(api: Api, site: str, send: Any, query: str, body: Any, status: int) -> None:
    send(track("ada", "Page Viewed", 0))
    answer = api.post(f"/sites/{site}/visitors/{found(api, site, anonymous_id='ada')['id']}/merge{query}", body)
    assert answer.status_code == status, answer.text
    assert set(answer.json) == {"code", "status", "message", "errors"}
