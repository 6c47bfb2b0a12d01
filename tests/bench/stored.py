"""A database that has been in use for long: visitors with their profiles and events, written in bulk."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from backend.domain.fold import fold
from backend.domain.identity import anonymous_visitor
from backend.domain.profile import Profile
from backend.runtime import Runtime
from backend.schemas.documents import encode_profile
from backend.schemas.event import event_of, received_at_of
from backend.schemas.wire import Header, decode_logged_event
from backend.storage import bulk, sites
from backend.storage.events import row_of
from backend.storage.tables import events as events_table
from backend.storage.tables import visitors as visitors_table
from backend.storage.times import to_micros
from tests.bench import events

TURN = 5_000
"""Events of one turn of the mix; the turns after it are the same visitors' doubles."""


def site_with(rt: Runtime, count: int) -> Any:
    """A new site with `count` stored events of the mix, about three a visitor."""
    site = sites.new_site("stored")
    with rt.db.begin() as connection:
        sites.create_site(connection, rt.sites.vault, site, rt.clock())
    visitors, told = _turn(site.id)
    for turn in range(-(-count // TURN)):
        ids = {who: anonymous_visitor(site.id, f"{who}-{turn}") for who in visitors}
        with rt.db.begin() as connection:
            bulk.insert_rows(connection, visitors_table, list(_visitor_rows(site.id, visitors, ids, turn)))
            rows = islice(_event_rows(told, ids, turn), count - turn * TURN)
            bulk.insert_rows(connection, events_table, list(rows))
    return site


def _turn(site_id: str) -> tuple[dict[str, Profile], list[tuple[str, tuple[Any, ...]]]]:
    """The profiles of the mix by browser, and its events as (browser, row)."""
    profiles: dict[str, Profile] = {}
    told: list[tuple[str, tuple[Any, ...]]] = []
    for order, call in enumerate(events.mix(TURN)):
        who = str(call["anonymousId"]).removesuffix("-0")
        call["anonymousId"] = f"{who}-@"
        body = msgspec.json.encode(call)
        logged = decode_logged_event(body)
        header = Header(1, site_id, to_micros(logged.timestamp))
        event = event_of(logged, header, received_at_of(header), 0, order, None)
        before = profiles.get(who) or Profile(id="@" * 32, site_id=site_id, person="@" * 32)
        profiles[who] = fold(before, event)
        told.append((who, row_of("", site_id, event, body.decode())))
    return profiles, told


def _visitor_rows(
    site_id: str, profiles: dict[str, Profile], ids: dict[str, str], turn: int
) -> Iterator[tuple[Any, ...]]:
    for who, profile in profiles.items():
        text = encode_profile(profile).replace("@" * 32, ids[who]).replace(f"{who}-@", f"{who}-{turn}")
        seen = to_micros(profile.last_seen) if profile.last_seen is not None else 0
        yield ids[who], site_id, None, None, None, profile.stage, seen, text, None


def _event_rows(told: list[tuple[str, tuple[Any, ...]]], ids: dict[str, str], turn: int) -> Iterator[tuple[Any, ...]]:
    for who, row in told:
        message_id = f"{row[1]}-{turn}"
        yield ids[who], message_id, *row[2:8], row[8].replace(f"{who}-@", f"{who}-{turn}")
