"""The rules that are live now: compiled once, and again as soon as a rule or a site changes."""

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import structlog

from backend.domain.condition import SharedTests
from backend.domain.engine import Ruleset, Segments, VersionNeeded
from backend.domain.mistakes import RuleErrors
from backend.domain.rule import CompiledRule, Rule, compile_rule, parse_rule
from backend.domain.segment import Segment
from backend.domain.shelf import Shelf
from backend.domain.winner import Winners
from backend.pipeline.desk import Watch
from backend.runtime import Runtime
from backend.storage import contests, intervals, rule_versions, rules, segments
from backend.storage.database import Connection

log = structlog.get_logger(__name__)


class Rulesets:
    """Each site's ruleset, as of the last `refresh`."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.watch = Watch(rt)
        self._stamp: str | None = None
        self._compiled: dict[str, list[CompiledRule]] = {}
        self._segments: dict[str, list[Segment]] = {}
        self._rulesets: dict[str, Ruleset] = {}
        self._winners: dict[str, Winners] = {}
        self._intervals: dict[str, Mapping[str, float]] = {}
        self._lock = threading.Lock()

    def refresh(self, connection: Connection) -> None:
        """Takes over what has changed; costs one small query where nothing has."""
        stamp = rules.stamp(connection)
        if stamp != self._stamp:
            with self._lock:
                self._load(connection, stamp)

    def _load(self, connection: Connection, stamp: str) -> None:
        compiled: dict[str, list[CompiledRule]] = {}
        shared: dict[str, SharedTests] = defaultdict(SharedTests)
        for rule in rules.load_rules(connection):
            try:
                compiled.setdefault(rule.site_id, []).append(compile_rule(rule, shared[rule.site_id]))
            except Exception:
                # A mistake of ours, or a rule that an older version let in: the others must run.
                log.exception("rule_does_not_compile", rule=rule.id, site=rule.site_id)
        self._segments = segments.load_segments(connection)
        self._winners = dict(contests.winners(connection))
        self._intervals = intervals.of_all(connection)
        self.rt.sites.forget()
        self._compiled, self._rulesets, self._stamp = compiled, {}, stamp
        log.debug("rules_loaded", rules=sum(len(group) for group in compiled.values()))

    def site_ids(self) -> list[str]:
        """The sites that have rules or segments."""
        return list(self._compiled | self._segments)

    def of(self, site_id: str) -> Ruleset | None:
        """A site's ruleset; None for a site that is gone."""
        ruleset = self._rulesets.get(site_id)
        if ruleset is None:
            site = self.rt.sites.by_id(site_id)
            if site is None:
                return None
            groups = self._segments.get(site_id, ())
            ruleset = Ruleset.of(
                site,
                self._compiled.get(site_id, ()),
                segments=Segments(groups, site.funnel) if groups or site.funnel.own else None,
                winners=self._winners.get(site_id),
                intervals=self._intervals.get(site_id),
                shelf=Shelf(),
                somebody=self.watch.somebody(site_id),
            )
            self._rulesets[site_id] = ruleset
        return ruleset

    def rule_of(self, connection: Connection, site_id: str, rule_id: str, version: int) -> CompiledRule | None:
        """The rule by which an enrolment goes on that is in this version; None where there is none any more."""
        ruleset = self.of(site_id)
        while ruleset is not None:
            try:
                return ruleset.rule_of(rule_id, version)
            except VersionNeeded as needed:
                learn(connection, ruleset, needed)
        return None


def learn(connection: Connection, ruleset: Ruleset, needed: VersionNeeded) -> None:
    """Puts a version by which somebody goes on into the ruleset's `former`; None for one that is lost."""
    present = ruleset.by_id[needed.rule_id].rule
    ruleset.former[needed.rule_id, needed.version] = former(connection, present, needed.version)


def former(connection: Connection, present: Rule, version: int) -> CompiledRule | None:
    """An earlier version of a rule, ready to run; None where nobody has it, or nobody can read it any more.

    It stands where the rule stands: a rule that is paused says nothing, whichever version.
    """
    stored = rule_versions.get_version(connection, present.site_id, present.id, version)
    if stored is None:
        return None
    try:
        spec = parse_rule(dict(stored.document), stored=True, segments=segments.known(connection, present.site_id))
    except RuleErrors as error:
        log.error("version_not_readable", rule=present.id, version=version, reason=str(error)[:200])
        return None
    return compile_rule(replace(present, spec=spec, version=version))
