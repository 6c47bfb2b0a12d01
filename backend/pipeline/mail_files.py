"""The step `mail files`: what is attached to a mail is kept as files of a page are, and what is not is named."""

from collections.abc import Sequence
from typing import Any

from backend.domain.attachment import LONGEST_NAME, MOST_IN_A_PART, plain_name
from backend.domain.conversation import LONGEST_TEXT
from backend.domain.identity import derive
from backend.domain.incoming_mail import Attached, IncomingMail
from backend.errors import Invalid, TooLarge, TooManyRequests
from backend.pipeline.attach import attach
from backend.runtime import Runtime
from backend.storage.mails import Correspondent

WHOLE_TEXT = "mail.txt"


def with_whole_text(mail: IncomingMail, told: str) -> Sequence[Attached]:
    """What is attached to a mail; first its text, where a part has no room for what is `told` in it."""
    if len(told) <= LONGEST_TEXT:
        return mail.attached
    data = mail.text.encode()
    return Attached(name=WHOLE_TEXT, type="text/plain", size=len(data), data=data), *mail.attached


def keep_files(
    rt: Runtime, who: Correspondent, files: Sequence[Attached], part_id: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """Keeps the files of a mail, each once, however often the mail comes; the ids of those to be said with its part.

    With them what was refused: `name`, `size`, and `why`: `kind`, `size`, `number` (of one part) or `day` (enough for
    a day). Raises `Unavailable` where the mail should be sent again.
    """
    kept: list[str] = []
    refused: list[dict[str, Any]] = []
    for place, each in enumerate(files):
        file_id = derive("mail file", part_id, str(place))
        why = "number" if len(kept) >= MOST_IN_A_PART else _kept(rt, who, each, file_id)
        if why is None:
            kept.append(file_id)
        else:
            refused.append({"name": plain_name(each.name)[:LONGEST_NAME] or "file", "size": each.size, "why": why})
    return kept, refused


def _kept(rt: Runtime, who: Correspondent, file: Attached, file_id: str) -> str | None:
    """Keeps a file; or why not."""
    if file.data is None:
        return "kind" if file.type.startswith("message/") else "number"
    try:
        attach(rt, who.site_id, who.visitor_id, file.name, file.data, file_id)
    except TooLarge:
        return "size"
    except Invalid:
        return "kind"
    except TooManyRequests:
        return "day"
    return None
