"""The e-mail channel: writes the letter, then posts it by SMTP or lays it into the outbox."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from backend.channels.base import Circuit, Delivery
from backend.channels.email.letter import Letter, Sender, write
from backend.channels.email.outbox import Outbox
from backend.channels.email.smtp import SmtpConnection, SmtpServer, Timeouts
from backend.channels.email.talk import Talk, write_talk


class Post(Protocol):
    """Where letters go."""

    def send(self, letter: Letter, begin: Callable[[], None]) -> None:
        """Hands one letter over, or raises DeliveryError; see `Session.send` for `begin`."""
        ...


class EmailChannel:
    """Reaches people by mail."""

    name = "email"

    def __init__(
        self,
        *,
        smtp_url: str,
        mail_from: str,
        public_url: str,
        outbox: Path,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.circuit = Circuit()
        self._sender = Sender.of(mail_from, public_url)
        self._server = SmtpServer.of(smtp_url, self._sender.domain) if smtp_url else None
        self._outbox = outbox
        self._timeouts = timeouts or Timeouts()

    @property
    def idempotent(self) -> bool:
        """A file is written again under its name; a mail that was sent twice is there twice."""
        return self._server is None

    @contextmanager
    def session(self) -> Iterator["EmailSession"]:
        """One connection for all letters sent within."""
        if self._server is None:
            yield EmailSession(self._sender, Outbox(self._outbox))
            return
        with SmtpConnection(self._server, self._timeouts) as connection:
            yield EmailSession(self._sender, connection)


class EmailSession:
    """Letters of one job on their way."""

    def __init__(self, sender: Sender, post: Post) -> None:
        self._sender = sender
        self._post = post

    def send(self, delivery: Delivery, begin: Callable[[], None]) -> None:
        """Hands one mail over; see `Session.send`."""
        self._post.send(write(delivery, self._sender), begin)

    def send_talk(self, talk: Talk, begin: Callable[[], None]) -> None:
        """Hands one mail of a conversation over; `begin` as in `Session.send`."""
        self._post.send(write_talk(talk, self._sender), begin)
