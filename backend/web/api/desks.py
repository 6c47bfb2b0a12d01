"""`/api/v1/sites/{site}/desk` and `…/presence`: who is there to answer, and when."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.errors import Forbidden, Invalid, NotFound
from backend.pipeline.desk import State, Watch, choose, heard, state_of
from backend.schemas.desk import (
    DepartmentDesk,
    DeskOut,
    PresenceIn,
    PresencesOut,
    SeatOut,
    department_document,
    department_view,
)
from backend.storage import desks
from backend.web.api.blueprint import Blueprint
from backend.web.auth import principal
from backend.web.context import runtime

blueprint = Blueprint("desk", __name__, "Who is there to answer, and when.")


@blueprint.route("/sites/<site>/desk", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, DeskOut)
def show_the_desk(*, site: Site) -> dict[str, Any]:
    """Show the desk

    Who is there now, how much each has to do, and when the site and its departments answer. What is written down of it
    stands in the site's `policy.desk` and in its departments.
    """
    rt = runtime()
    beats = heard(rt, site.id)
    with rt.db.read() as conn:
        state = state_of(conn, site, beats, rt.clock())
        names = desks.department_names(conn, site.id)
    return {
        "online": state.online,
        "open": state.open,
        "opens_at": state.opens_at,
        "replies_in": Watch(rt).replies_in(site),
        "routing": state.desk.routing,
        "operators": _seats(state),
        "departments": [
            _department(state, each, name) for each, name in sorted(names.items(), key=lambda each: each[1])
        ],
    }


@blueprint.route("/sites/<site>/presence", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, PresencesOut)
def list_who_is_there(*, site: Site) -> dict[str, Any]:
    """List who is there"""
    rt = runtime()
    beats = heard(rt, site.id)
    with rt.db.read() as conn:
        return {"items": _seats(state_of(conn, site, beats, rt.clock()))}


@blueprint.route("/sites/<site>/presence", methods=["PUT"])
@blueprint.allow("record")
@blueprint.arguments(PresenceIn, example={"operator": "OPERATOR_ID", "presence": "online"})
@blueprint.response(200, SeatOut)
def choose_a_presence(body: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Choose a presence

    The console tells by itself that its operator is there. A program that answers in the place of one says so again at
    least each minute: of whom nothing is heard for 90 s is off.
    """
    who = principal()
    operator_id = body.get("operator", who.operator_id)
    if operator_id is None:
        raise Invalid("Whose presence?", {"operator": ["A token has none of its own: name an operator by their id."]})
    if who.operator_id not in (None, operator_id) and not who.may("administer"):
        raise Forbidden("Only an administrator chooses for somebody else.")
    rt = runtime()
    state = choose(rt, site, operator_id, body["presence"])
    if state is None:
        raise NotFound("There is no such operator on this site.")
    return next(each for each in _seats(state) if each["operator_id"] == operator_id)


@blueprint.route("/sites/<site>/departments/<department_id>/desk", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, DepartmentDesk)
def show_the_desk_of_a_department(department_id: str, *, site: Site) -> dict[str, Any]:
    """Show how a department answers

    As far as it differs from the site.
    """
    with runtime().db.read() as conn:
        found = desks.document_of(conn, site.id, department_id)
    if found is None:
        raise NotFound("There is no such department.")
    return department_view(found)


@blueprint.route("/sites/<site>/departments/<department_id>/desk", methods=["PUT"])
@blueprint.allow("administer")
@blueprint.arguments(DepartmentDesk, example={"hours": {"zone": "UTC", "windows": [{"from": "22:00", "to": "06:00"}]}})
@blueprint.response(200, DepartmentDesk)
def change_the_desk_of_a_department(body: Mapping[str, Any], department_id: str, *, site: Site) -> dict[str, Any]:
    """Change how a department answers

    Its own hours, routing and patience; what is left out, or null, is as in the site's `policy.desk`.
    """
    rt = runtime()
    with rt.db.begin() as conn:
        told = department_document(body)
        if not desks.change_document(conn, site.id, department_id, told, rt.clock()):
            raise NotFound("There is no such department.")
    return department_view(told)


def _seats(state: State) -> list[dict[str, Any]]:
    return [
        {
            "operator_id": each.operator_id,
            "name": each.name,
            "presence": each.presence,
            "chosen": each.chosen,
            "departments": sorted(each.departments),
            "conversations": each.load,
            "capacity": each.capacity,
        }
        for each in sorted(state.seats.values(), key=lambda each: (each.name, each.operator_id))
    ]


def _department(state: State, department_id: str, name: str) -> dict[str, Any]:
    desk = state.desk.of(state.departments.get(department_id))
    return {
        "id": department_id,
        "name": name,
        "open": desk.hours.is_open(state.at),
        "opens_at": desk.hours.opens_next(state.at),
        "routing": desk.routing,
    }
