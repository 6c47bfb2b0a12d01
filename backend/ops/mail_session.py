"""One connection of `mail-in`: what it sends goes to a file as it comes, so that waiting mails take no memory."""

import asyncio
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from aiosmtpd.smtp import syntax

IN_MEMORY = 256 * 1024
"""Bytes of a mail that wait in memory; more of them wait on the disk."""

DATA_SECONDS = 300.0
"""So long one mail may take, however slowly it drips."""


def session_of(kind: Any, most: int, largest: int) -> Any:
    """A protocol like `kind` (SMTP or LMTP), at most so many at once, with mails of at most `largest` bytes."""
    open_now: set[asyncio.BaseTransport] = set()

    class Session(kind):  # type: ignore[misc]
        """Hangs up where too many are there already."""

        others = open_now

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            if len(open_now) >= most:
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

        @syntax("DATA")
        async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
            """Takes a mail; instead of the library's, which keeps it in memory and refuses lines of 1,000 bytes."""
            if await self.check_helo_needed():
                return
            if not self.envelope.rcpt_tos or arg:
                await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 tell the recipient first")
                return
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            self._reset_timeout(DATA_SECONDS)
            with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
                if await _receive(self._reader, file, largest):
                    self.envelope.content = file
                    status = await self._call_handler_hook("DATA")
                else:
                    status = f"552 5.3.4 a mail may have {largest // 2**20} MB"
            self._set_post_data_state()
            await self.push(status)

    return Session


async def _receive(reader: asyncio.StreamReader, file: IO[bytes], largest: int) -> bool:
    """Reads up to the lone dot, and only CRLF ends a line; False where it was too much: the rest is thrown away."""
    size, begins = 0, True
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            line = await reader.read(error.consumed)
        ends = line.endswith(b"\r\n")
        if begins and line == b".\r\n":
            return size <= largest
        if begins and line.startswith(b"."):
            line = line[1:]
        size, begins = size + len(line), ends
        if size <= largest:
            file.write(line)
        elif file.tell():
            file.seek(0)
            file.truncate()
