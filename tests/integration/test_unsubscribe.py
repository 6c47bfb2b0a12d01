"""The unsubscribe link, as people, mail programs and scanners use it (RFC 8058; I8)."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from backend.app import create_app
from backend.domain.unsubscribe import Subscription, seal, unseal
from backend.storage import unsubscribes
from tests.integration.mail_world import SECRET, World, mail_server, open_world
from tests.redis_server import start_redis

MULTIPART = '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with start_redis() as url:
        yield url


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "data", redis_url) as opened:
        yield opened


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.rt.settings, runtime=world.rt).test_client()


def link(world: World, address: str = "ada@example.com") -> str:
    return "/u/" + seal(SECRET, Subscription.email(world.site.id, address))


def ended(world: World, address: str = "ada@example.com") -> bool:
    with world.rt.db.read() as conn:
        return unsubscribes.reason(conn, Subscription.email(world.site.id, address)) is not None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_opening_the_link_changes_nothing(method: str, world: World, client: FlaskClient) -> None:
    for _ in range(3):
        answer = client.open(link(world), method=method)
        assert answer.status_code == 200
    assert not ended(world)


def test_the_page_says_what_will_happen_and_hides_the_address_from_strangers(world: World, client: FlaskClient) -> None:
    answer = client.get(link(world))
    assert "No more mails from <bdi>Kettles &amp; Co</bdi>?" in answer.text
    assert "a•••@example.com" in answer.text
    assert "ada@example.com" not in answer.text
    assert answer.text.count("<form") == answer.text.count("<button") == 1
    assert "<script" not in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce is not None
    assert f'<style nonce="{nonce[1]}">' in answer.text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (
            '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
        ("", ""),
        ("nonsense", "application/json"),
    ],
)
def test_a_mail_program_unsubscribes_in_one_click(
    body: str, content_type: str, world: World, client: FlaskClient
) -> None:
    for _ in range(2):
        answer = client.post(link(world), data=body, content_type=content_type)
        assert answer.status_code == 200, "no redirect, and twice is as once"
        assert "Set-Cookie" not in answer.headers
        assert ended(world)


def test_whoever_changes_their_mind_can_come_back(world: World, client: FlaskClient) -> None:
    client.post(link(world))
    assert "You are unsubscribed." in client.get(link(world)).text
    answer = client.post(link(world), data={"wish": "again"})
    assert "Welcome back." in answer.text
    assert not ended(world)


def test_a_mail_that_waits_is_not_sent_after_the_click(world: World, client: FlaskClient) -> None:
    """I8"""
    ref = world.promise("Ada@Example.com")
    assert client.post(link(world, "ada@example.com")).status_code == 200
    with mail_server() as server:
        world.use(server.url)
        world.deliver(ref)
        assert server.mails == []
    assert (world.message(ref).status, world.message(ref).reason) == ("skipped", "unsubscribed")


def test_the_link_in_a_real_mail_works(world: World, client: FlaskClient) -> None:
    with mail_server() as server:
        world.use(server.url)
        world.deliver(world.promise("ada@example.com"))
        url = server.mails[0]["List-Unsubscribe"].strip("<>")
    path = urlsplit(url).path
    assert client.post(path, data="List-Unsubscribe=One-Click").status_code == 200
    assert ended(world)


def test_it_ends_one_site_for_one_address_only(world: World, client: FlaskClient) -> None:
    client.post(link(world))
    assert not ended(world, "bob@example.com")
    with world.rt.db.read() as conn:
        assert unsubscribes.reason(conn, Subscription.email("another site", "ada@example.com")) is None


@pytest.mark.parametrize("token", ["x", "a" * 80, "a" * 5_000, "%00", "..%2f", "é", "A" * 43 + "="])
def test_a_link_that_we_did_not_make_leads_nowhere(token: str, client: FlaskClient) -> None:
    for answer in (client.get(f"/u/{token}"), client.post(f"/u/{token}")):
        assert answer.status_code == 404
        assert "text/html" in answer.headers["Content-Type"] or token == "..%2f"


def test_a_changed_link_or_another_installations_is_refused(world: World, client: FlaskClient) -> None:
    good = link(world)
    for position in range(3, len(good) - 1, 7):
        changed = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1 :]
        assert client.post(changed).status_code == 404
    other = seal("the secret of another", Subscription.email(world.site.id, "ada@example.com"))
    assert client.post(f"/u/{other}").status_code == 404
    gone = seal(SECRET, Subscription.email("a site that was removed", "ada@example.com"))
    assert client.post(f"/u/{gone}").status_code == 404
    assert not ended(world)


def test_a_token_tells_nothing_and_stays_the_same() -> None:
    subscription = Subscription.email("site", "ada@example.com")
    token = seal(SECRET, subscription)
    assert token == seal(SECRET, subscription)
    assert unseal(SECRET, token) == subscription
    assert len(token) < 100
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)


def test_the_persons_wish_outweighs_what_a_server_said(world: World) -> None:
    subscription = Subscription.email(world.site.id, "ada@example.com")
    with world.rt.db.begin() as conn:
        assert unsubscribes.add(conn, subscription, unsubscribes.REFUSED, world.clock())
        assert unsubscribes.add(conn, subscription, unsubscribes.WISH, world.clock())
        assert not unsubscribes.add(conn, subscription, unsubscribes.REFUSED, world.clock())
        assert unsubscribes.reason(conn, subscription) == unsubscribes.WISH
        assert unsubscribes.remove(conn, subscription)
        assert not unsubscribes.remove(conn, subscription)
