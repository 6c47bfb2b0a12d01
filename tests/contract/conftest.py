"""The application on a real SQLite file and a real Redis, and a shorthand for calling its API."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.runtime import Runtime, build_runtime, close_runtime
from backend.settings import Settings
from backend.storage.database import migrate
from backend.storage.sites import create_site, new_site
from backend.storage.tokens import create_token
from tests.core_fixtures import application
from tests.redis_server import start_redis

ADMIN = "admin-token-of-the-tests"
START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that moves a second at each look, so that nothing happens at the same moment by accident."""

    now: datetime = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Api:
    """Calls `/api/v1…` as whoever holds the token."""

    client: FlaskClient
    token: str | None

    def __call__(self, method: str, path: str, json: Any = None, **kwargs: Any) -> TestResponse:
        headers = dict(kwargs.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(json, bytes):
            kwargs |= {"data": json, "content_type": "text/csv"}
        elif json is not None:
            kwargs["json"] = json
        return self.client.open("/api/v1" + path, method=method, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self("GET", path, **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> TestResponse:
        return self("POST", path, json, **kwargs)

    def all_items(self, path: str, limit: int) -> list[Any]:
        """Every item of a list, page by page."""
        items: list[Any] = []
        cursor = ""
        while True:
            separator = "&" if "?" in path else "?"
            answer = self.get(f"{path}{separator}limit={limit}{cursor}")
            assert answer.status_code == 200, answer.text
            assert len(answer.json["items"]) <= limit
            items += answer.json["items"]
            if answer.json["next_cursor"] is None:
                return items
            cursor = "&cursor=" + answer.json["next_cursor"]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with start_redis() as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    return Settings.load(
        {}, data_dir=str(tmp_path), redis_url=redis_url, secret_key="a secret of the tests", admin_token=ADMIN
    )


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("empty") / "chimein.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def rt(settings: Settings, empty_database: Path) -> Iterator[Runtime]:
    shutil.copy(empty_database, settings.data_dir / "chimein.db")
    runtime = replace(build_runtime(settings), clock=Clock())
    runtime.redis.flushall()
    yield runtime
    close_runtime(runtime)


@pytest.fixture
def app(rt: Runtime) -> Flask:
    """The application on this test's own runtime."""
    return application(rt)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def api(client: FlaskClient) -> Api:
    """The API as an administrator of every site sees it."""
    return Api(client, ADMIN)


@pytest.fixture
def site(rt: Runtime) -> str:
    """The id of a site named `shop`."""
    with rt.db.begin() as conn:
        return create_site(conn, rt.sites.vault, new_site("shop"), rt.clock()).site.id


@pytest.fixture
def other_site(rt: Runtime) -> str:
    """The id of somebody else's site, named `other`."""
    with rt.db.begin() as conn:
        return create_site(conn, rt.sites.vault, new_site("other"), rt.clock()).site.id


@pytest.fixture
def token_for(rt: Runtime) -> Callable[..., str]:
    def make(role: str, site_id: str | None = None) -> str:
        with rt.db.begin() as conn:
            _, text = create_token(conn, rt.sites.vault, name=role, role=role, site_id=site_id, now=rt.clock())
        return text

    return make


@pytest.fixture
def as_role(client: FlaskClient, token_for: Callable[..., str]) -> Callable[..., Api]:
    """The API as a role on one site (or on all) sees it."""
    return lambda role, site_id=None: Api(client, token_for(role, site_id))


RULE = {
    "name": "Cart left for half an hour",
    "trigger": {"event": "Product Added"},
    "audience": {
        "all": [
            {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
            {"not": {"performed": "Order Completed", "within": "30d"}},
        ]
    },
    "delay": "30m",
    "cancel": [{"event": "Order Completed"}],
    "message": {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "Still yours", "body": "…"}}]},
}


SEGMENT = {"name": "Bought lately", "condition": {"performed": "Order Completed", "within": "30d"}}


@pytest.fixture
def rule(api: Api, site: str) -> str:
    """The id of a draft rule of `shop`."""
    answer = api.post(f"/sites/{site}/rules", RULE)
    assert answer.status_code == 201, answer.text
    return str(answer.json["id"])
