"""The verb `staff`: operators come, change and go, and departments with them, as far as whoever asks administers.

`own` is the site of which whoever asks is an administrator; None: of every one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from backend.domain.department import MOST, Department
from backend.domain.operator import EVERY_SITE, Membership, Operator
from backend.domain.site import Site
from backend.errors import Conflict, Forbidden, Invalid, NotFound
from backend.pipeline import log_in
from backend.pipeline.transfer import NOBODY, release
from backend.runtime import Runtime
from backend.storage import departments, operators


def invite(rt: Runtime, own: str | None, email: str, name: str, given: Sequence[Membership]) -> tuple[Operator, str]:
    """A new operator, and the text of the link by which they choose a password. Forbidden, Invalid, Conflict.

    Whoever was removed from everything comes back by it, as somebody who has yet to choose a password, under the name
    that they had: it stands beside what they said.
    """
    check(rt, own, given)
    with rt.db.read() as connection:
        before = operators.by_email(connection, email)
    if before is None or before.memberships:
        made, text = log_in.invite(rt, email, name, given)
        return seen(own, made), text
    with rt.db.begin() as connection:
        operators.join(connection, before.id, given)
    log_in.disable(rt, before.id, off=False)
    text = log_in.reset(rt, before.id)
    return find(rt, own, before.id), text


def find(rt: Runtime, own: str | None, operator_id: str) -> Operator:
    """The operator as far as whoever asks may know; NotFound where they are nothing on the site."""
    return seen(own, _found(rt, own, operator_id))


def change(
    rt: Runtime,
    own: str | None,
    operator_id: str,
    *,
    name: str | None = None,
    given: Sequence[Membership] | None = None,
    disabled: bool | None = None,
    reset: bool = False,
    heirs: Mapping[str, str] = NOBODY,
) -> tuple[Operator, str | None]:
    """The operator as they are now, and the text of a link where their password was taken away.

    `given` stands in for all their memberships, or all on the site of whoever asks. What they answer no more goes to
    the `heirs` (operator by site), else to nobody. NotFound, Forbidden, Invalid.
    """
    found = _found(rt, own, operator_id)
    if name is not None or disabled is not None or reset:
        _check_mine(own, found)
    if given is not None:
        check(rt, own, given)
    with rt.db.begin() as connection:
        if name is not None:
            operators.rename(connection, found.id, name, rt.clock())
        if given is not None:
            operators.join(connection, found.id, [*_elsewhere(own, found), *given])
    if disabled is not None:
        log_in.disable(rt, found.id, off=disabled, heirs=heirs)
    if given is not None:
        release(rt, found.id, heirs)
    text = log_in.reset(rt, found.id) if reset else None
    with rt.db.read() as connection:
        after = operators.find(connection, operator_id)
    if after is None:
        raise NotFound("There is no such operator.")
    return seen(own, after), text


def remove(rt: Runtime, own: str | None, operator_id: str, heirs: Mapping[str, str] = NOBODY) -> None:
    """Takes away what an operator is on the site (`own` None: everywhere); who is nothing then is disabled.

    What they said keeps their name; what they had to answer goes to the `heirs`, else to nobody. NotFound.
    """
    found = _found(rt, own, operator_id)
    kept = _elsewhere(own, found)
    with rt.db.begin() as connection:
        operators.join(connection, found.id, kept)
        log_in.shut_out(connection, found.id)
    if kept:
        release(rt, found.id, heirs)
    else:
        log_in.disable(rt, found.id, heirs=heirs)


def mine(rt: Runtime, own: str | None, operator_id: str) -> bool:
    """Whether whoever asks may change what the operator is everywhere: name, password, being let in. NotFound."""
    return _mine(own, _found(rt, own, operator_id))


def wholly(rt: Runtime, own: str | None, operator_id: str) -> Operator:
    """The operator, where whoever asks may change what they are everywhere. NotFound, Forbidden."""
    found = _found(rt, own, operator_id)
    _check_mine(own, found)
    return found


def seen(own: str | None, operator: Operator) -> Operator:
    """The operator as far as whoever asks may know: what they are on other sites is nobody's business here."""
    if own is None:
        return operator
    return replace(operator, memberships=tuple(e for e in operator.memberships if e.site_id in (own, EVERY_SITE)))


def check(rt: Runtime, own: str | None, given: Sequence[Membership]) -> None:
    """Raises Forbidden where somebody would be more than whoever asks can give, Invalid where that cannot be."""
    sites: set[str] = set()
    for place, each in enumerate(given):
        if own is not None and each.site_id != own:
            raise Forbidden("What holds on every site can be given only by an administrator of every site.")
        if each.site_id in sites:
            raise Invalid("One role a site.", {"memberships": {place: {"site": ["Stands here twice."]}}})
        sites.add(each.site_id)
        if set(each.departments) - _departments(rt, each):
            wrong = {"memberships": {place: {"departments": ["Not of this site."]}}}
            raise Invalid("There is no such department.", wrong)


def open_department(rt: Runtime, site: Site, name: str) -> Department:
    """A new department of the site; Conflict where there is one of this name, or too many."""
    with rt.db.begin() as connection:
        known = departments.list_departments(connection, site.id)
        if len(known) >= MOST:
            raise Conflict(f"A site has at most {MOST} departments.")
        _refuse_twice(known, name)
        return departments.create(connection, site.id, name, rt.clock())


def rename_department(rt: Runtime, site: Site, department_id: str, name: str) -> Department:
    """The department with its new name. NotFound, Conflict."""
    with rt.db.begin() as connection:
        known = departments.list_departments(connection, site.id)
        _refuse_twice([each for each in known if each.id != department_id], name)
        if not departments.rename(connection, site.id, department_id, name, rt.clock()):
            raise NotFound("There is no such department.")
    return next(replace(each, name=name) for each in known if each.id == department_id)


def close_department(rt: Runtime, site: Site, department_id: str) -> None:
    """Removes a department; conversations that were given to it stay, and are shown among all. NotFound."""
    with rt.db.begin() as connection:
        if not departments.remove(connection, site.id, department_id):
            raise NotFound("There is no such department.")
        operators.leave_department(connection, site.id, department_id)


def _refuse_twice(known: Collection[Department], name: str) -> None:
    if name.casefold() in {each.name.casefold() for each in known}:
        told = "There is a department of this name already."
        raise Conflict(told, {"name": [told]})


def _mine(own: str | None, operator: Operator) -> bool:
    return own is None or {each.site_id for each in operator.memberships} == {own}


def _check_mine(own: str | None, operator: Operator) -> None:
    if not _mine(own, operator):
        raise Forbidden("They are something on other sites too: only an administrator of every site may change that.")


def _departments(rt: Runtime, membership: Membership) -> set[str]:
    if not membership.departments:
        return set()
    with rt.db.read() as connection:
        return {each.id for each in departments.list_departments(connection, membership.site_id)}


def _elsewhere(own: str | None, operator: Operator) -> list[Membership]:
    return [each for each in operator.memberships if own is not None and each.site_id != own]


def _found(rt: Runtime, own: str | None, operator_id: str) -> Operator:
    with rt.db.read() as connection:
        found = operators.find(connection, operator_id)
    # Whoever is something on every site is nothing that an administrator of one may touch, but they see them listed.
    if found is None or (own is not None and own not in {each.site_id for each in found.memberships}):
        raise NotFound("There is no such operator.")
    return found
