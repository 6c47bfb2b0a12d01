"""Mails through real SMTP servers that behave well, badly and worse (F32, F33, F34; I4, I5, I6, I8)."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from backend.domain.unsubscribe import Subscription, unseal
from backend.errors import SettingsError
from backend.storage import unsubscribes
from backend.storage.rules import set_status
from backend.storage.tables import enrolments
from backend.storage.visitors import erase
from tests.integration.mail_world import MailServer, World, certificate, free_port, mail_server, open_world, raw_server
from tests.redis_server import start_redis

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with start_redis() as url:
        yield url


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "data", redis_url) as opened:
        yield opened


@pytest.fixture
def server(world: World) -> Iterator[MailServer]:
    with mail_server() as started:
        world.use(started.url)
        yield started


def test_a_mail_arrives_with_everything_that_a_mail_program_needs(world: World, server: MailServer) -> None:
    ref = world.promise("Ada@Example.com", traits={"first_name": "Ada", "last_name": "Lovelace"})
    world.deliver(ref)
    assert world.message(ref).status == "sent"
    assert world.message(ref).sent_at is not None
    (mail,) = server.mails
    assert server.envelopes == [("chimein@mail.shop.example", ["Ada@example.com"])]
    assert mail["From"].addresses[0].addr_spec == "chimein@mail.shop.example"
    assert mail["From"].addresses[0].display_name == "Kettles & Co"
    assert str(mail["To"]) == "Ada Lovelace <Ada@example.com>"
    assert mail["Subject"] == "Still yours, Ada"
    assert mail["Message-ID"] == f"<{ref[1]}@mail.shop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert abs(mail["Date"].datetime - world.clock()) < timedelta(seconds=2)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://mail.shop.example/u/")
    token = link.rpartition("/")[2]
    assert unseal(world.rt.settings.secret_key, token) == Subscription.email(world.site.id, "ada@example.com")
    assert "ada" not in token.lower()
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "It is the last one." in text.get_content()
    assert "Finish: https://shop.example/cart" in text.get_content()
    assert link in text.get_content()
    assert 'href="https://shop.example/cart"' in html.get_content()
    assert f'href="{link}"' in html.get_content()
    assert "Kettles &amp; Co" in html.get_content()


@pytest.mark.parametrize(
    "name",
    [
        'Doe, "J" <x@y.example>',
        "Müller, Jörg <x@y.example>",
        "Ada\r\nBcc: spy@y.example",
        "a," * 60,
        "\u2028Bcc: spy@y.example\x0b",
        "😀, <x@y.example>" * 9,
        "‏عليه، <x@y.example>",
    ],
)
def test_a_name_cannot_add_a_recipient_or_a_header(name: str, world: World, server: MailServer) -> None:
    content = {"subject": name, "title": name, "body": name, "button": {"text": name, "url": "/x?" + name}}
    world.deliver(world.promise("ada@example.com", traits={"name": name}, content=content))
    (mail,) = server.mails
    assert server.envelopes[0][1] == ["ada@example.com"]
    assert [each.addr_spec for each in mail["To"].addresses] == ["ada@example.com"]
    # This parser leaves a space where one encoded word ends and the next begins.
    shown = mail["To"].addresses[0].display_name
    assert shown.replace(" ", "") == " ".join(name.split())[:80].replace(" ", "")
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    html = mail.get_body(("html",))
    assert html is not None
    assert "<x@y.example>" not in html.get_content()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "http://[", "mailto:x@y.z", " "])
def test_a_link_that_is_no_web_address_is_left_out(url: str, world: World, server: MailServer) -> None:
    content = {"title": "Hi", "button": {"text": "Go", "url": url}, "image": url}
    world.deliver(world.promise(content=content))
    html = server.mails[0].get_body(("html",))
    assert html is not None
    assert "<img" not in html.get_content()
    assert 'class="button"' not in html.get_content()


def test_an_address_in_another_script_needs_a_server_that_can_write_it(world: World, server: MailServer) -> None:
    ref, other = world.promise("жанна@почта.example"), world.promise("ada@bücher.example")
    world.deliver(ref, other)
    assert world.statuses() == {"sent": 2}
    assert server.envelopes[0][1] == ["жанна@xn--80a1acny.example"]
    assert server.envelopes[1][1] == ["ada@xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c", "a b@example.com", "<a@example.com>", "a@example.com\nBcc: b@c.de"]
)
def test_what_is_no_address_fails_for_good_and_alone(address: str, world: World, server: MailServer) -> None:
    wrong = world.promise("ada@example.com", address=address)
    good = world.promise()
    world.deliver(wrong, good)
    assert world.message(wrong).status == "failed"
    assert world.message(good).status == "sent"


def test_one_connection_carries_a_whole_job(world: World, server: MailServer) -> None:
    refs = [world.promise() for _ in range(20)]
    world.deliver(*refs)
    assert world.statuses() == {"sent": 20}
    assert len(set(server.ids())) == 20
    assert server.connections == 1
    assert all(len(recipients) == 1 for _, recipients in server.envelopes)


def test_one_recipient_who_does_not_exist_leaves_the_others_alone(world: World, server: MailServer) -> None:
    """F34"""
    refs = [world.promise() for _ in range(99)]
    gone = world.promise("gone@example.com")
    server.on_rcpt = lambda to: "550 5.1.1 No such user" if to == "gone@example.com" else "250 OK"
    world.deliver(*refs[:50], gone, *refs[50:])
    assert world.statuses() == {"sent": 99, "failed": 1}
    assert world.message(gone).reason == "550 5.1.1 No such user"
    assert server.connections == 1
    world.deliver()
    assert len(server.mails) == 99
    again = world.promise("GONE@example.com")
    world.deliver(again)
    assert world.message(again).status == "skipped"


def test_a_refusal_because_of_the_content_does_not_suppress_the_address(world: World, server: MailServer) -> None:
    ref = world.promise("ada@example.com")
    server.on_rcpt = lambda _: "550 5.7.1 Your server is on a list"
    world.deliver(ref)
    assert world.message(ref).status == "failed"
    with world.rt.db.read() as conn:
        assert unsubscribes.reason(conn, Subscription.email(world.site.id, "ada@example.com")) is None


@pytest.mark.parametrize("stage", ["on_rcpt", "on_data"])
def test_greylisting_is_waited_out_and_the_mail_arrives_once(stage: str, world: World, server: MailServer) -> None:
    """F33"""
    ref = world.promise()
    setattr(server, stage, lambda _: "451 4.7.1 Come back later")
    waits = []
    for _ in range(3):
        world.deliver(ref)
        message = world.message(ref)
        assert message.status == "queued"
        assert message.reason == "451 4.7.1 Come back later"
        waits.append(message.due_at - world.clock())
        world.deliver(ref)
        assert world.message(ref).attempts == message.attempts, "it must not be tried before it is due"
        world.clock.now = message.due_at
    for wait, minutes in zip(waits, (1, 5, 15), strict=True):
        assert timedelta(minutes=minutes) <= wait <= timedelta(minutes=minutes * 1.2)
    setattr(server, stage, None)
    world.deliver(ref)
    world.deliver(ref)
    assert world.message(ref).status == "sent"
    assert server.ids() == [f"<{ref[1]}@mail.shop.example>"]


def test_a_message_that_is_put_off_for_ever_fails_after_eight_attempts(world: World, server: MailServer) -> None:
    """I5"""
    ref = world.promise()
    server.on_rcpt = lambda _: "452 4.2.2 Mailbox full"
    for _ in range(8):
        assert world.message(ref).status == "queued"
        world.deliver(ref)
        world.clock.now = max(world.clock(), world.message(ref).due_at)
    assert world.message(ref).status == "failed"
    assert world.message(ref).attempts == 8


def test_a_refusal_of_the_letter_itself_is_for_good(world: World, server: MailServer) -> None:
    ref, other = world.promise(), world.promise()
    server.on_data = lambda mail: "554 5.7.1 Spam" if ref[1] in mail["Message-ID"] else "250 OK"
    world.deliver(ref, other)
    assert world.message(ref).status == "failed"
    assert world.message(other).status == "sent"


def test_a_server_that_hangs_up_after_the_dot_leaves_the_message_unknown(world: World, server: MailServer) -> None:
    """I4"""
    first, second = world.promise(), world.promise()
    server.on_data = lambda mail: None if first[1] in mail["Message-ID"] else "250 OK"
    world.deliver(first, second)
    world.clock.pass_by(days=1)
    world.deliver(first, second)
    assert world.message(first).status == "unknown"
    assert world.message(second).status == "sent"
    assert sorted(server.ids()) == sorted({f"<{ref[1]}@mail.shop.example>" for ref in (first, second)})


def test_a_server_that_never_answers_the_dot_leaves_the_message_unknown(world: World, server: MailServer) -> None:
    ref = world.promise()

    def sleepy(_mail: Any) -> str:
        time.sleep(1.5)
        return "250 at last"

    server.on_data = sleepy
    world.use(server.url, verdict=0.3)
    world.deliver(ref)
    assert world.message(ref).status == "unknown"


def _told(connection: Any) -> bytes:
    return bytes(connection.recv(65536))


def test_a_connection_that_ends_before_the_dot_means_that_nothing_was_sent(world: World) -> None:
    def script(connection: Any) -> None:
        connection.sendall(b"220 hello\r\n")
        for answer in (b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n"):
            _told(connection)
            connection.sendall(answer)
        assert _told(connection).upper().startswith(b"DATA")

    ref = world.promise()
    with raw_server(script) as url:
        world.use(url)
        world.deliver(ref)
    message = world.message(ref)
    assert (message.status, message.attempts) == ("queued", 1)


def test_a_421_in_the_middle_costs_one_new_connection_and_nothing_else(world: World, server: MailServer) -> None:
    """F32"""
    seen: list[str] = []

    def at_most_three(_address: str) -> str:
        seen.append("mail")
        return "421 4.7.0 Enough for one connection" if len(seen) % 4 == 0 else "250 OK"

    server.on_mail = at_most_three
    refs = [world.promise() for _ in range(7)]
    world.deliver(*refs)
    assert world.statuses() == {"sent": 7}
    assert len(set(server.ids())) == 7
    assert server.connections == 3


def test_a_server_that_is_down_costs_one_try_and_no_attempts(world: World) -> None:
    """F32, I6, I12"""
    port = free_port()
    refs = [world.promise() for _ in range(30)]
    channel = world.use(f"smtp://127.0.0.1:{port}")
    world.deliver(*refs)
    assert world.statuses() == {"queued": 30}
    assert {each.attempts for each in world.all()} == {0}
    assert all(each.due_at > world.clock() for each in world.all())
    assert channel.circuit.open_until(world.clock()) is not None
    for _ in range(6):
        world.clock.pass_by(minutes=2)
        world.deliver(*refs)
    with mail_server(port=port) as server:
        world.clock.pass_by(minutes=2)
        world.deliver(*refs)
        assert world.statuses() == {"sent": 30}
        assert len(set(server.ids())) == 30


def test_a_tarpit_is_left_after_its_time(world: World) -> None:
    """F32"""
    released = threading.Event()
    with raw_server(lambda _: released.wait(30)) as url:
        world.use(url, connect=0.3)
        refs = [world.promise() for _ in range(20)]
        started = time.monotonic()
        world.deliver(*refs)
        assert time.monotonic() - started < 15, "it must not wait once for each message, nor until the server lets go"
        released.set()
    assert world.statuses() == {"queued": 20}


@pytest.mark.parametrize("greeting", [b"554 go away\r\n", b"421 too busy\r\n", b"nonsense\r\n", b""])
def test_a_server_that_does_not_want_us_is_down(greeting: bytes, world: World) -> None:
    with raw_server(lambda connection: connection.sendall(greeting)) as url:
        world.use(url)
        ref = world.promise()
        world.deliver(ref)
    assert (world.message(ref).status, world.message(ref).attempts) == ("queued", 0)


def test_a_wrong_password_is_no_failure_of_the_messages(world: World) -> None:
    """F32: 535 is an alarm for the operator."""
    with mail_server(login=("shop", "pässwort/ @:")) as server:
        refs = [world.promise() for _ in range(10)]
        world.use(f"smtp://shop:wrong@127.0.0.1:{server.port}")
        world.deliver(*refs)
        assert world.statuses() == {"queued": 10}
        assert {each.attempts for each in world.all()} == {0}
        world.use(f"smtp://127.0.0.1:{server.port}")
        world.clock.pass_by(minutes=1)
        world.deliver(*refs)
        assert world.statuses() == {"queued": 10}, "530: it wants a login"
    with mail_server(login=("shop", "password/ @:")) as server:
        world.use(f"smtp://shop:password%2F%20%40%3A@127.0.0.1:{server.port}")
        world.clock.pass_by(minutes=1)
        world.deliver(*refs)
        assert world.statuses() == {"sent": 10}


def test_without_encryption_nothing_is_sent_where_it_was_asked_for(world: World, server: MailServer) -> None:
    ref = world.promise()
    world.use(f"{server.url}?starttls=1")
    world.deliver(ref)
    world.use(server.url.replace("smtp:", "smtps:"))
    world.clock.pass_by(minutes=1)
    world.deliver(ref)
    assert world.message(ref).status == "queued"
    assert server.mails == []


@pytest.mark.parametrize(("kind", "scheme", "query"), [("starttls", "smtp", "?starttls=1"), ("smtps", "smtps", "")])
def test_an_encrypted_connection_needs_a_certificate_that_we_trust(
    kind: str, scheme: str, query: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F32: a TLS error is the server's fault, not the messages'."""
    context, trusted = certificate(tmp_path)
    first, second = world.promise(), world.promise()
    with mail_server(login=("shop", "secret"), **{kind: context}) as server:
        world.use(f"{scheme}://shop:secret@127.0.0.1:{server.port}{query}")
        world.deliver(first, second)
        assert world.statuses() == {"queued": 2}
        assert server.mails == []
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        world.clock.pass_by(minutes=1)
        world.deliver(first, second)
        assert world.statuses() == {"sent": 2}


@pytest.mark.parametrize("url", ["smtp://", "smtp://host?tls=1", "smtp://host?starttls=yes", "smtps://host?starttls=1"])
def test_a_wrong_smtp_url_stops_the_start_with_a_sentence(url: str, world: World) -> None:
    with pytest.raises(SettingsError, match="CHIMEIN_SMTP_URL"):
        world.use(url)


def test_without_a_server_each_mail_becomes_a_file_once(world: World) -> None:
    refs = [world.promise() for _ in range(3)]
    world.deliver(*refs)
    world.deliver(*refs)
    outbox = world.rt.settings.data_dir / "outbox"
    assert sorted(path.name for path in outbox.iterdir()) == sorted(f"{ref[1]}.eml" for ref in refs)
    mail = message_from_bytes((outbox / f"{refs[0][1]}.eml").read_bytes(), policy=policy.default)
    assert mail["Message-ID"] == f"<{refs[0][1]}@mail.shop.example>"
    assert world.statuses() == {"sent": 3}


def test_an_outbox_that_cannot_be_written_is_tried_again(world: World) -> None:
    outbox = world.rt.settings.data_dir / "outbox"
    outbox.write_text("a file is in the way")
    ref = world.promise()
    world.deliver(ref)
    assert world.message(ref).status == "queued"
    outbox.unlink()
    world.clock.pass_by(minutes=2)
    world.deliver(ref)
    assert world.message(ref).status == "sent"


def test_a_message_that_breaks_us_leaves_the_others_alone(world: World, server: MailServer) -> None:
    """I6"""
    broken, good = world.promise(), world.promise()
    with world.rt.db.begin() as conn:
        conn.execute(update(enrolments).where(enrolments.c.visitor_id == broken[0]).values(document="{"))
    world.deliver(broken, good)
    assert world.message(good).status == "sent"
    assert (world.message(broken).status, world.message(broken).attempts) == ("queued", 1)
    assert world.message(broken).due_at > world.clock()


def _pause(world: World, _ref: tuple[str, str]) -> None:
    with world.rt.db.begin() as conn:
        set_status(conn, world.site.id, world.rule_id, "paused", now=world.clock())


def _unsubscribe(world: World, ref: tuple[str, str]) -> None:
    address = world.message(ref).address or ""
    with world.rt.db.begin() as conn:
        unsubscribes.add(conn, Subscription.email(world.site.id, address), unsubscribes.WISH, world.clock())


def _order(world: World, ref: tuple[str, str]) -> None:
    world.happened(ref, "Order Completed")


GATES = [(_pause, "rule_paused"), (_unsubscribe, "unsubscribed"), (_order, "not_matching")]


@pytest.mark.parametrize(("close", "reason"), GATES)
@pytest.mark.parametrize("moment", ["queued", "retrying", "claimed"])
def test_a_gate_that_closes_beats_whatever_is_on_its_way(
    close: Any, reason: str, moment: str, world: World, server: MailServer
) -> None:
    """F37, I8"""
    ref = world.promise()
    if moment == "retrying":
        server.on_data = lambda _: "451 later"
        world.deliver(ref)
        world.clock.pass_by(minutes=5)
        server.on_data = None
    if moment == "claimed":
        # The recipient was accepted, and the letter itself is about to leave.
        def closing(_address: str) -> str:
            close(world, ref)
            return "250 OK"

        server.on_rcpt = closing
    else:
        close(world, ref)
    world.deliver(ref)
    assert server.mails == []
    assert (world.message(ref).status, world.message(ref).reason) == ("skipped", reason)
    assert world.outcome(ref) == ("skipped", reason)


def test_a_withdrawn_letter_leaves_the_connection_usable(world: World, server: MailServer) -> None:
    first, second = world.promise("first@example.com"), world.promise()

    def closing(address: str) -> str:
        if address.startswith("first"):
            _unsubscribe(world, first)
        return "250 OK"

    server.on_rcpt = closing
    world.deliver(first, second)
    assert world.statuses() == {"skipped": 1, "sent": 1}
    assert server.connections == 1


def test_an_erased_visitor_gets_nothing_even_at_the_last_moment(world: World, server: MailServer) -> None:
    """F37, I8"""
    early, late = world.promise(), world.promise("late@example.com")

    def erasing(address: str) -> str:
        with world.rt.db.begin() as conn:
            erase(conn, world.site.id, late[0])
        return "250 OK"

    with world.rt.db.begin() as conn:
        erase(conn, world.site.id, early[0])
    server.on_rcpt = erasing
    world.deliver(early, late)
    assert server.mails == []
    assert world.all() == []


def test_a_message_past_its_time_is_not_sent(world: World, server: MailServer) -> None:
    ref = world.promise(expires_at=world.clock() + timedelta(hours=1))
    world.clock.pass_by(hours=1)
    world.deliver(ref)
    assert server.mails == []
    assert world.message(ref).status == "expired"


def test_messages_for_the_page_are_none_of_the_workers_business(world: World, server: MailServer) -> None:
    ref = world.promise(channel="popup", address=None)
    world.deliver(ref)
    assert world.message(ref).status == "queued"
    assert server.connections == 0
