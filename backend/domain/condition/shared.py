"""Which tests do many rules share? Equal conditions become one function, whose answer a moment remembers."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from backend.domain.condition.fields import asked_by
from backend.domain.condition.moment import Moment
from backend.domain.condition.tree import Comparison, Condition, InSegment, Not, Performed
from backend.domain.condition.when import Test


@dataclass(slots=True)
class _Known:
    """A condition that was met: its plain test, and the one that remembers, once somebody else asks the same."""

    plain: Test
    remembering: Test | None = None


class SharedTests:
    """The tests of one set of rules, such as those of a site; made once, and forgotten with the rules.

    The first rule that has a condition gets its plain test, so that what is used once costs nothing; the others get
    one that looks into the moment's answers. What may read the history remembers from the first on.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._plain: dict[str, Test] = {}
        self._numbers = count()

    def plain(self, condition: Condition, compile_it: Callable[[Condition], Test]) -> Test:
        """The test of a condition that remembers nothing, the same for equal conditions.

        These are kept apart from those of `test`, whose parts remember: to compile each anew would double the time that
        loading a thousand rules takes, and to let these remember would make each event pay for it.
        """
        key = repr(condition)
        known = self._plain.get(key)
        if known is None:
            known = self._plain[key] = compile_it(condition)
        return known

    def test(self, condition: Condition, compile_it: Callable[[Condition], Test]) -> Test:
        """The test of a condition: compiled, or the same as that of an equal condition."""
        plain = isinstance(condition, Comparison) and not asked_by(condition.field)
        if plain or isinstance(condition, Not | InSegment) or not getattr(condition, "parts", True):
            return compile_it(condition)  # as cheap as remembering; and what is negated is shared itself
        key = repr(condition)  # not the condition itself: true equals 1 there
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(compile_it(condition))
            if not (isinstance(condition, Comparison) or (isinstance(condition, Performed) and _is_dear(condition))):
                return known.plain
        if known.remembering is None:
            known.remembering = _remembering(known.plain, next(self._numbers))
        return known.remembering


def _is_dear(node: Performed) -> bool:
    return node.filtered or node.windowed or not node.asks_only_count


def _remembering(test: Test, number: int) -> Test:
    def ask(m: Moment) -> bool:
        answers = m.answers
        if answers is None:
            answers = m.answers = {}
        known = answers.get(number)
        if known is None:
            known = answers[number] = test(m)
        return known

    return ask
