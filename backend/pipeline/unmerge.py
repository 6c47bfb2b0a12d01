"""The verb `unmerge`: a merge is taken back, also after further events; both are folded again from their own."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.calendar import zone_of
from backend.domain.engine import Ruleset, Segments, Staged, advance
from backend.domain.event import Event
from backend.domain.exposure import attended_until
from backend.domain.fold import fold_into, working_copy
from backend.domain.funnel import KEY
from backend.domain.identifier import Reading
from backend.domain.merge import merged_away
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile, new_profile
from backend.domain.site import Site
from backend.domain.tally import exposure_deltas
from backend.domain.unmerge import belongs, exposures_of, share
from backend.errors import Conflict, NotFound
from backend.pipeline import persons as people
from backend.pipeline.count import add_deltas
from backend.pipeline.forget_elsewhere import forget_made
from backend.pipeline.history import EVENTS_AT_ONCE, Life
from backend.pipeline.merge import insist, tell_moved
from backend.pipeline.note_interests import renote
from backend.pipeline.quotes import as_written, texts_of
from backend.pipeline.restage import Restager
from backend.runtime import Runtime
from backend.schemas.documents import ProfileHead
from backend.storage import (
    enrolments,
    histories,
    merges,
    messages,
    segments,
    stage_entries,
    thinned,
    visitors,
    webhooks,
)
from backend.storage.database import Connection
from backend.storage.merges import Merge
from backend.storage.visitors import Stored

ASKED_AT_ONCE = 100_000
"""Events up to which memberships in segments are followed through time; with more they are asked as of now."""


_Side = tuple[Collection[str], Profile]
"""The ids of one of the two, and their profile."""


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
        return _Undoing(rt, connection, site, author).undo(visitor_id, merge_id)

    done, told = insist(rt, work)
    tell_moved(rt, told)
    return done


class _Undoing:
    """One transaction."""

    def __init__(self, rt: Runtime, connection: Connection, site: Site, author: str) -> None:
        self.rt = rt
        self.connection = connection
        self.site = site
        self.now = rt.clock()
        self.author = author
        self.reading = Reading.of(site.policy)
        found = segments.load_segments(connection, site.id).get(site.id, ())
        asked = Segments(found, site.funnel) if found or site.funnel.own else None
        self.ruleset = Ruleset.of(site, (), asked)

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
        one, staged = self._refold(person, kept_ids, journal, person.person)
        before = stored[merge.member_id].profile
        other, also_staged = self._refold(person, freed, merges.of_visitors(connection, freed), before.person)
        one, other = self._part(person, one, other)
        changed = [Stored(one, None), Stored(other, None)]
        gone = other.first_seen is None and not other.members and not other.identifiers
        if gone:
            visitors.remove(connection, other.id)
            changed.pop()
        parts = [row for key, row in stored.items() if key not in (one.id, other.id)]
        bare = [replace(row, profile=merged_away(row.profile)) for row in parts]
        visitors.save(connection, [], [*changed, *bare])
        visitors.relink(connection, [(each, other.id) for each in other.members])
        segments.save_members(connection, [(None, each.profile) for each in changed])
        stage_entries.forget(connection, everybody)
        revision = self.site.funnel.revision
        entered = stage_entries.rows_of(self.site.id, revision, [(one.id, staged), (other.id, also_staged)])
        stage_entries.insert(connection, entered)
        renote(connection, self.site.id, [kept_ids, freed], self.now)
        self._part_texts(merge, person, (kept_ids, one), (freed, other))
        if gone and thinned.any_of(connection, freed):
            forget_made(connection, kept_ids, [merge], self.now)  # nobody is there any more who could ask for it
            thinned.forget(connection, freed)
        undone = replace(merge, undone_at=self.now, undone_by=self.author)
        return Unmerged(undone, one, None if gone else other), everybody

    def _part_texts(self, merge: Merge, person: Profile, one: _Side, other: _Side) -> None:
        """Takes from each the messages in which, since they were one, stands what only the other told.

        Or what either may have told, as the person has it from an event that is kept no longer.
        """
        (kept, _), (freed, _) = one, other
        mine, yours = (
            texts_of(self.connection, ids, [profile], self.reading, self.now) for ids, profile in (one, other)
        )
        whose: set[str] = set()
        if thinned.any_of(self.connection, [*kept, *freed]):
            whose = texts_of(self.connection, (), [person], self.reading, self.now) - mine - yours
        messages.remove_telling(self.connection, kept, as_written(yours - mine | whose), merge.at)
        messages.remove_telling(self.connection, freed, as_written(mine - yours | whose), merge.at)

    def _refold(
        self, person: Profile, ids: list[str], journal: list[Merge], chosen: str
    ) -> tuple[Profile, Sequence[Staged]]:
        """The person with these ids (the first is their own) out of their events; not yet what was said to them.

        With it the stages that they came into, in order of time, as `restage` finds them.
        """
        blank = replace(
            new_profile(ids[0], self.site.id),
            person=chosen if chosen in ids else ids[0],
            members=tuple(ids[1:]),
            refused=_refused(journal, ids),
            contacts=person.contacts,  # an answer is understood by what it answers
        )
        folded, staged = self._folded(blank, ids)
        return replace(folded, contacts=(), exposures=(), attended_until=None, woken_at=person.woken_at), staged

    def _folded(self, blank: Profile, ids: list[str]) -> tuple[Profile, Sequence[Staged]]:
        ruleset, asked = self.ruleset, self.ruleset.segments
        if asked is None:
            profile, staged = blank, list[Staged]()
            for piece in self._events(ids):
                until = piece[-1].timestamp
                found = advance(ruleset, profile, (), piece, Past({}, complete=True), until=until, now=None)
                profile = found.profile
                staged.extend(found.staged)
            return profile, staged
        if sum(histories.lengths(self.connection, ids, self.now).values()) <= ASKED_AT_ONCE:
            events = [event for piece in self._events(ids) for event in piece]
            past = Past(by_name(events), complete=True)
            found = advance(ruleset, blank, (), events, past, until=self.now, now=None)
            return found.profile, found.staged
        folded = working_copy(blank)
        for piece in self._events(ids):
            for event in piece:
                fold_into(folded, event, self.reading)
        head = ProfileHead(id=blank.id, person=blank.person, members=blank.members)
        replayed = Restager(self.rt, ruleset, self.now).replay(Life(head, total=0))
        stages = {key: each for key, each in replayed.profile.segments.items() if key.startswith(KEY)}
        told = {name: getattr(replayed.profile, name) for name in ("stage", "stage_history", "stages_built")}
        return replace(folded, segments=stages, **told), replayed.staged

    def _events(self, ids: Collection[str]) -> Iterator[list[Event]]:
        for piece in histories.pieces(self.connection, ids, self.now, EVENTS_AT_ONCE):
            yield [people.as_believed(*pair, self.site, self.reading) for pair in piece]

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
                webhooks.give(connection, holder, ids, other.id)
        enrolments.give(connection, going, other.id)
        shares = share(person.contacts, theirs, said)
        rules = {each.rule_id for each in theirs}
        stays = {each.rule_id for each in entered if each not in theirs}
        mine = exposures_of(person.exposures, shares.kept, stays, rules, one)
        yours = exposures_of(person.exposures, shares.freed, rules, stays, other)
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
