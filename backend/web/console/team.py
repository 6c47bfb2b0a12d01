"""The pages of a site's operators: inviting one, changing one, and what becomes of their conversations."""

from dataclasses import replace
from typing import Any

from flask import request

from backend.domain.operator import EVERY_SITE, ROLES, Membership, Operator
from backend.domain.site import Site
from backend.errors import ChimeinError, Conflict, NotFound, TooManyRequests
from backend.pipeline import log_in, staff
from backend.pipeline.transfer import answers
from backend.schemas.operator import MembershipIn, OperatorIn
from backend.storage import conversations, departments, desks, operators
from backend.web.console import guard
from backend.web.console.forms import KEPT, Form, loaded, typed, wrong
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.context import runtime

USUAL_CAPACITY = 10
TOLD_ROLES = {
    "read_only": "Read only: sees everything, answers nobody",
    "operator": "Operator: answers visitors",
    "marketer": "Marketer: also writes rules and segments",
    "administrator": "Administrator: also settings, operators and keys",
}
PLACES = {
    "email": "email",
    "name": "name",
    "password": "password",
    "memberships.0.role": "role",
    "memberships.0.capacity": "capacity",
    "memberships.0.departments": "departments",
    "role": "role",
    "capacity": "capacity",
    "departments": "departments",
    "assignee_id": "heir",
}


@page("/settings/team", right="administer")
def team(*, site: Site) -> Answer:
    """Everybody who is something on the site."""
    return _team(site)


def _team(site: Site, form: Form = KEPT, **more: Any) -> str:
    rt, own = runtime(), _own(site)
    with rt.db.read() as connection:
        found = operators.list_operators(connection, site_id=site.id)
        groups = departments.list_departments(connection, site.id)
        busy = desks.loads(connection, site.id, [each.id for each in found], rt.clock())
    rows = [
        {
            "operator": each,
            "membership": _membership(site, each),
            "open": busy.get(each.id, 0),
            "changes": own is None or _membership(site, each).site_id == own,
        }
        for each in found
    ]
    told: dict[str, Any] = {
        "form": form,
        "rows": rows,
        "groups": groups,
        "names": {each.id: each.name for each in groups},
        "roles": TOLD_ROLES,
        "everywhere": own is None,
    }
    return show("settings", "team", **(told | more))


@page("/settings/team", right="administer", methods=("POST",), name="invite_operator")
def invite_operator(*, site: Site) -> Answer:
    """Invites somebody; the link by which they choose a password is shown this once."""
    rt, own = runtime(), _own(site)
    everywhere = own is None and typed("everywhere") == "on"
    given = {"site": None if everywhere else site.id, **_asked()}
    body = {"email": typed("email"), "name": typed("name"), "memberships": [given]}
    told, form = loaded(OperatorIn(), body, PLACES)
    if not form.fine:
        return _team(site, form)
    made = _made(EVERY_SITE if everywhere else site.id, told["memberships"][0])
    try:
        operator, text = staff.invite(rt, own, told["email"], told["name"], [made])
    except Conflict as error:
        if own is None and (known := _from_elsewhere(site, told["email"])) is not None:
            staff.change(rt, own, known.id, given=[*known.memberships, made])
            return redirected(address("operator", known.id, done="joined"))
        more = " Whoever works on other sites is let in here by an administrator of every site." if own else ""
        return _team(site, Form(again=True, beside={"email": error.message + more}))
    except ChimeinError as error:
        return _team(site, wrong(error.errors, PLACES, error.message))
    return _team(site, link=log_in.link_to(rt, text), invited=operator)


@page("/settings/team/<operator_id>", right="administer")
def operator(operator_id: str, *, site: Site) -> Answer:
    """One operator: what they are here, what they have to do, and whether they may come in."""
    return _operator(site, operator_id)


def _operator(site: Site, operator_id: str, form: Form = KEPT, **more: Any) -> str:
    rt, own = runtime(), _own(site)
    found = _of(site, operator_id)
    with rt.db.read() as connection:
        groups = departments.list_departments(connection, site.id)
        held = [each for each in conversations.held_by(connection, found.id) if each[0] == site.id]
        others = [
            each
            for each in operators.list_operators(connection, site_id=site.id)
            if each.id != found.id and answers(each, site.id)
        ]
    told: dict[str, Any] = {
        "form": form,
        "operator": found,
        "membership": _membership(site, found),
        "groups": groups,
        "held": len(held),
        "heirs": others,
        "roles": TOLD_ROLES,
        "mine": staff.mine(rt, own, found.id),
        "myself": found.id == guard.seat().id,
        "everywhere": _membership(site, found).site_id == EVERY_SITE,
    }
    return show("settings", "operator", **(told | more))


@page("/settings/team/<operator_id>", right="administer", methods=("POST",), name="change_operator")
def change_operator(operator_id: str, *, site: Site) -> Answer:
    """Changes an operator's name, role, departments and how much they are given."""
    found = _of(site, operator_id)
    held, mine = _membership(site, found), staff.mine(runtime(), _own(site), found.id)
    told, form = loaded(MembershipIn(), {"site": site.id, **_asked()}, PLACES)
    if form.fine and found.id == guard.seat().id and told["role"] != held.role:
        form = Form(again=True, beside={"role": "Another administrator has to change your own role."})
    name = typed("name")
    if form.fine and mine:
        _, form = loaded(OperatorIn(only=("name",)), {"name": name}, PLACES)
    if not form.fine:
        return _operator(site, operator_id, form)
    made = _made(held.site_id, told)
    others = [] if _own(site) else [each for each in found.memberships if each.site_id != held.site_id]
    renamed = name if name != found.name and mine else None
    try:
        staff.change(runtime(), _own(site), found.id, name=renamed, given=[*others, made], heirs=_heirs(site))
    except ChimeinError as error:
        return _operator(site, operator_id, wrong(error.errors, PLACES, error.message))
    return redirected(address("operator", found.id, done="saved"))


@page("/settings/team/<operator_id>/access", right="administer", methods=("POST",))
def operator_access(operator_id: str, *, site: Site) -> Answer:
    """Shuts an operator out, lets them in again, takes their password away, or takes them off the site."""
    rt, own, wanted = runtime(), _own(site), typed("do")
    found = _of(site, operator_id)
    if found.id == guard.seat().id:
        told = "Another administrator has to do that to you."
        return _operator(site, operator_id, Form(rest=[("", told)]))
    try:
        if wanted == "remove":
            everywhere = _membership(site, found).site_id == EVERY_SITE
            staff.remove(rt, None if everywhere else site.id, found.id, _heirs(site))
            return redirected(address("team", done="removed"))
        if wanted in ("disable", "enable"):
            staff.change(rt, own, found.id, disabled=wanted == "disable", heirs=_heirs(site))
            return redirected(address("operator", found.id, done=f"{wanted}d"))
        if wanted == "reset":
            _, text = staff.change(rt, own, found.id, reset=True)
            return _operator(site, operator_id, link=log_in.link_to(rt, text or ""))
    except TooManyRequests:
        raise
    except ChimeinError as error:
        return _operator(site, operator_id, wrong(error.errors, PLACES, error.message))
    return redirected(address("operator", found.id))


def _from_elsewhere(site: Site, email: str) -> Operator | None:
    """The operator with this address who is something on other sites, and nothing on this one."""
    with runtime().db.read() as connection:
        found = operators.by_email(connection, email)
    return found if found is not None and replace(found, disabled_at=None).on(site.id) is None else None


def _own(site: Site) -> str | None:
    """The site as far as whose administrator somebody acts; None: of every one."""
    return None if guard.seat().everywhere else site.id


def _of(site: Site, operator_id: str) -> Operator:
    """The operator as far as whoever asks may change them; NotFound where they are nothing on this site."""
    found = staff.find(runtime(), _own(site), operator_id)
    if not any(each.site_id in (site.id, EVERY_SITE) for each in found.memberships):
        raise NotFound("There is no such operator.")
    return found


def _membership(site: Site, operator: Operator) -> Membership:
    """What somebody is on the site, or would be were they not shut out."""
    found = replace(operator, disabled_at=None).on(site.id)
    assert found is not None
    return found


def _asked() -> dict[str, Any]:
    """What the form says that somebody is to be."""
    capacity = typed("capacity")
    number: Any = int(capacity) if capacity.isascii() and capacity.isdecimal() and len(capacity) < 6 else capacity
    role = typed("role")
    departments_told = request.form.getlist("departments")[:200]
    return {"role": role if role in ROLES else role[:40], "departments": departments_told, "capacity": number}


def _made(site_id: str, told: dict[str, Any]) -> Membership:
    return Membership(
        site_id=site_id, role=told["role"], departments=tuple(told["departments"]), capacity=told["capacity"]
    )


def _heirs(site: Site) -> dict[str, str]:
    """Who gets what the operator had to answer here."""
    heir = typed("heir")
    return {site.id: heir} if heir else {}
