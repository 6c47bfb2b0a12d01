"""What a page is told, from outside: `inbox`, `live` and the reports back, as section 6 of the contract reads."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest

from tests.stack import Shop, Stack, request, stack, track, wait_for
from tests.streams import Stream

RULE = {
    "name": "Hello",
    "trigger": {"event": "Hello"},
    "reentry": {"policy": "every"},
    "message": {
        "channels": ["popup"],
        "variants": [{"name": "A", "content": {"title": "Hi", "body": "…", "button": {"text": "Go", "url": "/go"}}}],
    },
}


@pytest.fixture(scope="module")
def chimein(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("page") / "var") as running:
        yield running
        assert running.set_aside() == 0


@pytest.fixture
def shop(chimein: Stack) -> Shop:
    """A site that greets whoever says Hello."""
    made = chimein.site()
    made.rule(RULE)
    return made


def identify(ann: str, user: str) -> dict[str, Any]:
    return {"type": "identify", "anonymousId": ann, "userId": user, "messageId": uuid4().hex}


def user_hash(shop: Shop, user: str) -> str:
    return hmac.new(shop.secret.encode(), user.encode(), hashlib.sha256).hexdigest()


def token(shop: Shop, **changes: Any) -> str:
    """A JWT as the site's backend makes it, with other claims where the test says so."""
    claims = {"sub": "ann@shop", "aud": shop.id, "exp": datetime.now(UTC) + timedelta(minutes=5), **changes}
    return jwt.encode(claims, changes.pop("key", shop.secret), algorithm="HS256")


def ids(answer: Any) -> list[str]:
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["items"]]


def test_the_configuration_tells_the_page_what_to_capture_and_where_live_is(chimein: Stack, shop: Shop) -> None:
    answer = request("GET", f"{chimein.url}/v1/config?writeKey={shop.key}", headers={"Origin": "https://shop.example"})
    assert answer.json["site"] == shop.id
    assert answer.json["live"] == chimein.live_url == f"http://127.0.0.1:{chimein.port + 1}"
    assert answer.json["capture"]["page_views"] is True
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://shop.example")
    assert request("GET", f"{chimein.url}/v1/config?writeKey=nobody").status == 401


def test_a_message_waits_in_the_inbox_until_it_was_shown(shop: Shop) -> None:
    shop.send(track("Hello", "ann"))
    answer = shop.inbox("ann")
    [message] = answer.json["items"]
    assert answer.json["poll_after"] > 0
    assert message.keys() == {
        *("id", "channel", "rule_id", "variant", "title", "body", "button", "image", "created_at", "expires_at")
    }
    assert (message["channel"], message["variant"], message["title"]) == ("popup", "A", "Hi")
    assert message["button"] == {"text": "Go", "url": "/go"}
    assert (
        datetime.fromisoformat(message["created_at"])
        < datetime.now(UTC)
        < datetime.fromisoformat(message["expires_at"])
    )
    assert ids(shop.inbox("ann")) == [message["id"]]
    assert ids(shop.inbox("bob")) == []
    shop.send(track("Message Shown", "ann", properties={"message_id": message["id"]}))
    assert ids(shop.inbox("ann")) == []


def test_what_the_page_reports_stands_on_the_message(shop: Shop) -> None:
    shop.send(track("Hello", "ann"))
    [message_id] = ids(shop.inbox("ann"))
    for name in ("Shown", "Clicked", "Replied", "Dismissed"):
        text = {"text": "Yes, <b>please</b>"} if name == "Replied" else {}
        shop.send(track(f"Message {name}", "ann", properties={"message_id": message_id, "channel": "popup", **text}))
    [message] = shop.of("ann", "messages")
    for name in ("shown_at", "clicked_at", "replied_at", "dismissed_at"):
        assert message[name] is not None
    assert message["reply"] == "Yes, <b>please</b>"
    assert shop.visitor("ann")["counts"]["Message Replied"] == 1


def test_a_stranger_cannot_report_on_a_message_of_somebody_else(shop: Shop) -> None:
    shop.send(track("Hello", "ann"), track("Hello", "mallory"))
    [message_id] = ids(shop.inbox("ann"))
    for name in ("Shown", "Replied"):
        shop.send(track(f"Message {name}", "mallory", properties={"message_id": message_id, "text": "ha"}))
    [message] = shop.of("ann", "messages")
    assert (message["shown_at"], message["reply"]) == (None, None)
    assert ids(shop.inbox("ann")) == [message_id]


def test_a_message_whose_rule_was_paused_is_not_shown_any_more(chimein: Stack) -> None:
    shop = chimein.site()
    rule_id = shop.rule(RULE)
    shop.send(track("Hello", "ann"))
    assert len(ids(shop.inbox("ann"))) == 1
    shop.api("POST", f"/rules/{rule_id}/pause")
    wait_for(lambda: ids(shop.inbox("ann")) == [])


@pytest.mark.parametrize("door", ["inbox", "live"])
def test_who_may_read(shop: Shop, door: str) -> None:
    user = "ann@shop"
    base = shop.chimein.live_url if door == "live" else shop.chimein.url

    def status(body: bytes, **headers: str) -> int:
        if door == "live":
            with Stream(base, body, **headers) as opened:
                return opened.status
        return request("POST", f"{base}/v1/inbox", body, {"Content-Type": "text/plain", **headers}).status

    assert status(shop.greeting("ann")) == 200
    assert status(shop.greeting("ann").replace(shop.key.encode(), b"nobody")) == 401
    assert status(shop.greeting("ann", userId=user)) == 200, "a claim without proof is not looked at"
    assert status(shop.greeting("ann", userId=user, userHash="0" * 64)) == 403
    assert status(shop.greeting("ann", userId=user, userHash=user_hash(shop, "bob@shop"))) == 403
    assert status(shop.greeting("ann", userId=user, userHash=user_hash(shop, user))) == 200
    assert status(shop.greeting("ann", userId=user, userHash=token(shop))) == 200
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    bad: list[dict[str, Any]] = [{"sub": "bob"}, {"aud": "elsewhere"}, {"exp": long_ago}]
    for changes in bad:
        assert status(shop.greeting("ann", userId=user, userHash=token(shop, **changes))) == 403
    unsigned = jwt.encode(
        {"sub": user, "aud": shop.id, "exp": datetime.now(UTC) + timedelta(hours=1)}, "", algorithm="none"
    )
    assert status(shop.greeting("ann", userId=user, userHash=unsigned)) == 403
    for broken in (b"", b"{", b"[]", b"null", b'{"writeKey": 7}', shop.greeting(None)):
        assert status(broken) == 400
    assert status(b"x" * 1_000_000) in (400, 413)


def test_what_belongs_to_an_identified_person_needs_their_proof(shop: Shop) -> None:
    user = "ann@shop"
    shop.send(identify("ann-phone", user))
    shop.send(track("Hello", None, userId=user))  # a backend's event: it began in no browser
    [message] = shop.api("GET", "/messages").json["items"]
    proof = user_hash(shop, user)
    assert ids(shop.inbox("ann-phone")) == []
    assert ids(shop.inbox("mallory", userId=user)) == []
    assert ids(shop.inbox("ann-phone", userId=user, userHash=proof)) == [message["id"]]
    assert ids(shop.inbox("ann-laptop", userId=user, userHash=proof)) == [message["id"]]
    assert ids(shop.inbox(None, userId=user, userHash=token(shop))) == [message["id"]]
    live = shop.chimein.live_url
    with (
        Stream(live, shop.greeting("mallory", userId=user)) as mallory,
        Stream(live, shop.greeting("ann-laptop", userId=user, userHash=proof)) as laptop,
    ):
        laptop.wait_for("message")
        shop.send(track("Hello", None, userId=user), track("Hello", "mallory"))
        laptop.wait_for_messages(2)
        mallory.wait_for_messages(1)
        time.sleep(0.5)
        assert set(mallory.messages()) == set(ids(shop.inbox("mallory")))


def test_a_person_who_signs_in_elsewhere_sees_what_waits_there_too(shop: Shop) -> None:
    user = "ann@shop"
    shop.send(track("Hello", "phone"))
    shop.send(identify("phone", user))
    [message_id] = ids(shop.inbox("phone"))
    assert ids(shop.inbox("laptop", userId=user, userHash=user_hash(shop, user))) == [message_id]
    assert ids(shop.inbox("laptop")) == []


def test_pages_of_other_origins_learn_nothing_where_the_site_names_its_own(chimein: Stack) -> None:
    shop = chimein.site(origins=["https://shop.example"])
    for base, path in ((chimein.url, "inbox"), (chimein.live_url, "live")):
        answer = request("POST", f"{base}/v1/{path}", shop.greeting("ann"), {"Origin": "https://elsewhere.example"})
        assert (answer.status, "items" in answer.text) == (403, False)
        preflight = request("OPTIONS", f"{base}/v1/{path}", headers={"Origin": "https://shop.example"})
        assert preflight.status in (200, 204)
