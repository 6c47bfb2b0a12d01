"""`/api/v1/sites/{site}/departments`: groups of operators that conversations can be given to."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.pipeline import staff
from backend.schemas.operator import DepartmentIn, DepartmentOut, DepartmentsOut
from backend.storage import departments
from backend.web.api.blueprint import Blueprint
from backend.web.context import runtime

blueprint = Blueprint("departments", __name__, "Groups of operators that conversations can be given to.")


@blueprint.route("/sites/<site>/departments", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, DepartmentsOut)
def list_all_departments(*, site: Site) -> dict[str, Any]:
    """List departments"""
    with runtime().db.read() as conn:
        return {"items": departments.list_departments(conn, site.id)}


@blueprint.route("/sites/<site>/departments", methods=["POST"])
@blueprint.allow("administer")
@blueprint.arguments(DepartmentIn)
@blueprint.response(201, DepartmentOut)
@blueprint.alt_response(409, "CONFLICT")
def create_a_department(body: Mapping[str, Any], *, site: Site) -> Any:
    """Create a department"""
    return staff.open_department(runtime(), site, body["name"])


@blueprint.route("/sites/<site>/departments/<department_id>", methods=["PATCH"])
@blueprint.allow("administer")
@blueprint.arguments(DepartmentIn)
@blueprint.response(200, DepartmentOut)
@blueprint.alt_response(409, "CONFLICT")
def rename_a_department(body: Mapping[str, Any], department_id: str, *, site: Site) -> Any:
    """Rename a department"""
    return staff.rename_department(runtime(), site, department_id, body["name"])


@blueprint.route("/sites/<site>/departments/<department_id>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
def remove_a_department(department_id: str, *, site: Site) -> None:
    """Remove a department

    Conversations that were given to it stay, and are shown among all.
    """
    staff.close_department(runtime(), site, department_id)
