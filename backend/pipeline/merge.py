"""The verb `merge`: somebody says that two visitors are one person; as a preview first, then until it is undone."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from backend.domain.calendar import zone_of
from backend.domain.engine import superfluous
from backend.domain.exposure import find
from backend.domain.identity import derive
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.domain.tally import exposure_deltas
from backend.errors import Conflict, Invalid, NotFound
from backend.pipeline import persons as people
from backend.pipeline.count import add_deltas
from backend.pipeline.persons import Persons
from backend.runtime import Runtime
from backend.storage import enrolments, rules, segments, visitors
from backend.storage.database import Connection, is_transient
from backend.storage.merges import Merge

log = structlog.get_logger(__name__)

TRIES = 5
"""Two who want the same visitors in another order: the database ends one of them, who tries again."""

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on which the two do not agree: what the merged profile has, and what it does not show any more."""

    field: str
    kept: Any
    dropped: Any


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged profile, and where the two differed; `merge` is None for a preview."""

    profile: Profile
    differences: list[Difference]
    merge: Merge | None = None


def preview(rt: Runtime, site: Site, visitor_id: str, other_id: str) -> Merged:
    """What `merge_visitors` would do; raises as it does, and changes nothing."""
    with rt.db.read() as connection:
        persons, into_id, member_id = _both(connection, site, visitor_id, other_id)
        return _merged(connection, persons, into_id, member_id)


def merge_visitors(rt: Runtime, site: Site, visitor_id: str, other_id: str, author: str) -> Merged:
    """Makes one person of two, who may both be known; raises NotFound, and Conflict where they are one already.

    The known one stays, of two alike the first. Whoever reads the log goes on with the merged person: segments are
    asked anew, and what would have been said twice is said once.
    """

    def work(connection: Connection) -> tuple[Merged, list[str]]:
        now = rt.clock()
        persons, into_id, member_id = _both(connection, site, visitor_id, other_id)
        told = [*visitors.members_of(persons.profiles[into_id]), *visitors.members_of(persons.profiles[member_id])]
        merged = _merged(connection, persons, into_id, member_id)
        merge = Merge(
            id=derive("merge", into_id, member_id, uuid4().hex),
            visitor_id=into_id,
            member_id=member_id,
            site_id=site.id,
            source="api",
            message_id="",
            at=now,
            author=author,
        )
        persons.journal.append(merge)
        persons.profiles[into_id] = joined = replace(merged.profile, wake_at=now)
        persons.save(connection)
        if joined.segments:
            segments.save_members(connection, [(None, joined)])
        for site_id, before, after in persons.joined:
            add_deltas(connection, site_id, exposure_deltas(before, after, zone_of(site.timezone)))
        return replace(merged, merge=merge), told

    merged, told = insist(rt, work)
    tell_moved(rt, told)
    return merged


def insist(rt: Runtime, work: Callable[[Connection], Done]) -> Done:
    """Does this in one transaction; again, where somebody who holds the same visitors was in the way."""
    for left in reversed(range(TRIES)):
        try:
            with rt.db.begin() as connection:
                return work(connection)
        except Exception as error:
            if not left or not is_transient(error):
                raise
    raise AssertionError("the last try returns or raises")


def tell_moved(rt: Runtime, ids: Collection[str]) -> None:
    """Lets the streams of these visitors begin anew, as whoever they are now."""
    try:
        rt.live.publish([(each, {"event": "moved"}) for each in dict.fromkeys(ids)])
    except Exception as error:
        log.warning("streams_not_told", reason=str(error)[:200])


def _both(connection: Connection, site: Site, visitor_id: str, other_id: str) -> tuple[Persons, str, str]:
    """The two persons behind these ids, locked: who stays, and who becomes part of them."""
    persons = people.load(connection, {visitor_id, other_id})
    for asked, name in ((visitor_id, "visitor"), (other_id, "with")):
        found = persons.profiles.get(persons.of(asked))
        if found is None or found.site_id != site.id:
            if name == "visitor":
                raise NotFound("There is no such visitor.")
            raise Invalid("The other visitor cannot be found.", {"with": ["There is no such visitor."]})
    one, other = persons.of(visitor_id), persons.of(other_id)
    if one == other:
        raise Conflict("They are one person already.")
    if persons.profiles[one].user_id is None and persons.profiles[other].user_id is not None:
        one, other = other, one
    return persons, one, other


def _merged(connection: Connection, persons: Persons, into_id: str, member_id: str) -> Merged:
    into, member = persons.profiles[into_id], persons.profiles[member_id]
    people.join(persons, into_id, member_id)
    joined = persons.profiles[into_id]
    found = _differences(into, member, joined) + _ending(connection, joined)
    return Merged(joined, found)


def _differences(into: Profile, member: Profile, joined: Profile) -> list[Difference]:
    found: list[Difference] = []
    if into.user_id is not None and member.user_id is not None:
        found.append(Difference("user_id", into.user_id, member.user_id))
    for name in sorted(into.traits.keys() & member.traits.keys()):
        mine, theirs = into.traits[name], member.traits[name]
        if mine != theirs:
            kept = joined.traits.get(name)
            found.append(Difference(f"traits.{name}", kept, theirs if kept == mine else mine))
    for each in into.exposures:
        other = find(member.exposures, each.rule_id, each.step)
        if other is not None and other.variant != each.variant:
            stays = find(joined.exposures, each.rule_id, each.step)
            kept = each.variant if stays is None else stays.variant
            dropped = other.variant if kept == each.variant else each.variant
            found.append(Difference(f"variants.{each.rule_id}{'.' + each.step if each.step else ''}", kept, dropped))
    return found


def _ending(connection: Connection, joined: Profile) -> list[Difference]:
    """Enrolments that wait and will end, because the other visitor is or was in the same rule."""
    groups: dict[str, list[Any]] = {}
    for each in enrolments.of_visitors(connection, visitors.members_of(joined)):
        groups.setdefault(each.rule_id, []).append(each)
    found: list[Difference] = []
    for rule_id, group in groups.items():
        stored = rules.get_rule(connection, joined.site_id, rule_id) if len(group) > 1 else None
        if stored is None:
            continue
        ends = superfluous(stored.rule().spec.reentry, group)
        kept = [each.id for each in group if each not in ends]
        found.extend(Difference(f"enrolments.{rule_id}", kept, each.id) for each in ends)
    return found
