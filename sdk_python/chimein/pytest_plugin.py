"""The pytest plugin: the fixture `chimein_rules`, which makes a story out of files of rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from chimein.rule_testing import Engine, Local, Sends, Server, Story, explain, read_rules

StoryOf = Callable[..., Story]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the engine is, where it is not installed here."""
    group = parser.getgroup("chimein")
    group.addoption("--chimein-url", help="the chimein server that runs rules in tests; else chimein-server, here")
    group.addoption("--chimein-site", help="the site of that server; demo")
    parser.addini("chimein_url", "as --chimein-url", default="")
    parser.addini("chimein_site", "as --chimein-site", default="demo")


@pytest.fixture
def chimein_rules(request: pytest.FixtureRequest) -> StoryOf:
    """Makes a story out of files and directories of rules, which are looked for beside the test and below the root.

    `site` holds settings of the site (`timezone`, `currency`, `policy`) where the engine runs here; with `holdout`
    people are held out as the rules say, else nobody is.
    """
    config = request.config

    def story(*paths: str | Path, site: Mapping[str, Any] | None = None, holdout: bool = False) -> Story:
        texts, names = read_rules([_found(path, request.path.parent, config.rootpath) for path in paths])
        return Story(texts, _engine(config, site), names=names, holdout=holdout)

    return story


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """What differs between what was sent and what was expected, and why."""
    if op != "==" or not (isinstance(left, Sends) or isinstance(right, Sends)):
        return None
    found, expected = (left, right) if isinstance(left, Sends) else (right, left)
    return explain(found, expected) if isinstance(found, Sends) and isinstance(expected, list) else None


def _found(path: str | Path, beside: Path, root: Path) -> Path:
    for place in (beside / path, root / path):
        if place.exists():
            return place
    raise FileNotFoundError(f"There are no rules at {path}: looked in {beside} and {root}.")


def _engine(config: pytest.Config, site: Mapping[str, Any] | None) -> Engine:
    url = config.getoption("chimein_url") or config.getini("chimein_url")
    if url:
        token = os.environ.get("CHIMEIN_ADMIN_TOKEN", "")
        if not token:
            pytest.fail("To ask a server, its token is needed in CHIMEIN_ADMIN_TOKEN.", pytrace=False)
        if site is not None:
            pytest.fail("A server runs the rules on a site of its own: leave `site` out.", pytrace=False)
        return Server(url, token, config.getoption("chimein_site") or config.getini("chimein_site"))
    if not Local.is_there():
        pytest.fail("Install chimein-server beside the tests, or name a server with --chimein-url.", pytrace=False)
    return Local(site)
