"""How the headers and texts of a mail are decoded: whatever their sender says or forgot to say, never an error."""

import codecs
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message

LONGEST_HEADER = 2_000

_UNFIT = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
"""Codecs of Python that no mail is written in, and that take long or tell nothing."""

_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "ks_c_5601-1987": "cp949", "shift_jis": "cp932", "sjis": "cp932"}
"""What programs write that mean more than they say."""

_JOINERS = frozenset("\u200c\u200d\u3000\u2009\u202f")
"""Not printable to Python, and needed in emoji, Persian and Japanese."""


def decoded(data: bytes, charset: str) -> str:
    """The text in these bytes, as their sender says that it is written, or as it most likely is; never an error."""
    for name in (_WIDER.get(charset, charset), "utf-8"):
        try:
            codec = codecs.lookup(name)
            if codec.name in _UNFIT or not getattr(codec, "_is_text_encoding", True):
                continue
            return data.decode(codec.name)
        except (LookupError, ValueError):
            continue
    name = _WIDER.get(charset, charset)
    try:
        codec = codecs.lookup(name)
        fit = codec.name not in _UNFIT and getattr(codec, "_is_text_encoding", True)
        return data.decode(codec.name if fit and codec.name != "ascii" else "utf-8", "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def clean(text: str) -> str:
    """The text without control characters, half characters and marks that turn the direction of what follows."""
    told = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    return "".join(each for each in told if each in "\n\t" or (each.isprintable() or each in _JOINERS))


def header(mail: Message, name: str) -> str:
    """A header as one line, empty where there is none."""
    return decoded_header(mail.get(name, ""))


def decoded_header(raw: object) -> str:
    """The text of a header as one line of bounded length."""
    told = str(raw)[:LONGEST_HEADER]
    try:
        pieces = decode_header(told)
        text = "".join(
            piece if isinstance(piece, str) else decoded(piece, (charset or "").lower()) for piece, charset in pieces
        )
    except (HeaderParseError, ValueError, LookupError):
        text = told
    return " ".join(clean(text.encode("utf-8", "replace").decode("utf-8", "replace")).split())
