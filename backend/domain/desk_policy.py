"""What does a site decide about its conversations? When an answer that nobody has seen goes out as mail."""

from dataclasses import dataclass
from datetime import timedelta

LONGEST_WAIT = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskPolicy:
    """How a site's conversations are kept.

    `mail_after`: so long after the last thing that an operator said and the visitor has not seen, it goes out as mail;
    None: it never does.
    """

    mail_after: timedelta | None = timedelta(minutes=5)


ANSWERED_BY_MAIL = DeskPolicy()
"""What holds where a site says nothing."""
