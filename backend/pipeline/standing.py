"""The step `standing`: where those stand who are in rules, for people to read."""

from backend.domain.enrolment import Enrolment
from backend.domain.mistakes import RuleErrors
from backend.domain.rule import CompiledRule, compile_rule
from backend.domain.standing import Standing, standing
from backend.pipeline.rulesets import former
from backend.storage import rules
from backend.storage.database import Connection


class Standings:
    """Tells of enrolments; each version of a rule is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rules: dict[tuple[str, int], CompiledRule | None] = {}

    def of(self, enrolment: Enrolment) -> Standing | None:
        """Where it stands; None for one that has ended, or whose rule is gone."""
        if not enrolment.waiting:
            return None
        key = (enrolment.rule_id, enrolment.rule_version)
        if key not in self._rules:
            self._rules[key] = self._version(enrolment)
        rule = self._rules[key]
        return None if rule is None else standing(rule, enrolment)

    def _version(self, enrolment: Enrolment) -> CompiledRule | None:
        stored = rules.get_rule(self._connection, enrolment.site_id, enrolment.rule_id)
        if stored is None:
            return None
        try:
            present = stored.rule()
        except RuleErrors:
            return None
        if present.version == enrolment.rule_version:
            return compile_rule(present)
        return former(self._connection, present, enrolment.rule_version)
