"""The page of a site's funnel: its stages in order, each own one with its conditions, and who is in them now."""

from flask import jsonify, request
from werkzeug.wrappers import Response

from backend.domain.mistakes import RuleErrors
from backend.domain.profile import STAGES
from backend.domain.site import Site
from backend.web.console.condition_names import names_of
from backend.web.console.forms import saved
from backend.web.console.phrases import sentences
from backend.web.console.site_pages import Answer, address, page, show
from backend.web.console.written import value_of

LONGEST = 100_000


@page("/settings/stages")
def stages(*, site: Site) -> Answer:
    """The stages of the funnel."""
    names = names_of(site)
    told = {
        "whole": {"stages": list(site.funnel.document)},
        "builtin": list(STAGES),
        "save": address("save_stages"),
        **names.told,
    }
    return show("settings", "stages", told=told, names=names)


@page("/settings/stages", right="administer", methods=("POST",))
def save_stages(*, site: Site) -> Response:
    """Keeps another funnel; everybody is put into it by what they did, and no rule starts by that."""
    try:
        told = value_of(request.form.get("whole", "")[:LONGEST])
    except RuleErrors as error:
        return jsonify({"mistakes": sentences(error.errors), "warnings": []})
    written = told.get("stages") if isinstance(told, dict) else None
    form = saved(site, {"stages": written}, {})
    if not form.fine:
        return jsonify({"mistakes": list(form.rest), "warnings": []})
    if form.warnings:
        return jsonify({"mistakes": [], "warnings": form.warnings})
    return jsonify({"saved": address("stages", done="saved"), "mistakes": [], "warnings": []})
