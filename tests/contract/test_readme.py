"""What README.md tells a newcomer to type is what the server and the command take."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from backend.__main__ import main
from tests.contract.conftest import Api

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def body_of(path: str) -> Any:
    """The JSON that the example for this path sends."""
    command = next(each for each in re.findall(r"curl -X POST(.+?)(?=\ncurl|\n```)", README, re.S) if path in each)
    return json.loads(shlex.split(command)[-1])


def test_the_first_rule_and_its_simulation_are_taken_as_they_stand(api: Api, site: str) -> None:
    made = api.post(f"/sites/{site}/rules", body_of("/rules "))
    assert made.status_code == 201, made.text
    assert made.json["status"] == "active"
    asked = {**body_of("/simulations "), "rule": made.json["id"]}
    assert api.post(f"/sites/{site}/simulations", asked).status_code == 200


def test_the_segment_and_the_site_are_taken_as_they_stand(api: Api, site: str) -> None:
    [segment] = re.findall(r"`POST segments (\{.+?\}\})`", README)
    assert api.post(f"/sites/{site}/segments", json.loads(segment)).status_code == 201
    [new_site] = re.findall(r"`POST /api/v1/sites (\{.+?\})`", README)
    assert api.post("/sites", json.loads(new_site)).status_code == 201


def test_the_snippet_is_the_one_that_is_built() -> None:
    stub = (ROOT / "sdk_js" / "dist" / "stub.js").read_text(encoding="utf-8").strip()
    assert f"<script>{stub}</script>" in README


@pytest.mark.parametrize("file", ["README.md", "sdk_js/README.md", "sdk_python/README.md"])
def test_every_command_and_option_that_is_named_is_there(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for said in re.findall(r"`chimein ([a-z][^`\n#]*)", text):
        command: click.Command = main
        for word in re.split(r"\s+", said.strip()):
            for name in word.split("|"):
                if isinstance(command, click.Group):
                    assert name in command.commands, f"chimein {said}"
            if isinstance(command, click.Group):
                command = command.commands[word.split("|")[0]]
            elif word.startswith("--"):
                assert word in {option for each in command.params for option in each.opts}, f"chimein {said}"


def test_every_link_to_a_file_leads_to_one() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target
    anchors = {
        re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.+)$", README, re.M)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", README):
        assert anchor in anchors, anchor
