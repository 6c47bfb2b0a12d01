"""A shop to test the core with: real Redis, migrated SQLite or PostgreSQL, a clock that stands until it is moved."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import make_url

from backend.app import create_app
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.message import Message
from backend.domain.profile import Profile
from backend.domain.rule import Rule, parse_rule
from backend.domain.site import Policy, Site
from backend.pipeline.collect import collect_batch, read_batch
from backend.pipeline.process import Processor
from backend.pipeline.simulate import simulate
from backend.pipeline.simulated import SimulationResult
from backend.runtime import Runtime, build_runtime, close_runtime
from backend.schemas.wire import Receipt
from backend.settings import Settings
from backend.storage import dead, enrolments, histories, messages, visitors
from backend.storage.database import migrate
from backend.storage.dead import DeadEvent
from backend.storage.rules import create_rule, set_status
from backend.storage.sites import create_site, new_site
from backend.storage.tables import metadata
from backend.web import metrics
from backend.web.context import KEY
from tests.postgres import start_postgres
from tests.redis_server import start_redis

SECRET = "a-secret-key-of-the-core-tests"
ADMIN = "admin-token-of-the-tests"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
WRITE_KEY = "key-of-the-core-tests"
POPUP = {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "Hello", "body": "Still there?"}}]}


@dataclass
class Clock:
    """A clock that stands still until the test moves it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> datetime:
        """Moves on by `timedelta(**span)`; the new moment."""
        self.now += timedelta(**span)
        return self.now


def at(**span: float) -> datetime:
    """The moment so long after the beginning of the test."""
    return START + timedelta(**span)


def call(name: str, properties: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A track call as a library would write it; by default of the browser `ann`."""
    made: dict[str, Any] = {"type": "track", "event": name, "messageId": uuid4().hex}
    if "anonymousId" not in fields and "userId" not in fields:
        made["anonymousId"] = "ann"
    if properties is not None:
        made["properties"] = dict(properties)
    moment = fields.pop("timestamp", None)
    if moment is not None:
        made["timestamp"] = moment.isoformat() if isinstance(moment, datetime) else moment
    return made | fields


def identify(user_id: str, traits: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """An identify call of the browser `ann`, or of another."""
    made = {"type": "identify", "messageId": uuid4().hex, "anonymousId": "ann", "userId": user_id}
    return made | ({"traits": dict(traits)} if traits else {}) | fields


def popup_rule(event: str | None = "Product Added", **fields: Any) -> dict[str, Any]:
    """A rule that says one thing on the site."""
    trigger = {"trigger": {"event": event}} if event is not None else {}
    return {"name": "A rule", "message": POPUP} | trigger | fields


@dataclass
class Shop:
    """One site with its log and database, and shorthands for what tests do with them."""

    rt: Runtime
    clock: Clock
    site: Site
    _processor: Processor | None = field(default=None, repr=False)

    @cached_property
    def client(self) -> FlaskClient:
        """Calls the web application."""
        return application(self.rt).test_client()

    @property
    def processor(self) -> Processor:
        """The worker that reads the log."""
        if self._processor is None:
            self._processor = Processor(self.rt)
        return self._processor

    def restart(self) -> Processor:
        """Another worker in the place of the one before."""
        if self._processor is not None:
            self._processor.leave()
        self._processor = Processor(self.rt)
        return self._processor

    def put(self, *calls: Mapping[str, Any], **envelope: Any) -> Receipt:
        """These calls as one batch, collected now; nothing is processed yet."""
        body = json.dumps({"batch": calls, **envelope}).encode()
        return collect_batch(self.rt.log, self.site.id, self.clock(), read_batch(body))

    def send(self, *calls: Mapping[str, Any], **envelope: Any) -> None:
        """These calls as one batch, collected and processed now; all of them must be good."""
        receipt = self.put(*calls, **envelope)
        assert receipt.rejected == []
        self.processor.drain()
        self.processor.products.settle()

    def wait(self, **span: float) -> None:
        """Time passes, and what is due by then fires."""
        self.clock.forward(**span)
        self.processor.drain()
        self.processor.products.settle()

    def post(self, path: str, body: Any, **options: Any) -> Any:
        """A request to the collector with the site's key in the body, if that is an object."""
        if isinstance(body, dict):
            body = json.dumps({"writeKey": WRITE_KEY, **body})
        return self.client.post(path, data=body, **options)

    def rule(self, document: Mapping[str, Any], status: Any = "active") -> str:
        """The id of a rule that is active from now on."""
        with self.rt.db.begin() as connection:
            return create_rule(connection, self.site.id, parse_rule(dict(document)), status=status, now=self.clock()).id

    def set_rule(self, rule_id: str, status: Any) -> None:
        """Activates, pauses or archives it."""
        with self.rt.db.begin() as connection:
            assert set_status(connection, self.site.id, rule_id, status, now=self.clock()) is not None

    def simulate(self, document: Mapping[str, Any], *, limit: int = 10_000, **span: Any) -> SimulationResult:
        """The rule over everything stored."""
        rule = Rule(id="simulated", site_id=self.site.id, spec=parse_rule(dict(document), simulated=True))
        return simulate(self.rt, self.site, [rule], limit=limit, **span)

    def site_now(self) -> Site:
        """The site as it is kept."""
        self.rt.sites.forget()
        found = self.rt.sites.by_id(self.site.id)
        assert found is not None
        return found

    def profile(self, anonymous_id: str | None = "ann", *, user_id: str | None = None) -> Profile:
        """The person behind a browser or a user id; they must be known."""
        found = self.find(anonymous_id, user_id=user_id)
        assert found is not None, f"{user_id or anonymous_id} is unknown"
        return found

    def find(self, anonymous_id: str | None = None, *, user_id: str | None = None) -> Profile | None:
        """The person behind a browser or a user id, if there is one."""
        named = known_visitor(self.site.id, user_id) if user_id else anonymous_visitor(self.site.id, anonymous_id or "")
        with self.rt.db.read() as connection:
            return visitors.load_profile(connection, named)

    def enrolments(self, anonymous_id: str | None = "ann", *, user_id: str | None = None) -> list[Enrolment]:
        """Every enrolment of a person, in order of entry."""
        found = self.find(anonymous_id, user_id=user_id)
        if found is None:
            return []
        with self.rt.db.read() as connection:
            return enrolments.of_visitors(connection, visitors.members_of(found))

    def outcomes(
        self, anonymous_id: str | None = "ann", *, user_id: str | None = None
    ) -> list[tuple[str | None, str | None]]:
        """How a person's enrolments ended, in order of entry: (outcome, reason)."""
        return [(each.outcome, each.reason) for each in self.enrolments(anonymous_id, user_id=user_id)]

    def messages(self) -> list[Message]:
        """Every message of the site, oldest first."""
        with self.rt.db.read() as connection:
            return messages.list_messages(connection, self.site.id, limit=100_000)[::-1]

    def stored(self) -> list[Event]:
        """Every stored event of the site, in order of moment."""
        with self.rt.db.read() as connection:
            ids = visitors.ids_after(connection, self.site.id, "", 1_000_000)
            profiles = [stored.profile for stored in visitors.load(connection, ids).values()]
            members = [member for profile in profiles for member in visitors.members_of(profile)]
            parts = histories.whole(connection, members, at(days=36_500))
        return sorted((event for part in parts.values() for event in part), key=lambda event: event.moment)

    def dead(self) -> list[DeadEvent]:
        """What was set aside."""
        with self.rt.db.read() as connection:
            return dead.fetch(connection, 10_000)


def state_of(rt: Runtime) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of what the log caused, for comparing two ways to the same end; without what names the way."""
    queries = {
        "visitors": "SELECT visitor_id, merged_into, user_id, email, stage, last_seen, profile FROM visitors",
        "events": "SELECT visitor_id, message_id, name, type, timestamp, body FROM events",
        "enrolments": "SELECT visitor_id, id, rule_id, status, entered_at, due_at FROM enrolments",
        "messages": "SELECT visitor_id, id, rule_id, channel, variant, status, content FROM messages",
        "merges": "SELECT visitor_id, member_id, source, message_id FROM merges",
        "tallies": "SELECT rule_id, day, step, variant, channel, metric, CAST(number AS BIGINT) FROM tallies"
        " WHERE number <> 0",
        "segment_members": "SELECT visitor_id, segment_id, entered_at FROM segment_members",
        "stage_entries": "SELECT visitor_id, at, site_id, revision, stage, source, device FROM stage_entries",
        "conversations": "SELECT visitor_id, id, state, last, waiting_since, preview FROM conversations",
        "parts": "SELECT visitor_id, conversation_id, number, id, author, author_id, text, at FROM parts",
        "dead_events": "SELECT partition, reason FROM dead_events",
    }
    with rt.db.read() as connection:
        return {
            table: sorted(tuple(row) for row in connection.execute(sqlalchemy.text(query)))
            for table, query in queries.items()
        }


_built: list[tuple[Flask, dict[str, Any]]] = []


def application(rt: Runtime) -> Flask:
    """The application, as new, on this runtime; built once, as its OpenAPI document takes a quarter of a second."""
    if not _built:
        app = create_app(rt.settings, runtime=rt)
        _built.append((app, {name: value for name, value in app.extensions.items() if value is not rt}))
    app, extensions = _built[0]
    app.extensions.clear()
    app.extensions.update(extensions | {KEY: rt, metrics.KEY: metrics.build_registry("of the tests")})
    return app


@contextmanager
def open_shop(database_url: str, redis_url: str, folder: Path, **settings: Any) -> Iterator[Shop]:
    """A shop in an empty database (its schema is there), with an empty Redis."""
    loaded = Settings.load(
        {},
        **{
            "data_dir": str(folder),
            "database_url": database_url,
            "redis_url": redis_url,
            "secret_key": SECRET,
            "admin_token": ADMIN,
            **settings,
        },
    )
    clock = Clock()
    rt = replace(build_runtime(loaded), clock=clock)
    rt.redis.flushall()
    try:
        site = replace(new_site("shop"), write_key=WRITE_KEY, policy=Policy())
        with rt.db.begin() as connection:
            create_site(connection, rt.sites.vault, site, clock())
        shop = Shop(rt, clock, site)
        yield shop
        if shop._processor is not None:
            shop._processor.leave()
    finally:
        close_runtime(rt)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of the tests' own."""
    with start_redis() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "chimein.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL with the schema and nothing in it."""
    with start_postgres() as url:
        migrate(url)
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A database of this test's own."""
    path = tmp_path / "chimein.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The PostgreSQL database, emptied."""
    engine = sqlalchemy.create_engine(make_url(postgres_server))
    with engine.begin() as connection:
        # Twenty times as fast as TRUNCATE, which makes new files for each table.
        connection.exec_driver_sql("; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)))
    engine.dispose()
    return postgres_server


@pytest.fixture
def shop(tmp_path: Path, sqlite_url: str, redis_url: str) -> Iterator[Shop]:
    """A shop on SQLite."""
    with open_shop(sqlite_url, redis_url, tmp_path) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database, once of each kind."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def each_shop(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Shop]:
    """A shop, once on each database."""
    with open_shop(database_url, redis_url, tmp_path) as opened:
        yield opened


def process_environ(shop: Shop, **more: str) -> dict[str, str]:
    """The environment of a process that works on this shop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHIMEIN_")}
    return {**kept, **shop.rt.settings.environ(), **more}


__all__ = [
    "database_url",
    "each_shop",
    "postgres_server",
    "postgres_url",
    "redis_url",
    "shop",
    "sqlite_template",
    "sqlite_url",
]
