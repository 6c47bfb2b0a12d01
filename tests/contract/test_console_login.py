"""The console lets in who may come in, and nobody else: passwords, sessions, forms, guessing."""

import re
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.domain.operator import EVERY_SITE, Membership, Operator
from backend.pipeline import log_in
from backend.runtime import Runtime
from backend.storage import operators, passwords, tables
from tests.contract.conftest import ADMIN

PASSWORD = "kettle on the quiet stove"
HERE = {"Origin": "http://localhost"}
COOKIE = "chimein-console"


def token_in(answer: Any) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', answer.text)
    assert found, answer.text
    return found[1]


def send(client: FlaskClient, path: str, headers: Any = HERE, form: str | None = None, **fields: str) -> Any:
    """A form as the browser that has loaded the page at `form` sends it."""
    token = token_in(client.get(form or path))
    return client.post(path, data={"csrf_token": token, **fields}, headers=headers)


def enter(client: FlaskClient, email: str = "anna@shop.example", password: str = PASSWORD, **more: Any) -> Any:
    return send(client, "/console/login", email=email, password=password, **more)


@pytest.fixture
def anna(rt: Runtime) -> Operator:
    """An administrator of every site."""
    with rt.db.begin() as conn:
        given = [Membership(site_id=EVERY_SITE, role="administrator")]
        made = operators.create(conn, "anna@shop.example", "Anna", given, rt.clock())
        operators.set_password(conn, made.id, kept_password(), rt.clock())
    return made


@cache
def kept_password() -> str:
    return passwords.hash_of(PASSWORD)  # once: it takes its time on purpose


def test_the_first_operator_is_made_with_the_administrators_token(client: FlaskClient, rt: Runtime, site: str) -> None:
    assert client.get("/console/login").headers["Location"] == "/console/first"
    told = {"name": "Anna", "email": "Anna@Shop.example", "password": PASSWORD}
    wrong = send(client, "/console/first", token="guess", **told)
    assert wrong.status_code == 403
    assert "not the administrator" in wrong.text
    weak = send(client, "/console/first", token=ADMIN, **told | {"password": "anna@shop.example"})
    assert weak.status_code == 422
    answer = send(client, "/console/first", token=ADMIN, **told)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")
    with rt.db.read() as conn:
        made = operators.by_email(conn, "anna@shop.example")
        kept = operators.password_of(conn, made.id)  # type: ignore[union-attr]
    assert made is not None
    assert made.everywhere
    assert kept is not None
    assert kept.startswith("$argon2id$")
    assert client.get("/console/").status_code in {200, 302}
    assert ADMIN not in wrong.text


def test_a_session_is_new_at_each_login_and_its_text_is_kept_nowhere(
    client: FlaskClient, rt: Runtime, anna: Operator
) -> None:
    client.set_cookie(COOKIE, "planted-by-somebody")
    first = client.get("/console/login")
    assert first.status_code == 200
    answer = enter(client)
    told = answer.headers.getlist("Set-Cookie")[0]
    assert "HttpOnly" in told
    assert "SameSite=Lax" in told
    text = client.get_cookie(COOKIE).value  # type: ignore[union-attr]
    assert text != "planted-by-somebody"
    with rt.db.read() as conn:
        [row] = conn.execute(tables.console_sessions.select())
        assert text not in row.digest
    enter(client)
    assert client.get_cookie(COOKIE).value != text  # type: ignore[union-attr]
    stale = client.application.test_client()
    stale.set_cookie(COOKIE, text)
    assert stale.get("/console/").headers["Location"].startswith("/console/login"), "the one before is over"


def test_over_https_the_cookie_belongs_to_this_host_alone(app: Flask, anna: Operator) -> None:
    client = app.test_client()
    there = {"base_url": "https://chat.shop.example"}
    token = token_in(client.get("/console/login", **there))
    told = {"csrf_token": token, "email": anna.email, "password": PASSWORD}
    answer = client.post("/console/login", data=told, headers={"Origin": "https://chat.shop.example"}, **there)
    cookie = answer.headers.getlist("Set-Cookie")[0]
    assert cookie.startswith("__Host-chimein-console=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert "Path=/" in cookie


def test_a_session_ends_when_idle_when_old_and_when_told(client: FlaskClient, rt: Runtime, anna: Operator) -> None:
    def inside() -> bool:
        return not client.get("/console/").headers.get("Location", "").startswith("/console/login")

    enter(client)
    assert inside()
    rt.clock.now += timedelta(hours=11)  # type: ignore[attr-defined]
    assert inside()
    rt.clock.now += timedelta(hours=11)  # type: ignore[attr-defined]
    assert inside(), "it was used in between"
    rt.clock.now += timedelta(hours=12, minutes=1)  # type: ignore[attr-defined]
    assert not inside()
    enter(client)
    for _ in range(40):
        rt.clock.now += timedelta(hours=9)  # type: ignore[attr-defined]
        if not inside():
            break
    else:
        pytest.fail("a session lasts for ever")
    assert log_in.expire(rt) > 0
    enter(client)
    assert send(client, "/console/logout", form="/console/").status_code == 303
    assert not inside()
    with rt.db.read() as conn:
        assert conn.execute(tables.console_sessions.select()).all() == []


def test_who_is_disabled_is_out_at_once_and_stays_out(client: FlaskClient, rt: Runtime, anna: Operator) -> None:
    enter(client)
    log_in.disable(rt, anna.id)
    assert client.get("/console/").headers["Location"].startswith("/console/login")
    refused = enter(client, form="/console/first")
    assert refused.status_code == 401
    log_in.disable(rt, anna.id, off=False)
    assert enter(client, form="/console/first").status_code == 303


def test_guessing_is_held_back_by_address_and_by_email(app: Flask, rt: Runtime, anna: Operator) -> None:
    def attempt(address: str, email: str = "anna@shop.example", password: str = "wrong") -> int:
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return int(enter(client, email=email, password=password).status_code)

    assert [attempt("192.0.2.1", f"guess{number}@shop.example") for number in range(6)] == [401] * 5 + [429]
    assert attempt("192.0.2.1", password=PASSWORD) == 429, "a right guess is not told either"
    assert [attempt(f"192.0.2.{number}") for number in range(2, 12)] == [401] * 10
    assert attempt("192.0.2.99", password=PASSWORD) == 429
    rt.redis.flushall()
    assert attempt("192.0.2.1", password=PASSWORD) == 303


def test_who_is_unknown_is_told_the_same_as_who_guesses_wrong(client: FlaskClient, anna: Operator) -> None:
    unknown = enter(client, email="nobody@shop.example")
    wrong = enter(client, password="wrong")
    same = [re.sub(r'value="[^"]*"', "", each.text) for each in (unknown, wrong)]
    assert same[0] == same[1]
    assert unknown.status_code == wrong.status_code == 401


def test_a_form_from_elsewhere_or_without_its_token_changes_nothing(
    client: FlaskClient, rt: Runtime, anna: Operator
) -> None:
    enter(client)
    token = token_in(client.get("/console/"))
    path = "/console/logout"
    foreign: list[dict[str, str]] = [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"},
    ]
    for headers in foreign:
        assert client.post(path, data={"csrf_token": token}, headers=headers).status_code == 403, headers
    for body in ({}, {"csrf_token": "0" * 64}, {"csrf_token": ""}):
        assert client.post(path, data=body, headers=HERE).status_code == 403
    plain = client.post(path, data=f"csrf_token={token}", content_type="text/plain", headers=HERE)
    assert plain.status_code == 403
    other = client.application.test_client()
    assert other.post(path, data={"csrf_token": token}, headers=HERE).status_code == 403, "of another browser"
    assert client.get(path).status_code == 405
    assert client.get("/console/").status_code in {200, 302}
    assert client.post(path, headers={**HERE, "X-CSRF-Token": token}).status_code == 303


def test_an_invitation_works_once_and_for_a_week(client: FlaskClient, rt: Runtime, site: str) -> None:
    given = [Membership(site_id=site, role="operator")]
    made, text = log_in.invite(rt, "bert@shop.example", "Bert", given)
    path = f"/console/invited/{text}"
    assert client.get("/console/invited/" + "x" * 43).status_code == 404
    assert send(client, path, password="short").status_code == 422
    assert send(client, path, password=PASSWORD).headers["Location"] == "/console/login?chosen=1"
    assert client.get(path).status_code == 404
    assert enter(client, email="BERT@shop.example ", form="/console/first").status_code == 303
    again = log_in.reset(rt, made.id)
    assert client.get("/console/").headers["Location"].startswith("/console/login"), "a reset ends the sessions"
    assert enter(client, email=made.email, form="/console/first").status_code == 401
    rt.clock.now += timedelta(days=7, minutes=1)  # type: ignore[attr-defined]
    assert client.get(f"/console/invited/{again}").status_code == 404


@pytest.mark.parametrize(
    "onward",
    [
        "//evil.example",
        "https://evil.example",
        "/console//evil.example",
        "/console/\\evil",
        "/elsewhere",
        "javascript:1",
    ],
)
def test_a_login_leads_nowhere_else(client: FlaskClient, anna: Operator, onward: str) -> None:
    assert enter(client, next=onward).headers["Location"] == "/console/"


def test_a_login_leads_back_to_where_one_was(client: FlaskClient, anna: Operator) -> None:
    asked = client.get("/console/?a=1")
    assert asked.headers["Location"] == "/console/login?next=/console/%3Fa%3D1"
    assert enter(client, next="/console/?a=1").headers["Location"] == "/console/?a=1"
    pieces = client.application.test_client().get("/console/", headers={"HX-Request": "true"})
    assert (pieces.status_code, pieces.headers["HX-Redirect"]) == (401, "/console/login")


def test_every_page_comes_with_a_strict_policy(client: FlaskClient, anna: Operator) -> None:
    enter(client)
    for path in ("/console/", "/console/login", "/console/first", "/console/invited/nobody"):
        headers = client.get(path, follow_redirects=True).headers
        policy = headers["Content-Security-Policy"]
        for part in ("default-src 'self'", "script-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
            assert part in policy, path
        assert "unsafe" not in policy
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_passwords_that_somebody_would_guess_are_refused(rt: Runtime) -> None:
    from backend.domain.operator import weakness

    for weak in ("short", "aaaaaaaaaaaa", "anna@shop.example", "password123", "1234567890", "x" * 201):
        assert weakness(weak, "anna@shop.example", "Anna"), weak
    for fine in (PASSWORD, "пароль из слов", "anna and the four kettles"):
        assert weakness(fine, "anna@shop.example", "Anna") is None, fine
