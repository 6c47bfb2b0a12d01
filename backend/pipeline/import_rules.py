"""The verb `import`: a site's rules become those that are given, in one transaction, or none does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, cast, get_args

from backend.domain.mistakes import Mistakes, RuleErrors, nearest, quoted
from backend.domain.rule import Rule, RuleSpec, Status, parse_rule
from backend.domain.rule.difference import Difference, differences
from backend.domain.rule.exchange import resolved
from backend.domain.rule.names import Seen
from backend.domain.segment_exchange import asked_by_rule, by_name
from backend.domain.site import Site
from backend.pipeline import move_enrolled
from backend.pipeline.check import Warned, doubts, endless_circles, sample
from backend.pipeline.import_segments import SegmentChange, check_segments, import_segments, with_given
from backend.pipeline.targets import refuse_targets
from backend.storage import enrolments
from backend.storage import rules as stored_rules
from backend.storage import segments as stored_segments
from backend.storage.database import Connection, Database
from backend.storage.rule_versions import Enrolled
from backend.storage.rules import StoredRule

Action: TypeAlias = Literal["new", "changed", "same", "only_there", "archived"]
Documents: TypeAlias = Sequence[dict[str, Any]]

MOST_RULES = 2_000
"""Rules of one import."""

STATUSES = get_args(Status)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What becomes of one rule; `index` is its place among those given, None where it is only in the site.

    Of those who are in a rule that says something else now, so many go on by their version, or with the new one.
    """

    action: Action
    index: int | None = None
    id: str
    key: str | None
    name: str
    status: str
    fields: Sequence[Difference] = ()
    warnings: Sequence[Warned] = ()
    kept: int = 0
    moving: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What an import does, or would do; `applied` where it did."""

    changes: Sequence[Change]
    segments: Sequence[SegmentChange] = ()
    applied: bool

    @property
    def summary(self) -> dict[str, int]:
        """How many of each action."""
        found = Counter(change.action for change in self.changes)
        return {action: found[action] for action in get_args(Action)}


def import_rules(
    db: Database,
    site: Site,
    documents: Documents,
    *,
    now: datetime,
    author: str | None,
    allow_private: str,
    prune: bool = False,
    keep_status: bool = False,
    enrolled: Enrolled = "keep",
    segments: Sequence[object] = (),
    dry_run: bool = False,
) -> Plan:
    """Makes the site's rules those that are given, and tells what that changed; RuleErrors where one cannot work.

    With `prune` rules that are not among them are archived; with `keep_status` those that are there stay as active or
    paused as they are. What is the same already is not touched, and keeps its version. Whoever is in a rule that
    changes goes on by the version that they are in (`enrolled` "keep"), or the tick moves them to the new one ("move").

    `segments` are documents of segments that the rules may ask for by name. Others of the site stay as they are.
    """
    mistakes = Mistakes()
    with db.read() as connection:
        known = with_given(stored_segments.known(connection, site.id), segments)
        seen = sample(connection, site)
    check_segments(segments, known, mistakes)
    stages = site.funnel.names
    given = [_checked(each, index, allow_private, known, stages, mistakes) for index, each in enumerate(documents)]
    mistakes.raise_if_any()
    try:
        with db.begin() as connection:
            stored_rules.lock(connection, site.id)
            brought, known = import_segments(connection, site, segments, now)
            plan = _import(connection, site, given, known, _How(now, author, prune, keep_status, enrolled, seen))
            plan = replace(plan, segments=brought)
            if dry_run:
                # Done as if it were meant, so that it is refused for the same reasons, and then undone.
                raise _DryRun(plan)
            return plan
    except _DryRun as done:
        return replace(done.plan, applied=False)


@dataclass(frozen=True, slots=True)
class _How:
    now: datetime
    author: str | None
    prune: bool
    keep_status: bool
    enrolled: Enrolled
    seen: Seen


class _DryRun(Exception):
    def __init__(self, plan: Plan) -> None:
        super().__init__("undone")
        self.plan = plan


def _import(connection: Connection, site: Site, documents: Documents, known: Mapping[str, str], how: _How) -> Plan:
    mistakes = Mistakes()
    present = stored_rules.list_rules(connection, site.id, limit=100_000)
    matched = match(documents, present, mistakes)
    mistakes.raise_if_any()
    ids = [stored_rules.new_id() if found is None else found.id for found in matched]
    taken = {found.id for found in matched if found is not None}
    others = [rule for rule in present if rule.id not in taken]
    documents = resolved(documents, ids, [{**rule.document, "id": rule.id} for rule in others], mistakes)
    mistakes.raise_if_any()
    changes: list[Change] = []
    specs: list[RuleSpec] = []
    edited: dict[str, Rule] = {}
    for index, (document, rule_id, found) in enumerate(zip(documents, ids, matched, strict=True)):
        if found is not None and not document.get("key"):
            document = {**document, "key": found.document.get("key")}
        spec = parse_rule(document, segments=known, stages=site.funnel.names)
        change = _change(index, document, rule_id, spec, found, known, how.keep_status)
        stored = _save(connection, site.id, change, spec, how)
        if stored is not None and found is not None and stored.version != found.version:
            change = _with_enrolled(connection, change, stored, how)
        changes.append(change)
        specs.append(spec)
        if stored is not None and stored.status == "active":
            edited[rule_id] = Rule(id=rule_id, site_id=site.id, spec=spec, status="active", version=stored.version)
    # Only now, since a rule may be about one that comes after it.
    for index, (change, spec) in enumerate(zip(changes, specs, strict=True)):
        if change.action != "same":
            changes[index] = replace(change, warnings=doubts(connection, site, spec, how.seen))
    for rule in others:
        if rule.status != "archived":
            changes.append(_only_there(rule, how.prune))
            if how.prune:
                stored_rules.set_status(connection, site.id, rule.id, "archived", now=how.now)
    for rule_id, sentence in endless_circles(connection, site, edited):
        mistakes.add(("rules", ids.index(rule_id), "trigger"), sentence)
    mistakes.raise_if_any()
    return Plan(changes=changes, applied=True)


def match(documents: Documents, present: Sequence[StoredRule], mistakes: Mistakes) -> list[StoredRule | None]:
    """The site's rule that each document means: by key, by id, by name; None for a new one.

    A rule of another key is another rule, whatever else is alike.
    """
    _note_twins(documents, mistakes)
    left = {rule.id: rule for rule in present}
    found: list[StoredRule | None] = [None] * len(documents)

    def take(index: int, rule: StoredRule | None) -> None:
        if rule is not None and found[index] is None:
            found[index] = left.pop(rule.id)

    for index, document in enumerate(documents):
        if key := document.get("key"):
            take(index, next((rule for rule in left.values() if rule.document.get("key") == key), None))
    for index, document in enumerate(documents):
        rule = left.get(str(document.get("id")))
        if rule is not None and found[index] is None and _may_be(document, rule):
            take(index, rule)
    for index, document in enumerate(documents):
        if found[index] is not None:
            continue
        named = [rule for rule in left.values() if rule.document.get("name") == document["name"]]
        named = [rule for rule in named if _may_be(document, rule)]
        alive = [rule for rule in named if rule.status != "archived"]
        if len(alive) > 1:
            wrong = f"{len(alive)} rules of the site are named so: say which by its id, or give each a key."
            mistakes.add(("rules", index, "name"), wrong)
        elif named:
            take(index, (alive or named)[-1])
    return found


def _may_be(document: Mapping[str, Any], rule: StoredRule) -> bool:
    own, theirs = document.get("key"), rule.document.get("key")
    return own is None or theirs is None or own == theirs


def _note_twins(documents: Documents, mistakes: Mistakes) -> None:
    """Notes whatever of those given could not be told apart later."""
    seen: dict[tuple[str, str], int] = {}
    for index, document in enumerate(documents):
        marks = [(way, str(document[way])) for way in ("key", "id") if document.get(way)]
        for mark in marks or [("name", document["name"])]:
            if mark in seen:
                way, value = mark
                hint = {"key": "", "id": " Take the id out of the copy.", "name": " Give each a key."}[way]
                mistakes.add(("rules", index, way), f"Another rule here has the {way} {quoted(value)}.{hint}")
            seen[mark] = index


def _checked(
    document: object,
    index: int,
    allow_private: str,
    known: Mapping[str, str],
    stages: Sequence[str],
    mistakes: Mistakes,
) -> dict[str, Any]:
    """The document, where the rule can work; its mistakes are noted below `rules` and its place."""
    noted = Mistakes()
    if isinstance(document, dict):
        status = document.get("status")
        if status is not None and status not in STATUSES:
            noted.add(("status",), f"Expected one of {', '.join(STATUSES)}.{nearest(status, STATUSES)}")
        if document.get("id") is not None and not isinstance(document["id"], str):
            noted.add(("id",), "Expected text. An id that is all digits needs quotes in YAML.")
    try:
        refuse_targets(parse_rule(document, segments=known, stages=stages).document.get("steps"), allow_private, noted)
    except RuleErrors as error:
        noted.errors = error.errors | noted.errors
    if noted.errors:
        mistakes.errors.setdefault("rules", {})[str(index)] = noted.errors
    return cast(dict[str, Any], document)


def _change(
    index: int,
    document: Mapping[str, Any],
    rule_id: str,
    spec: RuleSpec,
    found: StoredRule | None,
    known: Mapping[str, str],
    keep_status: bool,
) -> Change:
    wanted = document.get("status")
    if found is None:
        status: str = wanted if wanted and not keep_status else "draft"
        fields: list[Difference] = []
    else:
        status = wanted if wanted and not keep_status else found.status
        # One may ask for segments by id, and the other by name: that is no difference.
        old = _as_read(found)
        old, new = by_name(old, asked_by_rule(old), known), by_name(spec.document, spec.segments, known)
        fields = list(differences(old, new))
        if status != found.status:
            fields.insert(0, Difference(("status",), found.status, status))
    return Change(
        action="new" if found is None else "changed" if fields else "same",
        index=index,
        id=rule_id,
        key=spec.document["key"],
        name=spec.name,
        status=status,
        fields=fields,
    )


def _as_read(found: StoredRule) -> Mapping[str, Any]:
    """The stored document with the defaults of this version."""
    try:
        return found.rule().spec.document
    except RuleErrors:
        return found.document


def _only_there(rule: StoredRule, prune: bool) -> Change:
    return Change(
        action="archived" if prune else "only_there",
        id=rule.id,
        key=rule.document.get("key"),
        name=str(rule.document.get("name")),
        status="archived" if prune else rule.status,
    )


def _with_enrolled(connection: Connection, change: Change, stored: StoredRule, how: _How) -> Change:
    """Tells how many are in a rule that has a new version, and begins to move them where that is wished."""
    inside = enrolments.count_in_rule(connection, stored.id)
    if how.enrolled == "keep":
        return replace(change, kept=inside)
    if inside:
        move_enrolled.begin(connection, stored, how.now)
    return replace(change, moving=inside)


def _save(connection: Connection, site_id: str, change: Change, spec: RuleSpec, how: _How) -> StoredRule | None:
    """Writes what changes; None where nothing does."""
    status = cast(Status, change.status)
    # A microsecond apart, so that they are listed in the order in which they were given.
    now = how.now + timedelta(microseconds=change.index or 0)
    if change.action == "new":
        return stored_rules.create_rule(
            connection, site_id, spec, status=status, now=now, rule_id=change.id, author=how.author
        )
    if [each.path for each in change.fields] == [("status",)]:
        return stored_rules.set_status(connection, site_id, change.id, status, now=now)
    if change.action == "changed":
        return stored_rules.replace_rule(
            connection, site_id, change.id, spec, status=status, enrolled=how.enrolled, now=now, author=how.author
        )
    return None
