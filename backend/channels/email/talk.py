"""A conversation as a mail: what an operator said, what was said before, and where to go on."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from typing import Any

from backend.channels.email.letter import (
    LONGEST_NAME,
    LONGEST_SUBJECT,
    Letter,
    Sender,
    header_factory,
    one_line,
    pages,
    recipient_of,
)
from backend.channels.email.talk_texts import mark_line, texts_for

_ADDRESS = re.compile(r"""(https?://[^\s<>"'`]{1,2000}[^\s<>"'`.,:;!?)\]}])""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One part as the mail shows it; `name` None: it is the receiver's own."""

    name: str | None
    text: str
    at: datetime
    files: Sequence[str] = ()
    taken_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """A mail that carries on a conversation.

    `new` are the parts that it is about, `before` the ones before. `reply_to` is the address for answers, and for what
    cannot be delivered; `off` leads to where these mails are turned off; `earlier` are the Message-IDs of the thread,
    in order, and without angle brackets where they are ours. A person wrote it, so it does not say that it was made by
    a machine (RFC 3834).
    """

    id: str
    address: str
    receiver: str | None
    site: str
    operator: str
    new: Sequence[Line]
    before: Sequence[Line]
    link: str
    off: str
    reply_to: str | None
    earlier: Sequence[str]
    locale: str | None
    at: datetime
    zone: tzinfo = UTC


def write_talk(talk: Talk, sender: Sender) -> Letter:
    """The letter; DeliveryError (permanent) where its address is none."""
    recipient, utf8 = recipient_of(talk.address)
    language, texts = texts_for(talk.locale)
    site, operator = one_line(talk.site)[:LONGEST_NAME], one_line(talk.operator)[:LONGEST_NAME]
    mail = EmailMessage(EmailPolicy(linesep="\r\n", cte_type="7bit", utf8=utf8, header_factory=header_factory))
    name = f"{operator} ({site})" if operator and operator != site else site
    mail["From"] = Address(name[: 2 * LONGEST_NAME], addr_spec=sender.address)
    mail["To"] = Address(one_line(talk.receiver)[:LONGEST_NAME], *recipient.rsplit("@", 1))
    if talk.reply_to is not None:
        mail["Reply-To"] = Address(site, addr_spec=talk.reply_to)
    mail["Subject"] = texts["subject"].format(site=site)[:LONGEST_SUBJECT]
    mail["Date"] = format_datetime(talk.at)
    mail["Message-ID"] = f"<{talk.id}@{sender.domain}>"
    earlier = [each if each.startswith("<") else f"<{each}@{sender.domain}>" for each in talk.earlier]
    if earlier:
        mail["In-Reply-To"] = earlier[-1]
        mail["References"] = " ".join(earlier)
    mail["List-Unsubscribe"] = f"<{talk.off}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    told: dict[str, Any] = {
        "language": language,
        "texts": texts,
        "mark": mark_line(texts) if talk.reply_to is not None else None,
        "title": texts["wrote"].format(name=operator or site),
        "new": [_shown(each, texts, talk.zone) for each in talk.new],
        "before": [_shown(each, texts, talk.zone) for each in talk.before],
        "link": talk.link,
        "off": talk.off,
        "how": texts["answer" if talk.reply_to is not None else "answer_link"],
        "site": site,
    }
    mail.set_content(_plain(told))
    mail.add_alternative(pages.get_template("talk.html").render(told), subtype="html")
    return Letter(
        id=talk.id, sender=talk.reply_to or sender.address, recipient=recipient, data=mail.as_bytes(), utf8=utf8
    )


def _shown(line: Line, texts: Mapping[str, str], zone: tzinfo) -> dict[str, Any]:
    text = texts["taken_back"] if line.taken_back else line.text
    return {
        "name": one_line(line.name)[:LONGEST_NAME] if line.name is not None else texts["you"],
        "mine": line.name is None,
        "lines": [_printable(each) for each in text.splitlines()],
        "at": line.at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z"),
        "files": [one_line(each)[:LONGEST_NAME] for each in line.files],
    }


def _linked(line: str) -> list[tuple[str, bool]]:
    """The pieces of a line, and whether each is a web address."""
    return [(piece, bool(at % 2)) for at, piece in enumerate(_ADDRESS.split(line)) if piece]


pages.globals["linked"] = _linked


def _printable(line: str) -> str:
    """The line without what mail servers refuse: control characters, and halves of characters."""
    return "".join(each for each in line if each == "\t" or unicodedata.category(each) not in ("Cc", "Cs"))


def _plain(told: Mapping[str, Any]) -> str:
    texts = told["texts"]
    blocks = [told["mark"]] if told["mark"] else []
    blocks += ["\n".join([f"{part['name']}:", *part["lines"], *_files(part, texts)]) for part in told["new"]]
    blocks.append(f"{texts['continue']}: {told['link']}\n{told['how']}")
    if told["before"]:
        blocks.append(f"-- {texts['earlier']} --")
        for part in told["before"]:
            quoted = [f"> {line}" for line in [*part["lines"], *_files(part, texts)]]
            blocks.append("\n".join([f"> {part['name']}, {part['at']}:", *quoted]))
    blocks.append(f"{told['site']}\n{texts['off']}: {told['off']}")
    return "\n\n".join(blocks) + "\n"


def _files(part: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    return [f"{texts['files']}: {', '.join(part['files'])}"] if part["files"] else []
