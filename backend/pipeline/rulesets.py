"""The rules that are live now: compiled once, and again as soon as a rule or a site changes."""

import threading
from collections import defaultdict

import structlog

from backend.domain.condition import SharedTests
from backend.domain.engine import Ruleset
from backend.domain.rule import CompiledRule, compile_rule
from backend.domain.winner import Winners
from backend.runtime import Runtime
from backend.storage import contests, rules
from backend.storage.database import Connection

log = structlog.get_logger(__name__)


class Rulesets:
    """Each site's ruleset, as of the last `refresh`."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._stamp: str | None = None
        self._compiled: dict[str, list[CompiledRule]] = {}
        self._rulesets: dict[str, Ruleset] = {}
        self._winners: dict[str, Winners] = {}
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
        self._winners = dict(contests.winners(connection))
        self.rt.sites.forget()
        self._compiled, self._rulesets, self._stamp = compiled, {}, stamp
        log.debug("rules_loaded", rules=sum(len(group) for group in compiled.values()))

    def site_ids(self) -> list[str]:
        """The sites that have rules."""
        return list(self._compiled)

    def of(self, site_id: str) -> Ruleset | None:
        """A site's ruleset; None for a site that is gone."""
        ruleset = self._rulesets.get(site_id)
        if ruleset is None:
            site = self.rt.sites.by_id(site_id)
            if site is None:
                return None
            ruleset = Ruleset.of(site, self._compiled.get(site_id, ()), winners=self._winners.get(site_id))
            self._rulesets[site_id] = ruleset
        return ruleset
