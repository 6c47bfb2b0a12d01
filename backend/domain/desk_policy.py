"""What does a site decide about its conversations? When an answer goes out as mail, and how long they are kept."""

from dataclasses import dataclass
from datetime import timedelta

LONGEST_WAIT = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskPolicy:
    """How a site's conversations are kept.

    `mail_after`: so long after the last thing that an operator said and the visitor has not seen, it goes out as mail;
    None: it never does. `keep`: so long after the last thing in it a conversation goes, with its files and mails; None:
    it stays.
    """

    mail_after: timedelta | None = timedelta(minutes=5)
    keep: timedelta | None = None


ANSWERED_BY_MAIL = DeskPolicy()
"""What holds where a site says nothing."""
