"""The step `signal`: something that no page did is put into the log for a visitor, and takes its turn there."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from backend.domain.event import SIGNAL
from backend.domain.profile import Profile
from backend.runtime import Runtime
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage.log import partition_of
from backend.storage.times import to_micros

VERSION = 1


def send_signals(
    rt: Runtime, site_id: str, name: str, rule_id: str | None, told: Sequence[tuple[Profile, str, Mapping[str, Any]]]
) -> int:
    """Puts one signal of this name for each `(visitor, message id, properties)` into the log; returns how many.

    The message id makes it take effect once, however often it is sent. A visitor without any id cannot be named and is
    left out. Raises `Unavailable` when the log does not take it.
    """
    now = rt.clock()
    groups: dict[int, list[dict[str, Any]]] = {}
    for profile, message_id, properties in told:
        who = _named(profile)
        if who is None:
            continue
        key, ids = who
        event = {
            "type": SIGNAL,
            "event": name,
            "messageId": message_id,
            "timestamp": _written(now),
            "properties": dict(properties) if rule_id is None else {**properties, "rule_id": rule_id},
            **ids,
        }
        groups.setdefault(partition_of(key, rt.log.partitions), []).append(event)
    header = wire.encode_header(Header(VERSION, site_id, to_micros(now), 0))
    if groups:
        rt.log.append([(partition, header, wire.encode_json(group)) for partition, group in groups.items()])
    return sum(len(group) for group in groups.values())


def _named(profile: Profile) -> tuple[str, dict[str, str]] | None:
    """The visitor's key in the log and the ids by which the event names them."""
    if profile.user_id is not None:
        return profile.user_id, {"userId": profile.user_id}
    if profile.anonymous_ids:
        return profile.anonymous_ids[-1], {"anonymousId": profile.anonymous_ids[-1]}
    return None


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
