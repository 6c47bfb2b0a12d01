"""`chimein rules simulate`: rules of a file, or a stored one, over what is stored; the summary on standard output."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.domain.segment import parse_segment
from backend.errors import ChimeinError
from backend.ops.simulation import simulate
from backend.storage.segments import create_segment
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, popup_rule


def run(shop: Shop, what: str, since: str | None = None, until: str | None = None) -> tuple[Any, list[float]]:
    shown: list[float] = []
    result = simulate(shop.rt, what, shop.site.name, since, until, lambda share, _: shown.append(share))
    return result, shown


@pytest.mark.parametrize("kind", ["one", "list", "rules", "yaml"])
def test_the_rules_of_a_file(shop: Shop, tmp_path: Path, kind: str) -> None:
    shop.send(call("Product Added"), call("Product Added", anonymousId="bob"))
    shop.clock.forward(minutes=1)
    rule = popup_rule()
    documents = {"one": rule, "list": [rule, rule], "rules": {"rules": [rule]}}
    file = tmp_path / "rules.txt"
    yaml = "name: A rule\ntrigger: {event: Product Added}\nmessage:\n  channels: [popup]\n"
    yaml += "  variants: [{name: A, content: {title: Hello, body: there}}]\n"
    file.write_text(yaml if kind == "yaml" else json.dumps(documents[kind]))
    result, shown = run(shop, str(file))
    assert result.summary["sent"] == (4 if kind == "list" else 2)
    assert shown


def test_the_segments_of_a_file_stand_in_for_those_of_the_site(shop: Shop, tmp_path: Path) -> None:
    with shop.rt.db.begin() as connection:
        stored = parse_segment({"name": "Buyers", "condition": {"performed": "Order Completed"}})
        create_segment(connection, shop.site.id, stored, shop.clock())
    shop.send(call("Page Viewed"), call("Product Added"), call("Product Added", anonymousId="bob"))
    shop.clock.forward(minutes=1)
    file = tmp_path / "rules.yaml"
    rule = json.dumps(popup_rule(audience={"segment": "Buyers"}))
    file.write_text(rule)
    assert run(shop, str(file))[0].summary["sent"] == 0
    file.write_text(f"segment: Buyers\ncondition: {{performed: Page Viewed}}\n---\n{rule}")
    assert run(shop, str(file))[0].summary["sent"] == 1
    file.write_text(f"segment: Buyers\ncondition: {{performed: 5}}\n---\n{rule}")
    with pytest.raises(ChimeinError, match=r"a segment cannot work.\n  segment.0.condition.performed: "):
        run(shop, str(file))


def test_a_stored_rule_by_its_id_and_a_span(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule(), status="draft")
    shop.send(call("Product Added"))
    shop.clock.forward(minutes=1)
    assert run(shop, rule_id)[0].summary["sent"] == 1
    assert run(shop, rule_id, until="2026-03-01")[0].summary["entered"] == 0
    assert run(shop, rule_id, since="2026-03-01T08:00:00Z")[0].summary["entered"] == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "Not YAML"),
        ("[]", "holds no rule"),
        ("[1]", "expected a rule"),
        ('{"name": "x"}', "cannot work"),
        ("\x00", "Not YAML"),
        ("x" * (2**20 + 1), "larger than"),
    ],
)
def test_a_file_without_sense_is_answered_with_a_sentence(shop: Shop, tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ChimeinError, match=sentence):
        run(shop, str(file))


def test_what_is_neither_a_file_nor_a_rule_and_spans_that_cannot_be(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule())
    for what, since, until, sentence in (
        ("nothing.yaml", None, None, "neither a file here nor the id of a rule"),
        (rule_id, "yesterday", None, "--since"),
        (rule_id, None, "soon", "--until"),
        (rule_id, "2026-02-01", "2026-01-01", "--since must be earlier"),
    ):
        with pytest.raises(ChimeinError, match=sentence):
            run(shop, what, since, until)
