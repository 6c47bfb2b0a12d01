"""`/api/v1/sites/{site}/report` and `rules/{id}/report`: what messages changed."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.pipeline.report import report_on_rule, report_on_site
from backend.schemas.report import ReportQuery, RuleReportOut, RuleReportQuery, SiteReportOut
from backend.web.api.blueprint import Blueprint
from backend.web.api.rules import rule_of
from backend.web.context import runtime

blueprint = Blueprint("reports", __name__, "What messages changed.")


@blueprint.route("/sites/<site>/rules/<rule_id>/report", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(RuleReportQuery, location="query")
@blueprint.response(200, RuleReportOut)
def report_a_rule(query: Mapping[str, Any], rule_id: str, *, site: Site) -> dict[str, Any]:
    """Report on a rule

    Numbers by variant, step, channel and day; with `by`, also for each combination. `lift` compares those who were to
    get a message with those held out, from the moment of the decision on, by the rule's goal, by revenue and by what a
    message must not harm: whoever would not have been reached is in neither group. A rule without steps has one step,
    "". What the page reports of a message counts while that is among the last hundred that were said to its visitor.
    """
    stored = rule_of(site, rule_id)
    return report_on_rule(
        runtime(), site, stored.id, query.get("since"), query.get("until"), tuple(dict.fromkeys(query.get("by", ())))
    )


@blueprint.route("/sites/<site>/report", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(200, SiteReportOut)
def report_a_site(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Report on a site

    The totals of every rule.
    """
    return report_on_site(runtime(), site, query.get("since"), query.get("until"))
