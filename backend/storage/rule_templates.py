"""The ready templates of rules: YAML files that come with the package, read once."""

from functools import cache
from importlib.resources import files
from typing import Any

from backend.domain.mistakes import nearest, quoted
from backend.domain.rule_template import Parameter, RuleTemplate
from backend.errors import NotFound
from backend.schemas.yaml_text import read_yaml

FUNNEL = (
    *("welcome", "search-without-result", "viewed-but-left", "cart-left", "checkout-left", "why-not-bought"),
    *("order-thanks", "after-purchase", "back-after-days"),
)
"""The order in which they are shown: that of the funnel."""


@cache
def rule_templates() -> tuple[RuleTemplate, ...]:
    """All templates, in the order of the funnel."""
    folder = files("backend.storage") / "templates"
    found = {name: _read(name, (folder / f"{name}.yaml").read_text(encoding="utf-8")) for name in FUNNEL}
    return tuple(found.values())


def get_rule_template(template_id: object) -> RuleTemplate:
    """The template with this id; NotFound, with the nearest known one, where there is none."""
    for each in rule_templates():
        if each.id == template_id:
            return each
    hint = nearest(template_id, FUNNEL) or f" There are {', '.join(FUNNEL)}."
    raise NotFound(f"There is no template {quoted(template_id)}.{hint}")


def _read(template_id: str, text: str) -> RuleTemplate:
    (document,) = read_yaml(text)
    told: dict[str, Any] = document.value
    return RuleTemplate(
        id=template_id,
        name=told["name"],
        summary=told["summary"],
        needs=tuple(told["needs"]),
        parameters=tuple(Parameter(name=name, **each) for name, each in told["parameters"].items()),
        rule=told["rule"],
    )
