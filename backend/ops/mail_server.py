"""`chimein mail-in`: a small SMTP or LMTP server that takes in answers, and says 250 only when the log has them.

It stands behind a mail server of the owner's, or a provider's, which does TLS, spam and the queue: so it listens on
loopback, knows no recipients but the addresses that we gave out, and takes one at a time.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from backend.errors import Busy, NotFound, StartError, TooLarge, Unavailable
from backend.pipeline.mail_in import addressee, take
from backend.runtime import Runtime
from backend.schemas.incoming_mail import LARGEST
from backend.storage.database import is_transient

log = structlog.get_logger(__name__)

DEFAULT = "smtp://127.0.0.1:2525"
MOST_CONNECTIONS = 20
"""At once; with the largest mail they bound the memory."""

SECONDS = 60.0
"""So long a client may be silent."""

AT_WORK = 4
"""Mails that are read at the same time."""

TAKEN = "250 2.0.0 taken"
LATER = "451 4.3.0 not now, please come again"
NOBODY = "550 5.1.1 there is no such address"


class Receiver:
    """What the server does with a mail, each step in a thread, so that a slow one keeps nobody waiting."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._room = asyncio.Semaphore(AT_WORK)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Lets only addresses pass that we gave out: for all others the sender's own server has to tell them."""
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"
        answer = await self._done(lambda: TAKEN if addressee(self.rt, [address]) is not None else NOBODY)
        if answer == TAKEN:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 fine"
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Takes the mail itself."""
        raw = envelope.original_content or b""
        sender, recipients = (envelope.mail_from or "").strip("<>"), list(envelope.rcpt_tos)

        def work() -> str:
            take(self.rt, raw, recipients, sender)
            return TAKEN

        return await self._done(work)

    async def _done(self, work: Callable[[], str]) -> str:
        async with self._room:
            try:
                return await asyncio.to_thread(work)
            except NotFound:
                return NOBODY
            except TooLarge as error:
                return f"552 5.3.4 {error.message}"
            except (Unavailable, Busy):
                return LATER
            except Exception as error:
                if is_transient(error):
                    log.warning("mail_waits", reason=str(error)[:200])
                else:
                    log.exception("mail_broke")
                return LATER


def run(rt: Runtime, stop: threading.Event) -> None:
    """Listens until `stop`; StartError where the address cannot be had."""
    asyncio.run(_serve(rt, stop))


async def _serve(rt: Runtime, stop: threading.Event) -> None:
    parsed = urlsplit(rt.settings.mail_in or DEFAULT)
    host, port = parsed.hostname or "127.0.0.1", parsed.port or 2525
    receiver = Receiver(rt)
    open_now: set[asyncio.BaseTransport] = set()
    make = _limited(LMTP if parsed.scheme == "lmtp" else SMTP, open_now)
    loop = asyncio.get_running_loop()

    def protocol() -> Any:
        return make(
            receiver, data_size_limit=LARGEST, enable_SMTPUTF8=True, timeout=SECONDS, ident="chimein", loop=loop
        )

    try:
        server = await loop.create_server(protocol, host, port)
    except OSError as error:
        raise StartError(f"mail-in cannot listen on {host}:{port}: {error.strerror or error}.") from None
    async with server:
        while not stop.is_set():
            await asyncio.sleep(0.2)
        server.close()
        for transport in list(open_now):
            transport.close()


def _limited(kind: Any, open_now: set[asyncio.BaseTransport]) -> Any:
    class Limited(kind):  # type: ignore[misc]
        """Hangs up where too many are there already."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            if len(open_now) >= MOST_CONNECTIONS:
                transport.write(b"421 4.3.2 too many connections\r\n")  # type: ignore[attr-defined]
                transport.close()
                return
            open_now.add(transport)
            self.chimein_transport = transport
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            transport = getattr(self, "chimein_transport", None)
            if transport is not None:
                open_now.discard(transport)
                super().connection_lost(error)

    return Limited
