"""A shop with one rule and visitors who are owed a mail; and a mail server that does as the test says."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from backend.channels.email import EmailChannel
from backend.channels.email.smtp import Timeouts
from backend.domain.enrolment import SENT, Enrolment
from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.identity import derive, known_visitor
from backend.domain.message import Message
from backend.domain.profile import Profile
from backend.domain.rule import parse_rule
from backend.domain.site import Site
from backend.pipeline.deliver import deliver
from backend.runtime import Runtime, build_runtime, close_runtime
from backend.settings import Settings
from backend.storage import enrolments, events, messages, tallies, visitors
from backend.storage.deliveries import Ref
from backend.storage.rules import create_rule
from backend.storage.sites import create_site, new_site
from backend.storage.tables import metadata
from backend.storage.visitors import Stored

SECRET = "a secret of the tests"
RULE = {
    "name": "Cart left for half an hour",
    "trigger": {"event": "Product Added"},
    "audience": {"not": {"performed": "Order Completed", "within": "30d"}},
    "message": {"channels": ["email"], "variants": [{"name": "A", "content": {"subject": "Still yours", "body": "…"}}]},
}
CONTENT = {
    "subject": "Still yours, Ada",
    "title": "Your kettle waits",
    "body": "You left it in the cart.\n\nIt is the last one.",
    "button": {"text": "Finish", "url": "/cart"},
}

ENDS = {
    "sent": "delivered",
    "failed": "failed",
    "skipped": "withheld",
    "expired": "expired",
    "unknown": "uncertain",
}
"""What is counted when a message ends in this status."""


@dataclass
class Clock:
    """A clock that stands still until the test moves it."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time_: float) -> None:
        self.now += timedelta(**time_)


@dataclass
class World:
    """The shop as the database has it."""

    rt: Runtime
    clock: Clock
    site: Site
    rule_id: str
    channels: dict[str, Any]

    def promise(self, email: str | None = None, **changes: Any) -> Ref:
        """A visitor with this address, and a mail for them that is due now."""
        number = len(self.all())
        email = email if email is not None else f"visitor{number}@example.com"
        now = self.clock()
        visitor_id = known_visitor(self.site.id, f"{number}-{email}")
        trigger = Event(message_id=f"m{number}", name="Product Added", type="track", timestamp=now, received_at=now)
        profile = Profile(
            id=visitor_id,
            site_id=self.site.id,
            person=visitor_id,
            traits={"email": email, **changes.pop("traits", {})},
            page={"url": "https://shop.example/p/kettle"},
        )
        enrolment = Enrolment(
            id=derive("e", visitor_id),
            site_id=self.site.id,
            visitor_id=visitor_id,
            rule_id=self.rule_id,
            rule_version=1,
            key="",
            entered_at=now,
            due_at=now,
            trigger=trigger,
            outcome=SENT,
        )
        message = Message(
            id=derive("message", visitor_id),
            site_id=self.site.id,
            visitor_id=visitor_id,
            rule_id=self.rule_id,
            enrolment_id=enrolment.id,
            channel="email",
            variant="A",
            content=CONTENT,
            created_at=now,
            expires_at=now + timedelta(days=7),
            due_at=now,
            address=email,
        )
        with self.rt.db.begin() as conn:
            visitors.save(conn, [Stored(profile, None)], [])
            enrolments.save(conn, [enrolment])
            messages.insert(conn, [replace(message, **changes)])
        return visitor_id, message.id

    def happened(self, ref: Ref, name: str) -> None:
        """An event of that visitor, just now."""
        now = self.clock()
        event = Event(message_id=f"{name}{now}", name=name, type="track", timestamp=now, received_at=now)
        with self.rt.db.begin() as conn:
            body = json.dumps({"type": "track", "event": name})
            events.Insertion(conn, [events.row_of(ref[0], self.site.id, event, body)]).repeated()
            profile = visitors.load_profile(conn, ref[0])
            assert profile is not None
            visitors.save(conn, [], [Stored(fold(profile, event), None)])

    def deliver(self, *refs: Ref) -> None:
        """Delivers these, or everything."""
        deliver(self.rt, refs or [(each.visitor_id, each.id) for each in self.all()], self.channels)

    def message(self, ref: Ref) -> Message:
        with self.rt.db.read() as conn:
            found = messages.get(conn, *ref)
        assert found is not None
        return found

    def outcome(self, ref: Ref) -> tuple[str | None, str | None]:
        """How the enrolment behind a message ended."""
        with self.rt.db.read() as conn:
            found = enrolments.get(conn, ref[0], self.message(ref).enrolment_id)
        assert found is not None
        return found.outcome, found.reason

    def all(self) -> list[Message]:
        with self.rt.db.read() as conn:
            return messages.list_messages(conn, self.site.id, limit=2_000)

    def statuses(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for each in self.all():
            counted[each.status] = counted.get(each.status, 0) + 1
        return counted

    def counted(self) -> dict[str, int]:
        """How messages have ended, as it is reported."""
        with self.rt.db.read() as conn:
            found = tallies.of_site(conn, self.site.id)
        sums: dict[str, int] = {}
        for each in found:
            if each.metric in ENDS.values():
                sums[each.metric] = sums.get(each.metric, 0) + each.number
        return {metric: number for metric, number in sums.items() if number}

    def ended(self) -> dict[str, int]:
        """The same, counted again from the messages."""
        return {ENDS[status]: number for status, number in self.statuses().items() if status in ENDS}

    def use(self, smtp_url: str, **timeouts: float) -> EmailChannel:
        """From now on mails go to this server."""
        settings = self.rt.settings
        channel = EmailChannel(
            smtp_url=smtp_url,
            mail_from=settings.mail_from,
            public_url=settings.public_url,
            outbox=settings.data_dir / "outbox",
            timeouts=Timeouts(**{"connect": 2, "answer": 2, "verdict": 2, **timeouts}),
        )
        self.channels = {"email": channel}
        return channel


@contextmanager
def open_world(directory: Path, redis_url: str, **settings: Any) -> Iterator[World]:
    """A shop in an empty database, with the mails going to the outbox."""
    loaded = Settings.load(
        {},
        data_dir=str(directory),
        redis_url=redis_url,
        secret_key=SECRET,
        public_url="https://mail.shop.example",
        **settings,
    )
    directory.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    rt = replace(build_runtime(loaded), clock=clock)
    rt.redis.flushall()
    metadata.create_all(rt.db.engine)
    try:
        with rt.db.begin() as conn:
            site = create_site(conn, rt.sites.vault, new_site("Kettles & Co"), clock()).site
            rule = create_rule(conn, site.id, parse_rule(RULE), status="active", now=clock())
        world = World(rt, clock, site, rule.id, {})
        world.use("")
        yield world
        assert world.counted() == world.ended(), "each message's end is counted once, whatever happened"
    finally:
        close_runtime(rt)


@dataclass
class MailServer:
    """A real SMTP server; what it says at each stage is a function of the test's, else it takes everything."""

    on_mail: Callable[[str], str] | None = None
    on_rcpt: Callable[[str], str] | None = None
    on_data: Callable[[EmailMessage], str | None] | None = None
    login: tuple[str, str] | None = None
    starttls: ssl.SSLContext | None = None
    smtps: ssl.SSLContext | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def ids(self) -> list[str]:
        """The Message-ID of every mail taken, in order."""
        return [str(mail["Message-ID"]) for mail in self.mails]

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self.on_mail(address) if self.on_mail else "250 OK"
        if said.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        if said.startswith("421"):
            await server.push(said)
            server.transport.close()
        return said

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self.on_rcpt(address) if self.on_rcpt else "250 OK"
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        said = self.on_data(mail) if self.on_data else "250 taken"
        if said is None:
            # It has the mail, and hangs up without a word.
            self.mails.append(mail)
            server.transport.abort()
            return "250 too late"
        if said.startswith("250"):
            self.mails.append(mail)
            self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        return said

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, kind: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.login)


@contextmanager
def mail_server(port: int = 0, **script: Any) -> Iterator[MailServer]:
    """A mail server on loopback, until the end of the block."""
    server = MailServer(**script)
    options: dict[str, Any] = {}
    if server.login is not None:
        options |= {"authenticator": server.authenticate, "auth_required": True, "auth_require_tls": False}
    if server.starttls is not None:
        options |= {"tls_context": server.starttls, "require_starttls": True}
    if server.smtps is not None:
        options |= {"ssl_context": server.smtps}
    controller = Controller(server, hostname="127.0.0.1", port=port or free_port(), enable_SMTPUTF8=True, **options)
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


def certificate(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A TLS server for 127.0.0.1, and the file of the certificate that a client must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "cert.pem", directory / "key.pem"
    certificate_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def raw_server(script: Callable[[Any], object]) -> Iterator[str]:
    """A server that speaks through `script(connection)`, one connection at a time; its smtp: URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(10)
                    try:
                        script(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join(15)


def wait_until(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Returns when it is true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)
