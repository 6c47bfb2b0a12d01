"""The collector, one web worker, beside a bare Flask on granian that decodes with msgspec and adds one entry."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from backend.storage import sites
from tests.bench import events
from tests.bench.load import hammer, request
from tests.bench.report import Line
from tests.bench.stage import stage
from tests.ports import free_port

SECONDS = 3.0
ROUNDS = 3


def run() -> list[Line]:
    """Requests per second with single events, and events per second in batches of 20, ours and the bare one's."""
    calls = list(events.mix(2_000))
    single = [request("/v1/track", msgspec.json.encode(call)) for call in calls]
    batches: list[bytes] = []
    for start in range(0, len(calls), 20):
        visitor = calls[start]["anonymousId"]  # a page's batch comes from one visitor
        batch = [{**call, "anonymousId": visitor} for call in calls[start : start + 20]]
        batches.append(request("/v1/batch", msgspec.json.encode({"batch": batch})))
    mixed = [
        request("/v1/batch", msgspec.json.encode({"batch": calls[start : start + 20]}))
        for start in range(0, len(calls), 20)
    ]
    figures: dict[tuple[str, str], list[float]] = {}
    with stage("sqlite") as rt:
        site = sites.new_site("bench")
        with rt.db.begin() as connection:
            sites.create_site(connection, rt.sites.vault, site, rt.clock())
        environment = {
            **os.environ,
            "CHIMEIN_REDIS_URL": rt.settings.redis_url,
            "CHIMEIN_CALLER_RATE": "1000000",
            "CHIMEIN_DATABASE_URL": rt.settings.database_url,
            "CHIMEIN_SECRET_KEY": rt.settings.secret_key,
            "CHIMEIN_DATA_DIR": str(rt.settings.data_dir),
        }
        key = site.write_key.encode()
        with _ours(environment) as ours, _bare(environment) as bare:
            for _ in range(ROUNDS):
                for name, requests in (("single", single), ("batch", batches), ("mixed", mixed)):
                    keyed = [each.replace(b"Bearer demo", b"Bearer " + key) for each in requests]
                    for who, port in (("ours", ours), ("bare", bare)):
                        rt.redis.flushall()
                        figures.setdefault((name, who), []).append(hammer(port, keyed, SECONDS))
    return [
        _line("collector, single events", figures, "single", 1, "at least 0.8"),
        _line("collector, batches of 20", figures, "batch", 20, "at least 0.8"),
        _line("collector, batches of 20 visitors", figures, "mixed", 20, "", "four partitions: four entries a batch"),
    ]


def _line(
    name: str, figures: dict[tuple[str, str], list[float]], kind: str, size: int, wanted: str, remark: str = ""
) -> Line:
    return Line(
        name,
        statistics.median(figures[(kind, "ours")]) * size,
        "events/s",
        "Flask, msgspec, one XADD",
        statistics.median(figures[(kind, "bare")]) * size,
        wanted,
        remark,
    )


@contextmanager
def _ours(environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "backend", "web"]
    with _server(command, {**environment, "CHIMEIN_PORT": str(port), "CHIMEIN_HOST": "127.0.0.1"}, port):
        yield port


@contextmanager
def _bare(environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1"]
    command += ["--runtime-threads", "1", "--port", str(port), "--no-access-log", "--log-level", "error"]
    with _server([*command, "tests.bench.baseline_app:app"], environment, port):
        yield port


@contextmanager
def _server(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            _wait(port, process)
            yield
        finally:
            process.terminate()
            process.wait(15)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError("The server did not start.") from None
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("The server did not start.")
