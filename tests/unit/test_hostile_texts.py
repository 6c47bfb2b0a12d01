"""What a visitor, a mail or an event fills in, in all that leaves the house: it stays text, and names nobody."""

import email
import email.policy
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from backend.channels.email.letter import Sender
from backend.channels.email.talk import Line, Talk, write_talk
from backend.domain.conversation import Part
from backend.domain.hook import slack_body
from backend.schemas.member_file import csv_text
from backend.web.console.held import files
from backend.web.console.words import linked, safe_url

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
MARKUP = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}${7*7}"
HEADERS = "Ann\r\nBcc: x@evil.example\r\n\r\n<h1>forged</h1>"
ADDRESSES = (
    *(
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "\x01javascript:x",
    ),
    *("data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "blob:x", "//evil.example"),
    *("https://a.example/\nx", "http://[", "", None, 7),
)


class Tags(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


@pytest.mark.parametrize("payload", [MARKUP, HEADERS], ids=["markup", "headers"])
def test_a_mail_of_a_talk_quotes_what_was_said_and_does_nothing_else(payload: str) -> None:
    line = Line(name=payload, text=payload, at=AT, files=[payload])
    talk = Talk(
        id="m1",
        address="ada@example.com",
        receiver=payload,
        site=payload,
        operator=payload,
        new=[line],
        before=[Line(name=None, text=payload, at=AT, files=[payload]), line],
        link="https://chat.example/t/abc",
        off="https://chat.example/m/abc",
        reply_to="reply+abc@chat.example",
        earlier=[],
        locale=payload,
        at=AT,
    )
    letter = write_talk(talk, Sender(name=None, address="shop@chat.example", domain="chat.example"))
    mail = email.message_from_bytes(letter.data, policy=email.policy.default)
    assert mail["Bcc"] is None
    assert [each.addr_spec for each in mail["To"].addresses] == ["ada@example.com"]
    assert [each.addr_spec for each in mail["From"].addresses] == ["shop@chat.example"]
    assert [each.addr_spec for each in mail["Reply-To"].addresses] == ["reply+abc@chat.example"]
    assert letter.recipient == "ada@example.com"
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    tags = Tags(html).found
    assert not {tag for tag, _ in tags} & {"script", "img", "iframe", "form", "object", "svg"}
    assert len([tag for tag, _ in tags if tag == "h1"]) == 1
    assert {attributes["href"] for tag, attributes in tags if tag == "a"} == {talk.link, talk.off}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "49" not in re.findall(r"'(\d+)|\$(\d+)", html)


def test_slack_and_its_like_call_nobody_whatever_somebody_is_called_and_says() -> None:
    evil = (
        "<!channel> <@U123> <https://evil.example|Your inbox> @channel, @here! (@all) @anna\n> @everyone ann@b.example"
    )
    for kind in ("conversation.opened", "conversation.waiting", "conversation.part", "conversation.rated"):
        body = {
            "type": kind,
            "visitor": {"name": evil},
            "part": {"author": "visitor", "text": evil, "content": {"rating": 1, "title": evil}},
        }
        text = slack_body(body, "https://chat.example/console/")["text"]
        assert len(re.findall(r"<[^>]*>", text)) == 1, "the one link is ours"
        assert text.startswith("<https://chat.example/console/|")
        assert not re.search(r"(?<![\w.+-])@\w", text)
        assert "ann@b.example" in text, "an address of mail is no mention"
        assert all(line.startswith("> ") for line in text.split("\n")[1:])


def test_no_address_that_runs_something_becomes_a_link() -> None:
    for each in ADDRESSES:
        assert safe_url(each) == "", each
    for fine in ("https://a.example/?b=1", "mailto:a@b.example", "tel:+4312345"):
        assert safe_url(fine) == fine
    told = linked(
        " ".join(str(each) for each in ADDRESSES) + f" {MARKUP} https://a.example/{MARKUP} https://a.example/x."
    )
    found = Tags(told).found
    assert {tag for tag, _ in found} == {"a"}
    assert {attributes["href"] for _, attributes in found} == {"https://a.example/", "https://a.example/x"}
    for each in ADDRESSES:
        file = {"name": MARKUP, "size": "x", "url": each}
        part = Part(**{**PART, "content": {"attachments": [file, each, None]}})  # type: ignore[arg-type]
        assert [one.address for one in files(part)] == [""], each


PART = {
    "id": "p",
    "site_id": "s",
    "visitor_id": "v",
    "conversation_id": "c",
    "number": 1,
    "author": "visitor",
    "kind": "message",
    "channel": "chat",
    "text": "",
    "at": AT,
}


def test_no_cell_of_a_file_for_spreadsheets_is_a_formula() -> None:
    for evil in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a;=1+1", "x\n=HYPERLINK(1)", "'=1", "＝1"):
        [line] = csv_text([[evil]]).rstrip("\r\n").split("\r\n")
        cell = line.strip('"')
        assert not re.match(r"[=+\-@\t\r\n＝]", cell), evil
        assert not re.search(r"[;|\t\r\n][=+\-@＝]", cell), evil
