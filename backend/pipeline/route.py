"""The step `route`: what waits gets an operator; where nobody answers, the next one, and then a promise.

Each conversation in a transaction of its own, behind the lock on the site's seats: two ticks decide one after the
other. What is said is derived from the waiting that it is about, so it is said once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from backend.domain.calendar import zone_of
from backend.domain.conversation import Conversation, Part, Said
from backend.domain.desk import MANUAL, Desk, serving
from backend.domain.identity import derive
from backend.domain.presence import OFF, ONLINE
from backend.domain.profile import Profile
from backend.domain.promise import language_of, promise_text
from backend.domain.reach import Reach, reach
from backend.domain.routing import Plan, Waiting, plan
from backend.domain.site import Site
from backend.pipeline.desk import State, Watch, heard, state_of
from backend.pipeline.hear import Heard
from backend.pipeline.note import add
from backend.pipeline.tell import tell
from backend.runtime import Runtime
from backend.storage import conversations, desks, parts, visitors
from backend.storage.database import Connection, is_transient
from backend.storage.desks import Due, Routed
from backend.storage.times import to_micros

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Conversations that are looked at in one turn."""

LATER = timedelta(minutes=10)
"""So long a conversation is left alone that could not be routed."""

HISTORY = 200
"""Parts about a conversation's fate among which those of this waiting are looked for."""

BEFORE = 20
"""Conversations of a visitor among which who answered last is looked for."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What was added to a conversation."""

    conversation: Conversation
    parts: list[Part]
    person_id: str


class Router:
    """Looks each second for what waits."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._watch = Watch(rt)

    def run(self) -> int:
        """Looks at what is due; returns to how many conversations something was added."""
        now = self._rt.clock()
        with self._rt.db.read() as connection:
            groups = desks.waiting(connection)
            if not groups:
                return 0
            found = dict.fromkeys(desks.due(connection, now, AT_ONCE))
        for site_id in dict.fromkeys(group[0] for group in groups):
            mine = [(assignee, department) for each, assignee, department in groups if each == site_id]
            found |= dict.fromkeys(self._changed(site_id, mine))
        return self.route(list(found)[:AT_ONCE])

    def route(self, due: Iterable[Due]) -> int:
        """Looks at these conversations; returns to how many something was added."""
        told = 0
        for each in due:
            added = self._attempt(each)
            if added is not None:
                told += 1
                for part in added.parts:
                    tell(self._rt, added.conversation, part, added.person_id, None)
        return told

    def _attempt(self, due: Due) -> _Told | None:
        """One conversation; a mistake of ours about it must not keep the others waiting."""
        site = self._rt.sites.by_id(due.site_id)
        try:
            return self._one(site, due) if site is not None else None
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("routing_failed", conversation=due.id)
            with self._rt.db.begin() as connection:
                desks.put_off(connection, due, self._rt.clock() + LATER)
            return None

    def _changed(self, site_id: str, groups: Iterable[tuple[str | None, str | None]]) -> list[Due]:
        """What waits for somebody who is gone, and what waits for anybody where somebody is free."""
        site = self._rt.sites.by_id(site_id)
        if site is None or not (state := self._watch.state(site)).used:
            return []
        with self._rt.db.read() as connection:
            return [
                each
                for assignee, department in groups
                if _concerns(state, assignee, department)
                for each in desks.held_by(connection, site_id, assignee, department, AT_ONCE)
            ]

    def _one(self, site: Site, due: Due) -> _Told | None:
        beats = heard(self._rt, site.id)  # before the transaction, which waits for no network
        with self._rt.db.begin() as connection:
            state = state_of(connection, site, beats, self._rt.clock(), lock=True)
            found = conversations.find(connection, site.id, due.id, lock=True)
            if found is None or found.waiting_since is None or found.state != "open":
                return None
            profile = visitors.load_profile(connection, found.visitor_id)
            waiting = _waiting(connection, due, found, profile)
            if not state.used:
                desks.note_routed(connection, due, found.waiting_since, Routed(found.waiting_since, None))
                return None
            desk = state.desk.of(state.departments.get(found.department_id or ""))
            decided = plan(desk, state.seats, waiting, state.at)
            if not desks.note_routed(connection, due, waiting.since, Routed(decided.looked_at, decided.again_at)):
                return None
            after, added = self._carry_out(connection, site, desk, state, found, profile, decided)
            return _Told(after, added, profile.id if profile is not None else found.visitor_id) if added else None

    def _carry_out(
        self,
        connection: Connection,
        site: Site,
        desk: Desk,
        state: State,
        found: Conversation,
        profile: Profile | None,
        decided: Plan,
    ) -> tuple[Conversation, list[Part]]:
        said: list[Said] = []
        if decided.why is not None:
            content = {"event": "assigned", "to": decided.assignee_id, "why": decided.why, "from": found.assignee_id}
            part_id = derive("routed", found.id, str(found.last))
            said.append(
                Said(id=part_id, author="system", text="", at=state.at, kind="event", channel="api", content=content)
            )
            found = replace(found, assignee_id=decided.assignee_id)
            if decided.assignee_id is not None:
                turn = max(to_micros(state.at), *(each.given_at + 1 for each in state.seats.values()))
                desks.note_given(connection, decided.assignee_id, site.id, turn)
        if decided.promise is not None:
            said.append(_promise(site, desk, state.at, found, profile, decided))
        added: list[Part] = []
        for each in said:
            found, part = add(connection, found, each)
            added.append(part)
        return found, added


def route_heard(rt: Runtime, spoken: Iterable[Heard]) -> None:
    """Looks at once for whom visitors have begun to wait without having anybody; the rest is left to the next second.

    That is little to do in a talk that goes on: the events of others wait for it.
    """
    fresh = [
        Due(each.conversation.site_id, each.conversation.visitor_id, each.conversation.id)
        for each in spoken
        if each.part.kind == "message"
        and each.conversation.waiting_since == each.part.at
        and each.conversation.assignee_id is None
    ]
    if not fresh:
        return
    watch = Watch(rt)
    try:
        sites = {each: rt.sites.by_id(each) for each in {each.site_id for each in fresh}}
        used = {each for each, site in sites.items() if site is not None and watch.state(site).used}
        Router(rt).route([each for each in dict.fromkeys(fresh) if each.site_id in used][:AT_ONCE])
    except Exception as error:
        log.warning("routing_waits", reason=str(error)[:200])


def _concerns(state: State, assignee: str | None, department: str | None) -> bool:
    """Whether what waits for this operator in this department is to be looked at now."""
    if assignee is not None and assignee not in state.seats:
        return True
    desk = state.desk.of(state.departments.get(department or ""))
    if desk.routing == MANUAL or not desk.hours.is_open(state.at):
        return False
    if assignee is not None and state.seats[assignee].presence != OFF:
        return False
    serve = serving(state.seats, department)
    return any(seat.presence == ONLINE and seat.free and each != assignee for each, seat in serve.items())


def _waiting(connection: Connection, due: Due, found: Conversation, profile: Profile | None) -> Waiting:
    """The conversation as routing sees it."""
    assert found.waiting_since is not None
    since = found.waiting_since
    looked = desks.routed(connection, due).looked_at
    looked = looked if looked is not None and looked >= since else None
    events = parts.list_parts(connection, found, limit=HISTORY, kinds=["event"])
    given = [each for each in events if each.at >= since and each.content.get("event") == "assigned"]
    if given and looked is not None:  # whoever was given it by hand has their time too
        looked = max(looked, given[-1].at)
    tried = {str(each.content[name]) for each in given for name in ("from", "to") if each.content.get(name)}
    if found.assignee_id is not None:
        tried.add(found.assignee_id)
    return Waiting(
        since=since,
        assignee_id=found.assignee_id,
        department_id=found.department_id,
        looked_at=looked,
        tried=frozenset(tried),
        previous=_previous(connection, found, profile),
        promised=parts.find(connection, found.visitor_id, _promise_id(found)) is not None,
    )


def _previous(connection: Connection, found: Conversation, profile: Profile | None) -> str | None:
    """Who answered this visitor last, in another conversation."""
    if profile is None or found.assignee_id is not None:
        return None
    others = conversations.of_visitors(connection, visitors.members_of(profile), BEFORE)
    return next((each.assignee_id for each in others if each.id != found.id and each.assignee_id is not None), None)


def _promise_id(found: Conversation) -> str:
    assert found.waiting_since is not None
    return derive("promise", found.id, str(to_micros(found.waiting_since)))


def _promise(
    site: Site, desk: Desk, now: datetime, found: Conversation, profile: Profile | None, decided: Plan
) -> Said:
    """The promise of a time, in the visitor's language and by their clock, with the question for an address."""
    ask = profile is None or not isinstance(reach(profile, ("email",), site.policy), Reach)
    device = profile.device if profile is not None else None
    language = language_of(device.locale if device is not None else None)
    zone = zone_of(device.timezone if device is not None else None, desk.hours.zone, site.timezone)
    text = promise_text(desk.texts, language, decided.opens_at, now, zone, ask=ask)
    opens_at = None if decided.opens_at is None else decided.opens_at.isoformat().replace("+00:00", "Z")
    content = {"promise": decided.promise, "opens_at": opens_at, "ask": "email" if ask else None}
    return Said(id=_promise_id(found), author="bot", text=text, at=now, content=content)
