"""`chimein mail-in`: a small SMTP or LMTP server that takes in answers, and says 250 only when the log has them.

It stands behind a mail server of the owner's, or a provider's, which does TLS, spam and the queue: so it listens on
loopback, knows no recipients but the addresses that we gave out, and takes one at a time.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from backend.errors import Busy, NotFound, TooLarge, Unavailable
from backend.ops.mail_session import session_of
from backend.ops.ports import listen_for_mail, mail_address
from backend.pipeline.mail_in import addressee, is_flooded, take
from backend.runtime import Runtime
from backend.schemas.incoming_mail import LARGEST
from backend.storage.database import is_transient

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 20
"""At once."""

SECONDS = 60.0
"""So long a client may be silent."""

AT_WORK = 2
"""Mails that are read at the same time: each takes several times its size."""

TAKEN = "250 2.0.0 taken"
LATER = "451 4.3.0 not now, please come again"
NOBODY = "550 5.1.1 there is no such address"


class Receiver:
    """What the server does with a mail, each step in a thread, so that a slow one keeps nobody waiting."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._mails = asyncio.Semaphore(AT_WORK)
        self._questions = asyncio.Semaphore(2 * AT_WORK)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Lets only addresses pass that we gave out: for all others the sender's own server has to tell them."""
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"
        answer = await self._done(self._questions, lambda: self._may(address))
        if answer == TAKEN:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 fine"
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Takes the mail itself."""
        file: Any = envelope.content
        sender, recipients = (envelope.mail_from or "").strip("<>"), list(envelope.rcpt_tos)

        def work() -> str:
            file.seek(0)
            take(self.rt, file.read(), recipients, sender)
            return TAKEN

        return await self._done(self._mails, work)

    def _may(self, address: str) -> str:
        found = addressee(self.rt, [address])
        if found is None:
            return NOBODY
        return LATER if is_flooded(self.rt, found[1].conversation_id) else TAKEN

    async def _done(self, room: asyncio.Semaphore, work: Callable[[], str]) -> str:
        async with room:
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
    scheme = mail_address(rt.settings)[0]
    receiver = Receiver(rt)
    make = session_of(LMTP if scheme == "lmtp" else SMTP, MOST_CONNECTIONS, LARGEST)
    loop = asyncio.get_running_loop()

    def protocol() -> Any:
        return make(
            receiver, data_size_limit=LARGEST, enable_SMTPUTF8=True, timeout=SECONDS, ident="chimein", loop=loop
        )

    server = await loop.create_server(protocol, sock=listen_for_mail(rt.settings))
    async with server:
        while not stop.is_set():
            await asyncio.sleep(0.2)
        server.close()
        for transport in list(make.others):
            transport.close()
