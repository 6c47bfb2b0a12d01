"""The step `promise`: who is to be told of a new part is promised it in the part's own transaction.

So nothing is told that did not happen, and nothing that happened is left untold, whoever dies when. It costs one
look-up a transaction in which somebody speaks, and none in any other.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.domain.conversation import Conversation, Part
from backend.domain.hook import Hook, happened
from backend.domain.mention import mentions_of
from backend.domain.notice import USELESS_AFTER, Subscription, called
from backend.domain.profile import Profile
from backend.domain.reach import receiver_name
from backend.domain.web_address import parse_web_address
from backend.domain.webhook import GIVE_UP, LONGEST_BODY, Webhook, webhook_id
from backend.schemas.conversation import desk_note
from backend.schemas.fields import format_moment
from backend.storage import hooks, notices, visitors, webhooks
from backend.storage.database import Connection
from backend.storage.webhooks import Ref


class Promises:
    """What is promised within one transaction."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._hooks: dict[str, list[Hook]] = {}
        self._subscribed: dict[tuple[str, str | None], list[Subscription]] = {}

    def take(self, before: Conversation, after: Conversation, part: Part) -> list[Ref]:
        """Promises to tell hooks and operators' browsers of a part that was just added; the webhooks to ring for."""
        made = [*self._told(before, after, part), *self._calls(before, after, part), *self._mentions(part)]
        if made:
            webhooks.insert(self._connection, made)
        return [(each.visitor_id, each.id) for each in made]

    def mention(self, part: Part) -> None:
        """Promises whom this changed note mentions to be told of it; once, however often it is changed."""
        webhooks.insert(self._connection, self._mentions(part))

    def _mentions(self, part: Part) -> list[Webhook]:
        if part.kind != "note" or part.deleted_at is not None:
            return []
        mentioned = {str(each["id"]) for each in mentions_of(part.content)} - {part.author_id}
        return [
            self._call(part, browser, {"conversation_id": part.conversation_id, "part_id": part.id})
            for operator_id in sorted(mentioned)
            for browser in self._browsers(part.site_id, operator_id)
        ]

    def _told(self, before: Conversation, after: Conversation, part: Part) -> list[Webhook]:
        if after.site_id not in self._hooks:
            self._hooks[after.site_id] = hooks.listening(self._connection, [after.site_id])
        listening = self._hooks[after.site_id]
        what = happened(before, after, part) if listening else ()
        wanted = [(name, hook) for name in what for hook in listening if name in hook.events]
        if not wanted:
            return []
        profile = visitors.load_profile(self._connection, after.visitor_id)
        return [self._webhook(name, hook, after, part, profile) for name, hook in wanted]

    def _webhook(self, name: str, hook: Hook, after: Conversation, part: Part, profile: Profile | None) -> Webhook:
        return Webhook(
            id=webhook_id(after.visitor_id, hook.id, f"{name} {part.id}"),
            site_id=after.site_id,
            visitor_id=after.visitor_id,
            rule_id="",
            enrolment_id="",
            step=name,
            method="POST",
            url=hook.url,
            target=parse_web_address(hook.url).target,
            headers={},
            body=_body(name, after, part, profile),
            created_at=self._now,
            expires_at=self._now + GIVE_UP,
            due_at=self._now,
            kind="hook",
            hook_id=hook.id,
        )

    def _calls(self, before: Conversation, after: Conversation, part: Part) -> list[Webhook]:
        if not called(before, after, part):
            return []
        found = self._browsers(after.site_id, after.assignee_id)
        return [self._call(part, each, {"conversation_id": after.id}) for each in found]

    def _browsers(self, site_id: str, operator_id: str | None) -> list[Subscription]:
        """Where to call an operator, or (None) everybody of the site."""
        key = site_id, operator_id
        if key not in self._subscribed:
            self._subscribed[key] = notices.subscribed(self._connection, *key)
        return self._subscribed[key]

    def _call(self, part: Part, browser: Subscription, body: Mapping[str, Any]) -> Webhook:
        return Webhook(
            id=webhook_id(part.visitor_id, browser.id, f"push {part.id}"),
            site_id=part.site_id,
            visitor_id=part.visitor_id,
            rule_id="",
            enrolment_id="",
            step="push",
            method="POST",
            url="",  # the endpoint is a secret of the browser's, and stands with the subscription alone
            target=parse_web_address(browser.endpoint).target,
            headers={},
            body=body,
            created_at=self._now,
            expires_at=self._now + USELESS_AFTER,
            due_at=self._now,
            kind="push",
            hook_id=browser.id,
        )


def _body(name: str, after: Conversation, part: Part, profile: Profile | None) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "type": name,
        "site_id": after.site_id,
        "at": format_moment(part.at),
        "visitor": {
            "id": profile.id if profile is not None else after.visitor_id,
            "user_id": profile.user_id if profile is not None else None,
            "name": visitor_name(profile),
        },
        **desk_note(after, part),
    }
    if len(json.dumps(told)) > LONGEST_BODY:
        told["part"] = {**told["part"], "content": {}}
    return told


def visitor_name(profile: Profile | None) -> str | None:
    """How a visitor is called, as far as they told, cut to what a line can hold."""
    name = receiver_name(profile.traits) if profile is not None else None
    return name[:200] if name is not None else None
