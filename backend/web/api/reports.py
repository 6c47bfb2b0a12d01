"""`/api/v1/sites/{site}/report` and `rules/{id}/report`: what messages changed."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.pipeline.report import report_on_rule, report_on_site
from backend.schemas.report import ReportQuery, RuleReportOut, SiteReportOut
from backend.web.api.blueprint import Blueprint
from backend.web.api.rules import rule_of
from backend.web.context import runtime

blueprint = Blueprint("reports", __name__, "What messages changed.")


@blueprint.route("/sites/<site>/rules/<rule_id>/report", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(200, RuleReportOut)
def report_a_rule(query: Mapping[str, Any], rule_id: str, *, site: Site) -> dict[str, Any]:
    """Report on a rule

    Numbers by variant, step, channel and day. `lift` compares those who were to get a message with those held out, on
    the rule's goal, from the moment of the decision on: whoever would not have been reached is in neither group.
    """
    stored = rule_of(site, rule_id)
    return report_on_rule(runtime(), site, stored.id, query.get("since"), query.get("until"))


@blueprint.route("/sites/<site>/report", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ReportQuery, location="query")
@blueprint.response(200, SiteReportOut)
def report_a_site(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Report on a site

    The totals of every rule.
    """
    return report_on_site(runtime(), site, query.get("since"), query.get("until"))
