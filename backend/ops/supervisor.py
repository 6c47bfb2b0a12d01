"""`chimein up`: starts every process of one machine, keeps them alive, and ends them in order."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any

from backend.errors import StartError
from backend.ops import state
from backend.ops.embedded import EmbeddedRedis, check_server, find_server
from backend.ops.firstrun import make_data_dir, make_secrets
from backend.ops.part import Part, Plan
from backend.ops.ports import listen, listen_for_mail
from backend.ops.screen import Screen
from backend.settings import Settings

READY_SECONDS = 60
LEFTOVER_SECONDS = 10.0
GROUPS = (0, 1, 2)
"""The order of the end: what takes requests, what works on, and last the Redis of both."""


def python(command: str) -> list[str]:
    """The command line of one of our own commands."""
    return [sys.executable, "-m", "backend", command]


def plans(settings: Settings) -> list[Plan]:
    """The processes of one machine beside Redis."""
    environ = settings.environ()
    taking = ("web", "live", *(("mail-in",) if settings.mail_in else ()))
    return [
        *(Plan(name=name, command=python(name), environ=environ, group=0, grace=5.0) for name in taking),
        *(
            Plan(name=name, command=python(name), environ=environ, group=1, grace=3.0)
            for name in ("process", "work", "tick")
        ),
    ]


class Supervisor:
    """The parts and their fates; one thread, so that a child's parent is this process to the kernel too."""

    def __init__(self, screen: Screen) -> None:
        self.parts: list[Part] = []
        self._screen = screen
        self._selector = selectors.DefaultSelector()
        self._stop = False

    def catch_signals(self) -> None:
        """From now on Ctrl-C and SIGTERM end everything in order."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: Any) -> None:
        self._stop = True

    @property
    def is_stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop

    def add(self, plan: Plan) -> Part:
        """Starts a part and keeps it alive from now on."""
        part = Part(plan)
        self.parts.append(part)
        self._start(part)
        return part

    def pids(self) -> dict[str, int]:
        """The ids of the running parts."""
        return {part.plan.name: part.pid for part in self.parts if part.pid is not None}

    def turn(self, seconds: float = 0.1) -> bool:
        """Passes on what the parts write and starts the dead ones again; True where a process is new."""
        self._pass_on(seconds)
        now = time.monotonic()
        changed = False
        for part in self.parts:
            if (code := part.look(now)) is not None and not self._stop:
                self._screen.note(f"{part.plan.name} ended ({_fate(code)}); again in {part.pause:.1f} s")
            if not self._stop and part.is_due(now):
                self._start(part)
                changed = True
        return changed

    def end(self) -> None:
        """Ends every part, group by group; what does not end in its time is killed."""
        self._stop = True
        for group in GROUPS:
            members = [part for part in self.parts if part.plan.group == group]
            for part in members:
                part.end()
            deadline = time.monotonic() + max((part.plan.grace for part in members), default=0)
            while any(part.pid is not None for part in members) and time.monotonic() < deadline:
                self.turn(0.05)
            for part in members:
                if part.pid is not None:
                    self._screen.note(f"{part.plan.name} did not end within {part.plan.grace:.0f} s and is killed")
                    part.kill()
        self.turn(0)

    def _start(self, part: Part) -> None:
        pipe = part.start().stdout
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, part.plan.name)

    def _pass_on(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            pipe: Any = key.fileobj
            with contextlib.suppress(BlockingIOError):
                data = os.read(key.fd, 65_536)
                self._screen.lines(key.data, data)
                if not data:
                    self._selector.unregister(pipe)
                    pipe.close()


def up(settings: Settings, screen: Screen, make_plans: Callable[[Settings], Sequence[Plan]] = plans) -> None:
    """Runs everything on this machine until Ctrl-C or SIGTERM; raises StartError or SettingsError with a sentence."""
    began = time.monotonic()
    make_data_dir(settings)
    with state.only_one(settings.data_dir):
        supervisor = Supervisor(screen)
        supervisor.catch_signals()
        _wait_for_ports(settings)
        settings, is_new_token = make_secrets(settings)
        try:
            settings = _start_redis(settings, supervisor, screen)
            _prepare(settings, supervisor)
            for plan in make_plans(settings):
                supervisor.add(plan)
            state.write(settings, supervisor.pids())
            if _wait_until_ready(settings, supervisor):
                screen.welcome(settings, settings.admin_token if is_new_token else None, time.monotonic() - began)
            while not supervisor.is_stopping:
                if supervisor.turn():
                    state.write(settings, supervisor.pids())
            screen.note("stopping")
        finally:
            supervisor.end()
            state.clear(settings.data_dir)
        screen.note("stopped; everything accepted is kept")


def _wait_for_ports(settings: Settings) -> None:
    """Sees that the ports are free; processes of an `up` that was killed have a moment to let go of them."""
    deadline = time.monotonic() + LEFTOVER_SECONDS
    ports = [partial(listen, settings.host, port) for port in (settings.port, settings.live_port)]
    if settings.mail_in:
        ports.append(partial(listen_for_mail, settings))
    for take in ports:
        while True:
            try:
                take().close()
                break
            except StartError:
                if time.monotonic() > deadline or not state.has_leftovers(settings.data_dir):
                    raise
                time.sleep(0.1)


def _start_redis(settings: Settings, supervisor: Supervisor, screen: Screen) -> Settings:
    if settings.redis_url:
        for url, name in {settings.log_url: "CHIMEIN_LOG_URL", settings.redis_url: "CHIMEIN_REDIS_URL"}.items():
            for warning in check_server(url, name):
                screen.note(warning)
        return settings
    server = EmbeddedRedis(settings.data_dir, settings.fsync)
    server.end_leftover()
    part = supervisor.add(Plan(name="redis", command=server.command(find_server()), group=2, dies_with=signal.SIGTERM))
    assert part.process is not None
    server.wait_until_ready(part.process)
    return settings.with_redis(server.url)


def _prepare(settings: Settings, supervisor: Supervisor) -> None:
    """Brings the database to this version and makes the demo site, in a process of its own: it needs much memory."""
    environ = {**os.environ, **settings.environ()}
    with subprocess.Popen(python("prepare"), env=environ, stdin=subprocess.DEVNULL) as process:  # noqa: S603
        while process.poll() is None:
            if supervisor.is_stopping:
                process.terminate()
            supervisor.turn(0.02)
    if process.returncode and not supervisor.is_stopping:
        raise StartError("The database could not be prepared; the reason stands above.")


def _wait_until_ready(settings: Settings, supervisor: Supervisor) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while not supervisor.is_stopping:
        if is_ready(settings):
            return True
        if time.monotonic() > deadline:
            raise StartError(f"chimein was not ready within {READY_SECONDS} s; the reason stands above.")
        if supervisor.turn(0.05):
            state.write(settings, supervisor.pids())
    return False


def is_ready(settings: Settings) -> bool:
    """Whether web answers that it would accept an event."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    connection = HTTPConnection(host, settings.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _fate(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"exit code {code}"
