"""The step `choose`: looks, seldom and at set times, whether a variant has won, and writes it down for good."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import structlog

from backend.domain.lift import Arm, wilson
from backend.domain.rule import CompiledRule
from backend.domain.rule.compiled import SayOp
from backend.domain.rule.model import WinnerRule
from backend.domain.winner import NOTICE, confidence_of_look, look, look_is_due, verdict
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage import contests, tallies
from backend.storage.database import Connection

log = structlog.get_logger(__name__)


class Chooser:
    """Begins the contests of the rules that ask for a winner, and looks at them when it is time."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._rulesets = Rulesets(rt)

    def run(self) -> int:
        """One turn; returns how many variants have won in it."""
        with self.rt.db.read() as connection:
            self._rulesets.refresh(connection)
        return sum(self._look(rule, op) for rule, op in self._asked())

    def _asked(self) -> Iterator[tuple[CompiledRule, SayOp]]:
        for site_id in self._rulesets.site_ids():
            ruleset = self._rulesets.of(site_id)
            for rule in ruleset.by_id.values() if ruleset is not None else ():
                if rule.rule.status == "active":
                    yield from ((rule, op) for op in rule.program if isinstance(op, SayOp) and op.test)

    def _look(self, rule: CompiledRule, op: SayOp) -> bool:
        asked, now, site_id = op.message.winner, self.rt.clock(), rule.rule.site_id
        assert asked is not None
        with self.rt.db.begin() as connection:
            contest = contests.begin(connection, site_id, rule.id, op.name, op.test, now)
            if contest.variant is not None:
                return False
            arms = arms_of(connection, rule, op, asked)
            persons = sum(arm.persons for arm in arms.values())
            if not look_is_due(asked, contest.looks, contest.began_at, persons, now):
                return False
            chosen = look(asked, arms)
            numbers = _numbers(asked, arms, chosen)
            won = contests.look(connection, contest, now, chosen, now + NOTICE, numbers) and chosen is not None
        log.info("contest_looked_at", rule=rule.id, step=op.name, looks=contest.looks + 1, winner=chosen)
        return won


def arms_of(connection: Connection, rule: CompiledRule, op: SayOp, asked: WinnerRule) -> dict[str, Arm]:
    """The people of this contest by variant, and how many of them reached what it is about."""
    site_id = rule.rule.site_id
    persons = tallies.by_variant(connection, site_id, rule.id, op.name, f"test_persons:{op.test}")
    reached = tallies.by_variant(connection, site_id, rule.id, op.name, f"test_{asked.by}:{op.test}")
    named = [each.name for each in op.message.variants if each.weight > 0]
    return {name: Arm(persons=persons.get(name, 0), reached=reached.get(name, 0)) for name in named}


def _numbers(asked: WinnerRule, arms: Mapping[str, Arm], chosen: str | None) -> dict[str, Any]:
    told = [{"variant": name, **asdict(arm), "share": arm.share, "interval": wilson(arm)} for name, arm in arms.items()]
    sentence = verdict(asked, arms, chosen) if chosen is not None else "No variant beats all others beyond chance."
    return {
        "by": asked.by,
        "variants": told,
        "confidence": confidence_of_look(asked, len(arms)) * 100,
        "sentence": sentence,
    }
