"""SMTP, told so precisely that every failure says whether the letter may have arrived."""

import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from backend.channels.base import ADDRESS_GONE, CHANNEL_DOWN
from backend.channels.email.letter import Letter
from backend.errors import DeliveryError, SettingsError

log = structlog.get_logger(__name__)

ACCESS_CODES = frozenset({530, 534, 535, 538})
"""Answers about our own login: an alarm for whoever runs this, never the fault of a message."""

GONE = re.compile(r"5\.1\.(1|2|3|6|10)\b")
"""Enhanced status codes that say: no such mailbox, or no such domain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds: until the greeting; for each answer; for the answer to the whole letter, which is scanned first."""

    connect: float = 10
    answer: float = 30
    verdict: float = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpServer:
    """A mail server and how to log in; `hello` is the name under which we greet it."""

    host: str
    port: int
    tls: bool
    starttls: bool
    hello: str
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str, hello: str) -> Self:
        """Reads `smtp://user:pw@host:port?starttls=1` or `smtps://…`; SettingsError says what is wrong."""
        parsed = urlsplit(url)
        options = dict(parse_qsl(parsed.query, keep_blank_values=True))
        starttls = options.pop("starttls", "0")
        if not parsed.hostname:
            raise SettingsError("CHIMEIN_SMTP_URL names no host: it reads smtp://user:password@host:port?starttls=1.")
        if options or starttls not in ("0", "1"):
            raise SettingsError("CHIMEIN_SMTP_URL takes one option, starttls=1 or starttls=0.")
        tls = parsed.scheme == "smtps"
        if tls and starttls == "1":
            raise SettingsError("CHIMEIN_SMTP_URL with smtps: is encrypted from the start: leave starttls out.")
        return cls(
            host=parsed.hostname,
            port=parsed.port or (465 if tls else 587 if starttls == "1" else 25),
            tls=tls,
            starttls=starttls == "1",
            hello=hello,
            user=unquote(parsed.username or ""),
            password=unquote(parsed.password or ""),
        )


class SmtpConnection:
    """One connection for many letters, made when the first one comes and again after the server has hung up."""

    def __init__(self, server: SmtpServer, timeouts: Timeouts) -> None:
        self._server = server
        self._timeouts = timeouts
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._smtp is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                _socket(self._smtp).settimeout(2)
                self._smtp.quit()
        self._drop()

    def send(self, letter: Letter, begin: Callable[[], None]) -> None:
        """One transaction for one recipient; see `Session.send` for `begin`."""
        used = self._smtp is not None
        try:
            smtp = self._envelope(letter)
        except _HungUp as error:
            if not used:
                self._fail(error, f"The mail server hung up: {error}", code=error.code)
            # Servers end long connections; that says nothing about the letter.
            try:
                smtp = self._envelope(letter)
            except _HungUp as again:
                self._fail(again, f"The mail server hung up: {again}", code=again.code)
        try:
            begin()
        except BaseException:
            self._reset()
            raise
        self._data(smtp, letter)

    def _envelope(self, letter: Letter) -> smtplib.SMTP:
        """Sender and recipient, both accepted; nothing has been handed over after it."""
        smtp = self._smtp or self._connect()
        options = ["SMTPUTF8", "BODY=8BITMIME"] if letter.utf8 else []
        if letter.utf8 and not smtp.has_extn("smtputf8"):
            raise DeliveryError("The mail server cannot write to this address (no SMTPUTF8).", permanent=True)
        try:
            code, text = smtp.mail(letter.sender, options)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _HungUp(CHANNEL_DOWN, str(error)) from error
        if code == 421:
            self._drop()
            raise _HungUp(CHANNEL_DOWN, _said(code, text))
        if code != 250:
            # It is the sender whom the server does not want: no letter will do better.
            self._reset()
            log.error("mail_sender_refused", answer=_said(code, text))
            raise DeliveryError(f"The mail server refuses the sender: {_said(code, text)}", code=CHANNEL_DOWN)
        try:
            code, text = smtp.rcpt(letter.recipient)
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _HungUp(None, str(error)) from error
        if code == 421:
            self._drop()
            raise _HungUp(None, _said(code, text))
        if code not in (250, 251):
            self._reset()
            raise _refusal(code, text, about_recipient=True)
        return smtp

    def _data(self, smtp: smtplib.SMTP, letter: Letter) -> None:
        """The letter itself. Up to the final dot a failure is certain; from there on only an answer is."""
        body = re.sub(rb"(?m)^\.", b"..", letter.data)
        if not body.endswith(b"\r\n"):
            body += b"\r\n"
        try:
            code, text = smtp.docmd("DATA")
            if code == 354:
                _socket(smtp).sendall(body)
                if _has_hung_up(_socket(smtp)):
                    raise smtplib.SMTPServerDisconnected("hung up while the letter was sent")
        except (OSError, smtplib.SMTPException) as error:
            self._fail(error, f"The mail server hung up before the letter was sent: {error}")
        if code != 354:
            self._reset()
            raise _refusal(code, text)
        try:
            _socket(smtp).settimeout(self._timeouts.verdict)
            _socket(smtp).sendall(b".\r\n")
            code, text = smtp.getreply()
            _socket(smtp).settimeout(self._timeouts.answer)
        except (OSError, smtplib.SMTPException) as error:
            self._fail(error, f"The mail server took the letter and did not answer: {error}", ambiguous=True)
        if 200 <= code < 300:
            return
        if not 400 <= code < 600:
            self._fail(None, f"The mail server's answer makes no sense: {_said(code, text)}", ambiguous=True)
        if code == 421:
            self._drop()
        raise _refusal(code, text)

    def _connect(self) -> smtplib.SMTP:
        """A greeted, encrypted and logged-in connection, or the channel is down."""
        server, timeouts = self._server, self._timeouts
        context = ssl.create_default_context()
        smtp: smtplib.SMTP | None = None
        try:
            if server.tls:
                smtp = smtplib.SMTP_SSL(
                    server.host, server.port, server.hello, timeout=timeouts.connect, context=context
                )
            else:
                smtp = smtplib.SMTP(server.host, server.port, server.hello, timeout=timeouts.connect)
            _socket(smtp).settimeout(timeouts.answer)
            # The dot goes out by itself, right after the letter: Nagle would hold it back for 40 ms.
            _socket(smtp).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if server.starttls:
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if server.user:
                smtp.login(server.user, server.password)
        except (OSError, smtplib.SMTPException) as error:
            if smtp is not None:
                smtp.close()
            reason = _reason(error)
            log.error("mail_server_down", host=server.host, port=server.port, reason=reason)
            raise DeliveryError(f"The mail server cannot be used: {reason}", code=CHANNEL_DOWN) from error
        self._smtp = smtp
        return smtp

    def _reset(self) -> None:
        """Ends the transaction, so that the connection can carry the next letter."""
        if self._smtp is None:
            return
        try:
            self._smtp.rset()
        except (OSError, smtplib.SMTPException):
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def _fail(
        self, cause: BaseException | None, text: str, *, ambiguous: bool = False, code: str | None = None
    ) -> NoReturn:
        self._drop()
        raise DeliveryError(_clean(text), ambiguous=ambiguous, code=code) from cause


class _HungUp(Exception):
    """The connection ended before anything was handed over; `code` as in DeliveryError."""

    def __init__(self, code: str | None, text: str) -> None:
        super().__init__(text)
        self.code = code


def _refusal(code: int, text: bytes, *, about_recipient: bool = False) -> DeliveryError:
    """A clear no: for now, for good, or because of our own login."""
    said = _said(code, text)
    if code in ACCESS_CODES:
        log.error("mail_server_refuses_login", answer=said)
        return DeliveryError(said, code=CHANNEL_DOWN)
    gone = about_recipient and (GONE.search(said) is not None or (code == 550 and not re.match(r"550 5\.\d", said)))
    return DeliveryError(said, permanent=500 <= code < 600, code=ADDRESS_GONE if gone else None)


def _socket(smtp: smtplib.SMTP) -> socket.socket:
    if smtp.sock is None:
        raise smtplib.SMTPServerDisconnected("the connection is closed")
    return smtp.sock


def _has_hung_up(sock: socket.socket) -> bool:
    """Whether the server has closed, or already said no: before the dot it has nothing to say."""
    before = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1024)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(before)
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _said(error.smtp_code, error.smtp_error)
    return _clean(str(error) or type(error).__name__)


def _said(code: int, text: bytes | str) -> str:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return _clean(f"{code} {decoded}")


def _clean(text: str) -> str:
    """One printable line of bounded length: it is kept with the message and shown."""
    return "".join(each for each in " ".join(text.split()) if each.isprintable())[:300]
