"""What is a webhook? One request that is promised to the site's own systems, signed, and repeated until answered.

Rules promise them, and hooks: what the site wants to be told of conversations (see `hook`). What an operator's browser
is told goes the same way (see `notice`).

It is signed by the convention of Standard Webhooks (standardwebhooks.com): the receiver can tell who sent it, when, and
whether it has it already, for every try carries the same id.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from backend.domain.identity import derive

STATUSES = (
    "queued",  # promised: waits for its next try
    "sending",  # a worker has it
    "delivered",  # answered with 2xx
    "failed",  # refused for good, or given up
    "skipped",  # its rule or hook was paused or removed before it went out
)

METHODS = ("POST", "PUT")

BACK_OFF = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)
"""How long to wait after the first, second, … failure; the last one repeats."""

GIVE_UP = timedelta(hours=24)
"""So long after the promise a webhook is tried for the last time."""

SHORTEST_RETENTION = timedelta(days=1)
"""So long at least a webhook that came to its end is kept: its receiver may still ask what became of it."""

MOST_ATTEMPTS = 50
"""After so many it ends in any case; only one that kills its workers comes so far."""

LONGEST_BODY = 128 * 1024
"""Bytes."""

LATER = frozenset({408, 425, 429})
"""Statuses of the 4xx that say: not now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """One promised request. `headers` and `body` are complete but for what is signed at the moment of sending.

    `id` begins with the visitor's id and a dot, so that the row can be found by it; `target` is host and port; `step`
    is the step of the rule; `reason` says what came of the last try, `answered` is the status of its answer. `kind`
    says who promised it: a rule, a hook (`hook_id`; then `step` is what happened), or a push to the browser `hook_id`.
    """

    id: str
    site_id: str
    visitor_id: str
    rule_id: str
    enrolment_id: str
    step: str
    method: str
    url: str
    target: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    created_at: datetime
    expires_at: datetime
    due_at: datetime
    status: str = "queued"
    reason: str | None = None
    answered: int | None = None
    attempts: int = 0
    ended_at: datetime | None = None
    kind: str = "rule"
    hook_id: str | None = None


def webhook_id(visitor_id: str, enrolment_id: str, step: str) -> str:
    """The id of the webhook that this step of this enrolment sends; the same each time."""
    return f"{visitor_id}.{derive('webhook', enrolment_id, step)}"


def webhook_secret(secret_key: str) -> str:
    """The secret that the site's webhooks are signed with, as the receiver's library takes it."""
    made = hmac.new(secret_key.encode(), b"chimein webhook secret", sha256).digest()
    return "whsec_" + base64.b64encode(made).decode()


def sign(secret: str, webhook_id: str, moment: datetime, body: bytes) -> dict[str, str]:
    """The headers that prove who sends this body, and when."""
    seconds = str(int(moment.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{webhook_id}.{seconds}.".encode() + body, sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def verdict(status: int) -> Literal["delivered", "failed", "again"]:
    """What an answer's status means: it is done, it is no use, or it is to be tried again."""
    if 200 <= status < 300:
        return "delivered"
    return "failed" if 400 <= status < 500 and status not in LATER else "again"


def next_try(attempts: int, now: datetime, expires_at: datetime, not_before: datetime | None = None) -> datetime | None:
    """When to try again after failure number `attempts` (from 1); None where it is given up.

    `not_before` is what the receiver asked for.
    """
    if now >= expires_at or attempts >= MOST_ATTEMPTS or (not_before is not None and not_before > expires_at):
        return None
    wait = BACK_OFF[min(attempts, len(BACK_OFF)) - 1]
    due = min(now + wait, expires_at)
    return due if not_before is None else max(due, not_before)
