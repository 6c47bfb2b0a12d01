"""Whether an operator is there: shown at their name, and chosen in their menu."""

from flask import g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from backend.domain.presence import PRESENCES
from backend.domain.site import Site
from backend.errors import Invalid
from backend.pipeline import desk
from backend.storage import desks
from backend.web.console import guard
from backend.web.console.shell import blueprint
from backend.web.context import runtime


@blueprint.post("/<site>/presence")
@guard.allow("record")
def choose_presence(*, site: Site) -> BaseResponse:
    """Takes down what an operator chose to be, and goes back to where they were."""
    chosen = request.form.get("presence", "")
    if chosen not in PRESENCES:
        raise Invalid("There is no such presence.", {"presence": [f"One of {', '.join(PRESENCES)}."]})
    desk.choose(runtime(), site, guard.seat().id, chosen)
    return redirect(url_for("console.inbox", site=site.id), 303)


@blueprint.context_processor
def _mine() -> dict[str, object]:
    return {"my_presence": my_presence}


def my_presence() -> str | None:
    """What whoever asks chose to be on this site; None where they answer nobody there."""
    if "my_presence" not in g:
        with runtime().db.read() as connection:
            seat = desks.seats(connection, g.site.id).get(guard.seat().id)
        g.my_presence = None if seat is None else seat.chosen
    found: str | None = g.my_presence
    return found
