"""A conversation goes on by mail: out at most once, in exactly once, and nobody gets in who was not written to."""

import hashlib
import hmac
import re
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backend.app import create_app
from backend.channels.email import EmailChannel
from backend.channels.email.smtp import Timeouts
from backend.domain.attachment import LARGEST
from backend.domain.conversation import Conversation, Part
from backend.domain.desk_policy import DeskPolicy
from backend.errors import NotFound, TooManyRequests
from backend.ops.mail_server import run as serve
from backend.pipeline import converse
from backend.pipeline.attach import addressed, forget_unsaid
from backend.pipeline.converse import Speaker
from backend.pipeline.erase import erase
from backend.pipeline.let_go import let_go
from backend.pipeline.mail_in import FLOOD, MOST_AN_HOUR, take
from backend.pipeline.mail_out import Mailer
from backend.pipeline.show import Viewer
from backend.pipeline.threads import see
from backend.storage import mail_counts, sites, tables
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify, open_shop
from tests.integration.mail_world import MailServer, free_port, mail_server
from tests.integration.test_attachments import PNG, lying
from tests.integration.test_console_pages import sit_down
from tests.integration.test_conversations import all_of, chat, said_in, texts

ANNA = Speaker("a" * 32, "Anna")
ADA = "ada@example.com"
INBOUND = "what a provider of the tests signs with"


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def mailer(shop: Shop, url: str) -> Mailer:
    settings = replace(shop.rt.settings, mail_reply_domain="in.shop.example", public_url="https://chat.shop.example")
    channel = EmailChannel(
        smtp_url=url,
        mail_from="Shop <hello@shop.example>",
        public_url=settings.public_url,
        outbox=settings.data_dir / "outbox",
        timeouts=Timeouts(connect=2, answer=2, verdict=2),
    )
    settings = replace(settings, mail_from="Shop <hello@shop.example>")
    return Mailer(replace(shop.rt, settings=settings), channel)


def asked(shop: Shop, answer: str = "It is in stock.") -> Conversation:
    """Ada has asked something and gone, and Anna has answered."""
    with shop.rt.db.begin() as connection:
        row = {"id": ANNA.id, "email": "anna@shop.example", "name": "Anna", "created_at": 1, "updated_at": 1}
        if connection.execute(tables.operators.select()).first() is None:
            connection.execute(tables.operators.insert().values(row))
    shop.send(identify("ada", {"email": ADA, "name": "Ada"}), chat("Is the kettle in stock?", userId="ada"))
    [found] = all_of(shop)
    shop.clock.forward(seconds=10)
    return converse.say(shop.rt, shop.site, found.id, answer, ANNA)[0]


def events_of(shop: Shop, conversation: Conversation) -> list[Part]:
    return [each for each in said_in(shop, conversation, events=True) if each.kind == "event"]


def told(shop: Shop, conversation: Conversation) -> list[str]:
    return [each.content["event"] for each in events_of(shop, conversation)]


def written(mail: EmailMessage, text: str = "Yes please", **headers: str) -> EmailMessage:
    """An answer to a mail, as Ada's program writes it."""
    answer = EmailMessage()
    fields = {
        "From": f"Ada <{ADA}>",
        "To": str(mail["Reply-To"]),
        "Subject": f"Re: {mail['Subject']}",
        "Message-ID": "<answer-1@example.com>",
        "In-Reply-To": str(mail["Message-ID"]),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    for name, value in fields.items():
        answer[name] = value
    quoted = "\n".join(f"> {line}" for line in mail.get_body(("plain",)).get_content().splitlines())  # type: ignore[union-attr]
    answer.set_content(f"{text}\n\nOn Sun, 1 Mar 2026 at 09:06, Anna (shop) wrote:\n{quoted}\n")
    return answer


@contextmanager
def listening(shop: Shop, kind: str = "smtp") -> Iterator[int]:
    port = free_port()
    rt = replace(shop.rt, settings=replace(shop.rt.settings, mail_in=f"{kind}://127.0.0.1:{port}"))
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(rt, stop))
    thread.start()
    try:
        for _ in range(100):
            try:
                (smtplib.LMTP if kind == "lmtp" else smtplib.SMTP)("127.0.0.1", port, timeout=5).quit()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        stop.set()
        thread.join(10)


def bring(port: int, mail: EmailMessage | bytes, to: str, sender: str = ADA) -> tuple[int, str]:
    """What the server says to a mail."""
    data = mail if isinstance(mail, bytes) else mail.as_bytes(policy=policy.SMTP)
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        try:
            smtp.sendmail(sender, [to], data)
        except smtplib.SMTPRecipientsRefused as error:
            [(code, text)] = error.recipients.values()
            return code, text.decode()
        except smtplib.SMTPResponseException as error:
            return error.smtp_code, str(error.smtp_error)
    return 250, ""


def out(shop: Shop, post: MailServer, **answer: str) -> tuple[Conversation, EmailMessage]:
    """A conversation of which a mail has gone out, and the mail."""
    conversation = asked(shop, **answer)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 1
    return conversation, post.mails[-1]


def address(mail: EmailMessage) -> str:
    return mail["Reply-To"].addresses[0].addr_spec


def test_what_was_not_seen_goes_out_once_with_what_was_said_before(each_shop: Shop, post: MailServer) -> None:
    shop = each_shop
    conversation = asked(shop, "<b>It is</b> in stock.")
    converse.say(shop.rt, shop.site, conversation.id, "a secret note", ANNA, kind="note")
    shop.clock.forward(minutes=3)
    converse.say(shop.rt, shop.site, conversation.id, "Shall I keep one for you?", ANNA)
    shop.clock.forward(minutes=3)
    sender = mailer(shop, post.url)
    assert sender.turn() == 0, "five minutes after the last of them"
    shop.clock.forward(minutes=3)
    assert [sender.turn(), sender.turn(), mailer(shop, post.url).turn()] == [1, 0, 0]
    [mail] = post.mails
    plain, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    for text in (plain, html):
        assert text.index("Shall I keep one") < text.index("Is the kettle in stock?")
        assert "secret" not in text
    assert "&lt;b&gt;It is&lt;/b&gt;" in html
    assert str(mail["From"]) == '"Anna (Shop)" <hello@shop.example>'
    assert re.fullmatch(r"reply\+[a-z2-7]{32}@in\.shop\.example", address(mail))
    assert len(address(mail).split("@")[0]) <= 64
    assert mail["Auto-Submitted"] is None
    assert post.envelopes == [(address(mail), [ADA])], "what cannot be delivered comes back there"
    assert re.search(r"https://chat\.shop\.example/t/[\w-]+", plain)
    assert told(shop, conversation) == ["mailed"]
    converse.say(shop.rt, shop.site, conversation.id, "Hello?", ANNA)
    shop.clock.forward(minutes=6)
    assert sender.turn() == 1
    assert post.mails[1]["In-Reply-To"] == mail["Message-ID"] == post.mails[1]["References"]
    assert address(post.mails[1]) == address(mail)


def test_what_was_seen_is_not_mailed_nor_is_it_to_whom_nobody_may_write(shop: Shop, post: MailServer) -> None:
    conversation = asked(shop)
    see(shop.rt, Viewer(shop.site, "ann", "ada"), conversation.id, 2)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 0
    shop.send(call("Form Field Filled", {"value": "bob@example.com", "kind": "email"}, anonymousId="bob"))
    shop.send(chat("And for me?", anonymousId="bob"))
    theirs = next(each for each in all_of(shop) if each.anonymous_id == "bob")
    converse.say(shop.rt, shop.site, theirs.id, "Yes", ANNA)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 0, "an address that was only typed"
    shop.send(identify("bob", {"email": "bob@example.com"}, anonymousId="bob"))
    shop.clock.forward(minutes=20)
    assert mailer(shop, post.url).turn() == 1, "now it is known"
    converse.say(shop.rt, shop.site, theirs.id, "Still", ANNA)
    with shop.rt.db.begin() as connection:
        silent = replace(shop.site.policy, conversation=DeskPolicy(mail_after=None))
        sites.update_site(connection, shop.rt.sites.vault, replace(shop.site, policy=silent))
    shop.rt.sites.forget()
    shop.clock.forward(hours=1)
    assert mailer(shop, post.url).turn() == 0, "the site does without"


def test_seen_at_the_last_moment_it_does_not_leave(shop: Shop, post: MailServer) -> None:
    conversation = asked(shop)
    shop.clock.forward(minutes=6)
    sender = mailer(shop, post.url)
    assert sender.promise() == 1
    see(shop.rt, Viewer(shop.site, "ann", "ada"), conversation.id, 2)
    assert sender.send() == 0
    assert post.mails == []


def test_whoever_wants_no_more_mails_of_a_conversation_gets_none_until_they_ask(
    each_shop: Shop, post: MailServer
) -> None:
    shop = each_shop
    conversation, mail = out(shop, post)
    [link] = re.findall(r"https://chat\.shop\.example(/m/[\w-]+)", mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert (mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"]) == (
        f"<https://chat.shop.example{link}>",
        "List-Unsubscribe=One-Click",
    )
    client = create_app(shop.rt.settings, runtime=shop.rt).test_client()
    assert "Stop these mails" in client.get(link).text
    assert told(shop, conversation) == ["mailed"], "looking changes nothing"
    converse.say(shop.rt, shop.site, conversation.id, "In red too", ANNA)
    shop.clock.forward(minutes=6)
    sender = mailer(shop, post.url)
    assert sender.promise() == 1
    for _ in range(2):
        answer = client.post(link, data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert told(shop, conversation) == ["mailed", "mails_off"], "once, however often they press"
    assert sender.turn() == 0, "what waited neither"
    shop.send(chat("And in blue?", userId="ada"))
    converse.say(shop.rt, shop.site, conversation.id, "Yes", ANNA)
    shop.clock.forward(minutes=6)
    assert [sender.turn(), len(post.mails)] == [0, 1], "a new word turns nothing on"
    assert "Mails are on again" in client.post(link, data={"wish": "again"}).text
    shop.clock.forward(minutes=6)
    assert sender.turn() == 0, "what was not wanted is not made up for"
    converse.say(shop.rt, shop.site, conversation.id, "Still there?", ANNA)
    shop.clock.forward(minutes=6)
    assert [sender.turn(), told(shop, conversation)[-2:]] == [1, ["mails_on", "mailed"]]
    read = re.search(r"/t/([\w-]+)", mail.get_body(("plain",)).get_content())[1]  # type: ignore[union-attr,index]
    for token in (read, link[3:-1], link[3:] + "x", "x" * 2_000):
        assert client.post(f"/m/{token}").status_code == 404
    assert client.get(f"/t/{link[3:]}").status_code == 404, "it opens no conversation"


def test_while_the_mail_server_is_down_it_waits_and_then_goes_once(shop: Shop, post: MailServer) -> None:
    conversation = asked(shop)
    shop.clock.forward(minutes=6)
    down = mailer(shop, f"smtp://127.0.0.1:{free_port()}")
    assert [down.turn(), down.turn()] == [0, 0]
    shop.clock.forward(minutes=2)
    assert mailer(shop, post.url).turn() == 1
    assert len(post.mails) == 1
    assert told(shop, conversation) == ["mailed"]


def test_two_workers_race_for_one_mail(each_shop: Shop, post: MailServer) -> None:
    shop = each_shop
    asked(shop)
    shop.clock.forward(minutes=6)
    senders = [mailer(shop, post.url) for _ in range(4)]
    start = threading.Barrier(4)

    def work(sender: Mailer) -> None:
        start.wait()
        for _ in range(3):
            sender.turn()

    threads = [threading.Thread(target=work, args=(each,)) for each in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(post.mails) == 1


def test_an_answer_becomes_one_part_however_often_it_comes(each_shop: Shop, post: MailServer) -> None:
    shop = each_shop
    conversation, mail = out(shop, post)
    with listening(shop) as port:
        for _ in range(3):
            assert bring(port, written(mail), address(mail).upper().replace("REPLY", "Reply"))[0] == 250
        shop.processor.drain()
        shop.clock.forward(minutes=1)
        assert bring(port, written(mail, "And a red one", Message_ID="<answer-2@example.com>"), address(mail))[0] == 250
        shop.processor.drain()
    assert texts(shop, conversation) == ["Is the kettle in stock?", "It is in stock.", "Yes please", "And a red one"]
    part = said_in(shop, conversation)[2]
    assert (part.author, part.channel, part.content) == ("visitor", "email", {"mail_id": "<answer-1@example.com>"})
    [after] = all_of(shop)
    assert (after.state, after.seen >= part.number) == ("open", True)
    converse.say(shop.rt, shop.site, conversation.id, "Done", ANNA)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 1
    last = post.mails[-1]
    assert last["In-Reply-To"] == "<answer-2@example.com>"
    assert str(last["References"]).split() == [mail["Message-ID"], "<answer-1@example.com>", "<answer-2@example.com>"]
    assert last["Message-ID"] not in (mail["Message-ID"], *str(last["References"]).split())


def test_a_stranger_with_the_mail_speaks_as_a_stranger_and_is_not_learned(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    with listening(shop) as port:
        answer = written(mail, "I am her boss", From="Eve <eve@evil.example>")
        assert bring(port, answer, address(mail), "eve@evil.example")[0] == 250
    shop.processor.drain()
    part = said_in(shop, conversation)[-1]
    assert part.content["from"] == {"name": "Eve", "address": "eve@evil.example"}
    assert "evil" not in str(shop.profile("ann"))
    converse.say(shop.rt, shop.site, conversation.id, "Aha", ANNA)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 1
    assert post.envelopes[-1][1] == [ADA]


def test_machines_are_noted_and_do_not_answer(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    own = post.mails[0]
    with listening(shop) as port:
        away = written(mail, "I am away", Message_ID="<away@example.com>", Auto_Submitted="auto-replied")
        assert bring(port, away, address(mail))[0] == 250
        assert bring(port, written(mail, "x", Message_ID="<null@example.com>"), address(mail), "")[0] == 250
        assert bring(port, own, address(mail), "hello@shop.example")[0] == 250
        assert (
            bring(port, written(mail, "l", Message_ID="<l@example.com>", List_Id="<l.example>"), address(mail))[0]
            == 250
        )
        for number in range(MOST_AN_HOUR + 5):
            echo = written(mail, f"echo {number}", Message_ID=f"<echo{number}@example.com>")
            assert bring(port, echo, address(mail))[0] == 250
    shop.processor.drain()
    assert texts(shop, conversation)[2:] == [f"echo {number}" for number in range(MOST_AN_HOUR - 4)]
    noted = told(shop, conversation)
    assert noted[:5] == ["mailed", "mail_automatic", "mail_automatic", "mail_loop", "mail_automatic"]
    assert set(noted[5:]) == {"mail_loop"}
    assert all_of(shop)[0].waiting_since is not None


DSN = """From: MAILER-DAEMON@mx.example
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <dsn{status}@mx.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Sun, 1 Mar 2026 09:06:00 +0000

Final-Recipient: rfc822; ada@example.com
Action: failed
Status: {status}
Diagnostic-Code: smtp; 550 {status} <ada@example.com>: no

--b
Content-Type: text/rfc822-headers

Reply-To: {to}
Message-ID: <x@shop.example>

--b--
"""


def test_a_failure_is_told_and_an_address_that_leads_nowhere_is_written_to_no_more(
    shop: Shop, post: MailServer
) -> None:
    conversation, mail = out(shop, post)
    with listening(shop) as port:
        full = DSN.format(to=address(mail), status="5.2.2")
        assert bring(port, full.encode(), address(mail), "")[0] == 250
        converse.say(shop.rt, shop.site, conversation.id, "Hello?", ANNA)
        shop.clock.forward(minutes=6)
        assert mailer(shop, post.url).turn() == 1, "a full mailbox is still one"
        gone = DSN.format(to=address(mail), status="5.1.1")
        assert bring(port, gone.encode(), address(mail), "")[0] == 250
    bounced = [each for each in events_of(shop, conversation) if each.content["event"] == "mail_bounced"]
    assert [(each.content["to"], each.content["lasts"]) for each in bounced] == [(ADA, False), (ADA, True)]
    converse.say(shop.rt, shop.site, conversation.id, "Anybody?", ANNA)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 0
    assert texts(shop, conversation)[2:] == ["Hello?", "Anybody?"]


def test_what_is_forged_large_or_broken_does_no_harm(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    forged = "reply+" + "a" * 32 + "@in.shop.example"
    with listening(shop) as port:
        assert bring(port, written(mail), forged)[0] == 550
        assert bring(port, written(mail), address(mail)[:-18] + "@in.shop.example")[0] == 550
        assert bring(port, written(mail), "postmaster@in.shop.example")[0] == 550
        big = b"Subject: x\r\n\r\n" + b"x" * 76 * 2**10
        assert bring(port, big + (b"y" * 74 + b"\r\n") * (50 * 2**20 // 76), address(mail))[0] == 552
        bomb = b"Message-ID: <b@b>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 50_000
        assert bring(port, bomb, address(mail))[0] == 552
        head = b"From: ada@example.com\r\nMessage-ID: <c@c>\r\nContent-Type: multipart/mixed; boundary\r\n\r\n"
        broken = head + b"--\xff\xfe hi \0"
        assert bring(port, broken, address(mail))[0] == 250
        html = EmailMessage()
        html["From"], html["Message-ID"] = ADA, "<h@h>"
        html.set_content("<p>Hi <b>Anna</b></p><script>alert(1)</script><img src=x onerror=alert(1)>", subtype="html")
        assert bring(port, html, address(mail))[0] == 250
    with listening(shop, "lmtp") as port, smtplib.LMTP("127.0.0.1", port) as lmtp:
        lmtp.sendmail(ADA, [address(mail)], written(mail, "by LMTP", Message_ID="<lmtp@example.com>").as_bytes())
    shop.processor.drain()
    assert texts(shop, conversation)[2:] == ["-- hi", "Hi Anna", "by LMTP"] or texts(shop, conversation)[3:] == [
        "Hi Anna",
        "by LMTP",
    ]
    assert erase(shop.rt, shop.site.id, conversation.visitor_id, ("desk", "administrator"))
    with listening(shop) as port:
        assert bring(port, written(mail), address(mail))[0] == 550


def test_a_failure_of_somebody_else_ends_no_address(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    other = DSN.format(to=address(mail), status="5.1.1").replace("ada@example.com", "eve@evil.example")
    assert take(shop.rt, other.encode(), [address(mail)], "")["taken"] == "failure"
    assert [each.content.get("lasts") for each in events_of(shop, conversation)] == [None, False]
    converse.say(shop.rt, shop.site, conversation.id, "Hello?", ANNA)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 1


def test_a_flood_waits_and_what_came_before_keeps_its_place(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    made = [written(mail, f"{at}", Message_ID=f"<{at}@example.com>").as_bytes() for at in range(FLOOD + 1)]
    natures = [take(shop.rt, raw, [address(mail)], ADA)["taken"] for raw in made[:-1]]
    assert natures == ["answer"] * MOST_AN_HOUR + ["loop"] * (FLOOD - MOST_AN_HOUR)
    with pytest.raises(TooManyRequests):
        take(shop.rt, made[-1], [address(mail)], ADA)
    assert take(shop.rt, made[0], [address(mail)], ADA)["taken"] == "answer", "a provider that asks again"
    with listening(shop) as port:
        assert bring(port, made[-1], address(mail))[0] == 451
        shop.rt.redis.delete(f"{mail_counts.PREFIX}{conversation.id}")  # as after an hour
        assert bring(port, made[-1], address(mail))[0] == 250
    shop.processor.drain()
    assert texts(shop, conversation)[2:] == [*map(str, range(MOST_AN_HOUR)), str(FLOOD)]


def test_only_a_dot_on_a_line_of_its_own_ends_a_mail(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    text = "one\n.\nMAIL FROM:<eve@evil.example>\r.\r\n..two " + "x" * 5_000
    raw = f"From: {ADA}\r\nMessage-ID: <dots@example.com>\r\n\r\n{text}\r\n.\r\nQUIT\r\n".encode()
    with listening(shop) as port, socket.create_connection(("127.0.0.1", port), 20) as wire:
        answers = wire.makefile("rb")
        answers.readline()
        for said in ("HELO me", f"MAIL FROM:<{ADA}>", f"RCPT TO:<{address(mail)}>", "DATA"):
            wire.sendall(f"{said}\r\n".encode())
            assert answers.readline()[:1] in b"23"
        wire.sendall(raw)
        assert [answers.readline()[:3] for _ in range(2)] == [b"250", b"221"]
    shop.processor.drain()
    [part] = said_in(shop, conversation)[2:]
    assert part.text == "one\n.\nMAIL FROM:<eve@evil.example>\n.\n.two " + "x" * 5_000


def test_a_provider_brings_mails_with_the_secret_only(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    raw = written(mail).as_bytes()
    path = "/v1/mail/inbound"
    assert shop.client.post(path, data=raw, content_type="message/rfc822").status_code == 401
    wrong = {"auth": (shop.site.write_key, "wrong"), "content_type": "message/rfc822"}
    assert shop.client.post(path, data=raw, **wrong).status_code == 403
    good: dict[str, Any] = {"auth": (shop.site.write_key, shop.site.secret_key), "content_type": "message/rfc822"}
    for _ in range(2):
        answer = shop.client.post(path, data=raw, **good)
        assert (answer.status_code, answer.json) == (200, {"taken": "answer", "conversation": conversation.id})
    with shop.rt.db.begin() as connection:
        other = sites.new_site("other")
        sites.create_site(connection, shop.rt.sites.vault, other, shop.clock())
    foreign = {**good, "auth": (other.write_key, other.secret_key)}
    assert shop.client.post(path, data=raw, **foreign).status_code == 404
    assert shop.client.post(path, json={"RawEmail": raw.decode()}, auth=good["auth"]).json["taken"] == "answer"
    shop.processor.drain()
    assert texts(shop, conversation)[2:] == ["Yes please"]


def signed(raw: bytes, at: float, token: str = "a" * 50, secret: str = INBOUND, **fields: str) -> dict[str, str]:
    """A mail in the form of Mailgun."""
    stamp = str(int(at))
    signature = hmac.new(secret.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    told = {"timestamp": stamp, "token": token, "signature": signature, "body-mime": raw.decode()}
    return told | {"sender": ADA} | fields


def test_a_signature_is_good_for_one_mail_and_a_while(
    sqlite_url: str, redis_url: str, tmp_path: Path, post: MailServer
) -> None:
    with open_shop(sqlite_url, redis_url, tmp_path, mail_in_secret=INBOUND) as shop:
        conversation, mail = out(shop, post)
        raw, now = written(mail).as_bytes(), shop.clock().timestamp()

        def bring_in(told: dict[str, str]) -> int:
            return int(shop.client.post("/v1/mail/inbound", data=told).status_code)

        good = signed(raw, now)
        for wrong in (
            signed(raw, now, secret="another secret of somebody"),
            signed(raw, now - 901),
            signed(raw, now + 901),
            good | {"signature": good["signature"][:-1] + "x"},
            good | {"timestamp": str(int(now) + 1)},
            good | {"timestamp": "²"},
            good | {"token": "b" * 50},
            good | {"signature": ""},
        ):
            assert bring_in(wrong) == 401, wrong
        assert [bring_in(good), bring_in(good)] == [200, 200], "a provider that missed the answer asks again"
        forged = written(mail, "Send it to Eve", Message_ID="<eve@evil.example>").as_bytes()
        assert bring_in(good | {"body-mime": forged.decode()}) == 403
        assert bring_in(good | {"sender": ""}) == 403
        assert bring_in(signed(forged, now, token="c" * 50)) == 200
        assert shop.client.get("/v1/mail/inbound", headers={"Authorization": "Basic \xff"}).status_code == 401
        shop.processor.drain()
        assert texts(shop, conversation)[2:] == ["Yes please", "Send it to Eve"]


def test_the_private_link_leads_to_this_conversation_alone_and_for_a_while(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post, answer="<script>alert(1)</script>")
    plain = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    [path] = re.findall(r"/t/[\w-]+", plain)
    shop.send(chat("of somebody else", anonymousId="bob"))
    page = shop.client.get(path)
    assert page.status_code == 200
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert "somebody else" not in page.text
    assert ADA not in page.text
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'nonce-")
    assert all_of(shop)[-1].seen < 2, "scanners look too"
    [key] = re.findall(r'name="key" value="([^"]+)"', page.text)
    for _ in range(2):
        assert shop.client.post(path, data={"body": "From the page", "key": key}).status_code == 303
    shop.processor.drain()
    assert texts(shop, conversation)[2:] == ["From the page"]
    assert "From the page" in shop.client.get(path).text
    assert shop.client.get(path[:-3] + "abc").status_code == 404
    shop.clock.forward(days=31)
    assert shop.client.get(path).status_code == 404
    assert shop.client.post(path, data={"body": "late", "key": "k"}).status_code == 404


def with_files(
    mail: EmailMessage, *files: tuple[str, str, bytes], text: str = "See here", **headers: str
) -> EmailMessage:
    """An answer with files: `(type, name, bytes)` of each; one without a name stands in the text."""
    answer = written(mail, text, **headers)
    for kind, name, data in files:
        main, _, sub = kind.partition("/")
        how = {"filename": name} if name else {"disposition": "inline", "cid": "<pasted@example.com>"}
        answer.add_attachment(data, maintype=main, subtype=sub, **how)
    return answer


def test_files_of_a_mail_are_kept_once_and_those_that_are_not_are_named(each_shop: Shop, post: MailServer) -> None:
    shop = each_shop
    conversation, mail = out(shop, post)
    answer = with_files(
        mail,
        ("image/png", "../../kit\u202echen.png", PNG),
        ("image/png", "", PNG + b"\0"),
        ("application/pdf", "bill.pdf", b"%PDF-1.7 bill"),
        ("image/png", "not-a-picture.png", b"MZ\x90\0\x03"),
        ("application/octet-stream", "virus.exe", b"MZ\x90\0\x03"),
        ("application/pkcs7-signature", "smime.p7s", b"\x30\x80"),
    )
    for _ in range(3):
        assert take(shop.rt, answer.as_bytes(policy=policy.SMTP), [address(mail)], ADA)["taken"] == "answer"
    shop.processor.drain()
    [part] = said_in(shop, conversation)[2:]
    assert part.text == "See here"
    assert [(each["name"], each["type"], each["size"]) for each in part.content["attachments"]] == [
        ("kitchen.png", "image/png", len(PNG)),
        ("image.png", "image/png", len(PNG) + 1),
        ("bill.pdf", "application/pdf", 13),
    ]
    assert [(each["name"], each["why"]) for each in part.content["refused"]] == [
        ("not-a-picture.png", "kind"),
        ("virus.exe", "kind"),
    ]
    assert len(lying(shop)) == 3
    assert shop.client.get(files_at(shop, part)[0]).data == PNG
    converse.say(shop.rt, shop.site, conversation.id, "Thanks", ANNA)
    shop.clock.forward(minutes=6)
    assert mailer(shop, post.url).turn() == 1
    plain = post.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Attached: kitchen.png, image.png, bill.pdf" in plain
    assert forget_unsaid(shop.rt) == 0
    assert erase(shop.rt, shop.site.id, conversation.visitor_id, ("desk", "administrator"))
    assert lying(shop) == []


def files_at(shop: Shop, part: Part) -> list[str]:
    told = addressed(shop.rt, {"content": part.content})["content"]["attachments"]
    return [each["url"].removeprefix(shop.rt.settings.public_url) for each in told]


def test_a_mail_of_nothing_but_files_and_one_too_long_for_a_part_lose_nothing(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    bare = with_files(mail, ("image/png", "kettle.png", PNG), text="", Message_ID="<bare@example.com>")
    many = with_files(
        mail,
        *(("text/plain", f"{number}.txt", b"%d" % number) for number in range(30)),
        text="thirty",
        Message_ID="<many@example.com>",
    )
    film = ("video/mp4", "film.mp4", b"\0" * (LARGEST + 1))
    refused = with_files(mail, film, text="", Message_ID="<film@example.com>")
    long = written(mail, "A word. " * 2_000, Message_ID="<long@example.com>")
    forward = written(mail, "As told", Message_ID="<forward@example.com>")
    forward.add_attachment(mail)
    with listening(shop) as port:
        for each in (bare, many, refused, long, forward):
            assert bring(port, each, address(mail))[0] == 250
            shop.processor.drain()
    parts = said_in(shop, conversation)[2:]
    names = [[each["name"] for each in part.content.get("attachments", [])] for part in parts]
    assert names[0] == ["kettle.png"]
    assert parts[0].text == ""
    assert names[1] == [f"{number}.txt" for number in range(10)]
    assert [each["name"] for each in parts[1].content["refused"]] == [f"{number}.txt" for number in range(10, 30)]
    assert {each["why"] for each in parts[1].content["refused"]} == {"number"}
    assert (parts[2].text, parts[2].content["refused"][0]["name"]) == (str(refused["Subject"]), "film.mp4")
    assert parts[2].content["refused"][0]["why"] == "size"
    assert names[3] == ["mail.txt"]
    assert len(parts[3].text) > 9_990
    assert shop.client.get(files_at(shop, parts[3])[0]).data.count(b"A word.") == 2_000
    assert [each["name"] for each in parts[4].content["refused"]] == ["message.eml"]


def erased_tables(shop: Shop) -> dict[str, int]:
    with shop.rt.db.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables.PER_VISITOR
        }


def test_nothing_of_a_talk_by_mail_is_left_of_who_is_erased(each_shop: Shop, post: MailServer) -> None:
    shop = each_shop
    conversation, mail = out(shop, post)
    answer = with_files(mail, ("image/png", "kitchen.png", PNG), text="It is a secret")
    assert take(shop.rt, answer.as_bytes(), [address(mail)], ADA)["taken"] == "answer"
    shop.processor.drain()
    converse.say(shop.rt, shop.site, conversation.id, "I keep it", ANNA)
    shop.clock.forward(minutes=6)
    sender = mailer(shop, post.url)
    assert sender.promise() == 1
    talk = {"conversations", "parts", "attachments", "mail_addresses", "conversation_mails"}
    assert all(erased_tables(shop)[name] for name in talk)
    assert erase(shop.rt, shop.site.id, conversation.visitor_id, ("desk", "administrator"))
    assert set(erased_tables(shop).values()) == {0}
    assert lying(shop) == []
    assert sender.send() == 0
    with pytest.raises(NotFound):
        take(shop.rt, written(mail).as_bytes(), [address(mail)], ADA)
    with shop.rt.db.read() as connection:
        left = repr([connection.execute(select(table)).all() for table in tables.metadata.sorted_tables])
    for value in (ADA, "It is a secret", "I keep it", "kitchen.png", address(mail), conversation.id):
        assert value not in left


def test_a_conversation_goes_when_its_site_keeps_it_no_longer(each_shop: Shop, post: MailServer) -> None:
    shop = each_shop
    mail = out(shop, post)[1]
    assert take(shop.rt, with_files(mail, ("image/png", "a.png", PNG)).as_bytes(), [address(mail)], ADA)
    shop.processor.drain()
    assert let_go(shop.rt) == 0, "who says nothing keeps all"
    with shop.rt.db.begin() as connection:
        policy = replace(shop.site.policy, conversation=DeskPolicy(keep=timedelta(days=30)))
        sites.update_site(connection, shop.rt.sites.vault, replace(shop.site, policy=policy))
    shop.rt.sites.forget()
    shop.clock.forward(days=20)
    shop.send(chat("And now?", anonymousId="bob"))
    shop.clock.forward(days=11)
    assert [let_go(shop.rt), let_go(shop.rt)] == [1, 0]
    assert [each.anonymous_id for each in all_of(shop)] == ["bob"]
    left = erased_tables(shop)
    assert [left[name] for name in ("attachments", "mail_addresses", "conversation_mails", "parts")] == [0, 0, 0, 1]
    assert lying(shop) == []
    with pytest.raises(NotFound):
        take(shop.rt, written(mail).as_bytes(), [address(mail)], ADA)


def test_what_a_mail_holds_stays_text_in_the_console_and_on_the_private_page(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    stranger = written(mail, evil, From=f'"{evil}" <eve@evil.example>', Message_ID="<evil@evil.example>")
    stranger.add_attachment(PNG, maintype="image", subtype="png", filename=f"{evil}.png")
    stranger.add_attachment(b"MZ\0", maintype="application", subtype="x-dosexec", filename=f"{evil}.exe")
    away = written(mail, evil, Message_ID="<away@evil.example>", Auto_Submitted="auto-replied")
    for each in (stranger, away, DSN.format(to=address(mail), status="5.1.1").replace(": no", evil).encode()):
        raw = each if isinstance(each, bytes) else each.as_bytes(policy=policy.SMTP)
        assert take(shop.rt, raw, [address(mail)], ADA)
    shop.processor.drain()
    page = sit_down(shop, "operator").get(f"/inbox/{conversation.id}").text
    for line in ("another address", "not kept: files of this kind", "An automatic reply came from", "came back"):
        assert line in page
    [path] = re.findall(r"/t/[\w-]+", mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    for text in (page, shop.client.get(path).text):
        assert "eve@evil.example" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
