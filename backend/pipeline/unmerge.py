"""The verb `unmerge`: a merge is taken back, also after further events; both are folded again from their own."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.calendar import zone_of
from backend.domain.engine import Ruleset, Segments, Staged, advance
from backend.domain.event import Event
from backend.domain.exposure import attended_until
from backend.domain.fold import fold_into, working_copy
from backend.domain.identifier import Reading
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile, new_profile
from backend.domain.site import Site
from backend.domain.tally import exposure_deltas
from backend.domain.unmerge import belongs, exposures_of, share
from backend.errors import Conflict, NotFound
from backend.pipeline import persons as people
from backend.pipeline.count import add_deltas
from backend.pipeline.merge import insist, tell_moved
from backend.runtime import Runtime
from backend.storage import enrolments, histories, merges, messages, segments, stage_entries, visitors
from backend.storage.database import Connection
from backend.storage.merges import Merge
from backend.storage.visitors import Stored

EVENTS_AT_ONCE = 5_000
ASKED_AT_ONCE = 100_000
"""Events up to which memberships and stages are followed through time; with more, memberships are asked as of now, and
entries into stages stay with whom they were written down for.
"""


@dataclass(frozen=True, slots=True)
class Unmerged:
    """The two as they are: who stays under the person's id, and who is somebody else again.

    `freed` is None where nothing was ever done under that id.
    """

    merge: Merge
    kept: Profile
    freed: Profile | None


def unmerge(rt: Runtime, site: Site, visitor_id: str, merge_id: str, author: str) -> Unmerged:
    """Takes a merge back; raises NotFound for none of this visitor, Conflict where that has been done.

    Each gets the events that name them, whenever those came, what waits for them and what was said to them.
    """

    def work(connection: Connection) -> tuple[Unmerged, list[str]]:
        return _Undoing(connection, site, rt.clock(), author).undo(visitor_id, merge_id)

    done, told = insist(rt, work)
    tell_moved(rt, told)
    return done


class _Undoing:
    """One transaction."""

    def __init__(self, connection: Connection, site: Site, now: datetime, author: str) -> None:
        self.connection = connection
        self.site = site
        self.now = now
        self.author = author
        self.reading = Reading.of(site.policy)
        found = segments.load_segments(connection, site.id).get(site.id, [])
        groups = Segments(found, site.funnel) if found or site.funnel.own else None
        self.ruleset = Ruleset.of(site, (), groups)
        self.staged: list[tuple[str, Sequence[Staged]]] = []
        """What the two have entered, of those whose stages are followed through time."""

        self.followed: list[str] = []

    def undo(self, visitor_id: str, merge_id: str) -> tuple[Unmerged, list[str]]:
        connection = self.connection
        persons = people.load(connection, {visitor_id})
        person = persons.profiles.get(persons.of(visitor_id))
        if person is None or person.site_id != self.site.id:
            raise NotFound("There is no such visitor.")
        everybody = visitors.members_of(person)
        merge = merges.find(connection, everybody, merge_id)
        if merge is None:
            raise NotFound("There is no such merge.")
        if merge.undone_at is not None or not merges.undo(connection, merge, self.now, self.author):
            raise Conflict("This merge has been undone already.")
        journal = merges.of_visitors(connection, everybody)
        freed_ids = merges.below(journal, merge.member_id) & {*everybody}
        kept_ids = [each for each in everybody if each not in freed_ids]
        freed = [merge.member_id, *(each for each in everybody if each in freed_ids and each != merge.member_id)]
        stored = visitors.load(connection, everybody, lock=True)
        one = self._refold(person, kept_ids, journal, person.person)
        before = stored[merge.member_id].profile
        other = self._refold(person, freed, merges.of_visitors(connection, freed), before.person)
        one, other = self._part(person, one, other)
        stage_entries.forget(connection, self.followed)
        stage_entries.insert(connection, stage_entries.rows_of(self.site.id, self.site.funnel.revision, self.staged))
        changed = [Stored(one, None), Stored(other, None)]
        gone = other.first_seen is None and not other.members and not other.identifiers
        if gone:
            visitors.remove(connection, other.id)
            changed.pop()
        visitors.save(connection, [], changed)
        visitors.relink(connection, [(each, other.id) for each in other.members])
        segments.save_members(connection, [(None, each.profile) for each in changed])
        undone = replace(merge, undone_at=self.now, undone_by=self.author)
        return Unmerged(undone, one, None if gone else other), everybody

    def _refold(self, person: Profile, ids: list[str], journal: list[Merge], chosen: str) -> Profile:
        """The person with these ids (the first is their own) out of their events; not yet what was said to them."""
        blank = replace(
            new_profile(ids[0], self.site.id),
            person=chosen if chosen in ids else ids[0],
            members=tuple(ids[1:]),
            refused=_refused(journal, ids),
            contacts=person.contacts,  # an answer is understood by what it answers
        )
        total = sum(histories.lengths(self.connection, ids, self.now).values())
        if total > ASKED_AT_ONCE:
            folded = working_copy(blank)
            for event in self._events(ids):
                fold_into(folded, event, self.reading)
            folded = replace(folded, stage_history=person.stage_history, stages_built=person.stages_built)
        else:
            events = list(self._events(ids))
            past = Past(by_name(events), complete=True)
            result = advance(self.ruleset, blank, (), events, past, until=self.now, now=None)
            folded = result.profile
            self.staged.append((ids[0], result.staged))
            self.followed.extend(ids)
        return replace(folded, contacts=(), exposures=(), attended_until=None, woken_at=person.woken_at)

    def _events(self, ids: Collection[str]) -> Iterator[Event]:
        after = None
        while found := histories.part(self.connection, ids, after, self.now, EVENTS_AT_ONCE):
            for visitor_id, event in found:
                yield people.as_believed(visitor_id, event, self.site, self.reading)
            after = found[-1][1].moment

    def _part(self, person: Profile, one: Profile, other: Profile) -> tuple[Profile, Profile]:
        """Gives each what waits for them and what was said to them."""
        connection = self.connection
        freed_ids = visitors.members_of(other)
        entered = enrolments.of_visitors(connection, visitors.members_of(person))
        theirs = [each for each in entered if belongs(each, freed_ids)]
        going = [each for each in theirs if each.visitor_id not in freed_ids]
        said: set[str] = set()
        for holder in {each.visitor_id for each in theirs}:
            ids = [each.id for each in theirs if each.visitor_id == holder]
            said |= messages.of_enrolments(connection, holder, ids).keys()
            if holder not in freed_ids:
                messages.give(connection, holder, ids, other.id)
        enrolments.give(connection, going, other.id)
        shares = share(person.contacts, theirs, said)
        rules = {each.rule_id for each in theirs}
        stays = {each.rule_id for each in entered if each not in theirs}
        mine = exposures_of(person.exposures, shares.kept, stays, rules, one.session_spans, one.person)
        yours = exposures_of(person.exposures, shares.freed, rules, stays, other.session_spans, other.person)
        deltas = exposure_deltas(person.exposures, (*mine, *yours), zone_of(self.site.timezone))
        add_deltas(connection, self.site.id, deltas)
        return (
            replace(one, contacts=shares.kept, exposures=mine, attended_until=attended_until(mine), wake_at=self.now),
            replace(
                other, contacts=shares.freed, exposures=yours, attended_until=attended_until(yours), wake_at=self.now
            ),
        )


def _refused(journal: list[Merge], ids: Collection[str]) -> dict[str, datetime]:
    """Whom nobody's browser shall merge into these again, since when."""
    return {
        each.member_id: each.undone_at
        for each in journal
        if each.undone_at is not None and each.visitor_id in ids and each.member_id not in ids
    }
