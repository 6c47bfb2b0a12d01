"""Everything that is kept of a person, told piece by piece: a long history is never in memory as a whole."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.pipeline import access
from backend.runtime import Runtime
from backend.schemas.conversation import ConversationOut, PartOut, conversation_view, part_view
from backend.schemas.enrolment import EnrolmentOut, enrolment_view
from backend.schemas.export import StandingOut, standings_view
from backend.schemas.merge import MergeRecordOut, merge_view
from backend.schemas.message import MessageOut, message_view
from backend.schemas.privacy import AccessOut, ChoiceOut, access_view
from backend.schemas.stored_event import EventOut, event_view
from backend.schemas.visitor import VisitorOut
from backend.schemas.webhook import WebhookOut, webhook_view
from backend.storage import (
    access_log,
    conversations,
    enrolments,
    events,
    merges,
    messages,
    parts,
    segments,
    visitors,
    webhooks,
)
from backend.storage.database import Connection
from backend.web.shown import view_of

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Part:
    """One list of the export: `read` answers the next items behind a place, `place` where an item stands."""

    name: str
    kind: str
    read: Callable[[Connection, Any], Sequence[Any]]
    place: Callable[[Any], Any]
    view: Callable[[Any], Mapping[str, Any]]
    schema: Schema

    def items(self, rt: Runtime) -> Iterator[Any]:
        """Every item as it is written."""
        before = None
        while True:
            with rt.db.read() as connection:
                found = self.read(connection, before)
            for item in found:
                yield self.schema.dump(self.view(item))
            if len(found) < AT_ONCE:
                return
            before = self.place(found[-1])


def export_whole(rt: Runtime, site: Site, profile: Profile) -> Iterator[str]:
    """The export as one JSON object."""
    yield '{"visitor": ' + _json(_visitor(rt, site, profile))
    for part in _parts(rt, site, profile):
        yield f', "{part.name}": ['
        for index, item in enumerate(part.items(rt)):
            yield (", " if index else "") + _json(item)
        yield "]"
    yield "}"


def export_lines(rt: Runtime, site: Site, profile: Profile) -> Iterator[str]:
    """The export as lines, each with its `kind`."""
    yield _json({"kind": "visitor", **_visitor(rt, site, profile)}) + "\n"
    for part in _parts(rt, site, profile):
        for item in part.items(rt):
            yield _json({"kind": part.kind, **item}) + "\n"


def _visitor(rt: Runtime, site: Site, profile: Profile) -> dict[str, Any]:
    told: dict[str, Any] = VisitorOut().dump(view_of(rt, site, profile))
    return told


def _parts(rt: Runtime, site: Site, profile: Profile) -> Iterator[_Part]:
    members = visitors.members_of(profile)
    looks = [name for each in members for name in access.names_of(rt, site.id, each)]
    yield _Part(
        "events",
        "event",
        lambda conn, before: events.list_events(conn, members, AT_ONCE, before),
        events.cursor_of,
        event_view,
        EventOut(),
    )
    yield _Part(
        "messages",
        "message",
        lambda conn, before: messages.list_messages(conn, site.id, visitor_ids=members, limit=AT_ONCE, before=before),
        messages.cursor_of,
        message_view,
        MessageOut(),
    )
    yield _Part(
        "webhooks",
        "webhook",
        lambda conn, before: webhooks.list_webhooks(conn, site.id, visitor_ids=members, limit=AT_ONCE, before=before),
        webhooks.cursor_of,
        webhook_view,
        WebhookOut(),
    )
    yield _Part(
        "enrolments",
        "enrolment",
        lambda conn, before: enrolments.list_enrolments(conn, members, AT_ONCE, before),
        enrolments.cursor_of,
        enrolment_view,
        EnrolmentOut(),
    )
    yield from _talk(site, members)
    yield _Part(
        "merges",
        "merge",
        lambda conn, before: merges.list_merges(conn, members, AT_ONCE, before),
        merges.cursor_of,
        merge_view,
        MergeRecordOut(),
    )
    yield _once("consents", "consent", list(reversed(profile.consents)), lambda each: each, ChoiceOut())
    with rt.db.read() as connection:
        names = segments.known(connection, site.id)
    yield _once("segments", "segment", standings_view(profile, names), lambda each: each, StandingOut())
    yield _Part(
        "access_log",
        "access",
        lambda conn, before: access_log.list_looks(conn, site.id, visitors=looks, limit=AT_ONCE, before=before),
        access_log.place,
        access_view,
        AccessOut(),
    )


def _talk(site: Site, members: Sequence[str]) -> Iterator[_Part]:
    yield _Part(
        "conversations",
        "conversation",
        lambda conn, before: conversations.list_conversations(
            conn, site.id, visitor_ids=members, limit=AT_ONCE, before=before
        ),
        conversations.place,
        conversation_view,
        ConversationOut(),
    )
    yield _Part(
        "parts",
        "part",
        lambda conn, before: parts.list_of_visitors(conn, members, AT_ONCE, before),
        parts.place,
        part_view,
        PartOut(),
    )


def _once(name: str, kind: str, items: Sequence[Any], view: Callable[[Any], Any], schema: Schema) -> _Part:
    """What is at hand already."""
    return _Part(name, kind, lambda _, before: items if before is None else (), lambda _: 0, view, schema)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
