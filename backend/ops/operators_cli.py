"""The command `chimein operator`: who uses the console, from the machine on which chimein runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backend.domain.operator import Operator
    from backend.runtime import Runtime

ROLES = click.Choice(["administrator", "marketer", "operator", "read_only"])
data_dir = click.option("--data-dir", type=click.Path(file_okay=False), help="where everything is kept; ./var")


@click.group(short_help="Add, list, reset, disable who uses the console.")
def operator() -> None:
    """Add and list those who use the console; take away passwords; shut out and let in again."""


@operator.command()
@click.argument("email")
@click.option("--name", help="what visitors see; else the address up to its @")
@click.option("--role", type=ROLES, default="operator", show_default=True)
@click.option("--site", help="the site's name or id; else every site")
@data_dir
def add(email: str, name: str | None, role: str, site: str | None, data_dir: str | None) -> None:
    """Add an operator; prints the link by which they choose a password, once, within a week."""
    from email_validator import EmailNotValidError, validate_email

    from backend.domain.operator import EVERY_SITE, Membership
    from backend.errors import NotFound
    from backend.pipeline import log_in
    from backend.storage.sites import get_site

    try:
        address = validate_email(email, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise click.ClickException(f"{email!r} is no e-mail address.") from None
    with _runtime(data_dir) as rt:
        site_id = EVERY_SITE
        if site is not None:
            with rt.db.read() as connection:
                found = get_site(connection, rt.sites.vault, site)
            if found is None:
                raise NotFound(f"There is no site {site!r}.")
            site_id = found.site.id
        given = [Membership(site_id=site_id, role=role)]
        _, text = log_in.invite(rt, address, (name or address.partition("@")[0])[:100], given)
        _tell_link(rt, text)


@operator.command("list")
@data_dir
def list_all(data_dir: str | None) -> None:
    """List all, oldest first: address, name, state, role on each site."""
    from backend.domain.operator import EVERY_SITE
    from backend.storage import operators, sites

    with _runtime(data_dir) as rt, rt.db.read() as connection:
        names = {each.id: each.name for each in sites.all_sites(connection, rt.sites.vault)}
        names[EVERY_SITE] = "every site"
        for each in operators.list_operators(connection):
            state = "disabled" if each.disabled_at is not None else "active" if each.chosen else "invited"
            roles = ", ".join(f"{told.role} of {names.get(told.site_id, '?')}" for told in each.memberships)
            click.echo(f"{each.email}  {each.name}  {state}  {roles or '-'}")


@operator.command()
@click.argument("email")
@data_dir
def reset(email: str, data_dir: str | None) -> None:
    """Take a password away; prints the link by which they choose another one. They are logged out at once."""
    from backend.pipeline import log_in

    with _runtime(data_dir) as rt:
        _tell_link(rt, log_in.reset(rt, _found(rt, email).id))


@operator.command()
@click.argument("email")
@click.option("--undo", is_flag=True, help="let them in again")
@data_dir
def disable(email: str, undo: bool, data_dir: str | None) -> None:
    """Shut an operator out at once; what they had to answer is nobody's again."""
    from backend.pipeline import log_in

    with _runtime(data_dir) as rt:
        log_in.disable(rt, _found(rt, email).id, off=not undo)
    click.echo("They may log in again." if undo else "They are out.", err=True)


def _tell_link(rt: "Runtime", text: str) -> None:
    from backend.ops import state
    from backend.pipeline import log_in

    # The `chimein up` that runs here knows best how it is reached.
    address = state.read(rt.settings.data_dir).get("url") or rt.settings.public_url
    click.echo(log_in.link_to(rt, text, address))


def _found(rt: "Runtime", email: str) -> "Operator":
    from backend.errors import NotFound
    from backend.storage import operators

    with rt.db.read() as connection:
        found = operators.by_email(connection, email)
    if found is None:
        raise NotFound(f"There is no operator {email!r}.")
    return found


@contextmanager
def _runtime(data_dir: str | None) -> "Iterator[Runtime]":
    from backend.ops.single import load_settings
    from backend.runtime import open_runtime

    with open_runtime(load_settings(data_dir=data_dir)) as rt:
        yield rt
