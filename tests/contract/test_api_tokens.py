"""Tokens: shown once, kept as a hash, gone when revoked."""

import pytest

from backend.runtime import Runtime
from backend.storage.tokens import find_token
from backend.storage.vault import Vault
from tests.contract.conftest import Api


def test_a_token_is_shown_once_and_works_until_it_is_revoked(api: Api) -> None:
    made = api.post("/tokens", {"name": "nightly", "role": "operator"})
    assert made.status_code == 201
    text = made.json["token"]
    assert text.startswith(f"chi_tok_{made.json['id']}_")
    listed = api.get("/tokens").json["items"]
    assert [set(each) for each in listed] == [{"id", "name", "role", "site_id", "created_at"}]
    holder = Api(api.client, text)
    assert holder.get("/sites").status_code == 200
    assert api("DELETE", f"/tokens/{made.json['id']}").status_code == 204
    assert holder.get("/sites").status_code == 401
    assert api("DELETE", f"/tokens/{made.json['id']}").status_code == 404


def test_only_the_exact_text_is_the_token(api: Api, rt: Runtime) -> None:
    text = api.post("/tokens", {"name": "a", "role": "operator"}).json["token"]
    other = api.post("/tokens", {"name": "b", "role": "administrator"}).json
    secret = text.split("_", 3)[3]
    wrong = [
        text[:-1],
        text + "a",
        text.upper(),
        text.removeprefix("chi_tok_"),
        f"chi_tok_{other['id']}_{secret}",
        f"chi_tok_{other['id']}_",
        "chi_tok__" + secret,
        "chi_tok_",
        "x" * 10_000,
        text.replace("_", " "),
    ]
    with rt.db.read() as conn:
        assert find_token(conn, rt.sites.vault, text) is not None
        for each in [*wrong, "chi_tok_é_é", "\ud800", "chi_tok_a\0b_c"]:
            assert find_token(conn, rt.sites.vault, each) is None
        assert find_token(conn, Vault("another secret key"), text) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a"}, "role"),
        ({"role": "operator"}, "name"),
        ({"name": "a", "role": "root"}, "role"),
        ({"name": "", "role": "operator"}, "name"),
        ({"name": "a", "role": "operator", "site": 1}, "site"),
        ({"name": "a", "role": "operator", "site_id": "x"}, "site_id"),
    ],
)
def test_a_token_without_sense_is_refused(api: Api, body: object, field: str) -> None:
    answer = api.post("/tokens", body)
    assert answer.status_code == 422
    assert set(answer.json["errors"]) == {field}


def test_a_token_for_a_site_that_is_not_there_is_refused(api: Api) -> None:
    assert api.post("/tokens", {"name": "a", "role": "operator", "site": "nowhere"}).status_code == 404


def test_the_list_of_tokens_comes_in_pages(api: Api) -> None:
    for number in range(5):
        api.post("/tokens", {"name": f"token {number}", "role": "operator"})
    assert [each["name"] for each in api.all_items("/tokens", 2)] == [f"token {number}" for number in range(5)]
