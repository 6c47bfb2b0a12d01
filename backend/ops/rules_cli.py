"""The command `chimein rules`: rules as files, compared with a site's and brought there."""

import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from backend.errors import ChimeinError, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.ops.rules_files import Filed
    from backend.ops.rules_place import Place

Command = TypeVar("Command", bound=Callable[..., Any])

TROUBLE = 2
"""The exit code of `diff` where it could not compare; 1 means: they differ."""


def _options(command: Command) -> Command:
    """Where the rules are that the command works on."""
    for option in (
        click.option("--data-dir", type=click.Path(file_okay=False), help="where everything is kept; ./var"),
        click.option("--token", envvar="CHIMEIN_ADMIN_TOKEN", help="the API's token; CHIMEIN_ADMIN_TOKEN"),
        click.option("--to", "url", metavar="URL", help="a server, asked through its API; else the database here"),
        click.option("--site", help="the site's name or id; needed where there are several"),
    ):
        command = option(command)
    return command


@click.group(short_help="Rules as files: export, import, diff, simulate; ready ones.")
def rules() -> None:
    """Keep rules as YAML files: write them out, compare them, bring them to a site; print ready ones."""


@rules.command(short_help="Write the site's rules as YAML.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--archived", is_flag=True, help="archived rules too")
@_options
def export(path: Path | None, archived: bool, **where: Any) -> None:
    """Write the site's rules as YAML: into one file (PATH.yaml), a file each into a directory, or to the screen.

    The segments that they ask for are written with them.
    """
    from backend.ops.rules_files import write_directory, write_file
    from backend.schemas.rule_yaml import dump_rules

    with _place(**where) as place:
        rules, segments = place.exported(archived=archived)
        name = place.name
    found = [*segments, *rules]
    asked = f" and {_some(len(segments), 'segment')}" if segments else ""
    told = f"{_some(len(rules), 'rule')}{asked} of {name}"
    if path is None:
        click.echo(dump_rules(found), nl=False)
    elif path.suffix in (".yaml", ".yml"):
        write_file(path, found)
        told += f" written to {path}"
    else:
        written, left = write_directory(path, found)
        told += f" written to {path}{'/' if written else ''}"
        for each in left:
            click.echo(f"{each} is of no rule of {name}, and was left as it was.", err=True)
    click.echo(told + ".", err=True)


@rules.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--dry-run", is_flag=True, help="only show what would change")
@click.option("--prune", is_flag=True, help="archive the site's rules that are in none of the files")
@click.option(
    "--status",
    type=click.Choice(["file", "keep"]),
    default="file",
    show_default=True,
    help="active, paused and so on as the file says, or as the rule is (new ones are drafts)",
)
@click.option(
    "--enrolled",
    type=click.Choice(["keep", "move"]),
    default="keep",
    show_default=True,
    help="whoever is in a rule that changes goes on by the version that they are in, or with the new one",
)
@click.option("--yes", "-y", is_flag=True, help="do not ask")
@_options
def import_(
    paths: tuple[str, ...], dry_run: bool, prune: bool, status: str, enrolled: str, yes: bool, **where: Any
) -> None:
    """Bring the rules of files and directories to a site: all or none. What is the same already is not touched.

    Segments in the files come with them.
    """
    from backend.ops.rules_files import read_files

    options = {"prune": prune, "keep_status": status == "keep", "enrolled": enrolled}
    filed = read_files(paths)
    with _place(**where) as place:
        plan = _plan(place, filed, dry=dry_run, **options)
        if dry_run or not _changes(plan):
            return
        if not yes and sys.stdin.isatty() and "-" not in paths and not click.confirm("Write this?", default=True):
            raise click.Abort
        _run(place, filed, **options)
        click.echo(f"Written to {place.name}.", err=True)


@rules.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--prune", is_flag=True, help="rules that are only in the site count as a difference")
@click.option("--status", type=click.Choice(["file", "keep"]), default="file", show_default=True)
@_options
def diff(paths: tuple[str, ...], prune: bool, status: str, **where: Any) -> None:
    """Compare files with a site's rules. Exit code: 0 where they are the same, 1 where not, 2 where that failed."""
    from backend.ops.rules_files import read_files

    try:
        filed = read_files(paths)
        with _place(**where) as place:
            plan = _plan(place, filed, dry=True, prune=prune, keep_status=status == "keep")
    except (ChimeinError, click.ClickException) as error:
        told = error.message if isinstance(error, ChimeinError) else error.format_message()
        click.echo(f"Error: {told}", err=True)
        sys.exit(TROUBLE)
    sys.exit(1 if _changes(plan) else 0)


@rules.command("simulate", short_help="Try rules out on what is stored; nothing is sent.")
@click.argument("what", metavar="FILE|ID")
@click.option("--since", help="entries from this moment on; from the first event")
@click.option("--until", help="up to this moment; now")
@click.option("--site", default="demo", show_default=True, help="the site's name or id")
@click.option("--data-dir", type=click.Path(file_okay=False), help="where everything is kept; ./var")
def simulate(what: str, since: str | None, until: str | None, site: str, data_dir: str | None) -> None:
    """Try out the rules of a file (JSON or YAML), or the stored rule with this id, on what is stored.

    The summary is written as JSON, the progress to the terminal.
    """
    import json

    from backend.ops.simulation import simulate as run
    from backend.ops.single import load_settings
    from backend.runtime import open_runtime

    bar = click.progressbar(length=1000, label="Simulating", file=sys.stderr, show_pos=False, item_show_func=str)
    with open_runtime(load_settings(data_dir=data_dir)) as rt, bar:
        result = run(rt, what, site, since, until, lambda share, told: bar.update(int(share * 1000) - bar.pos, told))
    click.echo(json.dumps(result.summary, indent=2))


@rules.command()
@click.argument("name", required=False)
@click.option("--set", "given", multiple=True, metavar="PARAMETER=VALUE", help="such as delay=1h; may be repeated")
def template(name: str | None, given: tuple[str, ...]) -> None:
    """Print a ready rule as YAML, or without NAME the list of them."""
    from backend.domain.mistakes import RuleErrors
    from backend.domain.rule_template import filled, read_text
    from backend.ops.rules_screen import template_comment, template_lines
    from backend.schemas.rule_yaml import dump_rule
    from backend.storage.rule_templates import get_rule_template, rule_templates

    if name is None:
        for line in template_lines(rule_templates()):
            click.echo(line)
        return
    found = get_rule_template(name)
    kinds = {each.name: each.kind for each in found.parameters}
    pairs = [text.partition("=") for text in given]
    if odd := next((text for text, sign, _ in pairs if not sign), None):
        raise click.UsageError(f"--set {odd}: write it as PARAMETER=VALUE.")
    try:
        rule = filled(found, {key: read_text(kinds.get(key, "text"), value) for key, _, value in pairs})
    except RuleErrors as error:
        wrong = [f"{key}: {told[0]}" for key, told in error.errors["parameters"].items()]
        raise click.ClickException("\n".join(wrong)) from None
    click.echo(template_comment(found) + dump_rule({"key": found.id, **rule}), nl=False)


def _changes(plan: dict[str, Any]) -> bool:
    changed = any(plan["summary"][action] for action in ("new", "changed", "archived"))
    return changed or any(each["action"] != "same" for each in plan["segments"])


@contextmanager
def _place(**where: Any) -> "Iterator[Place]":
    from backend.ops.rules_place import opened

    with opened(**where) as place:
        yield place


def _plan(place: "Place", filed: "Sequence[Filed]", *, dry: bool, **options: Any) -> dict[str, Any]:
    """What an import would change; shown."""
    from backend.ops.rules_screen import plan_lines

    plan = _run(place, filed, dry_run=True, **options)
    for line in plan_lines(plan, dry=dry):
        click.echo(line)
    return plan


def _run(place: "Place", filed: "Sequence[Filed]", **options: Any) -> dict[str, Any]:
    """Asks for an import; the mistakes of what was written are shown with their lines."""
    from backend.domain.mistakes import RuleErrors
    from backend.domain.segment_exchange import from_file
    from backend.ops.rules_files import mistakes_in, of_kind
    from backend.ops.rules_screen import mistake_lines

    segments = [from_file(each.document) for each in of_kind(filed, "segments")]
    try:
        return place.plan([each.document for each in of_kind(filed, "rules")], segments=segments, **options)
    except (RuleErrors, Invalid) as error:
        found = mistakes_in(filed, error.errors)
        if not found:
            raise
    for line in mistake_lines(found):
        click.echo(line, err=True)
    files = len({each.file for each in found})
    raise click.ClickException(f"{_some(len(found), 'mistake')} in {_some(files, 'file')}; nothing was written.")


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
