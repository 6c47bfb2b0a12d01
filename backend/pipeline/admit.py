"""The step `admit`: which of the events that arrived may take effect? Not those of the erased, nor without consent.

It stands behind the locks on the visitors concerned, so that an erasure or a withdrawal is either seen here, or waits
until this batch has taken effect and then takes it along.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain import consent
from backend.domain.consent import Choice
from backend.domain.engine import Ruleset
from backend.domain.erased import Name, admitted, names_of
from backend.domain.event import SIGNAL
from backend.domain.identifier import PLAIN, Reading
from backend.domain.identity import anonymous_visitor
from backend.domain.site import Policy
from backend.pipeline.arrive import Arrived
from backend.pipeline.persons import Persons
from backend.schemas.wire import encode_json
from backend.storage import tombstones, withheld
from backend.storage.database import Connection
from backend.storage.vault import Vault

Kept = list[tuple[int, Arrived]]
RulesetOf = Callable[[str], Ruleset | None]

ERASED, NO_CONSENT, OBJECTED, EXPIRED = "erased", "no_consent", "privacy_signal", "retention"

ALWAYS = frozenset({"Unsubscribed", "Subscribed"})
"""What a visitor says about being written to, by a link that we gave them: it counts without any consent."""


class Admission:
    """Asks of each event whether it may take effect, as far as its site has something to ask."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def __call__(
        self,
        connection: Connection,
        sites: Mapping[str, Ruleset | None],
        persons: Persons,
        kept: Kept,
        now: datetime,
    ) -> Kept:
        """Those that may, in their order; what is left out is counted."""
        erased = tombstones.newest(connection)
        strict = {
            site_id: ruleset.site.policy
            for site_id, ruleset in sites.items()
            if ruleset is not None and (ruleset.site.policy.consent.store or ruleset.site.policy.retention)
        }
        objecting = any(each.objects for _, each in kept)
        if not erased and not strict and not objecting:
            return kept
        numbers: Counter[tuple[str, str]] = Counter()
        if erased:
            kept = self._not_erased(connection, sites, persons, kept, erased, numbers, now)
        if strict or objecting:
            kept = _allowed(strict, persons, kept, numbers, now)
        if numbers:
            withheld.add(connection, numbers, now)
        return kept

    def _not_erased(
        self,
        connection: Connection,
        sites: Mapping[str, Ruleset | None],
        persons: Persons,
        kept: Kept,
        erased: Mapping[str, datetime],
        numbers: Counter[tuple[str, str]],
        now: datetime,
    ) -> Kept:
        """Without what would bring somebody back who was erased.

        Whoever has a row was not erased, or has come back since; so only what is new or late has to be looked up.
        """
        asked: dict[str, set[Name]] = {}
        suspects: set[int] = set()
        for index, each in kept:
            last = erased.get(each.site_id)
            if last is not None and (each.event.timestamp <= last or _names_nobody(persons, each)):
                suspects.add(index)
                asked.setdefault(each.site_id, set()).update(names_of(each.event, reading_of(sites[each.site_id])))
        if not suspects:
            return kept
        stones = tombstones.find(connection, self._vault, asked)
        passed: Kept = []
        for index, each in kept:
            if index in suspects and (found := stones[each.site_id]):
                of_another = each.event.user_id is not None and each.visitor_id in persons.existing
                lifted = admitted(each.event, found, reading_of(sites[each.site_id]), of_another=of_another)
                if lifted is None:
                    numbers[each.site_id, ERASED] += 1
                    continue
                if lifted:
                    tombstones.lift(connection, self._vault, each.site_id, lifted, now)
                    found.update({name: replace(found[name], lifted=True) for name in lifted})
            passed.append((index, each))
        return passed


def _names_nobody(persons: Persons, arrived: Arrived) -> bool:
    """Whether an event carries an id under which nobody is known."""
    existing, event = persons.existing, arrived.event
    if arrived.visitor_id not in existing:
        return True
    if event.user_id is None:
        return False
    others = (event.anonymous_id, event.previous_id if event.type == "alias" else None)
    return any(each is not None and anonymous_visitor(arrived.site_id, each) not in existing for each in others)


def _allowed(
    strict: Mapping[str, Policy], persons: Persons, kept: Kept, numbers: Counter[tuple[str, str]], now: datetime
) -> Kept:
    """Without what is too old to be kept, and what its visitor has not agreed to."""
    passed: Kept = []
    answers = _Answers(persons)
    for index, each in kept:
        policy, event = strict.get(each.site_id), each.event
        if policy is None and not each.objects:
            passed.append((index, each))
            continue
        if policy is not None and policy.retention and _expired(policy.retention, event.name, event.timestamp, now):
            numbers[each.site_id, EXPIRED] += 1
            continue
        asked = policy.consent if policy is not None else consent.NOTHING_ASKED
        if event.type == SIGNAL or event.name in ALWAYS or (asked.store is None and not each.objects):
            answers.passed(each)
            passed.append((index, each))
            continue
        told, log = consent.answers(event.context.get("consent")), answers.of(each)
        if consent.may_store(asked, told, log, event.timestamp, objects=each.objects):
            answers.passed(each)
            passed.append((index, each))
            continue
        numbers[each.site_id, OBJECTED if each.objects else NO_CONSENT] += 1
        if told and answers.known(each):
            only = _answer_only(each)
            answers.passed(only)
            passed.append((index, only))
    return passed


def _expired(retention: Mapping[str, timedelta], name: str, at: datetime, now: datetime) -> bool:
    kept_for = retention.get(name) or retention.get("*")
    return kept_for is not None and at < now - kept_for


class _Answers:
    """What visitors have answered, as the batch goes on."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons
        self._logs: dict[str, tuple[Choice, ...]] = {}

    def of(self, each: Arrived) -> tuple[Choice, ...]:
        """What is known so far of whoever an event names."""
        logs = [self._log(person_id) for person_id in self._named(each)]
        return logs[0] if len(logs) == 1 else consent.merged(*logs)

    def known(self, each: Arrived) -> bool:
        """Whether anything is kept of them, so that their answer must be."""
        return any(person_id in self._persons.existing or person_id in self._logs for person_id in self._named(each))

    def passed(self, each: Arrived) -> None:
        """An event takes effect, and so does what it says of consent."""
        told = consent.choices_of(each.event.context.get("consent"), each.event.timestamp, "page")
        linked = self.of(each) if each.event.type in ("identify", "alias") else None
        for person_id in self._named(each):
            log = self._log(person_id) if linked is None else linked
            for choice in told:
                log = consent.with_choice(log, choice)
            self._logs[person_id] = log

    def _named(self, each: Arrived) -> list[str]:
        ids = [self._persons.of(each.visitor_id)]
        if each.event.user_id is not None and each.event.anonymous_id is not None:
            browser = self._persons.of(anonymous_visitor(each.site_id, each.event.anonymous_id))
            if browser not in ids:
                ids.append(browser)
        return ids

    def _log(self, person_id: str) -> tuple[Choice, ...]:
        found = self._logs.get(person_id)
        if found is None:
            profile = self._persons.profiles.get(person_id)
            found = profile.consents if profile is not None else ()
        return found


def _answer_only(each: Arrived) -> Arrived:
    """Of an event that may not be kept, what it says of consent: that a visitor refuses must be remembered."""
    event = each.event
    bare = replace(
        event,
        name=consent.EVENT,
        type=SIGNAL,
        properties={},
        traits={},
        context=consent.answer_only(event.context),
        previous_id=None,
        group_id=None,
    )
    ids = {"anonymousId": event.anonymous_id, "userId": event.user_id}
    body = {"type": SIGNAL, "event": consent.EVENT, "messageId": event.message_id, "context": bare.context}
    told_ids = {name: value for name, value in ids.items() if value is not None}
    return replace(each, event=bare, body=encode_json(body | told_ids).decode(), row=None)


def reading_of(ruleset: Ruleset | None) -> Reading:
    """How a site reads addresses."""
    return PLAIN if ruleset is None else ruleset.reading


def without_erased(
    connection: Connection, vault: Vault, ruleset_of: RulesetOf, arrived: Sequence[Arrived]
) -> list[Arrived]:
    """Those that are not of somebody who was erased, for what is set aside: it is judged as if nobody were known."""
    erased = tombstones.newest(connection)
    late = [(each, reading_of(ruleset_of(each.site_id))) for each in arrived if each.site_id in erased]
    if not late:
        return list(arrived)
    asked: dict[str, set[Name]] = {}
    for each, reading in late:
        asked.setdefault(each.site_id, set()).update(names_of(each.event, reading))
    stones = tombstones.find(connection, vault, asked)
    gone = {
        id(each)
        for each, reading in late
        if admitted(each.event, stones[each.site_id], reading, of_another=False) is None
    }
    return [each for each in arrived if id(each) not in gone]
