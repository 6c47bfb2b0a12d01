"""Who is there to answer: chosen and asked by the API, and told to pages; the policy of a desk with its mistakes."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from backend.domain.conversation import Conversation
from backend.runtime import Runtime
from backend.storage import conversations
from backend.storage.tables import departments, memberships, operators
from tests.contract.conftest import Api

EVE = "e" * 32
ALWAYS = {"zone": "UTC", "windows": [{"from": "00:00", "to": "24:00"}]}
MONDAYS = {"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "18:00", "weekdays": ["mon"]}]}


@pytest.fixture
def eve(rt: Runtime, site: str) -> str:
    """An operator of the site, and a department."""
    with rt.db.begin() as conn:
        times = {"created_at": 0, "updated_at": 0}
        conn.execute(insert(operators).values(id=EVE, email="eve@shop.example", name="Eve", **times))
        conn.execute(insert(memberships).values(operator_id=EVE, site_id=site, role="operator", capacity=3))
        told = '{"hours": {"zone": "UTC", "windows": [{"from": "22:00", "to": "06:00"}]}, "routing": "previous"}'
        conn.execute(insert(departments).values(site_id=site, id="n", name="Night", document=told, **times))
    return EVE


def told(client: FlaskClient, api: Api, site: str) -> dict[str, Any]:
    key = api.get(f"/sites/{site}").json["write_key"]
    answer = client.get("/v1/config", query_string={"writeKey": key})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, max-age=30"
    found: dict[str, Any] = answer.json["desk"]
    return found


def test_an_operator_comes_and_goes(api: Api, as_role: Any, site: str, eve: str, client: FlaskClient) -> None:
    closed = {"online": False, "replies_in": None, "opens_at": None}
    assert told(client, api, site) == closed, "it is open, so no time is named at which it will be"
    operator = as_role("operator", site)
    answer = operator("PUT", f"/sites/{site}/presence", {"operator": eve, "presence": "online"})
    assert answer.status_code == 200, answer.text
    seat = {"operator_id": eve, "name": "Eve", "presence": "online", "chosen": "online"}
    seat |= {"departments": [], "conversations": 0, "capacity": 3}
    assert answer.json == seat
    assert operator.get(f"/sites/{site}/presence").json == {"items": [seat]}
    desk = operator.get(f"/sites/{site}/desk").json
    assert (desk["online"], desk["open"], desk["routing"], desk["operators"]) == (True, True, "manual", [seat])
    [night] = desk["departments"]
    assert (night["open"], night["opens_at"], night["routing"]) == (False, "2026-03-01T22:00:00Z", "previous")
    assert told(client, api, site)["online"] is True
    operator("PUT", f"/sites/{site}/presence", {"operator": eve, "presence": "off"})
    assert told(client, api, site)["online"] is False


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"operator": EVE, "presence": "here"}, 422, "presence"),
        ({"operator": EVE}, 422, "presence"),
        ({"presence": "online"}, 422, "operator"),
        ({"operator": EVE, "presence": "online", "until": "5"}, 422, "until"),
        ({"operator": "f" * 32, "presence": "online"}, 404, None),
    ],
)
def test_a_presence_that_makes_no_sense_is_refused(
    api: Api, site: str, eve: str, body: dict[str, Any], status: int, path: str | None
) -> None:
    answer = api("PUT", f"/sites/{site}/presence", body)
    assert answer.status_code == status, answer.text
    if path is not None:
        assert path in answer.json["errors"]


def test_nobody_is_chosen_for_on_a_site_that_is_not_theirs(api: Api, site: str, eve: str, other_site: str) -> None:
    assert api("PUT", f"/sites/{other_site}/presence", {"operator": eve, "presence": "online"}).status_code == 404
    assert api.get(f"/sites/{other_site}/presence").json == {"items": []}


def test_the_desk_of_a_site_is_written_in_its_policy(api: Api, site: str, client: FlaskClient) -> None:
    desk = {"hours": MONDAYS, "routing": "round_robin", "unanswered_after": "3m", "texts": {"busy": {"ja": "お待ちを"}}}
    answer = api("PATCH", f"/sites/{site}", {"policy": {"desk": desk}})
    assert answer.status_code == 200, answer.text
    assert answer.json["policy"]["desk"] == desk
    assert api.get(f"/sites/{site}").json["policy"]["desk"] == desk
    found = api.get(f"/sites/{site}/desk").json
    assert (found["open"], found["opens_at"], found["routing"]) == (False, "2026-03-02T08:00:00Z", "round_robin")
    assert told(client, api, site) == {"online": False, "replies_in": None, "opens_at": "2026-03-02T08:00:00Z"}
    wrong = {"hours": {"zone": "Europe/Wien", "windows": [{"from": "9:00", "to": "18:00"}]}, "routing": "auto"}
    answer = api("PATCH", f"/sites/{site}", {"policy": {"desk": wrong}})
    assert answer.status_code == 422
    errors = answer.json["errors"]["policy"]["desk"]
    assert "There is no time zone" in errors["hours"]["zone"][0]
    assert errors["hours"]["windows"]["0"]["from"] == ["Expected a time of day, such as 09:30."]
    assert "Expected manual, round_robin, previous" in errors["routing"][0]
    assert api("PATCH", f"/sites/{site}", {"policy": {"desk": None}}).json["policy"]["desk"] is None


def test_pages_learn_how_long_it_usually_takes(api: Api, rt: Runtime, site: str, client: FlaskClient) -> None:
    api("PATCH", f"/sites/{site}", {"policy": {"desk": {"hours": ALWAYS}}})
    now = rt.clock()
    for number, seconds in enumerate((60, 120, 6_000)):
        begun = now - timedelta(days=1)
        with rt.db.begin() as conn:
            told_of = {"visitor_id": f"{number:032}", "site_id": site, "opened_by": "visitor", "created_at": begun}
            answered = begun + timedelta(seconds=seconds)
            conversations.insert(
                conn, [Conversation(id=f"{number:032}", last_at=answered, answered_at=answered, **told_of)]
            )
    assert told(client, api, site)["replies_in"] == 120
    assert api.get(f"/sites/{site}/desk").json["replies_in"] == 120


def test_a_department_answers_by_a_desk_of_its_own(api: Api, site: str, eve: str, other_site: str) -> None:
    path = f"/sites/{site}/departments/n/desk"
    kept = {"zone": "UTC", "windows": [{"from": "22:00", "to": "06:00"}]}
    assert api.get(path).json == {"hours": kept, "routing": "previous", "unanswered_after": None}
    wanted = {"hours": MONDAYS, "routing": None, "unanswered_after": "90m"}
    assert api("PUT", path, wanted).json == wanted
    assert api.get(path).json == wanted
    [night] = api.get(f"/sites/{site}/desk").json["departments"]
    assert (night["opens_at"], night["routing"]) == ("2026-03-02T08:00:00Z", "manual")
    for wrong, where in (
        ({"hours": {"zone": "UTC", "windows": [{"from": "9", "to": "10:00"}]}}, ["hours", "windows", "0", "from"]),
        ({"routing": "auto"}, ["routing"]),
        ({"unanswered_after": "30s"}, ["unanswered_after"]),
        ({"texts": {}}, ["texts"]),
    ):
        answer = api("PUT", path, wrong)
        assert answer.status_code == 422, answer.text
        found = answer.json["errors"]
        for key in where:
            found = found[key]
    assert api.get(path).json == wanted
    assert api.get(f"/sites/{other_site}/departments/n/desk").status_code == 404
    assert api("PUT", f"/sites/{site}/departments/x/desk", {}).status_code == 404


def test_an_operator_has_as_many_conversations_as_their_membership_says_and_comes_back_when_invited_again(
    api: Api, as_role: Any, site: str, other_site: str
) -> None:
    def given(**more: Any) -> list[dict[str, Any]]:
        return [{"site": site, "role": "operator", **more}]

    told = {"email": "bert@shop.example", "name": "Bert"}
    made = api.post("/operators", {**told, "memberships": given()}).json
    assert made["memberships"][0]["capacity"] == 10
    path = f"/operators/{made['id']}"
    assert api("PATCH", path, {"memberships": given(capacity=3)}).json["memberships"][0]["capacity"] == 3
    assert api("PATCH", path, {"memberships": given()}).json["memberships"][0]["capacity"] == 3, "as it was"
    for wrong in (0, 1_001, "3", 2.5):
        refused = api("PATCH", path, {"memberships": given(capacity=wrong)})
        assert refused.json["errors"]["memberships"]["0"]["capacity"], wrong
    again = {**told, "name": "Bert again", "memberships": given()}
    assert api.post("/operators", again).status_code == 409
    assert api("DELETE", path).status_code == 204
    theirs = as_role("administrator", other_site)
    assert theirs.post("/operators", again).status_code == 404, "on their site only"
    back = api.post("/operators", again).json
    assert (back["id"], back["name"], back["disabled_at"], back["invited"]) == (made["id"], "Bert", None, True)
    assert back["link"]
