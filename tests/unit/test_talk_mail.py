"""A conversation as a mail: whatever names and texts hold, it has the headers that we gave it and no others."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from backend.channels.email.letter import Letter, Sender
from backend.channels.email.talk import Line, Talk, write_talk

AT = datetime(2026, 3, 1, 9, 6, tzinfo=UTC)
SENDER = Sender.of("Shop <hello@shop.example>", "https://chat.shop.example")
EVIL = "x\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>\u2028\0"
TALK = Talk(
    id="b" * 32,
    address="ada@example.com",
    receiver="Ada",
    site="shop",
    operator="Anna",
    new=[Line(name="Anna", text="It is.", at=AT)],
    before=[Line(name=None, text="Is it in stock?", at=AT)],
    link="https://chat.shop.example/t/x",
    off="https://chat.shop.example/m/x",
    reply_to="reply+" + "a" * 32 + "@in.shop.example",
    earlier=["a" * 32, "<answer@example.com>"],
    locale="en",
    at=AT,
)
HEADERS = {
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
    *("List-Unsubscribe", "List-Unsubscribe-Post", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"),
}


def read(letter: Letter) -> EmailMessage:
    return message_from_bytes(letter.data, policy=policy.default)


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_nothing_gets_into_the_headers_or_the_page() -> None:
    line = Line(name=EVIL, text=EVIL, at=AT, files=[EVIL])
    letter = write_talk(
        replace(TALK, receiver=EVIL, site=EVIL, operator=EVIL, new=[line], before=[line], locale=EVIL), SENDER
    )
    mail = read(letter)
    assert set(mail.keys()) == HEADERS
    assert letter.recipient == mail["To"].addresses[0].addr_spec == "ada@example.com"
    assert [len(mail[name].addresses) for name in ("From", "To", "Reply-To")] == [1, 1, 1]
    assert "<script" not in body(mail, "html")
    assert "\0" not in body(mail, "html") + body(mail, "plain")


def test_the_thread_is_told_in_order_and_by_ids_that_stay() -> None:
    mail = read(write_talk(TALK, SENDER))
    assert mail["Message-ID"] == f"<{'b' * 32}@shop.example>"
    assert str(mail["References"]).split() == [f"<{'a' * 32}@shop.example>", "<answer@example.com>"]
    assert mail["In-Reply-To"] == "<answer@example.com>"
    many = read(write_talk(replace(TALK, earlier=[f"{number:032x}" for number in range(20)]), SENDER))
    assert len(str(many["References"]).split()) == 20
    assert all(len(line) <= 998 for line in write_talk(TALK, SENDER).data.splitlines())
