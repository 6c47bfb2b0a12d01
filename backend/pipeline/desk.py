"""The step `desk`: who is there to answer on a site now: for rules, pages and routing, a second old at most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import structlog

from backend.domain.desk import Desk, Seat, desk_of, desks_open, somebody
from backend.domain.presence import OFF, Beat, presence_of
from backend.domain.site import Site
from backend.pipeline.tell import desk_of as desk_of_site
from backend.pipeline.tell import publish
from backend.runtime import Runtime
from backend.storage import desks, presence
from backend.storage.database import Connection, is_transient

log = structlog.get_logger(__name__)

FRESH = timedelta(seconds=1)
ANSWERS_FRESH = timedelta(minutes=1)
ANSWERS_OF = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class State:
    """A site's desk as it is at a moment; `used`: the site has operators, or has written down how it answers."""

    desk: Desk
    departments: Mapping[str, Mapping[str, Any]]
    seats: Mapping[str, Seat]
    at: datetime
    used: bool

    @property
    def online(self) -> bool:
        """Whether somebody is there: online, in working hours."""
        return somebody(self.desk, self.departments, self.seats, self.at)

    @property
    def open(self) -> bool:
        """Whether the working hours of the site or of a department hold."""
        return any(desks_open(self.desk, self.departments, each, self.at) for each in self._places())

    @property
    def opens_at(self) -> datetime | None:
        """When the site or a department opens next: now where one is open; None where none is to."""
        every = [self.desk, *(self.desk.of(each) for each in self.departments.values() if each.get("hours"))]
        found = [each.hours.opens_next(self.at) for each in every]
        return min((each for each in found if each is not None), default=None)

    def _places(self) -> list[frozenset[str]]:
        return [frozenset(), *(frozenset({each}) for each in self.departments)]


def state_of(
    connection: Connection, site: Site, beats: Mapping[str, Beat], now: datetime, *, lock: bool = False
) -> State:
    """Reads a site's desk, of whose consoles these `beats` were `heard`; `lock` as in `desks.seats`."""
    found = desks.seats(connection, site.id, lock=lock)
    busy = desks.loads(connection, site.id, found, now) if found else {}
    seats = {
        each: replace(seat, load=busy.get(each, 0), presence=presence_of(seat.chosen, beats.get(each), now))
        for each, seat in found.items()
    }
    documents = desks.documents(connection, site.id)
    used = bool(seats) or site.policy.desk is not None
    return State(desk_of(site.policy.desk), documents, seats, now, used)


def heard(rt: Runtime, site_id: str) -> Mapping[str, Beat]:
    """What is known of each operator's console; where Redis is away nobody is there."""
    try:
        return presence.beats(rt.redis, site_id)
    except Exception as error:
        log.warning("presence_unknown", reason=str(error)[:200])
        return {}


def beat(rt: Runtime, site_id: str, operator_id: str, *, active: bool) -> None:
    """Notes that an operator's console is there, each half minute at least, or (`active`) that they did something."""
    try:
        presence.beat(rt.redis, site_id, operator_id, rt.clock(), active=active)
    except Exception as error:
        log.warning("presence_unknown", reason=str(error)[:200])


def choose(rt: Runtime, site: Site, operator_id: str, chosen: str) -> State | None:
    """Takes down what an operator chose to be, and tells all consoles; None where they answer nobody on this site."""
    beat(rt, site.id, operator_id, active=True)
    beats = heard(rt, site.id)
    with rt.db.begin() as connection:
        if operator_id not in desks.seats(connection, site.id):
            return None
        desks.choose(connection, site.id, operator_id, chosen)
        state = state_of(connection, site, beats, rt.clock())
    data = {"operator_id": operator_id, "presence": state.seats[operator_id].presence, "online": state.online}
    publish(rt, [(desk_of_site(site.id), {"event": "presence", "data": data})])
    return state


class Watch:
    """The desks of a second ago; safe for threads, for it only reads and replaces entries."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._states: dict[str, State] = {}
        self._answers: dict[str, tuple[datetime, float | None]] = {}

    def state(self, site: Site) -> State:
        """The site's desk."""
        known, now = self._states.get(site.id), self.rt.clock()
        if known is None or not timedelta(0) <= now - known.at < FRESH:
            known = self._states[site.id] = self._read(site, known)
        return known

    def _read(self, site: Site, known: State | None) -> State:
        """The desk as it is now; where the database does not answer, as it was, but that nobody is there."""
        beats = heard(self.rt, site.id)
        try:
            with self.rt.db.read() as connection:
                return state_of(connection, site, beats, self.rt.clock())
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("desk_unknown", reason=str(error)[:200])
            seats = {} if known is None else {each: replace(s, presence=OFF) for each, s in known.seats.items()}
            found = known or State(desk_of(site.policy.desk), {}, {}, self.rt.clock(), site.policy.desk is not None)
            return replace(found, seats=seats, at=self.rt.clock())

    def somebody(self, site_id: str) -> Callable[[datetime], bool]:
        """The question that live rules ask: whether somebody is there, now, whatever moment they are about."""

        def asked(_at: datetime) -> bool:
            site = self.rt.sites.by_id(site_id)
            return site is not None and self.state(site).online

        return asked

    def replies_in(self, site: Site) -> float | None:
        """The median time, in seconds of working time, to the first answer of the last seven days; None: no answer."""
        now = self.rt.clock()
        asked_at, known = self._answers.get(site.id, (None, None))
        if asked_at is not None and timedelta(0) <= now - asked_at < ANSWERS_FRESH:
            return known
        hours = desk_of(site.policy.desk).hours
        try:
            with self.rt.db.read() as connection:
                found = desks.first_answers(connection, site.id, now - ANSWERS_OF)
        except Exception as error:
            if not is_transient(error):
                raise
            return known
        spans = [hours.working_time_between(*each).total_seconds() for each in found]
        known = median(spans) if spans else None
        self._answers[site.id] = (now, known)
        return known


def by_hours(site: Site, departments: Mapping[str, Mapping[str, Any]]) -> Callable[[datetime], bool]:
    """The question that simulations ask: whether the working hours held at a moment; who was there is not kept."""
    desk = desk_of(site.policy.desk)
    places = [frozenset[str](), *(frozenset({each}) for each in departments)]
    return lambda at: any(desks_open(desk, departments, each, at) for each in places)
