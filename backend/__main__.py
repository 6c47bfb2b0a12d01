"""The command `chimein`; each command imports what it needs itself, so that `--help` and `up` start at once."""

import sys

if sys.argv[1:2] == ["live"]:
    # Before anything else is imported: gevent replaces parts of the standard library that others take hold of.
    from gevent import monkey

    monkey.patch_all()

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.errors import ChimeinError
from backend.memory import seek_cycles_seldom
from backend.ops.children import watch_parent
from backend.ops.operators_cli import operator
from backend.ops.rules_cli import rules
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.runtime import Runtime

data_dir = click.option("--data-dir", type=click.Path(file_okay=False), help="where everything is kept; ./var")


class _Group(click.Group):
    """An error that we can name ends a command with its sentence, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ChimeinError as error:
            raise click.ClickException(error.message) from None
        except Exception as error:
            # Asked of what is loaded: `--help` and `up` do without SQLAlchemy.
            known = sys.modules.get("sqlalchemy.exc")
            if known is None or not isinstance(error, known.OperationalError):
                raise
            said = str(error.orig).strip().splitlines()[0].rstrip(".")
            raise click.ClickException(f"The database of CHIMEIN_DATABASE_URL cannot be used: {said}.") from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chimein-server", prog_name="chimein")
def main() -> None:
    """Watches what each visitor of a site does and says one fitting thing at the right moment."""
    # Before the imports of the command, which make objects by the ten thousand.
    seek_cycles_seldom()
    watch_parent()


@main.command()
@click.option("--host", help="the address to listen on; 127.0.0.1")
@click.option("--port", type=int, help="the port of web, live takes the next; 8000")
@data_dir
def up(host: str | None, port: int | None, data_dir: str | None) -> None:
    """Run everything on this machine: Redis, database, all processes."""
    from backend.ops import supervisor
    from backend.ops.screen import Screen

    supervisor.up(Settings.load(host=host, port=port, data_dir=data_dir), Screen())


@main.command()
def web() -> None:
    """Run web: the collector, the API, the demo shop."""
    from backend.ops.schema import require_schema
    from backend.ops.servers import serve_web

    settings = _load()
    require_schema(settings)
    serve_web(settings)


@main.command()
def live() -> None:
    """Run live: the streams that carry messages to the pages."""
    from backend.ops.servers import serve_live

    serve_live(_load())


@main.command()
def process() -> None:
    """Run a processor: folds events and decides."""
    from backend.pipeline.process import run
    from backend.pipeline.send_on import make_good

    def begin(rt: "Runtime", stop: "threading.Event") -> None:
        make_good(rt)
        run(rt, stop)

    _until_told(begin, "process folds events and decides")


@main.command()
def work() -> None:
    """Run a worker: delivers messages."""
    from backend.jobs import work as run

    _until_told(run, "work delivers messages")


@main.command("mail-in")
def mail_in() -> None:
    """Take in answers by mail: listen for SMTP or LMTP."""
    from backend.ops.mail_server import run

    _until_told(run, "mail-in takes in answers by mail")


@main.command()
def tick() -> None:
    """Run upkeep: sends again what was lost, clears away what is old."""
    from backend.ops.durable import keep_synced
    from backend.pipeline import upkeep

    def run(rt: "Runtime", stop: threading.Event) -> None:
        with keep_synced(rt.settings):
            upkeep.run(rt, stop)

    _until_told(run, "tick recovers what was lost and clears away what is old")


@main.command()
@data_dir
def migrate(data_dir: str | None) -> None:
    """Bring the database to the schema of this version."""
    from backend.ops.firstrun import make_data_dir
    from backend.storage.database import migrate as run

    settings = Settings.load(data_dir=data_dir)
    make_data_dir(settings)
    run(settings.database_url)
    click.echo("The database has the schema of this version.", err=True)


@main.command()
@data_dir
def seed(data_dir: str | None) -> None:
    """Make the site `demo` with its ready rules."""
    from backend.ops.prepare import seed as run

    click.echo(
        "The site demo is made." if run(_load(data_dir=data_dir), again=True) else "The site demo is there already."
    )


@main.command(hidden=True)
def prepare() -> None:
    """What `up` does before it starts the processes: migrate, and seed an installation that has no site yet."""
    from backend.ops.prepare import prepare as run

    run(_load())


@main.command(short_help="Import a file of events: a CSV of REES46, or lines of Segment's.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rebase", is_flag=True, help="move all times so that the last event is now")
@click.option("--to", "url", help="the address of chimein; of the `chimein up` that runs on the data directory")
@click.option("--key", default="demo", show_default=True, help="the write key of the site")
@click.option("--site", help="take the write key of this site instead, from the database here")
@data_dir
def replay(file: Path, rebase: bool, url: str | None, key: str, site: str | None, data_dir: str | None) -> None:
    """Import a file of events: REES46's CSV, or Segment's events one a line; also .gz."""
    from backend.ops.replay import replay as run

    if site is not None:
        key = _write_key(_load(data_dir=data_dir), site)
    run(file, url or _address(data_dir), key, rebase=rebase)


@main.command()
@click.option("--rate", type=click.IntRange(1, 100_000), default=500, show_default=True, help="events a second")
@click.option("--seconds", type=click.IntRange(1, 3600), default=10, show_default=True)
@click.option("--visitors", type=click.IntRange(1, 1_000_000), default=1000, show_default=True)
@click.option("--batch", type=click.IntRange(1, 500), default=20, show_default=True, help="events a request")
@click.option("--to", "url", help="the address of chimein; of the `chimein up` that runs on the data directory")
@click.option("--key", default="demo", show_default=True, help="the write key of the site")
@click.option("--yes", is_flag=True, help="the address may be another machine: it is yours to load")
@data_dir
def loadtest(
    rate: int, seconds: int, visitors: int, batch: int, url: str | None, key: str, yes: bool, data_dir: str | None
) -> None:
    """Send made-up events to the collector and measure its answers."""
    from backend.ops.loadtest import Load, run

    plan = Load(rate=rate, seconds=seconds, visitors=visitors, batch=batch)
    click.echo(run(plan, url or _address(data_dir), key, anywhere=yes))


main.add_command(rules)
main.add_command(operator)


@main.group(cls=_Group, short_help="List, retry or drop events that could not be folded.")
def dead() -> None:
    """List, retry or drop events that were set aside because they could not be folded."""


@dead.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="how many at most")
@data_dir
def list_dead(limit: int, data_dir: str | None) -> None:
    """List the oldest, with the reason."""
    from backend.pipeline.dead import list_dead as run

    with _runtime(data_dir) as rt:
        found = run(rt, limit)
    for each in found:
        click.echo(f"{each.id}  {each.created_at:%Y-%m-%d %H:%M:%S}  {each.site_id or '-'}  {each.reason}")
    click.echo(f"{len(found)} event{'' if len(found) == 1 else 's'} set aside.", err=True)


@dead.command()
@click.argument("ids", nargs=-1)
@data_dir
def retry(ids: tuple[str, ...], data_dir: str | None) -> None:
    """Put events into the log again: these, or all."""
    from backend.pipeline.dead import retry as run

    with _runtime(data_dir) as rt:
        click.echo(f"{run(rt, list(ids) or None)} put into the log again.")


@dead.command()
@click.argument("ids", nargs=-1, required=True)
@data_dir
def drop(ids: tuple[str, ...], data_dir: str | None) -> None:
    """Forget these events for good."""
    from backend.pipeline.dead import drop as run

    with _runtime(data_dir) as rt:
        click.echo(f"{run(rt, list(ids))} dropped.")


def _load(**options: Any) -> Settings:
    from backend.ops.single import load_settings

    return load_settings(**options)


@contextmanager
def _runtime(data_dir: str | None) -> "Iterator[Runtime]":
    from backend.runtime import open_runtime

    with open_runtime(_load(data_dir=data_dir)) as rt:
        yield rt


def _until_told(run: "Callable[[Runtime, threading.Event], None]", told: str) -> None:
    """Runs one kind of process until SIGTERM or Ctrl-C; `told` is the line with which it begins."""
    from backend.ops.logs import announce
    from backend.ops.schema import require_schema
    from backend.runtime import open_runtime

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = _load()
    require_schema(settings)
    with open_runtime(settings) as rt:
        announce(told)
        run(rt, stop)


def _address(data_dir: str | None) -> str:
    """Where web is: as the running `chimein up` wrote it down, else as the settings say."""
    from backend.ops import state

    settings = Settings.load(data_dir=data_dir)
    return str(state.read(settings.data_dir).get("url") or settings.public_url)


def _write_key(settings: Settings, site: str) -> str:
    from backend.ops.prepare import write_key

    return write_key(settings, site)


if __name__ == "__main__":
    main(prog_name="chimein")
