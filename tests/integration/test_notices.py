"""Who is told of conversations: the site's own systems by hooks, operators by their browsers and by mail."""

import base64
import email.policy
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.channels.directory import open_channels
from backend.channels.web_push import public_key, push_key
from backend.domain.conversation import Conversation
from backend.domain.hook import slack_body
from backend.domain.webhook import webhook_secret
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.digest import send_digests
from backend.pipeline.erase import erase
from backend.storage import conversations, notices, webhooks
from backend.storage.presence import beat
from backend.storage.queue import WEBHOOKS
from backend.storage.tables import memberships, operators
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import ADMIN, SECRET, Shop, call, identify, open_shop
from tests.integration.test_conversations import chat
from tests.integration.test_webhooks import verify
from tests.integration.web_server import WebServer, answer, web_server
from tests.integration.webhook_world import Hooks
from tests.ports import free_port
from tests.unit.test_web_push import claims

ANNA, BERT = Speaker("a" * 32, "Anna"), Speaker("b" * 32, "Bert")
HEADERS = {"Authorization": f"Bearer {ADMIN}"}


@pytest.fixture
def server() -> Any:
    with web_server() as opened:
        yield opened


@pytest.fixture
def shop(tmp_path: Path, sqlite_url: str, redis_url: str) -> Any:
    """A shop that may call this machine, where Anna and Bert work."""
    with open_shop(sqlite_url, redis_url, tmp_path, allow_private="127.0.0.1") as opened:
        staff(opened)
        yield opened


def staff(shop: Shop) -> None:
    with shop.rt.db.begin() as connection:
        for each in (ANNA, BERT):
            told = {"id": each.id, "email": f"{each.name}@shop.example".lower(), "name": each.name}
            connection.execute(operators.insert().values(**told, created_at=0, updated_at=0))
            member = {"operator_id": each.id, "site_id": "" if each is BERT else shop.site.id, "role": "operator"}
            connection.execute(memberships.insert().values(**member))
            beat(shop.rt.redis, shop.site.id, each.id, shop.clock(), active=True)  # so that nothing is promised


def api(shop: Shop, method: str, path: str, body: Any = None) -> Any:
    answered = shop.client.open(f"/api/v1/sites/{shop.site.id}{path}", method=method, json=body, headers=HEADERS)
    assert answered.status_code < 500, answered.text
    return answered


def hook(shop: Shop, url: str, **fields: Any) -> str:
    made = api(shop, "POST", "/hooks", {"url": url, **fields})
    assert made.status_code == 201, made.text
    return str(made.json["id"])


def go(shop: Shop) -> Hooks:
    """Sends everything that is due."""
    hooks = Hooks.of(shop)
    with shop.rt.db.read() as connection:
        refs = webhooks.due_refs(connection, shop.clock(), 1_000, timedelta(0))
    hooks.deliver(*refs)
    return hooks


def only(shop: Shop) -> Conversation:
    with shop.rt.db.read() as connection:
        [found] = conversations.list_conversations(connection, shop.site.id)
    return found


def test_a_hook_is_told_what_it_asked_for_signed_and_in_the_log(shop: Shop, server: WebServer) -> None:
    hook_id = hook(shop, server.url("/all"))
    hook(shop, server.url("/waiting"), events=["conversation.waiting"])
    hook(shop, server.url("/off"), active=False)
    shop.send(identify("user-1", {"name": "Ann Smith"}), chat("Is it in stock?", userId="user-1", anonymousId="ann"))
    assert shop.rt.queue.waiting(WEBHOOKS) == 1, "it is rung for at once"
    shop.send(chat("Hello?", userId="user-1", anonymousId="ann"))
    found = only(shop)
    converse.say(shop.rt, shop.site, found.id, "our own", ANNA, kind="note")
    converse.say(shop.rt, shop.site, found.id, "It is.", ANNA)
    converse.change(shop.rt, shop.site, found.id, {"assignee_id": BERT.id, "state": "closed", "tags": ["x"]}, ANNA)
    rated = {"conversation_id": found.id, "rating": 5, "text": "Thank you"}
    shop.send(call("Live Chat Conversation Rated", rated, userId="user-1", anonymousId="ann"))
    go(shop)
    for asked in server.asked:
        verify(webhook_secret(shop.site.secret_key), asked.headers, asked.body)
    told = sorted((each.json["part"]["number"], each.json["type"]) for each in server.asked if each.path == "/all")
    assert told == [
        (1, "conversation.opened"),
        (1, "conversation.part"),
        (1, "conversation.waiting"),
        (2, "conversation.part"),
        (4, "conversation.part"),
        (5, "conversation.closed"),
        (6, "conversation.assigned"),
        (8, "conversation.rated"),
    ]
    assert "our own" not in repr([each.body for each in server.asked]), "notes stay inside"
    assert [each.json["type"] for each in server.asked if each.path == "/waiting"] == ["conversation.waiting"]
    [first] = [each.json for each in server.asked if each.path == "/waiting"]
    assert first["visitor"] == {"id": shop.profile().id, "user_id": "user-1", "name": "Ann Smith"}
    assert (first["conversation"]["id"], first["part"]["text"]) == (found.id, "Is it in stock?")
    listed = api(shop, "GET", f"/webhooks?hook={hook_id}").json["items"]
    assert {(each["status"], each["rule_id"], each["hook_id"]) for each in listed} == {("delivered", None, hook_id)}
    shop.send(chat("And now?", userId="user-1", anonymousId="ann", properties={"conversation_id": found.id}))
    go(shop)
    assert [each.json["type"] for each in server.asked if each.path == "/waiting"][1:] == ["conversation.waiting"]


def test_what_fails_is_tried_again_with_the_same_id_also_at_a_new_address(shop: Shop, server: WebServer) -> None:
    server.script = lambda *_: answer(503)
    hook_id = hook(shop, server.url("/old"), events=["conversation.opened"])
    shop.send(chat("Hello?"))
    hooks = go(shop)
    [made] = hooks.all()
    assert (made.status, made.attempts, made.answered) == ("queued", 1, 503)
    server.script = lambda *_: answer()
    assert api(shop, "PATCH", f"/hooks/{hook_id}", {"url": server.url("/new")}).status_code == 200
    shop.clock.forward(minutes=1)
    go(shop)
    assert [each.path for each in server.asked] == ["/old", "/new"]
    assert len({each.headers["webhook-id"] for each in server.asked}) == 1
    assert hooks.all()[0].status == "delivered"


def test_nothing_goes_out_any_more_where_a_hook_is_off_or_gone_or_the_visitor_is(shop: Shop, server: WebServer) -> None:
    events = ["conversation.opened"]
    paused, gone = (hook(shop, server.url(path), events=events) for path in ("/paused", "/gone"))
    shop.send(chat("Hello?"))
    api(shop, "PATCH", f"/hooks/{paused}", {"active": False})
    api(shop, "DELETE", f"/hooks/{gone}")
    hooks = go(shop)
    assert {(each.status, each.reason) for each in hooks.all()} == {("skipped", "hook_paused")}
    hook(shop, server.url("/erased"), events=events)
    shop.send(chat("Hello?", anonymousId="bob"))
    other = next(each for each in hooks.all() if each.status == "queued")
    assert erase(shop.rt, shop.site.id, other.visitor_id, ("desk", "administrator"))
    go(shop)
    assert server.asked == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://shop.example/x", "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/"),
        *("https://localhost/", "https://0x7f.1/", "https://a@b.example/", "javascript:alert(1)", ""),
    ],
)
def test_a_private_address_is_refused_when_it_is_written(
    tmp_path: Path, sqlite_url: str, redis_url: str, url: str
) -> None:
    with open_shop(sqlite_url, redis_url, tmp_path) as shop:
        refused = api(shop, "POST", "/hooks", {"url": url})
        assert (refused.status_code, list(refused.json["errors"])) == (422, ["url"])
        endpoint = {"endpoint": url, "keys": {"p256dh": "x", "auth": "y"}, "operator": ANNA.id}
        assert list(api(shop, "POST", "/push/subscriptions", endpoint).json["errors"]) == ["endpoint"]


def test_slack_is_told_in_a_line_that_nobody_can_forge(shop: Shop, server: WebServer) -> None:
    hook(shop, server.url("/slack"), format="slack", events=["conversation.waiting", "conversation.rated"])
    shop.send(
        identify("u", {"name": "<!channel>|x>\n*Boss*"}),
        chat("<https://evil.example|click> & <!here>\n> forged\nA new line", userId="u", anonymousId="ann"),
    )
    go(shop)
    [asked] = server.asked
    verify(webhook_secret(shop.site.secret_key), asked.headers, asked.body)
    assert list(asked.json) == ["text"]
    head, *lines = asked.json["text"].split("\n")
    address = f"{shop.rt.settings.public_url}/console/shop/inbox/{only(shop).id}"
    assert head == f"<{address}|&lt;!channel&gt;¦x&gt; *Boss* waits for an answer>"
    assert lines == [
        "> &lt;https://evil.example|click&gt; &amp; &lt;!here&gt;",
        "> &gt; forged",
        "> A new line",
    ]
    long = slack_body(
        {
            "type": "conversation.part",
            "visitor": {"name": None},
            "part": {"author": "operator", "text": "x\n" * 9_000, "content": {}},
        },
        "https://a.example",
    )
    assert len(long["text"]) < 6_000


class Browser:
    """A browser that has subscribed: it alone can read what comes."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.auth = b"sixteen bytes..."

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def told(self, operator_id: str) -> dict[str, Any]:
        keys = {
            name: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
            for name, raw in (("p256dh", self.point), ("auth", self.auth))
        }
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys, "operator": operator_id}

    def read(self, body: bytes) -> Any:
        """As RFC 8188 and 8291 say."""
        salt, theirs, sealed = body[:16], body[21:86], body[86:]
        assert (int.from_bytes(body[16:20]), body[20]) == (4096, 65)
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
        secret = HKDF(SHA256(), 32, self.auth, b"WebPush: info\0" + self.point + theirs).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        padded = AESGCM(key).decrypt(nonce, sealed, None)
        assert padded.endswith(b"\x02")
        return json.loads(padded[:-1])


def browser(shop: Shop, server: WebServer, path: str, operator_id: str) -> Browser:
    made = Browser(server.url(path))
    assert api(shop, "POST", "/push/subscriptions", made.told(operator_id)).status_code == 201
    return made


def test_operators_browsers_are_called_when_somebody_waits_and_nobody_else_can_read_it(
    shop: Shop, server: WebServer
) -> None:
    anna, _ = browser(shop, server, "/anna", ANNA.id), browser(shop, server, "/bert", BERT.id)
    assert api(shop, "POST", "/push/subscriptions", anna.told("c" * 32)).status_code == 422, "no operator"
    shop.send(
        identify("u", {"name": "Ann"}),
        chat("Is it <b>in stock</b>?", userId="u", anonymousId="ann"),
        chat("Hello?", userId="u", anonymousId="ann"),
    )
    go(shop)
    assert sorted(each.path for each in server.asked) == ["/anna", "/bert"], "once for one who waits"
    asked = next(each for each in server.asked if each.path == "/anna")
    found = only(shop)
    told = anna.read(asked.body)
    assert told["title"] == "Ann · shop"
    assert told["body"] == "Hello?"
    assert told["url"] == f"{shop.rt.settings.public_url}/console/shop/inbox/{found.id}"
    assert (asked.headers["content-encoding"], asked.headers["ttl"]) == ("aes128gcm", "3600")
    key = public_key(push_key(SECRET))
    assert api(shop, "GET", "/push/key").json == {"key": key}
    token, k = asked.headers["authorization"].removeprefix("vapid t=").split(", k=")
    assert k == key
    assert claims(token, key)["aud"] == server.url("").rstrip("/")
    assert api(shop, "GET", "/webhooks").json["items"] == [], "no webhook of the site's"
    converse.say(shop.rt, shop.site, found.id, "It is.", ANNA)
    shop.send(chat("Thank you", userId="u", anonymousId="ann"))
    go(shop)
    assert [each.path for each in server.asked[2:]] == ["/anna"], "it is hers now"
    converse.change(shop.rt, shop.site, found.id, {"assignee_id": BERT.id}, ANNA)
    go(shop)
    assert [each.path for each in server.asked[3:]] == ["/bert"], "it was handed to him"


def test_a_browser_that_is_gone_is_forgotten_and_nobody_is_called_in_vain(shop: Shop, server: WebServer) -> None:
    browser(shop, server, "/anna", ANNA.id)
    shared = browser(shop, server, "/bert", BERT.id)
    shop.send(chat("Hello?"))
    converse.say(shop.rt, shop.site, only(shop).id, "Yes?", ANNA)
    hooks = go(shop)
    assert server.asked == [], "it was answered meanwhile"
    server.script = lambda asked, _: answer(410 if asked.path == "/anna" else 201)
    shop.send(chat("Anybody?", anonymousId="bob"))
    go(shop)
    assert len(server.asked) == 2
    with shop.rt.db.read() as connection:
        assert [each.operator_id for each in notices.subscribed(connection, shop.site.id, None)] == [BERT.id]
    assert api(shop, "POST", "/push/subscriptions", shared.told(ANNA.id)).status_code == 201
    with shop.rt.db.read() as connection:
        assert [each.operator_id for each in notices.subscribed(connection, shop.site.id, None)] == [ANNA.id]
    with shop.rt.db.begin() as connection:
        connection.execute(memberships.delete().where(memberships.c.operator_id == ANNA.id))
        assert notices.subscribed(connection, shop.site.id, None) == [], "whoever is no member is not called"
    assert api(shop, "DELETE", "/push/subscriptions", {"endpoint": shared.endpoint}).status_code == 204
    assert hooks.all() == []


def test_who_is_mentioned_in_a_note_is_called_once_and_not_after_it_was_taken_back(
    shop: Shop, server: WebServer
) -> None:
    _, bert = browser(shop, server, "/anna", ANNA.id), browser(shop, server, "/bert", BERT.id)
    shop.send(chat("Hello?"))
    talk = only(shop)
    converse.change(shop.rt, shop.site, talk.id, {"assignee_id": ANNA.id}, ANNA)
    converse.say(shop.rt, shop.site, talk.id, "Hello.", ANNA)
    go(shop)
    before = len(server.asked)
    _, note = converse.say(shop.rt, shop.site, talk.id, "@Bert and @Anna: <b>who</b> knows?", ANNA, kind="note")
    converse.edit(shop.rt, shop.site, talk.id, note.number, "@bert: who knows?", ANNA)
    converse.say(shop.rt, shop.site, talk.id, "@Bert is no note", ANNA)
    _, gone = converse.say(shop.rt, shop.site, talk.id, "@Bert no more", ANNA, kind="note")
    converse.take_back(shop.rt, shop.site, talk.id, gone.number, ANNA)
    go(shop)
    assert [each.path for each in server.asked[before:]] == ["/bert"], "neither whoever writes, nor twice"
    told = bert.read(server.asked[-1].body)
    assert (told["title"], told["body"]) == ("Anna mentions you · shop", "@bert: who knows?")
    assert told["conversation_id"] == talk.id
    late = converse.say(shop.rt, shop.site, talk.id, "Who knows?", ANNA, kind="note")[1]
    converse.edit(shop.rt, shop.site, talk.id, late.number, "@Bert knows", ANNA)
    go(shop)
    assert [each.path for each in server.asked[before + 1 :]] == ["/bert"], "mentioned afterwards"


def mails(shop: Shop) -> list[Any]:
    folder = shop.rt.settings.data_dir / "outbox"
    return [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    ]


def test_operators_are_told_by_mail_of_who_waits_too_long_and_not_too_often(each_shop: Shop) -> None:
    shop, channel = each_shop, open_channels(each_shop.rt.settings)["email"]
    staff(shop)
    shop.send(identify("u", {"name": "Ann\r\nBcc: x@y.example"}), chat("<script>Hello?", userId="u", anonymousId="ann"))
    shop.clock.forward(minutes=29)
    assert send_digests(shop.rt, channel) == 0
    shop.clock.forward(minutes=2)
    assert send_digests(shop.rt, channel) == 2
    assert send_digests(shop.rt, channel) == 0
    assert {each["To"].addresses[0].addr_spec for each in mails(shop)} == {"anna@shop.example", "bert@shop.example"}
    first = mails(shop)[0]
    assert first["Subject"] == "1 conversation waits for an answer"
    assert first["Bcc"] is None
    assert "for 31 min: <script>Hello?" in first.get_body(("plain",)).get_content()
    assert "<script>" not in first.get_body(("html",)).get_content()
    shop.send(chat("Me too", anonymousId="bob"))
    shop.clock.forward(minutes=31)
    assert send_digests(shop.rt, channel) == 0, "one an hour at most"
    shop.clock.forward(minutes=30)
    assert send_digests(shop.rt, channel) == 2
    assert mails(shop)[-1]["Subject"] == "2 conversations wait for an answer"
    shop.clock.forward(hours=5)
    assert send_digests(shop.rt, channel) == 0, "nothing is new"
    with shop.rt.db.read() as connection:
        listed = conversations.list_conversations(connection, shop.site.id)
    for each in listed:
        converse.change(shop.rt, shop.site, each.id, {"assignee_id": ANNA.id}, ANNA)
    shop.send(chat("And I", anonymousId="eve"))
    with shop.rt.db.read() as connection:
        last = next(
            each for each in conversations.list_conversations(connection, shop.site.id) if each.assignee_id is None
        )
    converse.change(shop.rt, shop.site, last.id, {"assignee_id": BERT.id}, ANNA)
    shop.clock.forward(hours=1)
    before = len(mails(shop))
    assert send_digests(shop.rt, channel) == 1, "it is Bert's alone"
    assert [each["To"].addresses[0].addr_spec for each in mails(shop)[before:]] == ["bert@shop.example"]


def test_a_digest_that_nobody_takes_is_tried_again_soon(shop: Shop) -> None:
    shop.send(chat("Hello?"))
    shop.clock.forward(hours=1)
    settings = shop.rt.settings.load(
        {}, data_dir=str(shop.rt.settings.data_dir), smtp_url=f"smtp://127.0.0.1:{free_port()}"
    )
    down, up = open_channels(settings)["email"], open_channels(shop.rt.settings)["email"]
    assert send_digests(shop.rt, down) == 0
    assert send_digests(shop.rt, up) == 0
    shop.clock.forward(minutes=5)
    assert send_digests(shop.rt, up) == 2
