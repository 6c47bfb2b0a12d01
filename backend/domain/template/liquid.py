"""How is a template run? Parsed once, checked, and rendered on a budget that no template can exceed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.builtin.tags.for_tag import ForNode
from liquid.context import RenderContext
from liquid.exceptions import LiquidError, OutputStreamLimitError
from liquid.expression import Expression
from liquid.output import LimitedStringIO

from backend.domain.fact import TOLD
from backend.domain.mistakes import nearest
from backend.domain.template.filters import FILTERS
from backend.domain.template.sandbox import (
    ENVIRONMENT,
    TAGS,
    BoundedTemplate,
    MissingValue,
    Sandbox,
    TemplateError,
)

__all__ = ["MissingValue", "Template", "TemplateError", "parse_template", "render"]

LONGEST_SOURCE = 100_000
LONGEST_OUTPUT = 10_000
"""Bytes that a field of an on-site message can render to, unless told otherwise."""

LONGEST_MAIL = 100_000
"""Bytes that the body of a mail can render to."""

LONGEST_RANGE = 100
_UNKNOWN = re.compile(r"^(?:unknown|unexpected) (filter|tag) '([^']{1,50})'", re.IGNORECASE)
DEEPEST_EXPRESSION = 60


@dataclass(frozen=True, slots=True)
class Template:
    """One parsed source; `limit` bounds its output in bytes, `constant` is its text where nothing is filled in."""

    bound: BoundedTemplate
    limit: int = LONGEST_OUTPUT
    constant: str | None = None


def parse_template(source: str, *, limit: int = LONGEST_OUTPUT) -> Template:
    """Parse a Liquid source, or raise TemplateError with a sentence for its author."""
    if len(source) > LONGEST_SOURCE:
        raise TemplateError(f"A template is at most {LONGEST_SOURCE // 1000} kB long.")
    try:
        bound = cast(BoundedTemplate, ENVIRONMENT.from_string(source))
        _check(bound)
    except LiquidError as error:
        raise TemplateError(_sentence(error)) from None
    except RecursionError:
        raise TemplateError("The template is nested too deep.") from None
    return Template(bound, limit, source if _is_constant(source, limit) else None)


def _is_constant(source: str, limit: int) -> bool:
    """Whether rendering gives the source back: nothing to fill in, short enough, and whole characters only."""
    try:
        return "{" not in source and len(source.encode()) <= limit
    except UnicodeEncodeError:
        return False


def render(template: Template, context: Mapping[str, Any]) -> str:
    """Render to text; raise MissingValue where a name has no value, TemplateError where it must stop for any reason."""
    if template.constant is not None:
        return template.constant
    buffer = LimitedStringIO(limit=template.limit)
    try:
        sandbox = Sandbox(template.bound, globals=context)
        template.bound.render_with_context(sandbox, buffer)
    except TemplateError:
        raise
    except OutputStreamLimitError:
        raise TemplateError(f"The text becomes longer than {template.limit // 1000} kB.") from None
    except RecursionError:
        raise TemplateError("The template is nested too deep.") from None
    except LiquidError as error:
        raise TemplateError(_sentence(error)) from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise TemplateError(f"The template cannot be rendered: {error}.") from None
    return buffer.getvalue()


def names_read(template: Template) -> list[list[str]]:
    """The paths that a template reads of what it is given, such as ["cart", "total"], as far as they are fixed."""
    found = []
    for path in template.bound.global_variable_segments():
        fixed = [each if isinstance(each, str) else None for each in path]
        found.append([each for each in fixed[: fixed.index(None) if None in fixed else None] if each is not None])
    return found


def names_of(templates: Iterable[Template], root: str) -> frozenset[str]:
    """What the templates read below this name, one step down; "" where they take it as a whole."""
    return frozenset(
        path[1] if len(path) > 1 else ""
        for template in templates
        if template.constant is None
        for path in names_read(template)
        if path and path[0] == root
    )


def facts_read(templates: Iterable[Template]) -> frozenset[str]:
    """The facts that the templates read: all of them where they take the profile, or its facts, as a whole."""
    found = set[str]()
    for template in templates:
        for path in () if template.constant is not None else names_read(template):
            if not path or (path[0] == "profile" and (len(path) == 1 or path[1:] == ["facts"])):
                return frozenset(TOLD)
            if path[:2] == ["profile", "facts"]:
                found.add(path[2])
    return frozenset(found.intersection(TOLD))


def _check(bound: BoundedTemplate) -> None:
    """Refuse ranges that are long or not literal, and weigh the bodies of loops."""
    bound.weight = sum(_weigh(node, bound.weights) for node in bound.nodes)


def _weigh(node: Node, weights: dict[str, int]) -> int:
    """Count the nodes that one pass through this one visits, apart from the bodies of loops, which `weights` gets."""
    for expression in node.expressions():
        if isinstance(expression, FilteredExpression):
            for used in expression.filters or ():
                used.validate_filter_arguments(ENVIRONMENT)
    weight = 1 + sum(_weigh_expression(expression) for expression in node.expressions())
    # The argument is for partial templates only, and there are none here.
    children: Iterable[Node] = node.children(cast(RenderContext, None))
    if isinstance(node, ForNode):
        name = f"{node.expression.identifier}-{node.expression.iterable}"
        body = _weigh(node.block, weights)
        weights[name] = max(body, weights.get(name, 0))
        children = [node.default] if node.default else []
    return weight + sum(_weigh(child, weights) for child in children)


def _weigh_expression(expression: Expression, depth: int = 0) -> int:
    if depth > DEEPEST_EXPRESSION:
        raise TemplateError("An expression is nested too deep.")
    if isinstance(expression, RangeLiteral):
        start, stop = expression.start, expression.stop
        if not (isinstance(start, IntegerLiteral) and isinstance(stop, IntegerLiteral)):
            raise TemplateError("A range needs two whole numbers, such as (1..5).")
        if stop.value - start.value >= LONGEST_RANGE:
            raise TemplateError(f"A range has at most {LONGEST_RANGE} numbers.")
    return 1 + sum(_weigh_expression(child, depth + 1) for child in expression.children() if child is not None)


def _sentence(error: LiquidError) -> str:
    message = str(error.args[0]) if error.args else type(error).__name__
    token = error.token
    where = f" (line {token.source.count(chr(10), 0, token.start_index) + 1})" if token else ""
    named = _UNKNOWN.search(message)
    hint = nearest(named[2], FILTERS if named[1] == "filter" else TAGS) if named else ""
    return f"{message[:1].upper()}{message[1:300]}{where}.{hint}"
