"""From steps to a program: nested steps become a flat list with jumps, so that a place in it is one number."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from backend.domain.condition import Condition, SharedTests, compile_condition
from backend.domain.condition.compile import always
from backend.domain.condition.fields import dig_event
from backend.domain.condition.values import same
from backend.domain.event import Event
from backend.domain.rule.compiled import (
    BranchOp,
    CallOutOp,
    CompiledCancel,
    DelayOp,
    EmitOp,
    JumpOp,
    Op,
    Program,
    SayOp,
    SplitOp,
    Test,
    WaitOp,
)
from backend.domain.rule.model import (
    ZERO,
    Branch,
    CallOut,
    Cancel,
    Delay,
    Emit,
    Message,
    RuleSpec,
    Say,
    SetTrait,
    Split,
    Steps,
    Stop,
    Wait,
)
from backend.domain.rule.read_webhook import escaped
from backend.domain.rule.trigger import MessageTrigger
from backend.domain.template import Template, facts_read, names_of, parse_content, parse_template

END = 1_000_000
"""A place behind every program: whoever goes on there is done."""


class _Ops(list[Op]):
    """A program that grows; `starts` are the places at which its steps begin."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[int] = []


def compile_program(spec: RuleSpec) -> tuple[Program, tuple[int, ...]]:
    """The program of a rule (its delay, then its steps), and the places at which the steps begin."""
    ops = _Ops()
    if isinstance(spec.trigger, MessageTrigger) and spec.trigger.within is not None:
        ops.append(DelayOp(span=spec.trigger.within))
    if spec.delay > ZERO:
        ops.append(DelayOp(span=spec.delay))
    _append(ops, spec.steps)
    return tuple(ops), tuple(ops.starts)


def compile_cancels(cancels: Sequence[Cancel]) -> Mapping[str, tuple[CompiledCancel, ...]]:
    """The cancels by the name of their event."""
    found: dict[str, list[CompiledCancel]] = {}
    for cancel in cancels:
        compiled = CompiledCancel(event=cancel.event, where=compile_test(cancel.where), same=_same(cancel.same))
        found.setdefault(cancel.event, []).append(compiled)
    return {name: tuple(group) for name, group in found.items()}


def compile_test(condition: Condition | None, shared: SharedTests | None = None) -> Test:
    """A condition as a function; what nobody wrote down always holds. With `shared`, equal ones are asked once."""
    return always if condition is None else compile_condition(condition, shared)


def _same(path: tuple[str, ...] | None) -> Callable[[Event, Event | None], bool]:
    if path is None:
        return lambda _event, _trigger: True
    return lambda event, trigger: trigger is not None and same(dig_event(event, path), dig_event(trigger, path))


def _append(ops: _Ops, steps: Steps) -> None:
    for step in steps:
        ops.starts.append(len(ops))
        match step:
            case Delay(span=span):
                ops.append(DelayOp(span=span))
            case Say(name=name, message=message):
                mail = "email" in message.channels
                templates = {each.name: parse_content(each.content, mail=mail) for each in message.variants}
                texts = [each for content in templates.values() for each in content.fields.values()]
                ops.append(
                    SayOp(name=name, message=message, templates=templates, test=_contest_of(message), **_asked(texts))
                )
            case SetTrait(traits=traits):
                ops.append(_emit(None, traits))
            case Emit(event=event, properties=properties):
                ops.append(_emit(event, properties))
            case CallOut():
                ops.append(_call_out(step))
            case Stop():
                ops.append(JumpOp(to=END))
            case Branch():
                _branch(ops, step)
            case Wait():
                _wait(ops, step)
            case Split():
                _split(ops, step)


def _branch(ops: _Ops, step: Branch) -> None:
    here = _hold(ops)
    _append(ops, step.then)
    out = _hold(ops)
    ops[here] = BranchOp(test=compile_condition(step.condition), otherwise=len(ops))
    _append(ops, step.otherwise)
    ops[out] = JumpOp(to=len(ops))


def _wait(ops: _Ops, step: Wait) -> None:
    here = _hold(ops)
    _append(ops, step.then)
    out = _hold(ops)
    ops[here] = WaitOp(
        timeout=step.timeout,
        events=compile_cancels(step.events),
        until=None if step.until is None else compile_condition(step.until),
        then=here + 1,
        otherwise=len(ops),
    )
    _append(ops, step.otherwise)
    ops[out] = JumpOp(to=len(ops))


def _split(ops: _Ops, step: Split) -> None:
    here = _hold(ops)
    starts: dict[str, int] = {}
    outs: list[int] = []
    for arm in step.arms:
        starts[arm.name] = len(ops)
        _append(ops, arm.steps)
        outs.append(_hold(ops))
    ops[here] = SplitOp(name=step.name, arms=step.arms, starts=starts)
    for out in outs:
        ops[out] = JumpOp(to=len(ops))


def _emit(event: str | None, told: Mapping[str, Any]) -> EmitOp:
    values = _templates(told)
    return EmitOp(event=event, values=values, **_asked([*_within(values)]))


def _call_out(step: CallOut) -> CallOutOp:
    url = parse_template(escaped(step.url))
    headers = {name: parse_template(text) for name, text in step.headers.items()}
    body = None if step.body is None else {key: _deep(value) for key, value in step.body.items()}
    asked = _asked((url, *headers.values(), *_within(body)))
    return CallOutOp(name=step.name, method=step.method, url=url, headers=headers, body=body, **asked)


def _asked(texts: Sequence[Template]) -> dict[str, frozenset[str]]:
    """What texts ask for that is not at hand without cost, as fields of an op."""
    return {"product": names_of(texts, "product"), "facts": facts_read(texts)}


def _within(value: Any) -> Iterator[Template]:
    """Every template in a value, however deep."""
    if isinstance(value, Template):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _within(each)


def _deep(value: Any) -> Any:
    """The value with every text in it parsed."""
    if isinstance(value, str):
        return parse_template(value)
    if isinstance(value, Mapping):
        return {key: _deep(each) for key, each in value.items()}
    return [_deep(each) for each in value] if isinstance(value, list) else value


def _hold(ops: _Ops) -> int:
    """A place for an op that is known only later."""
    ops.append(JumpOp(to=len(ops) + 1))
    return len(ops) - 1


def _templates(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: parse_template(each) if isinstance(each, str) else each for key, each in values.items()}


def _contest_of(message: Message) -> str:
    """The name of the contest between these variants, another one when what they say changes; "" without one."""
    if message.winner is None:
        return ""
    rule = message.winner
    asked = [rule.by, rule.confidence, rule.persons, rule.after.total_seconds() if rule.after is not None else None]
    said = sorted((each.name, each.content) for each in message.variants if each.weight > 0)
    text = json.dumps([asked, said], sort_keys=True, default=dict)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
