"""The step `call hook`: what a hook or an operator's browser was promised, as it goes out now; or why not any more."""

import json
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from typing import Any

from backend.channels import web_push
from backend.channels.outbound import Allowed
from backend.domain.conversation import Conversation
from backend.domain.hook import slack_body
from backend.domain.mention import mentions_of
from backend.domain.notice import mention_body, notice_body
from backend.domain.webhook import Webhook, sign, webhook_secret
from backend.pipeline.promise import visitor_name
from backend.runtime import Runtime
from backend.storage import conversations, hooks, notices, operators, parts, visitors
from backend.storage.database import Connection

GONE = frozenset({404, 410})
"""What a push service answers when a browser does not want to be called any more."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, complete."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Withheld(Exception):
    """It must not go out any more; the text is the reason that is noted."""


def signed_call(webhook: Webhook, secret: str, now: datetime, body: bytes | None = None) -> Call:
    """The request of a webhook, signed at this moment; `body` where something else than its own goes out."""
    told = json.dumps(webhook.body).encode() if body is None else body
    headers = {
        **webhook.headers,
        "Content-Type": "application/json",
        "User-Agent": "chimein-webhook",
        "Idempotency-Key": webhook.id,
        **sign(secret, webhook.id, now, told),
    }
    return Call(webhook.method, webhook.url, headers, told)


def hook_call(rt: Runtime, connection: Connection, webhook: Webhook, now: datetime) -> Call:
    """What a hook is told; raises Withheld where it was switched off, or who it tells of was erased."""
    site = rt.sites.by_id(webhook.site_id)
    hook = hooks.get(connection, webhook.site_id, webhook.hook_id or "")
    if site is None or hook is None or not hook.active:
        raise Withheld("hook_paused")
    if visitors.load_profile(connection, webhook.visitor_id) is None:
        raise Withheld("erased")
    body = None
    if hook.format == "slack":
        url = console_address(rt, site.name, webhook.body["conversation"]["id"])
        body = json.dumps(slack_body(webhook.body, url)).encode()
    return signed_call(webhook, webhook_secret(site.secret_key), now, body)


def push_call(rt: Runtime, connection: Connection, webhook: Webhook, now: datetime) -> Call:
    """What an operator's browser is told; raises Withheld where nobody waits, or the operator may not know of it.

    A note that mentions them (`part_id`) is told whoever waits and whoever answers.
    """
    site = rt.sites.by_id(webhook.site_id)
    told = conversations.find(connection, webhook.site_id, webhook.body["conversation_id"])
    found = notices.get(connection, webhook.site_id, webhook.hook_id or "")
    mention = "part_id" in webhook.body
    if site is None or told is None or (told.waiting_since is None and not mention):
        raise Withheld("answered")
    if found is None:
        raise Withheld("unsubscribed")
    if told.assignee_id not in (None, found.operator_id) and not mention:
        raise Withheld("assigned")
    if web_push.refused(found.endpoint, Allowed.of(rt.settings.allow_private)) is not None:
        raise Withheld("target_refused")
    if mention:
        body = _mention(connection, told, webhook, found.operator_id, site.name)
    else:
        body = notice_body(told, visitor_name(visitors.load_profile(connection, told.visitor_id)), site.name)
    note = {**body, "url": console_address(rt, site.name, told.id)}
    headers, sealed = web_push.request(
        found.endpoint,
        found.p256dh,
        found.auth,
        note,
        web_push.push_key(rt.settings.secret_key),
        subject=_subject(rt),
        now=now,
        lasts=webhook.expires_at - now,
        topic=told.id[:32],
    )
    return Call("POST", found.endpoint, headers, sealed)


def _mention(
    connection: Connection, conversation: Conversation, webhook: Webhook, operator_id: str, site: str
) -> dict[str, Any]:
    part = parts.find(connection, conversation.visitor_id, str(webhook.body["part_id"]))
    if part is None or operator_id not in {each["id"] for each in mentions_of(part.content)}:
        raise Withheld("taken_back")
    names = operators.names(connection, {part.author_id} if part.author_id else set())
    return mention_body(conversation, part, names.get(part.author_id or ""), site)


def after_call(connection: Connection, webhook: Webhook, answered: int | None) -> None:
    """Forgets a browser that does not want to be called any more."""
    if webhook.kind != "push" or answered not in GONE:
        return
    found = notices.get(connection, webhook.site_id, webhook.hook_id or "")
    if found is not None:
        notices.expired(connection, found.endpoint)


def console_address(rt: Runtime, site: str, conversation_id: str = "") -> str:
    """Where operators find a conversation, or (without one) all of a site's."""
    return f"{rt.settings.public_url}/console/{site}/inbox" + (f"/{conversation_id}" if conversation_id else "")


def _subject(rt: Runtime) -> str:
    """How a push service reaches whoever runs this."""
    if rt.settings.public_url.startswith("https://"):
        return rt.settings.public_url
    return "mailto:" + (parseaddr(rt.settings.mail_from)[1] or "chimein@localhost")
