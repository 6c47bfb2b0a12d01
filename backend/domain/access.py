"""What is a look? Somebody with a token saw, exported, erased a visitor, or changed what they agreed to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

ACTIONS = ("read", "list", "export", "erase", "consent")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """One look: by the token of this name, at a visitor (an id; its keyed hash once they are erased).

    `detail` is the operation that was called. Of a list as a whole there is one with an empty `visitor`: how many of it
    were `shown`, and what was `asked` for, in which a keyed hash stands for whatever names somebody.
    """

    id: str
    site_id: str
    at: datetime
    token: str
    role: str
    action: str
    visitor: str
    detail: str = ""
    shown: int | None = None
    asked: Mapping[str, str] | None = None
