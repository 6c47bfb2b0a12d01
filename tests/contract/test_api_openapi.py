"""The OpenAPI document is valid, complete, and told on a page that needs nothing from elsewhere."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from backend.domain.rule.limits import LIMIT_KEYS
from tests.contract.conftest import Api


@pytest.fixture
def spec(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    return dict(answer.json)


def operations(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_the_document_is_valid(spec: dict[str, Any]) -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []


def test_every_route_stands_in_the_document_and_nothing_else(app: Flask, spec: dict[str, Any]) -> None:
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert set(operations(spec)) == routes


def test_every_operation_says_what_it_does_takes_and_answers(spec: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(spec).values()]
    assert len(ids) == len(set(ids))
    for (method, path), operation in operations(spec).items():
        assert operation["summary"], path
        assert operation["security"] == [{"bearer": []}]
        assert {"401", "403", "404"} <= set(operation["responses"]), path
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert len(good) == 1, path
        assert method == "DELETE" or path.endswith("/typing") or "$ref" in str(good[0]), path
        bodiless = re.search(r"/(activate|pause|archive|retry|undo|fetch|typing)$", path)
        takes = method in {"POST", "PUT", "PATCH"} and not bodiless
        takes = takes or path.endswith(("/members", "/subscriptions"))  # taken off by the same body as put on
        assert ("requestBody" in operation) == takes, path
    assert set(spec["components"]["schemas"]["ErrorOut"]["properties"]) == {"code", "status", "message", "errors"}


def test_a_simulation_tells_of_its_lines_and_of_its_refusal(spec: dict[str, Any]) -> None:
    path = "/api/v1/sites/{site}/simulations"
    answers, schemas = spec["paths"][path]["post"]["responses"], spec["components"]["schemas"]
    lines = answers["200"]["content"]["application/x-ndjson"]
    names = [each["$ref"].rpartition("/")[2] for each in lines["schema"]["oneOf"]]
    assert names == ["ProgressOut", "SimulationOut", "ErrorOut"]
    assert answers["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/SimulationOut"}
    told = [json.loads(line) for line in lines["example"].splitlines()]
    assert [set(each) for each in told] == [set(schemas[name]["properties"]) for name in names[:2]]
    assert set(answers["429"]["headers"]) == {"Retry-After"}
    assert answers["429"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorOut"}


def test_the_answers_have_the_fields_that_the_document_names(
    api: Api, site: str, rule: str, spec: dict[str, Any]
) -> None:
    schemas = spec["components"]["schemas"]
    for path, name in ((f"/sites/{site}", "SiteOut"), (f"/sites/{site}/rules/{rule}", "RuleOut")):
        unsaid = {"exit", "steps", *LIMIT_KEYS} if name == "RuleOut" else set()
        assert set(api.get(path).json) == set(schemas[name]["properties"]) - unsaid


def test_the_page_shows_every_operation_and_loads_nothing_from_elsewhere(
    client: FlaskClient, spec: dict[str, Any]
) -> None:
    answer = client.get("/api/docs")
    assert answer.status_code == 200
    for (_, path), operation in operations(spec).items():
        assert f'id="{operation["operationId"]}"' in answer.text
        assert path in answer.text
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", answer.text)
    assert [each for each in loaded if not each.startswith(("/", "#"))] == []
    for each in {each.partition("#")[0] for each in loaded if each.startswith(("/assets", "/api"))}:
        with client.get(each) as loaded_part:
            assert loaded_part.status_code == 200, each
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", answer.text)


def test_an_example_that_is_copied_does_no_harm_and_what_is_not_there_yet_says_so(
    client: FlaskClient, spec: dict[str, Any]
) -> None:
    def example(path: str, method: str) -> Any:
        return spec["paths"][path][method]["requestBody"]["content"]["application/json"]["example"]

    assert example("/api/v1/sites/{site}", "patch") == {"timezone": "Europe/Berlin"}
    assert example("/api/v1/sites/{site}/simulations", "post")["rule"] == "RULE_ID"
    assert "What counts as success" in spec["components"]["schemas"]["RuleIn"]["properties"]["goal"]["description"]
    page = client.get("/api/docs").text
    assert "<code>DIR/admin_token</code>" in page
    assert "https://shop.example" not in page.partition('id="change_a_site"')[2].partition("</article>")[0]


def test_the_page_says_how_files_are_sent(client: FlaskClient) -> None:
    page = client.get("/api/docs").text
    for operation in ("import_many_products", "import_members"):
        told = page.partition(f'id="{operation}"')[2].partition("</article>")[0]
        assert "-H &#34;Content-Type: text/csv&#34; \\\n  --data-binary @FILE.csv" in told
    assert "by visitor_id, user_id, anonymous_id or email" in told
    assert told.count("curl ") == 1


def test_the_example_of_a_change_and_that_of_a_simulation_are_taken(api: Api, site: str, rule: str) -> None:
    assert api("PATCH", f"/sites/{site}", {"timezone": "Europe/Berlin"}).status_code == 200
    body = {"rule": rule, "since": "2026-11-01T00:00:00Z"}
    assert api.post(f"/sites/{site}/simulations", body).status_code == 200
