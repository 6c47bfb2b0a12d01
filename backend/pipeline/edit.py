"""The step `edit`: a rule is written down, replaced or switched on, and those who are in it are told where to go."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.rule import RuleSpec, Status
from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.pipeline import move_enrolled
from backend.pipeline.check import Warned, circles, doubts
from backend.runtime import Runtime
from backend.storage import enrolments, rules, segments
from backend.storage.database import Connection
from backend.storage.rule_versions import Enrolled
from backend.storage.rules import StoredRule


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """The rule as it stands now, what speaks against it, and what became of those who were in it, in numbers."""

    stored: StoredRule
    warnings: Sequence[Warned]
    kept: int = 0
    moved: int = 0
    ended: int = 0
    moving: int = 0


def create(rt: Runtime, site: Site, spec: RuleSpec, status: Status, author: str | None) -> Edited:
    """Writes down a new rule; raises `RuleErrors` where it would go round in a circle with others without end."""
    with rt.db.read() as connection:
        warnings = doubts(connection, site, spec)
    with rt.db.begin() as connection:
        rules.lock(connection, site.id)
        _require_segments(connection, site, spec)
        stored = rules.create_rule(connection, site.id, spec, status=status, now=rt.clock(), author=author)
        warnings = [*circles(connection, site, stored.rule()), *warnings]
    return Edited(stored=stored, warnings=warnings)


def replace(
    rt: Runtime,
    site: Site,
    rule_id: str,
    spec: RuleSpec,
    *,
    status: Status | None,
    enrolled: Enrolled,
    expected: int | None,
    author: str | None,
) -> Edited:
    """Puts another document in the place of the rule's, as its next version.

    Whoever is in it goes on by the version that they are in (`enrolled` "keep") or with this one ("move"). Raises
    `Conflict` where its version is not the `expected` one, and `RuleErrors` as `create` does.
    """
    with rt.db.read() as connection:
        warnings = doubts(connection, site, spec)
    with rt.db.begin() as connection:
        rules.lock(connection, site.id)
        _require_segments(connection, site, spec)
        current = present(rules.get_rule(connection, site.id, rule_id))
        if expected is not None and expected != current.version:
            raise Conflict(f"The rule has changed in the meantime: its version is {current.version}.")
        stored = present(
            rules.replace_rule(
                connection,
                site.id,
                rule_id,
                spec,
                status=status,
                enrolled=enrolled,
                now=rt.clock(),
                author=author,
            )
        )
        warnings = [*circles(connection, site, stored.rule()), *warnings]
        inside = enrolments.count_in_rule(connection, rule_id)
        if enrolled == "move" and inside:
            move_enrolled.begin(connection, stored, rt.clock())
    if enrolled == "keep" or not inside:
        return Edited(stored=stored, warnings=warnings, kept=inside)
    return Edited(stored=stored, warnings=warnings, **move_enrolled.move_now(rt, stored))


def activate(rt: Runtime, site: Site, rule_id: str) -> Edited:
    """Lets the rule start enrolments; raises `RuleErrors` where it cannot work, or as `create` does."""
    with rt.db.read() as connection:
        spec = present(rules.get_rule(connection, site.id, rule_id)).rule().spec
        warnings = doubts(connection, site, spec)
    with rt.db.begin() as connection:
        rules.lock(connection, site.id)
        stored = present(rules.set_status(connection, site.id, rule_id, "active", now=rt.clock()))
        warnings = [*circles(connection, site, stored.rule()), *warnings]
    return Edited(stored=stored, warnings=warnings)


def _require_segments(connection: Connection, site: Site, spec: RuleSpec) -> None:
    """Raises `Conflict` where a segment of the rule was taken away since it was read; from now on none is."""
    if not spec.segments:
        return
    known = segments.known(connection, site.id, lock=True)
    if not spec.segments.keys() <= {*known, *known.values()}:
        raise Conflict("A segment that the rule asks for was deleted in the meantime.")


def present(stored: StoredRule | None) -> StoredRule:
    """The rule; NotFound where there is none."""
    if stored is None:
        raise NotFound("There is no such rule.")
    return stored
