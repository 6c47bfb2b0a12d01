"""Kill -9 at each step of a mail, out and in: none goes twice, none is lost, and what nobody can know is said so."""

import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from backend.domain.conversation import Conversation
from backend.pipeline import converse
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, identify, process_environ
from tests.forked import Forked
from tests.integration.mail_world import MailServer, free_port, wait_until
from tests.integration.test_attachments import PNG, lying
from tests.integration.test_conversations import all_of, chat, said_in
from tests.integration.test_mailing import ANNA, address, bring, mailer, out, post, told, with_files

__all__ = ["post"]

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("mail_worker.py")


def answered(shop: Shop, count: int) -> list[Conversation]:
    """So many visitors have asked and gone, and each has an answer that is to go out as mail now."""
    for number in range(count):
        shop.send(
            identify(f"u{number}", {"email": f"u{number}@example.com"}, anonymousId=f"b{number}"),
            chat("Is it in stock?", userId=f"u{number}", anonymousId=f"b{number}"),
        )
    found = sorted(all_of(shop), key=lambda each: str(each.anonymous_id))
    for each in found:
        converse.say(shop.rt, shop.site, each.id, "It is.", ANNA)
        shop.clock.forward(seconds=1)
    shop.clock.forward(minutes=6)
    return found


def work(shop: Shop, post: MailServer, crash_at: str) -> int:
    """One turn of a worker of its own; how it ended."""
    more = {"CHIMEIN_SMTP_URL": post.url, "CHIMEIN_MAIL_FROM": "Shop <hello@shop.example>"}
    environ = process_environ(shop, CHIMEIN_CRASH_AT=crash_at, **more)
    return Forked(WORKER, shop.clock().isoformat(), environ=environ).wait(60)


def receivers(post: MailServer) -> list[str]:
    return sorted(to for _, recipients in post.envelopes for to in recipients)


POINTS = [
    # Where it dies; how many mails went out before; what became of the second mail of three.
    pytest.param("after_mail_promise", 0, "mailed", marks=pytest.mark.long),
    pytest.param("before_mail_claim:2", 1, "mailed", marks=pytest.mark.long),
    pytest.param("before_mail_data:2", 1, "mailed", marks=pytest.mark.long),
    pytest.param("after_mail_begin:2", 1, "mail_uncertain", marks=pytest.mark.long),
    ("before_mail_outcome:2", 2, "mail_uncertain"),
]


@pytest.mark.parametrize(("crash_at", "sent", "second"), POINTS)
def test_a_worker_that_dies_sends_no_mail_twice_and_loses_none_silently(
    crash_at: str, sent: int, second: str, shop: Shop, post: MailServer
) -> None:
    talks = answered(shop, 3)
    assert work(shop, post, crash_at) == 137
    assert len(post.mails) == sent
    mailer(shop, post.url).turn()
    shop.clock.forward(minutes=6)  # the lease of whoever died is over
    again = mailer(shop, post.url)
    assert [again.turn() >= 0, again.turn()] == [True, 0]
    gone = "after_mail_begin" in crash_at
    expected = [f"u{number}@example.com" for number in range(3) if not (gone and number == 1)]
    assert receivers(post) == expected
    assert [told(shop, each) for each in talks] == [["mailed"], [second], ["mailed"]]


def test_in_the_outbox_even_a_mail_whose_worker_died_is_there_once(shop: Shop) -> None:
    talks = answered(shop, 2)
    environ = process_environ(shop, CHIMEIN_CRASH_AT="before_mail_outcome")
    assert Forked(WORKER, shop.clock().isoformat(), environ=environ).wait(60) == 137
    shop.clock.forward(minutes=6)
    sender = mailer(shop, "")
    assert [sender.turn(), sender.turn()] == [2, 0]
    assert len(list((shop.rt.settings.data_dir / "outbox").glob("*.eml"))) == 2
    assert [told(shop, each) for each in talks] == [["mailed"], ["mailed"]]


def listen(shop: Shop, port: int, crash_at: str = "") -> "subprocess.Popen[bytes]":
    """A `mail-in` of its own, which listens."""
    environ = process_environ(shop, CHIMEIN_MAIL_IN=f"smtp://127.0.0.1:{port}")
    environ |= {"CHIMEIN_CRASH_AT": crash_at} if crash_at else {}
    process = subprocess.Popen([sys.executable, "-m", "backend", "mail-in"], env=environ, cwd=ROOT)

    def answers() -> bool:
        assert process.poll() is None
        try:
            smtplib.SMTP("127.0.0.1", port, timeout=10).quit()
        except OSError:
            return False
        return True

    wait_until(answers, 60)
    return process


def test_a_listener_that_dies_has_said_nothing_and_what_comes_again_is_one_part(shop: Shop, post: MailServer) -> None:
    conversation, mail = out(shop, post)
    answer = with_files(mail, ("image/png", "kitchen.png", PNG))
    port = free_port()
    for crash_at in ("after_mail_files", "after_mail_taken"):
        process = listen(shop, port, crash_at)
        with pytest.raises((smtplib.SMTPException, OSError)):
            bring(port, answer, address(mail))
        assert process.wait(30) == 137
    process = listen(shop, port)
    try:
        assert bring(port, answer, address(mail))[0] == 250
    finally:
        process.terminate()
        assert process.wait(20) == 0
    shop.processor.drain()
    [part] = said_in(shop, conversation)[2:]
    assert (part.text, [each["name"] for each in part.content["attachments"]]) == ("See here", ["kitchen.png"])
    assert len(lying(shop)) == 1
