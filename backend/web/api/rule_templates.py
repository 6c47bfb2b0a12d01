"""`/api/v1/rule-templates`: ready rules for the funnel, to begin with."""

from typing import Any

from backend.domain.mistakes import Mistakes
from backend.domain.rule_template import filled
from backend.errors import NotFound
from backend.schemas.rule_template import RuleTemplatesOut
from backend.storage.rule_templates import get_rule_template, rule_templates
from backend.web.api.blueprint import Blueprint

blueprint = Blueprint("rule templates", __name__, "Ready rules for the funnel, to begin with.")


@blueprint.route("/rule-templates", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, RuleTemplatesOut)
def list_rule_templates() -> dict[str, Any]:
    """List rule templates

    In the order of the funnel, each with what it needs, its parameters and the ready rule. To make one a rule of yours:
    `POST /api/v1/sites/SITE/rules` with `{"template": "cart-left", "parameters": {"delay": "1h"}}`.
    """
    items = [
        {
            **{name: getattr(each, name) for name in ("id", "name", "summary", "needs", "parameters")},
            "rule": filled(each),
        }
        for each in rule_templates()
    ]
    return {"items": items, "next_cursor": None}


def from_template(body: dict[str, Any]) -> dict[str, Any]:
    """The rule that `template` and `parameters` mean, with whatever else the body says of it; other bodies as they are.

    Raises RuleErrors where there is no such template, or a parameter does not fit.
    """
    if "template" not in body:
        return body
    try:
        template = get_rule_template(body["template"])
    except NotFound as error:
        mistakes = Mistakes()
        mistakes.add(("template",), error.message)
        mistakes.raise_if_any()
        raise
    rest = {name: value for name, value in body.items() if name not in ("template", "parameters")}
    return {**filled(template, body.get("parameters")), **rest}
