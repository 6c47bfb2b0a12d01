"""What README.md tells a newcomer to type is what the server and the command take."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import chimein
from backend.__main__ import main
from chimein.testing import Collector
from tests.contract.conftest import ADMIN, Api
from tests.contract.test_api_visitors import at, send, track

__all__ = ["send"]
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


CURL = """#!/bin/sh
printf '%s\\0' "$@" >> "$TYPED"; printf '\\n\\0' >> "$TYPED"; echo '{}'
"""
"""What stands in the place of curl writes down how it was called."""

IDS = ("RULE_ID", "VISITOR_ID", "OTHER_ID", "MERGE_ID")


def typed(folder: Path) -> list[list[str]]:
    """The arguments of every curl in the README, as a shell in `folder` understands what is typed there."""
    (folder / "var").mkdir()
    (folder / "var" / "admin_token").write_text(ADMIN)
    (folder / "curl").write_text(CURL)
    (folder / "curl").chmod(0o755)
    blocks = [each for each in re.findall(r"^```sh\n(.*?)^```", README, re.S | re.M) if "curl " in each]
    lines = re.sub(r"^export RULE_ID=….*$", "", "\n".join(blocks), flags=re.M)
    names = {name: name for name in IDS}
    environment = {**os.environ, **names, "PATH": f"{folder}:{os.environ['PATH']}", "TYPED": str(folder / "typed")}
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=folder, env=environment, check=True, timeout=60)
    calls = (folder / "typed").read_text().split("\n\0")
    return [call.split("\0")[:-1] for call in calls if call]


class Reader:
    """Somebody who types what the README says, with the ids that the answers gave."""

    def __init__(self, client: FlaskClient, site: str, folder: Path) -> None:
        self.client, self.site, self.folder = client, site, folder
        self.ids: dict[str, str] = {}

    def call(self, arguments: list[str]) -> tuple[str, TestResponse]:
        """Asks as curl would; returns what was asked, and the answer."""
        method, headers, data, address = "", {}, None, ""
        rest = iter(arguments)
        for each in rest:
            match each:
                case "-X":
                    method = next(rest)
                case "-H":
                    name, _, value = next(rest).partition(": ")
                    headers[name] = value
                case "-d" | "--data-binary":
                    said = next(rest)
                    data = (self.folder / said[1:]).read_text() if said.startswith("@") else self.known(said)
                case "-s":
                    pass
                case _:
                    address = each
        path = self.known(address.removeprefix("http://127.0.0.1:8000")).replace("/sites/demo", f"/sites/{self.site}")
        asked = f"{method or 'GET'} {address.partition('/sites/demo')[2]}"
        return asked, self.client.open(path, method=method or "GET", headers=headers, data=data)

    def known(self, text: str) -> str:
        for name, value in self.ids.items():
            text = text.replace(name, value)
        return text


def test_every_line_with_curl_is_taken_in_the_order_in_which_it_stands(
    client: FlaskClient, api: Api, site: str, send: Any, tmp_path: Path
) -> None:
    form = {"form": "checkout", "field": "email", "value": "jo@shop.example", "page": "/checkout"}
    known = {"type": "identify", "anonymousId": "jo", "userId": "user-42", "timestamp": at(1)}
    send(
        {**known, "messageId": "1", "traits": {"email": "jo@shop.example", "points": 20}},
        track("typed", "Form Field Filled", 2, **form),
        track("typed", "Product Viewed", 3, product_id="k-17"),
    )
    reader = Reader(client, site, tmp_path)
    for name, who in (("VISITOR_ID", "jo"), ("OTHER_ID", "typed")):
        reader.ids[name] = api.get(f"/sites/{site}/visitors?anonymous_id={who}").json["items"][0]["id"]
    answers: dict[str, TestResponse] = {}
    for arguments in typed(tmp_path):
        asked, answer = reader.call(arguments)
        assert answer.status_code < 300, f"{asked}: {answer.text}"
        send()
        answers[asked] = answer
        if asked == "POST /rules":
            reader.ids.setdefault("RULE_ID", answer.json["id"])
        if asked == "POST /visitors/VISITOR_ID/merge":
            reader.ids["MERGE_ID"] = answer.json["merge"]["id"]
    assert len(answers) > 20
    assert answers["POST /visitors/VISITOR_ID/merge?preview=true"].json["preview"] is True
    assert answers["POST /visitors/VISITOR_ID/merges/MERGE_ID/undo"].json["freed"]["id"] == reader.ids["OTHER_ID"]
    assert answers["POST /segments/preview"].json["size"] == 0
    assert answers["POST /segments/VIP/import?dry_run=true"].json["accepted"] == 2
    told = answers["POST /products"].json
    assert (told["rows"], told["created"], told["changed"], told["errors"]) == (2, 1, 1, [])
    assert answers["GET /segments/VIP/export"].text.startswith("visitor_id,")
    traits = api.get(f"/sites/{site}/visitors/{reader.ids['VISITOR_ID']}").json["traits"]
    assert (traits["plan"], traits["points"]) == ("pro", 17.5)


def test_traits_change_as_page_and_backend_are_told_to(api: Api, site: str, send: Any) -> None:
    [page] = re.findall(r"^chimein\.identify\(\"(user-42)\", (\{ plan.*\})\);$", README, re.M)
    traits = json.loads(re.sub(r"(\$?\w+):", r'"\1":', page[1]))
    call = {"type": "identify", "messageId": "1", "userId": page[0], "timestamp": at(1)}
    send({**call, "traits": {"coupon": "X"}}, {**call, "messageId": "2", "timestamp": at(2), "traits": traits})
    visitor = f"/sites/{site}/visitors?user_id=user-42"
    [found] = api.get(visitor).json["items"]
    assert found["traits"] == {"plan": "pro", "first_plan": "pro", "points": 12.5, "tags": ["tea"]}
    [line] = re.findall(r"^chimein\.(change_traits\(.*\))$", README, re.M)
    with Collector() as collector:
        client = chimein.Client("key", collector.url)
        eval(f"client.{line}", {"client": client})
        client.close()
        send(*({**each, "timestamp": at(3)} for each in collector.events))
    [found] = api.get(visitor).json["items"]
    assert found["traits"] == {"plan": "pro", "first_plan": "pro", "points": 25, "tags": []}


def test_the_triggers_of_products_are_taken_as_they_stand(api: Api, site: str, rule: str) -> None:
    path = f"/sites/{site}/rules/{rule}"
    triggers = set(re.findall(r"`(\{\"(?:product|replenishment)\": .*?\})`", README))
    assert len(triggers) == 4
    for trigger in triggers:
        body = {**api.get(path).json, "trigger": json.loads(trigger)}
        assert api("PUT", path, body).status_code == 200, trigger


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
