"""`/api/v1/sites/{site}/rules/import`: rules as code, brought to a site as a whole."""

from collections.abc import Mapping
from typing import Any

from backend.domain.mistakes import RuleErrors
from backend.domain.site import Site
from backend.pipeline.import_rules import MOST_RULES, Plan, import_rules
from backend.schemas.rule_import import EXAMPLE, RuleImportIn, RulePlanOut
from backend.web.api.blueprint import Blueprint
from backend.web.auth import principal
from backend.web.context import runtime

blueprint = Blueprint("rule imports", __name__, "Rules as code, brought to a site as a whole.")


@blueprint.route("/sites/<site>/rules/import", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(RuleImportIn, example=EXAMPLE)
@blueprint.response(200, RulePlanOut)
@blueprint.alt_response(409, "CONFLICT")
def import_all_rules(body: Mapping[str, Any], *, site: Site) -> Plan:
    """Import rules

    The site's rules become those that are sent, all or none: what `chimein rules import` does. A rule is found by its
    `key`, else by its `id`, else by its name. What is the same already is not touched, so that a second time changes
    nothing. Whoever is in a rule that changes goes on by the version that they are in, or with the new one where
    `enrolled` says `move`. Rules that are not among these stay, or are archived with `prune`. `segments`
    that the rules ask for come with them; a changed condition is asked of everybody anew, and segments that are not
    among these stay. Mistakes: `errors.rules.3.audience…`.
    """
    if len(body["rules"]) > MOST_RULES:
        raise RuleErrors({"rules": [f"At most {MOST_RULES} rules at a time."]})
    options = {name: body[name] for name in ("segments", "prune", "keep_status", "enrolled", "dry_run")}
    rt = runtime()
    return import_rules(
        rt.db,
        site,
        body["rules"],
        now=rt.clock(),
        author=principal().name,
        allow_private=rt.settings.allow_private,
        **options,
    )
