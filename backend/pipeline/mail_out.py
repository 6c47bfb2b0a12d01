"""The step `mail out`: what an operator said and the visitor has not seen goes out as one mail, at most once.

First a mail is promised: who moves on `conversations.mailed` writes its row, in one transaction. Then a worker claims
it, commits `sending` before the first byte of it leaves, and writes down how it ended; whoever dies in between leaves
it to wait again, or as `unknown`.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from backend.channels.base import ADDRESS_GONE, CHANNEL_DOWN
from backend.channels.email import EmailChannel
from backend.channels.email.talk import Talk
from backend.domain.conversation import Conversation
from backend.domain.identity import derive
from backend.domain.unsubscribe import Subscription, normalised_email
from backend.errors import DeliveryError
from backend.pipeline.faults import point
from backend.pipeline.mail_talk import Postbox, address_for, compose, token_of
from backend.pipeline.note import note
from backend.pipeline.outcome import ATTEMPTS, BACK_OFF, jitter
from backend.runtime import Runtime
from backend.storage import conversations, mails, parts, unsubscribes
from backend.storage.database import Connection, is_transient
from backend.storage.mails import Correspondent, StoredMail

log = structlog.get_logger(__name__)

AT_ONCE = 100
GIVEN_UP = timedelta(days=3)
"""So long after it was said a part waits for an address that may be used."""

LONGEST_LOOK = timedelta(minutes=15)

SECONDS = 1.0


class _Withdrawn(Exception):
    """It was seen meanwhile, or somebody else has it: the mail must not leave."""


class Mailer:
    """Promises and sends, turn by turn."""

    def __init__(self, rt: Runtime, channel: EmailChannel) -> None:
        self.rt = rt
        self.channel = channel
        self.postbox = Postbox.of(rt.settings)

    def run(self, stop: threading.Event) -> None:
        """Works until `stop`; a turn that fails is logged and the next one comes."""
        failing = False
        while not stop.wait(SECONDS):
            try:
                self.turn()
                failing = False
            except Exception as error:
                if not (is_transient(error) and not failing):
                    log.error("mails_failed", error=str(error)[:300], exc_info=not failing)
                failing = True

    def turn(self) -> int:
        """One turn: returns how many mails were sent."""
        self._recover()
        self.promise()
        point("after_mail_promise")
        return self.send()

    def promise(self) -> int:
        """Promises a mail for each conversation that needs one now; returns how many."""
        now = self.rt.clock()
        with self.rt.db.read() as connection:
            found = mails.unmailed(connection, now, AT_ONCE)
        promised = 0
        for conversation in found:
            with self.rt.db.begin() as connection:
                promised += self._promise(connection, conversation, now)
        return promised

    def _promise(self, connection: Connection, found: Conversation, now: datetime) -> bool:
        conversation = conversations.find(connection, found.site_id, found.id, lock=True)
        site = self.rt.sites.by_id(found.site_id)
        if conversation is None or site is None:
            return False
        mailed = mails.mailed(connection, conversation)
        told = parts.list_parts(connection, conversation, after=max(mailed, conversation.seen), kinds=["message"])
        unseen = [each for each in told if each.author == "operator" and each.deleted_at is None]
        after = None if mails.off_since(connection, conversation) else site.policy.conversation.mail_after
        if not unseen or after is None or now - unseen[-1].at > GIVEN_UP:
            mails.tell_until(connection, conversation, mailed, conversation.last)
            return False
        last = unseen[-1]
        if last.at + after > now:
            mails.look_later(connection, conversation, last.at + after)
            return False
        address = address_for(self.rt, connection, conversation, site)
        if address is None:
            mails.look_later(
                connection, conversation, now + min(max(now - last.at, timedelta(minutes=1)), LONGEST_LOOK)
            )
            return False
        if not mails.tell_until(connection, conversation, mailed, last.number):
            return False
        who = Correspondent(
            site_id=site.id, visitor_id=conversation.visitor_id, conversation_id=conversation.id, address=address
        )
        mails.correspond(connection, who, self.rt.sites.vault.digest(token_of(self.rt, who)), now)
        mails.promise(
            connection,
            StoredMail(
                id=derive("conversation mail", conversation.id, str(last.number)),
                site_id=site.id,
                visitor_id=conversation.visitor_id,
                conversation_id=conversation.id,
                first=unseen[0].number,
                number=last.number,
                address=address,
                status="queued",
                attempts=0,
                created_at=now,
            ),
        )
        return True

    def _recover(self) -> None:
        with self.rt.db.begin() as connection:
            queued, lost = mails.recover(connection, self.rt.clock(), idempotent=self.channel.idempotent)
        if queued or lost:
            log.warning("mail_leases_lapsed", queued_again=queued, unknown=len(lost))
        for each in lost:
            self.tell(each, "mail_uncertain", "")

    def send(self) -> int:
        """Sends what waits; returns how many mails the server took."""
        now = self.rt.clock()
        if self.channel.circuit.open_until(now) is not None:
            return 0
        with self.rt.db.read() as connection:
            waiting = mails.due(connection, now, AT_ONCE)
        if not waiting:
            return 0
        sent = 0
        with self.channel.session() as session:
            for mail in waiting:
                if self.channel.circuit.open_until(self.rt.clock()) is not None:
                    break
                sent += _Attempt(self, mail).go(session.send_talk)
        return sent

    def tell(self, mail: StoredMail, event: str, reason: str) -> None:
        """Notes in the conversation what became of a mail."""
        content = {"event": event, "to": mail.address, **({"reason": reason} if reason else {})}
        note(self.rt, mail.site_id, mail.conversation_id, derive(event, mail.id, str(mail.attempts)), content)


class _Attempt:
    """One try at one mail: knows whether anything may have left."""

    def __init__(self, mailer: Mailer, mail: StoredMail) -> None:
        self.mailer, self.mail, self.rt = mailer, mail, mailer.rt
        self.begun = False

    def go(self, send: Callable[[Talk, Callable[[], None]], None]) -> bool:
        """Whether the server took it."""
        rt, mail, circuit = self.rt, self.mail, self.mailer.channel.circuit
        now = rt.clock()
        point("before_mail_claim")
        with rt.db.begin() as connection:
            if not mails.claim(connection, mail, now):
                return False
            talk = compose(rt, self.mailer.postbox, connection, mail, now)
            if talk is None:
                mails.end(connection, mail, "skipped", now, "seen, or nobody to write to")
                return False
        try:
            send(talk, self._begin)
        except _Withdrawn:
            return False
        except DeliveryError as error:
            if error.code == CHANNEL_DOWN and not error.ambiguous:
                until = circuit.failed(rt.clock())
                with rt.db.begin() as connection:
                    mails.again(connection, mail, until, error.message, counted=False)
                return False
            circuit.succeeded()
            self._refused(error)
            return False
        except Exception as error:
            log.exception("mail_broke", mail=mail.id)
            self._refused(DeliveryError(f"{type(error).__name__}: {error}"[:300], ambiguous=self.begun))
            return False
        circuit.succeeded()
        point("before_mail_outcome")
        self._end("sent", None)
        return True

    def _begin(self) -> None:
        """The last moment: looks once more whether it was seen, and commits that nobody can tell from here on."""
        point("before_mail_data")
        now = self.rt.clock()
        with self.rt.db.begin() as connection:
            wanted = compose(self.rt, self.mailer.postbox, connection, self.mail, now) is not None
            if not wanted:
                mails.end(connection, self.mail, "skipped", now, "seen, or nobody to write to")
            held = wanted and mails.begin(connection, self.mail, now)
        if not held:
            raise _Withdrawn
        self.begun = True
        point("after_mail_begin")

    def _refused(self, error: DeliveryError) -> None:
        mail, now = self.mail, self.rt.clock()
        log.warning("mail_not_sent", mail=mail.id, reason=error.message, permanent=error.permanent)
        if error.ambiguous and not self.mailer.channel.idempotent:
            self._end("unknown", error.message)
            return
        if error.code == ADDRESS_GONE:
            forget_address(self.rt, mail.site_id, mail.visitor_id, mail.conversation_id, mail.address)
        if error.permanent or mail.attempts + 1 >= ATTEMPTS:
            self._end("failed", error.message)
            return
        wait = BACK_OFF[min(mail.attempts, len(BACK_OFF) - 1)]
        with self.rt.db.begin() as connection:
            mails.again(connection, mail, now + wait + jitter(wait / 5), error.message, counted=True)

    def _end(self, status: str, reason: str | None) -> None:
        with self.rt.db.begin() as connection:
            written = mails.end(connection, self.mail, status, self.rt.clock(), reason)
        if written:
            event = {"sent": "mailed", "failed": "mail_failed", "unknown": "mail_uncertain"}[status]
            self.mailer.tell(self.mail, event, reason or "")


def forget_address(rt: Runtime, site_id: str, visitor_id: str, conversation_id: str, address: str) -> None:
    """From now on nothing is sent to an address that leads nowhere, by nobody."""
    now = rt.clock()
    who = Correspondent(
        site_id=site_id, visitor_id=visitor_id, conversation_id=conversation_id, address=normalised_email(address)
    )
    with rt.db.begin() as connection:
        mails.refuse(connection, who, now)
        subscription = Subscription.email(site_id, address)
        unsubscribes.add(connection, subscription, unsubscribes.REFUSED, now, rt.sites.vault)
