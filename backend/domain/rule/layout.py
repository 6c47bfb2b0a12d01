"""Where does a step stand in a rule, and which step of another version is the same one?

An address leads to a step: its index, then the name of a way on from it, the index there, and so on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from backend.domain.rule.compiled import CompiledRule
from backend.domain.rule.model import (
    Branch,
    Delay,
    Emit,
    Message,
    Say,
    SetTrait,
    Split,
    Step,
    Steps,
    Stop,
    Wait,
    blocks_of,
    messages_of,
)

Address: TypeAlias = tuple[int | str, ...]

AUTOMATIC = re.compile(r"(message|split) \d+")
"""How a step is called that nobody gave a name; such a name changes when a step is put in before."""

ALIKE = 4
"""From this likeness on, a step's ways are the same ones."""

_KINDS = {
    Delay: "delay",
    Wait: "wait",
    Branch: "branch",
    Split: "split",
    Say: "message",
    SetTrait: "set_trait",
    Emit: "emit",
    Stop: "stop",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """A step: its address, the path at which the document has it, and where its program begins."""

    address: Address
    path: str
    step: Step
    start: int


def spots_of(rule: CompiledRule) -> list[Spot]:
    """Every step of a rule, in the order of its program."""
    whole = rule.rule.spec.document.get("steps") is None
    found = _walk(rule.rule.spec.steps, (), "steps")
    return [
        Spot(address, "message" if whole else path, step, start)
        for (address, path, step), start in zip(found, rule.starts, strict=True)
    ]


def prelude_of(rule: CompiledRule) -> int:
    """How many places the program has before its first step: the delays of the rule itself."""
    return rule.starts[0] if rule.starts else len(rule.program)


def title_of(step: Step) -> str:
    """How a step is called: by its name, else by its kind."""
    name = getattr(step, "name", "")
    return name if isinstance(name, str) and name else _KINDS.get(type(step), type(step).__name__.lower())


def follow(old: Steps, new: Steps, address: Address) -> tuple[Address, bool] | None:
    """Where in `new` somebody goes on who stands at this address of `old`, and whether that is the same step.

    Where the step is gone it is the nearest one behind it, on the same way, that is still there; else what comes
    behind that way, given as the address of its fork with -1 at its end. None where nothing follows. Nobody gets onto
    a way that they did not take.
    """
    index = address[0]
    assert isinstance(index, int)
    pairs = align(old, new)
    there = pairs.get(index)
    if len(address) == 1:
        if there is not None:
            return (there,), True
    elif there is not None and likeness(old[index], new[there]) >= ALIKE:
        name = address[1]
        assert isinstance(name, str)
        ways, later = dict(blocks_of(old[index])), dict(blocks_of(new[there]))
        if name in later:
            found = follow(ways[name], later[name], address[2:])
            return ((there, name, *found[0]), found[1]) if found is not None else ((there, -1), False)
        return (there, -1), False
    following = next((pairs[each] for each in range(index + 1, len(old)) if each in pairs), None)
    return None if following is None else ((following,), False)


def align(old: Steps, new: Steps) -> dict[int, int]:
    """Which steps of two lists are the same, by index: the pairs that are most alike in all, none crossing another."""
    best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            alike = likeness(old[i], new[j])
            both = best[i + 1][j + 1] + alike if alike else 0
            best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
    pairs: dict[int, int] = {}
    i = j = 0
    while i < len(old) and j < len(new):
        alike = likeness(old[i], new[j])
        if alike and best[i][j] == best[i + 1][j + 1] + alike:
            pairs[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def likeness(a: Any, b: Any) -> int:
    """How much speaks for two steps being the same one; 0 where nothing does. Names speak loudest, then content."""
    if type(a) is not type(b):
        return 0
    match a:
        case Say():
            return _named(a.name, b.name, a.message == b.message)
        case Split():
            return _named(a.name, b.name, a.arms == b.arms)
        case Branch():
            return 8 if a.condition == b.condition else ALIKE if _share(a, b) else 0
        case Wait():
            return 8 if (a.events, a.until) == (b.events, b.until) else ALIKE if _share(a, b) else 1
        case Delay():
            return 8 if a == b else 1
        case Emit():
            return 8 if a == b else 2 if a.event == b.event else 0
        case SetTrait():
            return 8 if a == b else 2 if set(a.traits) == set(b.traits) else 0
        case _:
            name = getattr(a, "name", None)
            return 8 if a == b else 6 if name and name == getattr(b, "name", None) else 0


def said_again(said: tuple[str, ...], old: Steps, new: Steps) -> tuple[str, ...]:
    """The steps of `new` that would say again what these steps of `old` said: by their name, or in the same words."""
    words = [each.message.variants for each in messages_of(old) if each.name in said]
    return tuple(each.name for each in messages_of(new) if each.name in said or each.message.variants in words)


def _named(a: str, b: str, same: bool) -> int:
    if a == b:
        return 12 if same else 2 if AUTOMATIC.fullmatch(a) else 10
    return 9 if same else 0


def _share(a: Step, b: Step) -> bool:
    """Whether some message stands on the same way of both."""
    later = dict(blocks_of(b))
    return any(
        _same_message(one, other)
        for name, block in blocks_of(a)
        for one in messages_of(block)
        for other in messages_of(later.get(name, ()))
    )


def _same_message(a: Say, b: Say) -> bool:
    return _words(a.message) == _words(b.message) or (a.name == b.name and not AUTOMATIC.fullmatch(a.name))


def _words(message: Message) -> object:
    return message.variants


def _walk(steps: Steps, before: Address, path: str) -> Iterator[tuple[Address, str, Step]]:
    for index, step in enumerate(steps):
        address, here = (*before, index), f"{path}.{index}"
        yield address, here, step
        for place, (name, block) in enumerate(blocks_of(step)):
            yield from _walk(block, (*address, name), _below(step, here, name, place))


def _below(step: Step, here: str, name: str, place: int) -> str:
    match step:
        case Branch():
            return f"{here}.branch.{name}"
        case Split():
            return f"{here}.split.{place}.steps"
        case _:
            return f"{here}.{name}"
