"""What of a mail is new, what kind of mail it is, and whose: a table of mails as programs write them."""

import time
from email.message import EmailMessage

import pytest

from backend.domain.incoming_mail import Failure, IncomingMail, nature_of
from backend.domain.quoted import new_text
from backend.domain.reply_address import is_token, reply_address, reply_token, tokens_in
from backend.errors import TooLarge
from backend.schemas.incoming_mail import read_mail
from backend.schemas.mail_text import text_of_html

SITE, TALK = "5" * 32, "c" * 32


def test_a_token_names_one_correspondent_of_one_conversation() -> None:
    token = reply_token("secret", SITE, TALK, "Ada@Example.com")
    assert is_token(token, "secret", SITE, TALK, "ada@example.com")
    others = (
        ("other", SITE, TALK, "ada@example.com"),
        ("secret", "6" * 32, TALK, "ada@example.com"),
        ("secret", SITE, "d" * 32, "ada@example.com"),
        ("secret", SITE, TALK, "eve@example.com"),
    )
    assert not any(is_token(token, *each) for each in others)
    address = reply_address(token, "in.shop.example")
    assert len(address.split("@")[0]) <= 64
    assert tokens_in([f"Shop <{address.upper()}>, x@y.example"]) == [token]
    assert tokens_in([f"x{address}", address.replace("@", "a@"), "reply+short@x", "\0" * 99]) == []


ANSWERS = {
    "gmail, English": "Yes, the red one.\n\nOn Sun, 1 Mar 2026 at 09:06, Anna <reply+x@in.example>\nwrote:\n\n> Red?\n",
    "Apple, English": "Yes, the red one.\n\nSent from my iPhone\n\n> On 1 Mar 2026, Anna wrote:\n> \n> Red?\n",
    "Outlook, English": "Yes, the red one.\n\nFrom: Anna\nSent: 1 March 2026 09:06\nTo: Ada\nSubject: Red\n\nRed?",
    "our mark": "Yes, the red one.\n\nin a language that nobody knows:\n\n##- Please answer above -##\nRed?",
    "signature": "Yes, the red one.\n\n-- \nAda\nEngines & Co\n",
    "closing": "Yes, the red one.\n\nBest regards,\nAda\n",
    "gmail, Russian": "Yes, the red one.\n\nвс, 1 мар. 2026 г. в 09:06, Anna (Shop) <a@b.example>:\n\n> Red?\n",
    "mail.ru": "Yes, the red one.\n\nВоскресенье, 1 марта 2026, 9:06 +03:00 от Anna <a@b.example>:\n> Red?\n",
    "Russian, wrote": "Yes, the red one.\n\n1 марта 2026 г., в 09:06, Анна <a@b.example> написал(а):\n\n> Red?\n",
    "Yandex": 'Yes, the red one.\n\n01.03.2026, 09:06, "Anna" <a@b.example>:\n> Red?\n',
    "Outlook, Russian": "Yes, the red one.\n\nОт: Anna\nОтправлено: 1 марта 2026 г. 9:06\nКому: Ada\nТема: Red\n\nRed?",
    "Russian phone": "Yes, the red one.\n\nОтправлено с iPhone\n",
    "gmail, Ukrainian": "Yes, the red one.\n\nнд, 1 бер. 2026 р. о 09:06 Anna <a@b.example> пише:\n\n> Red?\n",
    "Outlook, Ukrainian": "Yes, the red one.\n\nВід: Anna\nНадіслано: 1 березня 2026 р.\nКому: Ada\nТема: Red\n\nRed?",
    "Ukrainian closing": "Yes, the red one.\n\nЗ повагою,\nАда\n",
    "gmail, Bulgarian": "Yes, the red one.\n\nНа нд, 1.03.2026 г. в 9:06 Anna <a@b.example> написа:\n\n> Red?\n",
    "Outlook, Bulgarian": "Yes, the red one.\n\nОт: Anna\nИзпратено: 1 март 2026\nДо: Ada\nОтносно: Red\n\nRed?",
    "gmail, Japanese": "Yes, the red one.\n\n2026年3月1日(日) 9:06 Anna <a@b.example>:\n\n> Red?\n",
    "Japanese mail": "Yes, the red one.\n\n2026/03/01 9:06、Annaのメール:\n\n> Red?\n",
    "Outlook, Japanese": "Yes, the red one.\n\n差出人: Anna\n送信日時: 2026年3月1日\n宛先: Ada\n件名: Red\n\nRed?",
    "Japanese phone": "Yes, the red one.\n\niPhoneから送信\n",
    "gmail, German": "Yes, the red one.\n\nAm So., 1. März 2026 um 09:06 Uhr schrieb Anna <a@b.example>:\n\n> Red?\n",
    "Outlook, German": "Yes, the red one.\n\nVon: Anna\nGesendet: Sonntag, 1. März 2026\nAn: Ada\nBetreff: Red\n\nRed?",
    "German phone": "Yes, the red one.\n\nVon meinem iPhone gesendet\n",
    "French": "Yes, the red one.\n\nLe dim. 1 mars 2026 à 09:06, Anna <a@b.example> a écrit :\n\n> Red?\n",
    "below the quote": "> Red?\n\nYes, the red one.\n",
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_what_is_quoted_and_the_signature_are_cut(text: str) -> None:
    assert new_text(text) == "Yes, the red one."
    assert new_text(text.replace("\n", "\r\n")) == "Yes, the red one."


@pytest.mark.parametrize(
    "text",
    [
        "Hi Anna,\nThanks, I take the red one, number 17.\nPlease send it to Oslo.",
        "- one kettle\n- two cups",
        "On 5 May 2026 your colleague wrote that it is 5 euros",
        "From: Oslo\nTo: Bergen",
        "> only a quote",
        "--",
    ],
)
def test_words_of_the_writer_are_kept(text: str) -> None:
    assert new_text(text) == text


def test_a_long_line_is_kept_and_none_takes_long() -> None:
    paragraph = ("word " * 3_000).strip()
    assert new_text(f"{paragraph}\n\n> old") == paragraph
    began = time.process_time()
    for made in ("--" + " " * 59_000 + "x", "Best" + " " * 59_000 + "x", "-" * 60_000, "=\n" * 30_000):
        new_text(made)
        new_text(made, empty=True)
    assert time.process_time() - began < 20, "each of them took ten seconds"


def test_who_sends_a_file_may_write_nothing_or_between_the_lines() -> None:
    quoted = "On Sun, 1 Mar 2026 at 09:06, Anna (shop) wrote:\n> Which one?\n"
    assert new_text(f"\n\n{quoted}", empty=True) == ""
    assert new_text(f"{quoted}\nThe red one\n> And when?\nToday", empty=True) == "The red one\nToday"
    assert new_text(f"Here\n\n{quoted}", empty=True) == "Here"


def test_html_is_read_as_text_without_what_it_quotes() -> None:
    html = (
        "<html><head><style>p{}</style><title>t</title></head><body><p>Yes&nbsp;<b>please</b> &lt;3</p>"
        "<script>alert(1)</script><img src=x onerror=alert(1)><div class='gmail_quote'>On … wrote:<blockquote>Red?"
        "</blockquote></div></body></html>"
    )
    assert text_of_html(html) == "Yes please <3"
    assert text_of_html("a < b <!-- c") == "a < b"


def mail(text: str = "Hello", charset: str = "utf-8", **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["Message-ID"] = "Ada <ada@example.com>", "<1@example.com>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text, charset=charset)
    return made


@pytest.mark.parametrize("charset", ["utf-8", "koi8-r", "windows-1251", "iso-8859-5"])
def test_letters_of_any_charset_are_read(charset: str) -> None:
    read = read_mail(mail("Где мой заказ?", charset, Subject="Заказ №17").as_bytes())
    assert (read.text.strip(), read.subject, read.sender, read.sender_name) == (
        "Где мой заказ?",
        "Заказ №17",
        "ada@example.com",
        "Ada",
    )
    assert read_mail(mail("赤いのを", "iso-2022-jp").as_bytes()).text.strip() == "赤いのを"
    garbage = b"From: a@b.c\r\nContent-Type: text/plain; charset=klingon\r\n\r\nhi \xff\x00\xfe"
    assert read_mail(garbage).text.startswith("hi ")
    assert "\0" not in read_mail(garbage).text


def test_files_keep_their_names_and_nothing_of_a_path() -> None:
    made = mail()
    made.add_attachment(b"x" * 10, maintype="image", subtype="png", filename="../../чек.png")
    [attached] = read_mail(made.as_bytes()).attached
    assert (attached.name, attached.type, attached.size) == ("чек.png", "image/png", 10)


@pytest.mark.parametrize(
    ("headers", "sender", "nature"),
    [
        ({}, "ada@example.com", "answer"),
        ({"Auto_Submitted": "no"}, None, "answer"),
        ({"Auto_Submitted": "auto-replied"}, "ada@example.com", "automatic"),
        ({"Precedence": "bulk"}, "ada@example.com", "automatic"),
        ({"Precedence": "auto_reply"}, "ada@example.com", "automatic"),
        ({"X_Autoreply": "yes"}, "ada@example.com", "automatic"),
        ({"List_Id": "<l.example>"}, "ada@example.com", "automatic"),
        ({}, "", "automatic"),
        ({"Message_ID": "<ours@shop.example>"}, "ada@example.com", "loop"),
        ({"From": "hello@shop.example"}, "ada@example.com", "loop"),
    ],
)
def test_machines_are_told_from_people(headers: dict[str, str], sender: str | None, nature: str) -> None:
    made = mail()
    for name, value in headers.items():
        del made[name.replace("_", "-")]
        made[name.replace("_", "-")] = value
    assert nature_of(read_mail(made.as_bytes()), sender, {"ours"}, {"hello@shop.example"}) == nature


EXIM = b"""From: Mail Delivery System <Mailer-Daemon@mx.example>
To: reply+x@in.shop.example
X-Failed-Recipients: ada@example.com
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.
  ada@example.com
    host mx.example [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<ada@example.com>:
    550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown
"""

QMAIL = b"""From: MAILER-DAEMON@mx.example
To: reply+x@in.shop.example
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<ada@example.com>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 unknown user
"""

LATE = b"""From: MAILER-DAEMON@mx.example
Subject: Delayed Mail (still being retried)
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; ada@example.com
Original-Recipient: rfc822;ada@example.com
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.example: Connection timed out

--b--
"""

BARE = b"""From: postmaster@mx.example
Subject: Undeliverable: Your conversation
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

It could not be delivered to <ada@example.com>. 5.1.10 RecipientNotFound
--b--
"""


@pytest.mark.parametrize(
    ("raw", "nature", "status", "lasts"),
    [
        (EXIM, "failure", "5.1.1", True),
        (QMAIL, "failure", "5.1.1", True),
        (BARE, "failure", "5.1.10", True),
        (LATE, "delay", "4.4.1", False),
        (QMAIL.replace(b"550 5.1.1 unknown user", b"552 5.2.2 mailbox full"), "failure", "5.2.2", False),
    ],
)
def test_failures_are_read_however_a_mail_server_tells_them(raw: bytes, nature: str, status: str, lasts: bool) -> None:
    read = read_mail(raw)
    assert read.failure is not None
    told = (nature_of(read, "", set(), set()), read.failure.status, read.failure.lasts, read.failure.recipient)
    assert told == (nature, status, lasts, "ada@example.com")


def test_a_mail_of_a_thousand_parts_is_read_and_what_is_not_named_is_counted() -> None:
    part = b"--b\r\nContent-Type: image/png; name=%d.png\r\n\r\nx\r\n"
    head = b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n"
    read = read_mail(head + b"".join(part % number for number in range(1_000)) + b"--b--")
    assert (read.text.strip(), len(read.attached), read.unnamed) == ("hi", 50, 950)
    assert sum(each.data is not None for each in read.attached) == 20


def test_who_only_writes_about_a_failure_is_a_person() -> None:
    assert read_mail(mail("It was undeliverable", Subject="failure notice").as_bytes()).failure is None


@pytest.mark.parametrize(
    ("action", "status", "lasts"),
    [
        ("failed", "5.1.1", True),
        ("failed", "5.4.4", True),
        ("failed", "5.2.1", True),
        ("failed", "5.2.2", False),
        ("failed", "5.7.1", False),
        ("failed", "4.4.7", False),
        ("delayed", "5.1.1", False),
        ("failed", "", False),
    ],
)
def test_only_what_is_about_the_address_and_for_good_ends_it(action: str, status: str, lasts: bool) -> None:
    assert Failure(recipient="a@b.example", action=action, status=status, told="").lasts is lasts


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@b.c\r\n" + b"X: y\r\n" * 5_000 + b"\r\nhi",
        b"X: " + b"y" * 400_000 + b"\r\n\r\nhi",
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(500)),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5_000,
        b"a: b\r\n\r\n" + b"\n" * 700_000,
        b"a: b\r\n\r\n" + b"x" * (26 * 2**20),
    ],
)
def test_what_would_cost_too_much_is_refused(raw: bytes) -> None:
    with pytest.raises(TooLarge):
        read_mail(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 100,
        b"From: " + b'("<' * 60_000 + b"\r\n\r\nhi",
        b"Subject: " + b"=?utf-8?q?" * 5_000 + b"\r\n\r\nhi",
        b"Subject: \xff\xfe\r\nFrom: \xff <a@\xff.c>\r\nContent-Type: ;;;=\r\n\r\n\xff",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: text/plain; charset=punycode\r\n\r\na-",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%not base64=",
        b"Content-Type: message/rfc822\r\n\r\n" * 50,
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n\xff",
    ],
)
def test_what_is_broken_is_read_as_far_as_it_goes(raw: bytes) -> None:
    assert isinstance(read_mail(raw), IncomingMail)
