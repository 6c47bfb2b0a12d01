"""What of a rule travels between installations? What was written down, its status, and other rules by name, not by id.

A rule is the same one in two places where both carry the same `key`; without one, where the name is the same. The id
helps within one installation only: a rule whose name was changed in the file is found by it.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.rule.parse import DEFAULTS
from backend.domain.segment_exchange import asked_by_rule, by_name

UNSAID = ("key", "priority", "audience", "delay", "cancel", "goal")
"""What is left out where it says the same as nothing would."""

LONGEST_SLUG = 60
_ODD = re.compile(r"[^a-z0-9]+")


def exported(rules: Iterable[Mapping[str, Any]], segments: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rules as the API shows them, as they are written to files: in a stable order, without what only holds here.

    `segments` are the names of the site's, by id.
    """
    told = sorted(rules, key=lambda rule: (slug(rule), str(rule["id"])))
    handles = _handles(told)
    return [_portable(by_name(rule, asked_by_rule(rule), segments), handles) for rule in told]


def slug(rule: Mapping[str, Any]) -> str:
    """The rule's key, else its name, or that of a segment in a file, as the name of a file."""
    named = rule.get("key") or rule.get("segment") or rule["name"]
    plain = unicodedata.normalize("NFKD", str(named)).encode("ascii", "ignore").decode()
    return _ODD.sub("-", plain.lower()).strip("-")[:LONGEST_SLUG].strip("-") or "rule"


def reference_of(document: Mapping[str, Any]) -> str | None:
    """The other rule that this one is about: that whose message starts it."""
    trigger = document.get("trigger")
    named = trigger.get("rule") if isinstance(trigger, Mapping) else None
    return named if isinstance(named, str) else None


def with_reference(document: Mapping[str, Any], named: str) -> dict[str, Any]:
    """The document, about another rule."""
    return {**document, "trigger": {**document["trigger"], "rule": named}}


def resolved(
    documents: Sequence[dict[str, Any]], ids: Sequence[str], others: Sequence[Mapping[str, Any]], mistakes: Mistakes
) -> list[dict[str, Any]]:
    """The documents with ids for keys and names of the rules that they are about; `ids` are their own, in order.

    `others` are rules that stand beside them, as the API shows them; a name that leads nowhere is noted.
    """
    known: dict[str, str] = {}
    every = [*({**document, "id": own} for document, own in zip(documents, ids, strict=True)), *others]
    for way in ("name", "key", "id"):
        named = Counter(str(rule[way]) for rule in every if rule.get(way) is not None)
        known |= {str(rule[way]): str(rule["id"]) for rule in every if named[str(rule.get(way))] == 1}
    # In the file they may go by the ids of the installation that it came from.
    known |= {str(document["id"]): own for document, own in zip(documents, ids, strict=True) if document.get("id")}
    found = []
    for index, document in enumerate(documents):
        named_rule = reference_of(document)
        if named_rule is None:
            found.append(document)
        elif named_rule in known:
            found.append(with_reference(document, known[named_rule]))
        else:
            hint = nearest(named_rule, known)
            wrong = f"No one rule has the key, name or id {quoted(named_rule)}.{hint}"
            mistakes.add(("rules", index, "trigger", "rule"), wrong)
            found.append(document)
    return found


def _handles(rules: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By what each rule is named in others: its key, else its name where no other has it, else its id."""
    named = Counter(str(rule["name"]) for rule in rules)
    return {
        str(rule["id"]): str(
            rule.get("key") or (rule["name"] if named[rule["name"]] == 1 and len(rule["name"]) <= 100 else rule["id"])
        )
        for rule in rules
    }


def _portable(rule: Mapping[str, Any], handles: Mapping[str, str]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in rule.items()
        if name not in {"version", "site_id", "created_at", "updated_at"}
        and not (name in UNSAID and value == DEFAULTS[name])
        and value is not None
    }
    named = reference_of(kept)
    return kept if named is None or named not in handles else with_reference(kept, handles[named])
