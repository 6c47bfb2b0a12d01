"""What may a template do? Read plain values, on a budget: the Liquid environment, its tags, filters and meter."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import _GeneratorContextManager as GeneratorContext
from functools import partial
from io import StringIO
from typing import Any, NoReturn, TextIO

from liquid import Environment
from liquid.builtin.output import Output, OutputNode
from liquid.context import RenderContext
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate
from liquid.token import Token
from liquid.undefined import UNDEFINED, Undefined, is_undefined
from liquid.utils import ReadOnlyChainMap

from backend.domain.template.filters import FILTERS, cost, longest_result
from backend.domain.template.lexer import tokenize

TAGS = ("if", "unless", "case", "for", "break", "continue", "assign", "capture", "cycle", "increment", "decrement")
"""What may stand in {% %}. Left out is what loads other templates (include, render) and what mails do not need."""

INNER_TAGS = ("content", "illegal")
"""What the parser needs for text and for tags that are not allowed; comments never come so far."""

BUDGET = 100_000
"""Steps of about a microsecond: nodes visited, elements and hundreds of characters handled by filters."""

MOST_NAMES = 200
MOST_ELEMENTS = 10_000
LONGEST_TEXT = 100_000
MOST_BITS = 256


class TemplateError(ValueError):
    """The template cannot be used; the text is a sentence for its author."""


class MissingValue(TemplateError):
    """The template asks for a `name` that has no value here, and gives no default."""

    def __init__(self, name: str) -> None:
        super().__init__(f'"{name}" has no value here, and the template gives no default for it.')
        self.name = name


class Missing(Undefined):
    """A name without value: can be tested and defaulted; any other use stops the template."""

    __slots__ = ()
    force_liquid_default = True

    def stop(self) -> NoReturn:
        """Raise MissingValue."""
        raise MissingValue(self.name)

    def __str__(self) -> str:
        self.stop()

    def __len__(self) -> int:
        self.stop()

    def __iter__(self) -> Iterator[Any]:
        self.stop()

    def __int__(self) -> int:
        self.stop()

    def __bool__(self) -> bool:
        return False

    __eq__ = Undefined.__eq__
    __hash__ = Undefined.__hash__

    def poke(self) -> bool:
        """Raise MissingValue."""
        self.stop()


class BoundedTemplate(BoundTemplate):
    """A parsed template that knows the weight of its nodes, and of each loop's body by the loop's name."""

    weight: int = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weights: dict[str, int] = {}


class Sandbox(RenderContext):
    """One rendering: names come from the template and the given mapping only, and every step is paid for."""

    __slots__ = ("budget",)

    def __init__(self, template: BoundedTemplate, **kwargs: Any) -> None:
        super().__init__(template, **kwargs)
        # Without the library's own `now` and `today`: what is rendered depends on what was given, not on the clock.
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)
        self.budget = BUDGET
        self.spend(template.weight)

    def spend(self, steps: int) -> None:
        """Pay for some steps; stop the template where the budget is used up."""
        self.budget -= steps
        if self.budget < 0:
            raise TemplateError("The template does too much: shorten its loops and texts.")

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Look a path up; a missing one carries its full name."""
        found = super().get(path, token=token, default=default)
        if found is None or (isinstance(found, Missing) and found.name == str(path[0])):
            return Missing(".".join(map(str, path)), token=token)
        return found

    def get_item(self, obj: Any, key: Any) -> Any:
        """Look one key up; null is as good as missing."""
        found = super().get_item(obj, key)
        if found is None:
            raise KeyError(key)
        return found

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:  # noqa: ARG002
        """Give what `capture` writes into."""
        return LimitedStringIO(limit=LONGEST_TEXT)

    def assign(self, key: str, val: Any) -> None:
        """Set a name, as `assign` and `capture` do."""
        super().assign(key, val)
        if len(self.locals) > MOST_NAMES:
            raise TemplateError(f"A template sets at most {MOST_NAMES} names.")

    def loop(self, namespace: Mapping[str, object], forloop: Any) -> GeneratorContext[RenderContext]:
        """Begin a loop, paying for all of it."""
        template = self.template
        assert isinstance(template, BoundedTemplate)
        self.spend(forloop.length * template.weights.get(forloop.name, template.weight))
        return super().loop(namespace, forloop)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Find a filter, metered."""
        return partial(self.metered, name, super().filter(name, token))

    def metered(self, name: str, function: Callable[..., object], left: object, *args: Any, **kwargs: Any) -> object:
        """Run a filter within the budget; a missing value passes through every filter up to `default`."""
        if name != "default":
            if is_undefined(left):
                return left
            for arg in args:
                if isinstance(arg, Missing):
                    arg.stop()
        if name == "join" and isinstance(left, list) and any(isinstance(each, dict | list) for each in left):
            raise TemplateError("join takes a list of single values: choose one of each by map first.")
        if longest_result(name, left, args) > LONGEST_TEXT:
            raise TemplateError(f"The filter {name} makes a text that is too long.")
        self.spend(cost(name, left, args))
        result = function(left, *args, **kwargs)
        if isinstance(result, str | list) and longest_result("", result, ()) > LONGEST_TEXT:
            raise TemplateError(f"The filter {name} makes a text that is too long.")
        if isinstance(result, list) and len(result) > MOST_ELEMENTS:
            raise TemplateError(f"The filter {name} makes a list that is too long.")
        if isinstance(result, int) and result.bit_length() > MOST_BITS:
            raise TemplateError(f"The filter {name} makes a number that is too large.")
        if isinstance(result, float) and (result != result or result in (float("inf"), float("-inf"))):
            raise TemplateError(f"The filter {name} does not make a finite number.")
        return result


class TextNode(OutputNode):
    """`{{ … }}`: text, numbers, lists of them; neither a group of values nor nothing."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Write the value."""
        value = self.expression.evaluate(context)
        if is_undefined(value):
            str(value)
        if isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(x, dict | list) for x in value)):
            raise TemplateError(f'"{self.expression}" is a group of values: name one of them.')
        if value is None:
            raise MissingValue(str(self.expression))
        if isinstance(value, bool):
            return buffer.write("true" if value else "false")
        if isinstance(value, list):
            return buffer.write("".join(str(each) for each in value if each is not None))
        return buffer.write(str(value))


class TextOutput(Output):
    """The tag behind `{{ … }}`."""

    node_class = TextNode


class SandboxEnvironment(Environment):
    """Liquid with our tags and filters only."""

    template_class = BoundedTemplate
    block_nesting_limit = 30
    context_depth_limit = 40

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        """Give our own tokenizer."""
        return tokenize

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:  # noqa: ARG002
        """Keep what is allowed of the built-in tags and filters."""
        super().setup_tags_and_filters(extra=False)
        allowed = {*TAGS, *INNER_TAGS}
        self.tags = {name: tag for name, tag in self.tags.items() if name in allowed}
        self.add_tag(TextOutput)
        self.filters = {name: FILTERS.get(name) or self.filters[name] for name in FILTERS}


ENVIRONMENT = SandboxEnvironment(undefined=Missing)
