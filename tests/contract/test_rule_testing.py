"""The SDK's helper for testing rules: stories in, expected sends out; the same from here and from a server."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from chimein.rule_testing import Engine, Local, NoEngine, RuleMistakes, Sent, Server, Story
from tests.contract.conftest import ADMIN, Api

CART_LEFT = """\
key: cart-left
name: Cart left
trigger: {event: Product Added, where: {field: event.properties.price, op: gte, value: 100}}
delay: 30m
cancel: [{event: Order Completed}]
reentry: {policy: every}
message:
  channels: [email, popup]
  holdout: 50
  variants:
    - {name: A, content: {subject: Yours, title: "Still yours, {{ first_name | default: 'friend' }}", body: "…"}}
    - {name: B, content: {subject: Kept, title: Kept, body: "…"}}
"""
JOURNEY = """\
name: After the click
trigger: {message: sent, rule: cart-left}
steps:
  - {delay: 1h}
  - message: {channels: [popup], variants: [{content: {title: One}}]}
  - {delay: 1d}
  - {name: second, message: {channels: [popup], variants: [{content: {title: Two}}]}}
"""


@pytest.fixture
def server(app: Flask) -> Iterator[str]:
    """The application behind real HTTP."""
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def engines(server: str, site: str) -> tuple[Engine, Engine]:
    """The engine here and that of a server, on sites of the same id and settings."""
    return Local({"id": site}), Server(server, ADMIN, "shop")


Tell = Callable[[Story], object]


def carts(story: Story) -> None:
    story.at("2026-03-01T10:00:00Z").track("ann", "Product Added", {"price": 120})
    story.track("bob", "Product Added", {"price": 99.9})
    story.track("eve", "Product Added", {"price": 300})
    story.after("20m").track("eve", "Order Completed", {"order_id": "1", "total": 300})


def signing_in(story: Story) -> None:
    """A browser, then a person, then the person's other browser and backend."""
    story.at("2026-03-01T10:00:00Z").track("phone", "Product Added", {"price": 120})
    story.after("5m").identify("phone", "42", {"email": "ann@shop.example", "first_name": "Ann"})
    story.after("40m").page("laptop", "Home").identify("laptop", "42")
    story.after("1m").track("laptop", "Product Added", {"price": 500})
    story.after("10m").track(None, "Order Completed", {"order_id": "1"}, user_id="42")
    story.after("1m").track(None, "Product Added", {"price": 500}, user_id="42")


def another_on_the_same_browser(story: Story) -> None:
    """Two known people never become one; the browser stays the first one's."""
    story.at("2026-03-01T10:00:00+01:00").identify("phone", "42").track("phone", "Product Added", {"price": 120})
    story.after("1m").identify("phone", "43").track("phone", "Product Added", {"price": 120}, user_id="43")
    story.after("1m").alias("tablet", "42").track("tablet", "Product Added", {"price": 130})
    story.group("tablet", "acme").track("phone", "Product Added", {"price": 1}, message_id="same")
    story.track("phone", "Product Added", {"price": 999}, message_id="same")


def many(story: Story) -> None:
    """More people than a page of the API holds."""
    story.at("2026-03-01T10:00:00Z")
    for number in range(450):
        story.track(f"v{number}", "Product Added", {"price": 120}, context={"locale": "de"})


@pytest.mark.parametrize("tell", [carts, signing_in, another_on_the_same_browser, many])
@pytest.mark.parametrize("holdout", [False, True])
def test_a_server_answers_as_the_engine_here_does(engines: tuple[Engine, Engine], tell: Tell, holdout: bool) -> None:
    found = []
    for engine in engines:
        story = Story([CART_LEFT, JOURNEY], engine, holdout=holdout)
        tell(story)
        sent = story.sent()
        found.append(
            (list(sent), [(each.variant, each.step, each.content) for each in sent], sent.outcomes, sent.denied)
        )
    assert found[0] == found[1]
    assert found[0][2]
    if holdout and tell is many:
        assert {each.reason for each in found[0][2]} >= {"holdout"}


BUYERS = """\
segment: Buyers
condition: {performed: Order Completed, within: 30d}
---
segment: Lapsed
condition: {all: [{performed: Order Completed}, {not: {segment: Buyers}}]}
"""
FOR_THEM = """\
name: Welcome back
trigger: {segment: Lapsed}
message: {channels: [popup], variants: [{content: {title: Back}}]}
---
name: Thanks
trigger: {event: Page Viewed}
audience: {segment: Buyers}
reentry: {policy: every}
message: {channels: [popup], variants: [{content: {title: Thanks}}]}
"""


def test_rules_that_ask_for_segments_are_tried_out_with_those_of_the_files(
    engines: tuple[Engine, Engine], api: Api, site: str
) -> None:
    # The site's own of that name stands back for the one in the files.
    other = {"name": "Buyers", "condition": {"performed": "Nothing of the kind"}}
    assert api.post(f"/sites/{site}/segments", other).status_code == 201
    for engine in engines:
        story = Story([BUYERS, FOR_THEM], engine)
        story.at("2026-03-01T10:00:00Z").page("ann").page("bob")
        story.after("1h").track("ann", "Order Completed", {"order_id": "1"}).after("1h").page("ann").page("bob")
        story.after("60d").page("ann")
        assert story.sent() == [
            Sent("ann", rule="Thanks", at="2026-03-01T12:00:00Z", channel="popup"),
            Sent("ann", rule="Welcome back", at="2026-03-31T11:00:00Z", channel="popup"),
        ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("segment: A\ncondition: {performed: x, within: soon}", "segments.yaml: condition.within: Not a duration."),
        ("segment: A\ncondition: {segment: A}", "condition.segment: A segment cannot ask for itself"),
        ("segment: [A]\nmanual: true", "segments.yaml: segment: Expected one line of text. (line 1)"),
        ("segment: A\nmanual: true\n---\nsegment: A\nmanual: true", 'Another segment here has the name "A". (line 4)'),
        ("segment: A\nname: A\nmanual: true", 'segment: Unknown key "segment".'),
        ("segment: Aa\nmanual: true", 'There is no segment "A". Did you mean "Aa"?'),
    ],
)
def test_a_wrong_segment_is_told_with_its_place(text: str, told: str) -> None:
    rule = FOR_THEM.replace("Lapsed", "A").replace("Buyers", "A")
    story = Story([text, rule], Local(), names=["segments.yaml", "rules.yaml"])
    with pytest.raises(RuleMistakes) as raised:
        story.at("2026-03-01T10:00:00Z").page("ann").sent()
    assert told in str(raised.value)


def test_a_story_of_carts_is_told_with_who_what_when_and_why_not() -> None:
    story = Story([CART_LEFT], Local())
    carts(story)
    sent = story.sent()
    assert sent == [Sent("ann", rule="Cart left", at="2026-03-01T10:30:00Z", channel="popup")]
    assert sent[0].content["title"] in {"Still yours, friend", "Kept"}
    assert [(each.visitor, each.outcome, each.reason) for each in story.outcomes() if each.visitor == "eve"] == [
        ("eve", "skipped", "cancelled")
    ]
    assert story.sent(until="2026-03-01T10:29:59Z") == []
    assert story.sent(until="2026-03-01T10:30:00Z") == sent


def test_a_browser_and_the_person_behind_it_are_one() -> None:
    story = Story([CART_LEFT], Local())
    signing_in(story)
    assert story.sent() == [
        Sent("phone", rule="Cart left", at="2026-03-01T10:30:00Z", channel="email"),
        Sent("phone", rule="Cart left", at="2026-03-01T11:27:00Z", channel="email"),
    ]


def test_the_steps_of_a_journey_and_rules_about_rules_are_all_there() -> None:
    story = Story([CART_LEFT, JOURNEY], Local())
    story.at("2026-03-01T10:00:00Z").track("ann", "Product Added", {"price": 120})
    assert story.sent() == [
        Sent("ann", rule="Cart left", at="2026-03-01T10:30:00Z", channel="popup"),
        Sent("ann", rule="After the click", at="2026-03-01T11:30:00Z", channel="popup"),
        Sent("ann", rule="After the click", at="2026-03-02T11:30:00Z", channel="popup"),
    ]


def test_the_settings_of_the_site_count() -> None:
    quiet = {"from": "00:00", "to": "08:00", "channels": ["email"], "then": "next_available"}
    story = Story([CART_LEFT], Local({"timezone": "Asia/Tokyo", "policy": {"quiet_hours": quiet}}))
    story.at("2026-03-01T18:00:00Z").identify("ann", "42", {"email": "a@shop.example"})
    story.track("ann", "Product Added", {"price": 120})
    assert story.sent() == [Sent("ann", rule="Cart left", at="2026-03-01T23:00:00Z", channel="email")]


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (CART_LEFT.replace("op: gte", "op: equals"), 'rules 1: trigger.where.op: Unknown operator "equals". Did'),
        (CART_LEFT + "colour: red\n", 'rules 1: colour: Unknown key "colour".'),
        (CART_LEFT + "delay: 1h\n", 'rules 1: The key "delay" stands twice in one object (line 13).'),
        (JOURNEY, 'trigger.rule: No one rule has the key, name or id "cart-left".'),
        ("- 5", "rules 1: A rule is an object"),
        ("", "yaml: There is no rule in it."),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_place(engines: tuple[Engine, Engine], rules: str, sentence: str) -> None:
    told = []
    for engine in engines:
        story = Story([rules], engine).at("2026-03-01T10:00:00Z").track("ann", "Product Added")
        with pytest.raises(RuleMistakes) as refused:
            story.sent()
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert sentence in told[0]


def test_a_mistake_in_an_event_is_told_with_the_event(engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        story = Story([CART_LEFT], engine).at("2026-03-01T10:00:00Z").track("ann", "Product Added")
        story.track("x" * 101, "Product Added")
        with pytest.raises(RuleMistakes, match=r"event 2, Product Added at 2026-03-01T10:00:00Z: .*anonymousId"):
            story.sent()


def test_mistakes_of_the_story_itself_are_raised_where_they_are_made() -> None:
    story = Story([CART_LEFT], Local())
    with pytest.raises(ValueError, match="When is it"):
        story.track("ann", "Product Added")
    with pytest.raises(ValueError, match="lacks its time zone"):
        story.at("2026-03-01T10:00:00")
    with pytest.raises(ValueError, match="is no moment"):
        story.at("yesterday")
    with pytest.raises(ValueError, match="is no duration"):
        story.at("2026-03-01T10:00:00Z").after("an hour")
    with pytest.raises(ValueError, match="Who is it"):
        story.track(None, "Product Added")
    with pytest.raises(TypeError, match="not colour"):
        story.track("ann", "Product Added", colour="red")


def test_a_server_that_is_not_there_or_refuses_is_told(server: str, site: str) -> None:
    for engine, sentence in (
        (Server("http://127.0.0.1:9", ADMIN), "Nobody answers"),
        (Server(server, "wrong", "shop"), "status 401"),
        (Server(server, ADMIN, "nowhere"), "There is no such site"),
    ):
        with pytest.raises(NoEngine, match=sentence):
            Story([CART_LEFT], engine).at("2026-03-01T10:00:00Z").track("ann", "Product Added").sent()


TEST_FILE = """\
from chimein.rule_testing import Sent

def test_cart_left(chimein_rules):
    story = chimein_rules("rules/cart-left.yaml")
    story.at("2026-03-01T10:00:00Z").track("ann", "Product Added", {"price": 120})
    assert story.sent() == [Sent("ann", rule="Cart left", at="2026-03-01T10:30:00Z", channel="popup")]

def test_wrong(chimein_rules):
    story = chimein_rules("rules")
    story.at("2026-03-01T10:00:00Z").track("ann", "Product Added", {"price": 120})
    story.after("10m").track("ann", "Order Completed")
    assert story.sent() == [Sent("ann", rule="Cart left", at="2026-03-01T10:30:00Z", channel="popup")]

def test_missing(chimein_rules):
    chimein_rules("nowhere.yaml")
"""


def run_pytest(folder: Path, *options: str, **environ: str) -> str:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules/cart-left.yaml").write_text(CART_LEFT)
    (folder / "test_rules.py").write_text(TEST_FILE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHIMEIN_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "chimein.pytest_plugin", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, env=kept | environ, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_fixture_works_in_somebody_elses_tests_and_a_failure_says_why(tmp_path: Path) -> None:
    told = run_pytest(tmp_path)
    assert "1 passed" in told, told
    assert "2 failed" in told
    assert "expected, and not sent:" in told
    assert "Sent('ann', rule='Cart left', at='2026-03-01T10:30:00Z', channel='popup')" in told
    assert "ann: Cart left, entered 2026-03-01T10:00:00Z: skipped (cancelled) 2026-03-01T10:10:00Z" in told
    assert "There are no rules at nowhere.yaml" in told


def test_the_fixture_asks_a_server_where_one_is_named(tmp_path: Path, server: str, site: str) -> None:
    options: Any = ("--chimein-url", server, "--chimein-site", "shop")
    assert "1 passed" in run_pytest(tmp_path, *options, CHIMEIN_ADMIN_TOKEN=ADMIN)
    assert "its token is needed in CHIMEIN_ADMIN_TOKEN" in run_pytest(tmp_path, *options)
