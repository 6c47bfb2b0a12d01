"""The browser SDK as a package: its bundles stay small, and its lock file names no registry."""

import gzip
import json
from pathlib import Path

import pytest

from tests.e2e.sdk_fixtures import sdk_bundles

__all__ = ["sdk_bundles"]
SDK = Path(__file__).resolve().parents[2] / "sdk_js"


@pytest.mark.parametrize(
    ("bundle", "budget"),
    [
        *[("stub.js", 400), ("chimein.js", 6 * 1024), ("chimein-widget.js", 14 * 1024)],
        *[("chimein-talk.js", 12 * 1024), ("chimein-signals.js", 1024)],
    ],
)
def test_a_bundle_stays_within_its_budget(sdk_bundles: None, bundle: str, budget: int) -> None:
    size = len(gzip.compress((SDK / "dist" / bundle).read_bytes(), 9))
    assert size <= budget, f"{bundle} is {size} B compressed, {budget} B are allowed"


def test_the_lock_file_names_no_registry_and_proves_every_package() -> None:
    lock = json.loads((SDK / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name


def test_the_snippet_in_the_readme_is_the_stub_that_was_built(sdk_bundles: None) -> None:
    stub = (SDK / "dist" / "stub.js").read_text().strip()
    assert f"<script>{stub}</script>" in (SDK / "README.md").read_text()
