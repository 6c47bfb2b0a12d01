"""What is an incoming mail? What somebody wrote, or a machine: an answer, an automatic reply, a loop, a failure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Nature = Literal["answer", "automatic", "loop", "failure", "delay"]

LASTING_SUBJECTS = frozenset({"0", "1", "2", "4"})
"""Of 5.X.Y the X that is about the mailbox or the way to it; 5.3, 5.5, 5.6 and 5.7 are about this mail."""

_PASSING = frozenset({"5.2.2", "5.2.3"})
"""A full mailbox, a mail too long: the address is fine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """A file in a mail, as its sender names it; `data` is None where it was not kept."""

    name: str
    type: str
    size: int
    data: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What a mail server tells of a mail that it could not deliver: for whom, the status (5.1.1), and its sentence."""

    recipient: str
    action: str
    status: str
    told: str

    @property
    def lasts(self) -> bool:
        """Whether nothing will ever arrive at this address."""
        subject = self.status.split(".")[1:2]
        hard = self.action == "failed" and self.status.startswith("5.") and self.status not in _PASSING
        return hard and bool(subject) and subject[0] in LASTING_SUBJECTS


@dataclass(frozen=True, kw_only=True, slots=True)
class IncomingMail:
    """A mail as it was read: everything in it was written by others, and is plain text of bounded length.

    `id` is its Message-ID with angle brackets, empty where it has none; `recipients` are addresses from its headers,
    `returned` those that a returned mail carries, `unnamed` how many more files it had. `automatic` is the header that
    says that no person wrote it.
    """

    id: str
    sender: str
    sender_name: str
    subject: str
    recipients: tuple[str, ...]
    text: str
    automatic: str | None = None
    failure: Failure | None = None
    returned: tuple[str, ...] = ()
    attached: tuple[Attached, ...] = ()
    unnamed: int = 0


def nature_of(
    mail: IncomingMail, envelope_sender: str | None, own_ids: Collection[str], own: Collection[str]
) -> Nature:
    """What kind of mail it is. `envelope_sender` is empty for the null return path, None where it is not known.

    `own_ids` are the ids (without domain) of the mails that we sent in this conversation, `own` addresses of ours.
    """
    if mail.failure is not None:
        return "failure" if mail.failure.action == "failed" else "delay"
    if mail.id.strip("<>").split("@")[0] in own_ids or mail.sender.lower() in own:
        return "loop"
    if mail.automatic is not None or envelope_sender == "":
        return "automatic"
    return "answer"
