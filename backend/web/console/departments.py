"""The pages of a site's departments: their operators, and how each answers where it differs from the site."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flask import request

from backend.domain.department import Department
from backend.domain.site import Site
from backend.errors import ChimeinError, NotFound
from backend.pipeline import staff
from backend.pipeline.desk import State, heard, state_of
from backend.schemas.desk import DepartmentDesk, department_document
from backend.schemas.operator import DepartmentIn
from backend.storage import departments as stored
from backend.storage import desks
from backend.web.console.forms import KEPT, Form, loaded, or_none, typed, wrong
from backend.web.console.hours_form import DAYS, document_of, fields_of
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.console.working_hours import ROUTINGS, beginning, when_open, zones
from backend.web.context import runtime

PLACES = {"name": "name", "routing": "routing", "unanswered_after": "unanswered_after"}


@page("/settings/departments")
def departments(*, site: Site) -> Answer:
    """Every department of the site."""
    return _departments(site)


def _departments(site: Site, form: Form = KEPT) -> str:
    state, found = _desk(site)
    with runtime().db.read() as connection:
        rows = [
            {
                "department": each,
                "operators": found[each.id],
                "own_hours": bool(state.departments.get(each.id, {}).get("hours")),
                "when": when_open(state.desk.of(state.departments.get(each.id)).hours, state.at),
            }
            for each in stored.list_departments(connection, site.id)
        ]
    return show("settings", "departments", form=form, rows=rows)


@page("/settings/departments", right="administer", methods=("POST",), name="open_department")
def open_department(*, site: Site) -> Answer:
    """Makes a department."""
    told, form = loaded(DepartmentIn(), {"name": typed("name")}, PLACES)
    if not form.fine:
        return _departments(site, form)
    try:
        made = staff.open_department(runtime(), site, told["name"])
    except ChimeinError as error:
        return _departments(site, wrong(error.errors, PLACES, error.message))
    return redirected(address("department", made.id, done="created"))


@page("/settings/departments/<department_id>")
def department(department_id: str, *, site: Site) -> Answer:
    """One department: its name, and how it answers."""
    return _department(site, department_id)


def _department(site: Site, department_id: str, form: Form = KEPT) -> str:
    found = _found(site, department_id)
    state, busy = _desk(site)
    document = state.departments.get(found.id, {})
    hours = document.get("hours")
    desk = state.desk.of(document)
    return show(
        "settings",
        "department",
        form=form,
        department=found,
        document=document,
        hours=fields_of(hours) if hours else beginning(site),
        kept="own" if hours else "site",
        days=DAYS,
        zones=zones(),
        routings=ROUTINGS,
        when=when_open(desk.hours, state.at),
        operators=[each for each in state.seats.values() if found.id in each.departments],
        busy=busy,
    )


@page("/settings/departments/<department_id>", right="administer", methods=("POST",), name="change_department")
def change_department(department_id: str, *, site: Site) -> Answer:
    """Changes what a department is called, and how it answers."""
    rt, found = runtime(), _found(site, department_id)
    name, form = loaded(DepartmentIn(), {"name": typed("name")}, PLACES)
    body: dict[str, Any] = {"routing": or_none("routing"), "unanswered_after": or_none("unanswered_after")}
    places, mistakes = dict(PLACES), dict(form.beside)
    if typed("hours") == "own":
        body["hours"], more, unread = document_of(_typed(), "hours")
        places, mistakes = places | more, mistakes | unread
    told, form = loaded(DepartmentDesk(), body, places)
    if mistakes or not form.fine:
        return _department(site, department_id, Form(again=True, beside={**form.beside, **mistakes}, rest=form.rest))
    try:
        if name["name"] != found.name:
            staff.rename_department(rt, site, found.id, name["name"])
    except ChimeinError as error:
        return _department(site, department_id, wrong(error.errors, PLACES, error.message))
    with rt.db.begin() as connection:
        if not desks.change_document(connection, site.id, found.id, department_document(told), rt.clock()):
            raise NotFound("There is no such department.")
    return redirected(address("department", found.id, done="saved"))


@page("/settings/departments/<department_id>/close", right="administer", methods=("POST",))
def close_department(department_id: str, *, site: Site) -> Answer:
    """Removes a department; its conversations are shown among all."""
    staff.close_department(runtime(), site, department_id)
    return redirected(address("departments", done="deleted"))


def _found(site: Site, department_id: str) -> Department:
    with runtime().db.read() as connection:
        found = stored.find(connection, site.id, department_id)
    if found is None:
        raise NotFound("There is no such department.")
    return found


def _desk(site: Site) -> tuple[State, Counter[str]]:
    """The site's desk, and how many operators each department has."""
    rt = runtime()
    beats = heard(rt, site.id)
    with rt.db.read() as connection:
        state = state_of(connection, site, beats, rt.clock())
    return state, Counter(each for seat in state.seats.values() for each in seat.departments)


def _typed() -> Mapping[str, str]:
    return request.form
