"""What of a mail is new? Without the mail that it answers and without the signature; words are never lost for that."""

import re

from mailparser_reply import EmailReplyParser

MARK = "##-"
"""How the line begins above which answers are written, in whatever language."""

LONGEST = 60_000
"""Characters of a mail that are looked at: who writes more by hand writes a file."""

_LONGEST_HEADER = 500
"""Characters of a line that may say that a quote or a signature begins: the patterns would take long for more."""

_FOR_LIBRARY, _LIBRARY_LINE = 4_000, 1_000
"""Its patterns look back and forth, for minutes on a text made for that: they get what a person writes, no more."""

_LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "cs", "da", "sv", "ja", "ko", "zh"]

_QUOTED = re.compile(r"\s*>")

_DATE = r"[^\n]{0,60}\d"
"""A header of what is quoted has a date in it: a sentence that merely ends in "wrote:" has none."""

_WROTE = re.compile(
    r"^(?:"
    rf"{_DATE}[^\n]{{0,200}}(?:написала?|написал\(а\)|написал/а|пишет|пише|написав|написав\(ла\)|написала\(в\)|написа)"
    r"[^\n]{0,80}:"
    rf"|(?:On|Am|Le|El|Il|Op|W dniu|Dne|Den)\s{_DATE}[^\n]{{0,200}}"
    r"(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|napisał|napsal|skrev)[^\n]{0,80}:"
    rf"|{_DATE}[^\n]{{0,200}}<[^<>\s]{{1,100}}@[^<>\s]{{1,100}}>\s*[::]"
    rf"|{_DATE}[^\n]{{0,200}}(?:のメール|に書きました|は書きました|さんは書きました|のメッセージ)[^\n]{{0,20}}[::]"
    r")\s*$",
    re.IGNORECASE,
)

_SEPARATOR = re.compile(
    r"^\s*(?:[-_*=]{2,}\s*)(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Weitergeleitete Nachricht"
    r"|Исходное сообщение|Пересылаемое сообщение|Пересланное сообщение|Оригінальне повідомлення|Вихідне повідомлення"
    r"|Переслане повідомлення|Оригинално съобщение|Препратено съобщение"
    r"|元のメッセージ|オリジナルメッセージ|転送メッセージ)"
    r"(?:\s*[-_*=]{2,})\s*$",
    re.IGNORECASE,
)

_FIELD = re.compile(
    r"^\s*\*?(?:From|Sent|To|Subject|Date|Cc|Von|Gesendet|An|Betreff|Datum"
    r"|От кого|От|Отправлено|Дата|Кому|Копия|Тема"
    r"|Від|Надіслано|Відправлено|Копія"
    r"|Изпратено|Изпратен|До|Относно|Копие"
    r"|差出人|送信者|送信日時|日時|宛先|件名)\*?\s*[::]\*?",
    re.IGNORECASE,
)

_SENT_FROM = re.compile(
    r"^\s*(?:Sent from (?:my|Outlook|Mail|Yahoo|Samsung)|Get Outlook for|Von meinem .{1,40} gesendet"
    r"|Gesendet (?:von|mit)"
    r"|Отправлено (?:с|из|от)|Отправлено со|Надіслано (?:з|із)|Відправлено (?:з|із)|Изпратено от|Изпратен от"
    r"|(?:iPhone|iPad|Android|Galaxy).{0,20}から送信)[^\n]{0,80}$",
    re.IGNORECASE,
)

_CLOSING = re.compile(
    r"^\s*(?:Best regards|Kind regards|Regards|Best|All the best|Thanks|Thank you|Cheers|Mit freundlichen Grüßen"
    r"|Viele Grüße|Liebe Grüße|Beste Grüße|С уважением|С наилучшими пожеланиями|З повагою|З найкращими побажаннями"
    r"|С уважение|Поздрави|Сърдечни поздрави|よろしくお願いします|よろしくお願いいたします|敬具)\s*[,.!。、]?\s*$",
    re.IGNORECASE,
)

_SIGNATURE_LINES = 8
"""So many lines may follow a closing formula; what is longer is no signature."""


def new_text(text: str, *, empty: bool = False) -> str:
    """What somebody wrote in a mail, without what it answers and without their signature.

    Where nothing is left of it, less is cut, and at last nothing: a word too much is better than one too few. With
    `empty` they may have written nothing: then what they wrote between the lines that they answer still counts.
    """
    lines = [line.rstrip() for line in text[:LONGEST].replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    above = _above(lines)
    last = [_between(lines)] if empty else [_unquoted(lines), lines]
    for told in (_unsigned(_by_library(_unquoted(above))), _unquoted(above), *last):
        found = re.sub(r"\n{3,}", "\n\n", "\n".join(told)).strip()
        if found:
            return found
    return ""


def _above(lines: list[str]) -> list[str]:
    """What stands above our mark, above the header of what is quoted, or above the fields of the mail before."""
    for at, line in enumerate(lines):
        bare = line.lstrip("> \t")
        if bare.startswith(MARK):
            return _without_header(lines[:at])
        if _says(_SEPARATOR, line) or _wrote(lines, at) or _fields(lines, at):
            return lines[:at]
    return lines


def _wrote(lines: list[str], at: int) -> bool:
    """Whether a header such as "On …, Anna wrote:" begins here; mail programs break it into up to three lines."""
    if not lines[at].strip() or _QUOTED.match(lines[at]):
        return False
    for more in range(1, 4):
        told = " ".join(each.strip() for each in lines[at : at + more])
        if any(not each.strip() for each in lines[at : at + more]):
            return False
        if len(told) <= 400 and _WROTE.match(told):
            below = next((each for each in lines[at + more :] if each.strip()), None)
            return below is None or _QUOTED.match(below) is not None or below.lstrip().startswith(MARK) or more == 1
    return False


def _fields(lines: list[str], at: int) -> bool:
    """Whether at least three fields such as "From: …" stand here, as Outlook writes them above what is quoted."""
    if not _says(_FIELD, lines[at]):
        return False
    following = [each for each in lines[at : at + 8] if each.strip()]
    return sum(1 for each in following if _says(_FIELD, each)) >= 3


def _without_header(lines: list[str]) -> list[str]:
    """What is above our mark, without the header that a mail program wrote there."""
    for at in range(max(0, len(lines) - 6), len(lines)):
        if _wrote(lines, at) or _fields(lines, at) or _says(_SEPARATOR, lines[at]):
            return lines[:at]
    told = [at for at, line in enumerate(lines) if line.strip()]
    if told and lines[told[-1]].rstrip().endswith((":", "：")):
        return lines[: told[-1]]
    return lines


def _says(pattern: re.Pattern[str], line: str) -> bool:
    return len(line) <= _LONGEST_HEADER and pattern.match(line) is not None


def _unquoted(lines: list[str]) -> list[str]:
    return [line for line in lines if not _QUOTED.match(line)]


def _between(lines: list[str]) -> list[str]:
    """What is neither quoted nor the header of what is."""
    told = [line for at, line in enumerate(lines) if not _wrote(lines, at) and not _says(_SEPARATOR, line)]
    return [line for line in _unquoted(told) if not line.startswith(MARK) and line.strip() not in ("--", "—")]


def _by_library(lines: list[str]) -> list[str]:
    """What the library takes for the latest answer; all of it where it is longer than it may look at."""
    text = re.sub(r"\n\s*\n[ \t]*", "\n\n", "\n".join(lines).strip())
    if not text or len(text) > _FOR_LIBRARY or any(len(line) > _LIBRARY_LINE for line in text.split("\n")):
        return lines
    replies = EmailReplyParser(languages=_LANGUAGES).read(text).replies
    latest = replies[0].content if replies else ""
    # Its signatures are not cut: it takes everything behind a line that begins with "Thanks," for one.
    return latest.split("\n") if latest.strip() else lines


def _unsigned(lines: list[str]) -> list[str]:
    for at, line in enumerate(lines):
        if at and line.strip() in ("--", "—", "__"):
            return lines[:at]
        if _says(_SENT_FROM, line) and at >= len(lines) - 4:
            return lines[:at]
        if at and _says(_CLOSING, line) and len([each for each in lines[at:] if each.strip()]) <= _SIGNATURE_LINES:
            return lines[:at]
    return lines
