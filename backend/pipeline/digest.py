"""The step `digest`: operators learn by mail of conversations that nobody answers; once an hour at most."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from backend.channels.base import Channel, Delivery
from backend.domain.conversation import Conversation
from backend.domain.desk import desk_of
from backend.domain.identity import derive
from backend.domain.message import Message
from backend.domain.notice import SELDOM, digest_lines
from backend.domain.site import Site
from backend.errors import DeliveryError
from backend.pipeline.call_hook import console_address
from backend.pipeline.promise import visitor_name
from backend.runtime import Runtime
from backend.storage import notices, sites, visitors

log = structlog.get_logger(__name__)

MOST = 1_000
"""Conversations of a site that are looked at, those that wait longest."""

AGAIN = timedelta(minutes=5)
"""When a mail that the server did not take is tried again."""


def send_digests(rt: Runtime, channel: Channel) -> int:
    """Mails each operator whom a conversation concerns that waits too long and that no earlier mail told of.

    A conversation concerns its assignee, or, without one, all members of its site. Returns how many mails went out.
    """
    now = rt.clock()
    waiting, found = _waiting(rt, now)
    if not waiting:
        return 0
    with rt.db.read() as connection:
        readers = notices.readers(connection, waiting)
        people = {person: (name, email) for group in readers.values() for person, name, email in group}
        until = notices.told_until(connection, people, now)
    sent = 0
    for operator_id, told_until in sorted(until.items(), key=lambda each: each[0]):
        mine = [
            each
            for site_id, group in waiting.items()
            if any(person == operator_id for person, *_ in readers[site_id])
            for each in group
            if each.assignee_id in (None, operator_id)
        ]
        if any(told_until is None or _overdue(each, found) > told_until for each in mine):
            sent += _send(rt, channel, operator_id, people[operator_id], mine, found, now)
    return sent


def _waiting(rt: Runtime, now: datetime) -> tuple[dict[str, list[Conversation]], dict[str, Site]]:
    """Who waits too long, by site; sites where nobody does are left out."""
    waiting: dict[str, list[Conversation]] = {}
    with rt.db.read() as connection:
        found = {each.id: each for each in sites.all_sites(connection, rt.sites.vault)}
        for site in found.values():
            after = desk_of(site.policy.desk).digest_after
            if after is not None and (late := notices.overdue(connection, site.id, now - after, MOST)):
                waiting[site.id] = late
    return waiting, found


def _overdue(each: Conversation, found: Mapping[str, Site]) -> datetime:
    """Since when it waits too long."""
    after = desk_of(found[each.site_id].policy.desk).digest_after
    assert each.waiting_since is not None
    assert after is not None
    return each.waiting_since + after


def _send(
    rt: Runtime,
    channel: Channel,
    operator_id: str,
    reader: tuple[str, str],
    mine: Sequence[Conversation],
    found: Mapping[str, Site],
    now: datetime,
) -> bool:
    with rt.db.begin() as connection:
        if not notices.take(connection, operator_id, now):
            return False
        names: dict[str, str] = {}
        for each in mine[:20]:
            name = visitor_name(visitors.load_profile(connection, each.visitor_id))
            names |= {each.id: name} if name is not None else {}
    mine = sorted(mine, key=lambda each: _overdue(each, found))
    site = found[mine[0].site_id]
    try:
        with channel.session() as session:
            session.send(_delivery(rt, operator_id, reader, mine, names, found, site, now), lambda: None)
    except DeliveryError as error:
        log.warning("digest_not_sent", operator=operator_id, reason=error.message[:200])
        if not error.ambiguous and not error.permanent:
            with suppress(Exception), rt.db.begin() as connection:
                notices.give_back(connection, operator_id, now - SELDOM + AGAIN)
        return False
    with rt.db.begin() as connection:
        notices.told(connection, operator_id, max(_overdue(each, found) for each in mine))
    log.info("digest_sent", operator=operator_id, conversations=len(mine))
    return True


def _delivery(
    rt: Runtime,
    operator_id: str,
    reader: tuple[str, str],
    mine: Sequence[Conversation],
    names: Mapping[str, str],
    found: Mapping[str, Site],
    site: Site,
    now: datetime,
) -> Delivery:
    count = len(mine)
    title = "1 conversation waits for an answer" if count == 1 else f"{count} conversations wait for an answer"
    lines = digest_lines(mine, names, {each: found[each].name for each in found}, now)
    message = Message(
        id=derive("digest", operator_id, now.isoformat()),
        site_id=site.id,
        visitor_id="",
        rule_id="",
        enrolment_id="",
        channel="email",
        variant="",
        content={
            "subject": title,
            "title": title,
            "body": "\n\n".join(lines),
            "button": {"text": "Open the inbox", "url": console_address(rt, site.name)},
        },
        created_at=now,
        expires_at=now,
        due_at=now,
        address=reader[1],
    )
    return Delivery(message=message, site=site, now=now, name=reader[0], page_url=rt.settings.public_url)
