"""Whatever goes wrong, the body is the same; whatever nobody could keep is refused at the door (PRACTICE, fact 6)."""

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.runtime import Runtime
from backend.web import errors
from tests.contract.conftest import RULE, Api

KEYS = {"code", "status", "message", "errors"}

BAD_JSON = {
    "not JSON": b"{",
    "empty": b"",
    "not UTF-8": b'{"name": "\xff"}',
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects nested 100,000 deep": b'{"name":' * 100_000 + b"1" + b"}" * 100_000,
    "nested 70 deep": b'{"name":' + b"[" * 70 + b"]" * 70 + b"}",
    "an integer of 5,000 digits": b'{"name": ' + b"9" * 5_000 + b"}",
    "an integer beyond 2^53": b'{"name": 9007199254740993}',
    "Infinity": b'{"name": Infinity}',
    "-Infinity": b'{"name": -Infinity}',
    "NaN": b'{"name": NaN}',
    "a float that overflows": b'{"name": 1e999}',
    "NUL in a value": b'{"name": "a\\u0000b"}',
    "NUL in a key": b'{"a\\u0000b": 1}',
    "half a surrogate pair": b'{"name": "\\ud83d"}',
    "half a surrogate pair in a key": b'{"\\udc00": 1}',
    "half a surrogate pair deep inside": b'{"a": [{"b": ["\\ud83d"]}]}',
    "a key twice": b'{"name": "a", "name": "b"}',
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "something behind it": b'{"name": "a"} x',
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
@pytest.mark.parametrize("path", ["/sites", "/sites/shop/rules", "/sites/shop/simulations", "/tokens"])
def test_bad_json_is_a_400_with_a_sentence(api: Api, site: str, path: str, body: bytes) -> None:
    answer = api("POST", path, data=body, content_type="application/json")
    assert answer.status_code == 400, answer.text
    assert set(answer.json) == KEYS
    assert answer.json["code"] == "malformed"
    assert answer.json["message"].endswith(".")


@pytest.mark.parametrize("body", [[], "text", 1, None, True])
@pytest.mark.parametrize("path", ["/sites", "/sites/shop/rules", "/sites/shop/simulations", "/tokens"])
def test_a_body_that_is_no_object_is_refused(api: Api, site: str, path: str, body: object) -> None:
    answer = api("POST", path, data=json.dumps(body), content_type="application/json")
    assert answer.status_code in {400, 422}
    assert set(answer.json) == KEYS


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_another_page_could_post_unasked_is_refused(api: Api, kind: str) -> None:
    answer = api("POST", "/sites", data=b'{"name": "a"}', content_type=kind)
    assert answer.status_code == 415
    assert answer.json["code"] == "unsupported_media_type"


def test_unknown_fields_are_refused_by_name(api: Api, site: str) -> None:
    for method, path in (("POST", "/sites"), ("PATCH", "/sites/shop")):
        answer = api(method, path, {"name": "a", "id": "0" * 32, "created_at": "2026-01-01T00:00:00Z"})
        assert answer.status_code == 422
        assert set(answer.json["errors"]) == {"id", "created_at"}
    assert set(api("PATCH", "/sites/shop", {"policy": {"nothing": 1}}).json["errors"]["policy"]) == {"nothing"}
    assert set(api.get("/sites?nonsense=1").json["errors"]) == {"nonsense"}
    assert set(api.post("/tokens", {"name": "a", "role": "operator", "digest": ""}).json["errors"]) == {"digest"}


@pytest.mark.parametrize("limit", ["0", "-1", "201", "1e2", "x", "", "٣", "1.0", "999999999999999999999"])
def test_a_limit_is_a_whole_number_from_1_to_200(api: Api, limit: str) -> None:
    answer = api.get("/sites", query_string={"limit": limit})
    assert answer.status_code == 422
    assert set(answer.json["errors"]) == {"limit"}


@pytest.mark.parametrize("cursor", ["x", "", "!!", "W10", "WzEsMl0", "e30", "bnVsbA", "WzFlOTk5LCJhIl0", "a" * 5000])
@pytest.mark.parametrize(
    "path", ["/sites", "/tokens", "/sites/shop/rules", "/sites/shop/visitors", "/sites/shop/messages"]
)
def test_a_made_up_cursor_is_refused(api: Api, site: str, path: str, cursor: str) -> None:
    answer = api.get(path, query_string={"cursor": cursor})
    assert answer.status_code == 422
    assert set(answer.json["errors"]) == {"cursor"}


@pytest.mark.parametrize(
    "path",
    [
        "/sites/a%00b",
        "/sites/shop/visitors?email=a%00b",
        "/sites/shop/visitors?user_id=%00",
        "/sites/shop/rules/%00",
        "/sites?a%00=1",
    ],
)
def test_nul_in_an_address_is_refused(api: Api, site: str, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 400
    assert set(answer.json) == KEYS


def test_a_body_above_a_megabyte_is_too_large(api: Api) -> None:
    answer = api("POST", "/sites", data=b" " * (2**20 + 1), content_type="application/json")
    assert answer.status_code == 413
    assert answer.json["code"] == "too_large"


def test_addresses_and_methods_that_do_not_exist_are_answered_alike(client: FlaskClient) -> None:
    missing = client.get("/nowhere")
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")
    wrong = client.delete("/api/v1/sites")
    assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]
    assert set(missing.json) == set(wrong.json) == KEYS


@pytest.fixture
def broken(rt: Runtime) -> FlaskClient:
    """An application in which something is wrong that nobody thought of."""
    app = Flask("broken")
    errors.register(app)

    @app.before_request
    def broken() -> str:
        raise RuntimeError("the password is hunter2")

    return app.test_client()


def test_an_unexpected_error_is_logged_and_tells_nothing(broken: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = broken.get("/anywhere")
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text


def test_a_line_break_in_an_address_forges_no_line_of_the_log(
    broken: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    broken.get("/forged/%0AINFO%20all%20is%20well")
    assert "INFO all is well" in caplog.text
    assert "\nINFO all is well" not in caplog.text


def test_mistakes_in_a_rule_carry_their_path(api: Api, site: str) -> None:
    audience = {"all": [RULE["audience"]["all"][0], {"field": "profile.stage", "op": "equals", "value": "cart"}]}
    answer = api.post(f"/sites/{site}/rules", {**RULE, "audience": audience, "delay": "soon", "status": "live"})
    assert answer.status_code == 422
    errors = answer.json["errors"]
    assert errors["audience"]["all"]["1"]["op"]
    assert errors["delay"]
    assert errors["status"]


@pytest.mark.parametrize("path", ["/sites", "/sites/{site}", "/sites/{site}/rules", "/sites/{site}/visitors"])
def test_a_slash_at_the_end_of_an_address_changes_nothing(api: Api, site: str, path: str) -> None:
    plain = api.get(path.format(site=site))
    slashed = api.get(path.format(site=site) + "/")
    assert (slashed.status_code, slashed.json) == (200, plain.json)
