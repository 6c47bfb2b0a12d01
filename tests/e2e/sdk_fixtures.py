"""Fixtures of the browser SDK's tests: its bundles, a site, a browser, and one visitor."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.e2e.sdk_site import DIST, Site, serve

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def build() -> None:
    """Builds the bundles as a user would."""
    for command in (["npm", "ci"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=DIST.parent, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="session")
def sdk_bundles() -> None:
    """The bundles are there, and no older than their sources."""
    sources = [*DIST.parent.glob("src/**/*.js"), DIST.parent / "build.mjs"]
    newest = max(source.stat().st_mtime for source in sources)
    sizes = DIST / "sizes.json"
    if not sizes.is_file() or sizes.stat().st_mtime < newest:
        build()


@pytest.fixture(scope="module")
def sdk_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def site(sdk_bundles: None) -> Iterator[Site]:
    server, made = serve()
    yield made
    made.cut()
    server.shutdown()
    server.server_close()


class Visitor:
    """A browser of its own, with what went wrong in its pages."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.errors: list[str] = []

    def open(self, address: str, *, ready: bool = True) -> Page:
        """A new tab at `address`, with the SDK at work in it."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address)
        if ready:
            loaded(page)
        return page


def loaded(page: Page) -> None:
    """Waits until the core has taken the stub's place."""
    page.wait_for_function("window.chimein && window.chimein.version && !Object.keys(window.chimein).includes('0')")


@pytest.fixture
def visitor_options() -> dict[str, Any]:
    """Of the browser context; a module or class overrides it."""
    return {}


@pytest.fixture
def visitor(sdk_browser: Browser, visitor_options: dict[str, Any]) -> Iterator[Visitor]:
    context = sdk_browser.new_context(**visitor_options)
    made = Visitor(context)
    yield made
    context.close()
    assert made.errors == [], "the SDK threw into the page"
