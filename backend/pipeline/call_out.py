"""The step `call_out`: webhooks on their way: claimed, asked for once more, sent outside any transaction, written down.

Unlike a message, a webhook is sent again when its answer got lost: each try carries the same id, by which the receiver
knows it. A target that is slow or down takes a few threads at most and is then left alone for a while; what waits for
it goes back into the table, and everybody else's goes on.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import structlog

from backend.channels.base import CHANNEL_DOWN, Circuit
from backend.channels.outbound import Allowed, Answer, Outbound, fetch_out
from backend.domain.engine.call_out import call_out_lacks
from backend.domain.webhook import MOST_ATTEMPTS, Webhook, next_try, verdict, webhook_secret
from backend.errors import DeliveryError
from backend.pipeline.call_hook import Call, Withheld, after_call, hook_call, push_call, signed_call
from backend.pipeline.faults import point
from backend.pipeline.outcome import jitter
from backend.runtime import Runtime
from backend.storage import visitors, webhooks
from backend.storage.database import Connection
from backend.storage.rules import get_rule
from backend.storage.webhooks import Claim, Ref

log = structlog.get_logger(__name__)

THREADS = 16
PER_TARGET = 4
"""Calls to one target at once, in one process."""

MOST_HELD = 100
"""Webhooks of one target that a process holds; the rest waits in the table."""

MOST_TARGETS = 1_000
BUSY = timedelta(seconds=20)
"""How long what is too much for now is put off."""

LONGEST_REASON = 500
LONGEST_HOLD = timedelta(seconds=60)
"""For so long at most a target that answers 429 or 503 is left alone altogether."""

SLACK = timedelta(seconds=2)


def deliver_webhook(rt: Runtime, out: Outbound, ref: Ref, circuit: Circuit) -> None:
    """Brings one webhook as far as it goes now, and tells the circuit of its target how that was."""
    now = rt.clock()
    point("before_webhook_claim")
    with rt.db.begin() as conn:
        claim = webhooks.claim(conn, ref, now)
        call = None if claim is None else _call(rt, conn, claim, now)
    point("after_webhook_claim")
    if claim is None or call is None:
        return
    webhook = claim.webhook
    try:
        answer = fetch_out(out, call.method, call.url, call.headers, call.body)
    except DeliveryError as error:
        if error.code == CHANNEL_DOWN and circuit.open_until(rt.clock()) is None:
            circuit.failed(rt.clock())
        _end(rt, claim, _Result(error.message, permanent=error.permanent))
    except Exception as error:
        log.exception("webhook_broke", webhook=webhook.id)
        _end(rt, claim, _Result(f"{type(error).__name__}: {error}"))
    else:
        point("before_webhook_outcome")
        result = _read(answer, rt.clock())
        if result.not_before is not None and answer.status in (429, 503):
            circuit.hold(min(result.not_before, rt.clock() + LONGEST_HOLD))
        else:
            circuit.succeeded()
        _end(rt, claim, result)


def _call(rt: Runtime, conn: Connection, claim: Claim, now: datetime) -> Call | None:
    """What goes out; None where it must not go out any more, and then it has ended."""
    webhook = claim.webhook
    if webhook.attempts >= MOST_ATTEMPTS:
        webhooks.failed(conn, claim, webhook.reason or "given_up", webhook.answered, now)
        return None
    try:
        if webhook.kind == "rule":
            return signed_call(webhook, _secret(rt, conn, webhook), now)
        return (push_call if webhook.kind == "push" else hook_call)(rt, conn, webhook, now)
    except Withheld as withheld:
        webhooks.skipped(conn, claim, str(withheld), now)
        log.info("webhook_withheld", webhook=webhook.id, reason=str(withheld))
        return None


def _secret(rt: Runtime, conn: Connection, webhook: Webhook) -> str:
    """What a rule's webhook is signed with; raises Withheld where it must not go out any more.

    What is asked: is its site there, is its rule active, is its visitor known, and do they still agree to what the site
    asks for before it tells others of them. Not whether the audience still holds, nor whether somebody has
    unsubscribed: it is no message, and tells of something that has happened.
    """
    site = rt.sites.by_id(webhook.site_id)
    rule = get_rule(conn, webhook.site_id, webhook.rule_id)
    if site is None or rule is None or rule.status != "active":
        raise Withheld("rule_paused")
    profile = visitors.load_profile(conn, webhook.visitor_id)
    if profile is None:
        raise Withheld("erased")
    if call_out_lacks(site, rule.document.get("category"), profile) is not None:
        raise Withheld("no_consent")
    return webhook_secret(site.secret_key)


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of a try; `reason` None: delivered."""

    reason: str | None
    answered: int | None = None
    permanent: bool = False
    not_before: datetime | None = None


def _read(answer: Answer, now: datetime) -> _Result:
    said = verdict(answer.status)
    if said == "delivered":
        return _Result(None, answer.status)
    text = "".join(each if each.isprintable() else " " for each in answer.body[:2_000].decode("utf-8", "replace"))
    reason = " ".join(f"{answer.status} {text}".split())
    if 300 <= answer.status < 400:
        reason = f"{answer.status}: redirects are not followed"
    asked = retry_after(answer.headers.get("retry-after"), now)
    return _Result(reason, answer.status, permanent=said == "failed", not_before=asked)


def retry_after(text: str | None, now: datetime) -> datetime | None:
    """The moment that a `Retry-After` header names, as seconds or as a date; None where there is none."""
    if text is None:
        return None
    text = text.strip()
    try:
        if text.isascii() and text.isdigit():
            return now + timedelta(seconds=min(int(text[:9]), 10**8))
        moment = parsedate_to_datetime(text)
        return max(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC), now)
    except (ValueError, TypeError, OverflowError):
        return None


def _end(rt: Runtime, claim: Claim, result: _Result) -> None:
    """Writes the outcome, and tries hard: without it what was delivered is sent once more."""
    for pause in (0.1, 0.5, 2.0, None):
        try:
            with rt.db.begin() as conn:
                written = _write(conn, claim, result, rt.clock())
        except Exception:
            if pause is None:
                raise
            log.warning("webhook_outcome_not_written", webhook=claim.webhook.id, exc_info=True)
            time.sleep(pause)
        else:
            if not written:
                log.warning("webhook_outcome_too_late", webhook=claim.webhook.id)
            return


def _write(conn: Connection, claim: Claim, result: _Result, now: datetime) -> bool:
    webhook = claim.webhook
    if result.reason is None:
        assert result.answered is not None
        log.info("webhook_delivered", webhook=webhook.id, status=result.answered)
        return webhooks.delivered(conn, claim, result.answered, now)
    reason = result.reason[:LONGEST_REASON]
    due = next_try(webhook.attempts + 1, now, webhook.expires_at, result.not_before)
    log.warning("webhook_not_delivered", webhook=webhook.id, reason=reason, permanent=result.permanent)
    after_call(conn, webhook, result.answered)
    if result.permanent or due is None:
        return webhooks.failed(conn, claim, reason, result.answered, now)
    return webhooks.again(conn, claim, due + jitter((due - now) / 10), reason, result.answered)


@dataclass(slots=True)
class _Target:
    """One host and port of one site: what waits for it, how many calls are on their way, whether it is up."""

    circuit: Circuit = field(default_factory=Circuit)
    waiting: deque[Ref] = field(default_factory=deque)
    calls: int = 0


class Callers:
    """Some threads that call webhooks, target by target in turn, each for itself."""

    def __init__(self, rt: Runtime, out: Outbound | None = None, threads: int = THREADS) -> None:
        self._rt = rt
        self._out = out if out is not None else Outbound(allowed=Allowed.of(rt.settings.allow_private))
        self._targets: OrderedDict[str, _Target] = OrderedDict()
        self._held: set[Ref] = set()
        self._change = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, daemon=True, name=f"webhook-{n}") for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def add(self, refs: Sequence[Ref]) -> None:
        """Takes these up as far as they are due; what is too much for their targets now is put off."""
        now = self._rt.clock()
        with self._rt.db.read() as conn:
            found = webhooks.targets(conn, refs, now)
        busy: list[Ref] = []
        down: list[tuple[datetime, Ref]] = []
        with self._change:
            for ref, name in found:
                target = self._target(name)
                until = target.circuit.open_until(now)
                if ref in self._held:
                    continue
                if until is not None:
                    down.append((until, ref))
                elif len(target.waiting) >= MOST_HELD:
                    busy.append(ref)
                else:
                    target.waiting.append(ref)
                    self._held.add(ref)
            self._change.notify_all()
        self._put_off([*down, *((now + BUSY, ref) for ref in busy)])

    def close(self, seconds: float = 15.0) -> None:
        """Begins nothing more, and waits for what is on its way; what was not begun is found again by the tick."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _target(self, name: str) -> _Target:
        if name not in self._targets:
            if len(self._targets) >= MOST_TARGETS:
                idle = [each for each, target in self._targets.items() if not target.waiting and not target.calls]
                for each in idle[: MOST_TARGETS // 2]:
                    del self._targets[each]
            self._targets[name] = _Target()
        return self._targets[name]

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._stopping and (name := self._next()) is None:
                    self._change.wait()
                if self._stopping:
                    return
                assert name is not None
                target = self._targets[name]
                ref = target.waiting.popleft()
                target.calls += 1
            try:
                deliver_webhook(self._rt, self._out, ref, target.circuit)
            except Exception:
                log.exception("webhook_failed", webhook=ref[1])
            finally:
                self._done(target, ref)

    def _next(self) -> str | None:
        """The target whose turn it is; it goes to the end of the line."""
        for name, target in self._targets.items():
            if target.waiting and target.calls < PER_TARGET:
                self._targets.move_to_end(name)
                return name
        return None

    def _done(self, target: _Target, ref: Ref) -> None:
        """Lets the next call begin; where the target is down, what waits for it goes back into the table."""
        dropped: list[Ref] = []
        with self._change:
            target.calls -= 1
            self._held.discard(ref)
            until = target.circuit.open_until(self._rt.clock())
            if until is not None:
                dropped = list(target.waiting)
                target.waiting.clear()
                self._held.difference_update(dropped)
            self._change.notify_all()
        if until is not None:
            self._put_off([(until, each) for each in dropped])

    def _put_off(self, later: Iterable[tuple[datetime, Ref]]) -> None:
        """Writes when to try these; where that fails they are due still, and the tick finds them."""
        by_moment: dict[datetime, list[Ref]] = {}
        for moment, ref in later:
            by_moment.setdefault(moment, []).append(ref)
        for moment, refs in by_moment.items():
            try:
                with self._rt.db.begin() as conn:
                    webhooks.defer(conn, refs, moment + jitter(SLACK))
            except Exception:
                log.warning("webhooks_not_put_off", webhooks=len(refs), exc_info=True)
