"""What is a desk? When a site or one of its departments answers, who gets what comes in, and what is said meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from backend.domain.duration import parse_duration
from backend.domain.hours import ALWAYS, Hours, read_hours
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.promise import ASK, BUSY, CLOSED, LANGUAGES, LONGEST, WHEN

MANUAL, ROUND_ROBIN, PREVIOUS = ROUTINGS = ("manual", "round_robin", "previous")
"""Operators take conversations themselves; each in turn; who last spoke with the visitor, else each in turn."""

SHORTEST_PATIENCE, LONGEST_PATIENCE = timedelta(minutes=1), timedelta(days=1)

_OF_DEPARTMENT = ("hours", "routing", "unanswered_after")
_OF_SITE = (*_OF_DEPARTMENT, "texts", "digest_after")

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """`unanswered_after` so long of working time the next operator gets it; `texts` stand in for the built-in ones.

    Of who waits longer than `digest_after`, operators are told by mail; None: they are not.
    """

    hours: Hours = ALWAYS
    routing: str = MANUAL
    unanswered_after: timedelta = timedelta(minutes=5)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    digest_after: timedelta | None = timedelta(minutes=30)

    def of(self, department: Mapping[str, Any] | None) -> "Desk":
        """The desk of a department, by its document: what that does not tell is as the site has it."""
        told = _read(department or {}, _OF_DEPARTMENT, (), Mistakes())
        return replace(self, **told) if told else self


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """One who may answer on a site: an operator, and what they do there.

    `load` are the conversations they are in, of `capacity`; `given_at` says whose turn is the longest ago.
    """

    operator_id: str
    name: str = ""
    departments: frozenset[str] = frozenset()
    capacity: int = 10
    chosen: str = "off"
    presence: str = "off"
    load: int = 0
    given_at: int = 0

    @property
    def free(self) -> bool:
        """Whether they can take one more."""
        return self.load < self.capacity


def serving(seats: Mapping[str, Seat], department_id: str | None) -> dict[str, Seat]:
    """Those who answer in a department: its operators; everybody where it has none, or where there is no department."""
    if department_id is None:
        return dict(seats)
    own = {each: seat for each, seat in seats.items() if department_id in seat.departments}
    return own or dict(seats)


def somebody(desk: Desk, departments: Mapping[str, Mapping[str, Any]], seats: Mapping[str, Seat], at: datetime) -> bool:
    """Whether anybody is online in their working hours: those of one of their departments, else of the site."""
    online = [seat for seat in seats.values() if seat.presence == "online"]
    return any(desks_open(desk, departments, seat.departments, at) for seat in online)


def desks_open(desk: Desk, documents: Mapping[str, Mapping[str, Any]], own: frozenset[str], at: datetime) -> bool:
    """Whether the hours of one of these departments hold, or those of the site where there is none."""
    mine = [each for each in own if each in documents]
    if not mine:
        return desk.hours.is_open(at)
    return any(desk.of(documents[each]).hours.is_open(at) for each in mine)


def desk_of(document: Mapping[str, Any] | None) -> Desk:
    """The desk that a site's policy writes down; it was checked when it was saved."""
    return Desk(**_read(document or {}, _OF_SITE, (), Mistakes()))


def read_desk(value: object, path: Path, mistakes: Mistakes) -> None:
    """Notes the mistakes in `{"hours": …, "routing": "round_robin", "unanswered_after": "5m", "texts": …}`."""
    _checked(value, _OF_SITE, path, mistakes)


def read_department(value: object, path: Path, mistakes: Mistakes) -> None:
    """The same of a department's document, which tells only how it differs from the site."""
    _checked(value, _OF_DEPARTMENT, path, mistakes)


def _checked(value: object, known: tuple[str, ...], path: Path, mistakes: Mistakes) -> None:
    if isinstance(value, Mapping):
        mistakes.known_keys(value, known, path)
        _read(value, known, path, mistakes)
    else:
        mistakes.add(path, 'Expected an object such as {"routing": "round_robin"}.')


def _read(value: Mapping[str, Any], known: tuple[str, ...], path: Path, mistakes: Mistakes) -> dict[str, Any]:
    """What is told, by name; what is wrong is noted and left out."""
    told: dict[str, Any] = {}
    given = {key: value[key] for key in known if value.get(key) is not None}
    if "hours" in given:
        told["hours"] = read_hours(given["hours"], (*path, "hours"), mistakes)
    if "routing" in given:
        if given["routing"] in ROUTINGS:
            told["routing"] = given["routing"]
        else:
            routing = given["routing"]
            wrong = f"Expected {', '.join(ROUTINGS)}, not {quoted(routing)}.{nearest(routing, ROUTINGS)}"
            mistakes.add((*path, "routing"), wrong)
    for name in ("unanswered_after", "digest_after"):
        if name in given:
            span = mistakes.attempt(parse_duration, given[name], (*path, name))
            if span is not None and not SHORTEST_PATIENCE <= span <= LONGEST_PATIENCE:
                mistakes.add((*path, name), "Expected 1m to 1d.")
            told[name] = span
    if "texts" in given:
        told["texts"] = _read_texts(given["texts"], (*path, "texts"), mistakes)
    found = {name: each for name, each in told.items() if each is not None}
    if "digest_after" in known and value.get("digest_after", ...) is None:
        found["digest_after"] = None
    return found


def _read_texts(value: object, path: Path, mistakes: Mistakes) -> dict[str, dict[str, str]] | None:
    if not isinstance(value, Mapping):
        mistakes.add(path, f'Expected an object such as {{"closed": {{"en": "We are back {WHEN}."}}}}.')
        return None
    mistakes.known_keys(value, (CLOSED, BUSY, ASK), path)
    found: dict[str, dict[str, str]] = {}
    for name in (each for each in (CLOSED, BUSY, ASK) if value.get(each) is not None):
        texts, here = value[name], (*path, name)
        if not isinstance(texts, Mapping):
            mistakes.add(here, 'Expected texts by language, such as {"en": "…"}.')
            continue
        mistakes.known_keys(texts, LANGUAGES, here)
        for language in (each for each in LANGUAGES if texts.get(each) is not None):
            text = texts[language]
            if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
                mistakes.add((*here, language), f"Expected a text of 1 to {LONGEST} characters.")
            elif name == CLOSED and WHEN not in text:
                mistakes.add((*here, language), f"Say when: {WHEN} stands for the time.")
            else:
                found.setdefault(name, {})[language] = text.strip()
    return found
