"""From a rule to something that runs: conditions become functions, sources become templates."""

import json
from collections import defaultdict
from collections.abc import Callable
from hashlib import blake2b

from backend.domain.condition import Condition, Test, compile_condition, needed_history
from backend.domain.condition.compile import always
from backend.domain.condition.fields import dig_event
from backend.domain.condition.values import same
from backend.domain.event import Event
from backend.domain.rule.compiled import CompiledCancel, CompiledRule
from backend.domain.rule.model import EventTrigger, Reentry, Rule
from backend.domain.template import parse_content

LONGEST_KEY = 100


def compile_rule(rule: Rule) -> CompiledRule:
    """Make a rule ready to run; a rule that parsed always compiles."""
    spec = rule.spec
    trigger = spec.trigger
    by_event = trigger if isinstance(trigger, EventTrigger) else None
    where = by_event.where if by_event else None
    cancels: dict[str, list[CompiledCancel]] = defaultdict(list)
    for cancel in spec.cancel:
        cancels[cancel.event].append(
            CompiledCancel(event=cancel.event, where=_test(cancel.where), same=_same(cancel.same))
        )
    conditions = [where, spec.audience, *(cancel.where for cancel in spec.cancel)]
    mail = "email" in spec.message.channels
    return CompiledRule(
        rule=rule,
        event=by_event.event if by_event else None,
        stage=None if isinstance(trigger, EventTrigger) else trigger.stage,
        where=_test(where),
        audience=_test(spec.audience),
        cancels={name: tuple(found) for name, found in cancels.items()},
        key_of=_key(spec.reentry),
        templates={variant.name: parse_content(variant.content, mail=mail) for variant in spec.message.variants},
        history=frozenset().union(*map(needed_history, conditions)),
    )


def key_text(value: object) -> str | None:
    """A key as text: `5` and `"5"` are one key; None for what is no single value. Long ones are cut and hashed."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > LONGEST_KEY:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{text[: LONGEST_KEY - 33]}~{digest}"
    return text


def _test(condition: Condition | None) -> Test:
    return always if condition is None else compile_condition(condition)


def _same(path: tuple[str, ...] | None) -> Callable[[Event, Event | None], bool]:
    if path is None:
        return lambda _event, _trigger: True
    return lambda event, trigger: trigger is not None and same(dig_event(event, path), dig_event(trigger, path))


def _key(reentry: Reentry) -> Callable[[Event], str | None]:
    path = reentry.key
    if path is None:
        return lambda _event: ""
    return lambda event: key_text(dig_event(event, path))
