"""`chimein rules`: on the database here without anything else running, and on a server from somewhere else."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from backend.__main__ import main
from backend.domain.segment import parse_segment
from backend.pipeline.sweep import Sweeper
from backend.runtime import utc_now
from backend.storage.rules import list_rules
from backend.storage.segments import create_segment, list_segments
from backend.storage.sites import create_site, new_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import ADMIN, SECRET, Shop, call, popup_rule

Chimein = Any


@pytest.fixture
def url(each_shop: Shop) -> Iterator[str]:
    """The shop's application behind real HTTP."""
    running = make_server("127.0.0.1", 0, each_shop.client.application, threaded=True)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(params=["here", "server"])
def rules(request: pytest.FixtureRequest, each_shop: Shop, url: str, tmp_path: Path) -> Chimein:
    """Runs `chimein rules …` in an empty directory, on the database and on the server."""
    folder = tmp_path / "laptop"
    folder.mkdir()
    here = {"CHIMEIN_DATABASE_URL": each_shop.rt.settings.database_url, "CHIMEIN_SECRET_KEY": SECRET}
    environ = here if request.param == "here" else {"CHIMEIN_ADMIN_TOKEN": ADMIN}
    options = [] if request.param == "here" else ["--to", url]

    def run(command: str, *words: str, code: int = 0) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            done = CliRunner().invoke(main, ["rules", command, *words, *options], env=environ)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    run.folder = folder  # type: ignore[attr-defined]
    return run


def stored(shop: Shop) -> list[tuple[str, str, int, str]]:
    with shop.rt.db.read() as connection:
        found = list_rules(connection, shop.site.id, limit=100)
    return sorted(
        (str(each.document["name"]), each.status, each.version, str(each.document["delay"])) for each in found
    )


def test_out_edited_shown_and_back(rules: Chimein, each_shop: Shop) -> None:
    shop, folder = each_shop, rules.folder
    shop.rule(popup_rule(name="Cart: left!", delay="30m"))
    shop.rule(popup_rule(name="Välkommen"), status="draft")
    shop.rule(popup_rule(name="Old"), status="archived")
    done = rules("export", "mine")
    assert "2 rules of shop written to mine/." in done.stderr
    assert sorted(path.name for path in (folder / "mine").iterdir()) == ["cart-left.yaml", "valkommen.yaml"]
    before = stored(shop)
    assert rules("diff", "mine").stdout == "0 new, 0 changed, 2 the same. Nothing was written.\n"
    assert rules("import", "mine").stdout == "0 new, 0 changed, 2 the same.\n"
    assert stored(shop) == before

    file = folder / "mine/cart-left.yaml"
    file.write_text(file.read_text().replace("delay: 30m", "delay: 45m"))
    (folder / "mine/valkommen.yaml").unlink()
    (folder / "mine/new.yml").write_text(yaml.safe_dump(popup_rule(name="New", status="active")))
    shown = (
        "  ~ Cart: left!\n      delay  30m → 45m\n  + New  new, active\n"
        "  - Välkommen  only there; stays as it is (--prune archives it)\n\n"
        "1 new, 1 changed, 1 only there, 0 the same"
    )
    assert rules("diff", "mine", code=1).stdout == f"{shown}. Nothing was written.\n"
    assert rules("import", "mine", "--dry-run").stdout == f"{shown}. Nothing was written.\n"
    assert stored(shop) == before
    done = rules("import", "mine")
    assert done.stdout == f"{shown}.\n"
    assert done.stderr == "Written to shop.\n"
    assert rules("diff", "mine").exit_code == 0
    assert rules("diff", "mine", "--prune", code=1).exit_code == 1
    assert "1 archived" in rules("import", "mine", "--prune").stdout
    assert stored(shop) == [
        ("Cart: left!", "active", 2, "45m"),
        ("New", "active", 1, "0s"),
        ("Old", "archived", 1, "0s"),
        ("Välkommen", "archived", 1, "0s"),
    ]


def test_an_export_finds_the_files_in_which_the_rules_stood(rules: Chimein, each_shop: Shop) -> None:
    folder = rules.folder
    each_shop.rule(popup_rule(name="First"))
    rules("export", "mine")
    (folder / "mine/first.yaml").rename(folder / "mine/my own name.yaml")
    (folder / "mine/other.yaml").write_text("name: Other\n")
    each_shop.rule(popup_rule(name="Second"))
    done = rules("export", "mine")
    assert sorted(path.name for path in (folder / "mine").iterdir()) == [
        "my own name.yaml",
        "other.yaml",
        "second.yaml",
    ]
    assert "mine/other.yaml is of no rule of shop, and was left as it was." in done.stderr
    text = rules("export").stdout
    rules("export", "all.yaml")
    assert (folder / "all.yaml").read_text() == text
    assert text.count("\n---\n") == 1
    assert rules("diff", "all.yaml").exit_code == 0


def test_what_is_no_mistake_and_hardly_meant_is_told_of_rules_that_change_and_of_no_others(
    rules: Chimein, each_shop: Shop
) -> None:
    each_shop.send(*({"type": "track", "event": "Product Added", "anonymousId": who * 32} for who in "ab"))
    content = {"title": "Hello {{ frist_name | default: 'friend' }}", "body": "b"}
    message = {"channels": ["popup"], "variants": [{"content": content}]}
    (rules.folder / "typo.yaml").write_text(yaml.safe_dump(popup_rule(name="Typo", message=message)))
    (rules.folder / "good.yaml").write_text(yaml.safe_dump(popup_rule(name="Good")))
    told = (
        "  + Typo  new, draft\n"
        "      warning  message.variants.0.content.title\n"
        '               No trait named "frist_name" was seen among the latest 2 visitors of this site. Did you mean\n'
        '               "first_name"?\n'
    )
    assert told in rules("diff", ".", code=1).stdout
    assert told in rules("import", ".").stdout
    assert "warning" not in rules("diff", ".").stdout


def test_mistakes_are_told_with_file_line_and_path_and_nothing_is_written(rules: Chimein, each_shop: Shop) -> None:
    folder = rules.folder
    (folder / "good.yaml").write_text(yaml.safe_dump(popup_rule(name="Good")))
    (folder / "bad.yaml").write_text(
        "name: Bad\ntrigger: {event: x}\nstatus: live\naudience:\n  all:\n    - field: profile.stage\n"
        "      op: equals\n      value: cart\nmessage:\n  channels: [popup]\n  variants: [{content: {body: '{{ x'}}]\n"
    )
    done = rules("import", ".", code=1)
    assert (
        'Bad\n  bad.yaml:3  status\n      Expected one of draft, active, paused, archived. Did you mean "active"?\n'
        in done.stderr
    )
    assert '  bad.yaml:7  audience.all.0.op\n      Unknown operator "equals". Did you mean "eq"?\n' in done.stderr
    assert "  bad.yaml:11  message.variants.0.content.body\n" in done.stderr
    assert "Error: 3 mistakes in 1 file; nothing was written.\n" in done.stderr
    assert rules("diff", ".", code=2).exit_code == 2
    assert stored(each_shop) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &a [*a]", "f.yaml: The alias *a names nothing that ended before it (line 1)."),
        ("name: x\nname: y", 'f.yaml: The key "name" stands twice in one object (line 2).'),
        ("a: [", "f.yaml: Not YAML: "),
        (
            "priority: 123456789012345678901234567890",
            "f.yaml: A whole number lies beyond 2^53: put it into quotes (line 1).",
        ),
        ("priority: 1e999", "f.yaml: A number is too large (line 1)."),
        ('name: "\\0"', "f.yaml: Text may not hold the character NUL (line 1)."),
        ('name: "\\uD800"', "f.yaml: "),
        ("# nothing", "There is no rule in f.yaml."),
        (b"\xff\xfe\xfa", "f.yaml: is not UTF-8."),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, text: Any, sentence: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for command, code in (("import", 1), ("diff", 2)):
            done = CliRunner().invoke(main, ["rules", command, "f.yaml"])
            assert done.exit_code == code
            assert f"Error: {sentence}" in done.stderr


def test_what_cannot_be_reached_or_chosen_is_told_in_a_sentence(each_shop: Shop, url: str, tmp_path: Path) -> None:
    shop = each_shop
    file = tmp_path / "rule.yaml"
    file.write_text(yaml.safe_dump(popup_rule()))

    def told(*words: str, token: str = ADMIN) -> str:
        done = CliRunner().invoke(main, ["rules", *words], env={"CHIMEIN_ADMIN_TOKEN": token})
        assert done.exit_code in (1, 2)
        return done.stderr

    assert "Nobody answers at http://127.0.0.1:9" in told("import", str(file), "--to", "http://127.0.0.1:9")
    assert "is no address of chimein" in told("diff", str(file), "--to", "shop.example")
    assert "A token is needed" in told("export", "--to", url, token="")
    assert "status 401" in told("export", "--to", url, token="wrong")
    assert "There is no data directory at" in told("export", "--data-dir", str(tmp_path / "nowhere"))
    with shop.rt.db.begin() as connection:
        create_site(connection, shop.rt.sites.vault, new_site("second"), shop.clock())
    assert "Which site? Name it with --site: there are second, shop." in told("export", "--to", url)
    assert "There is no such site." in told("export", "--to", url, "--site", "third")


@pytest.mark.parametrize("enrolled", ["keep", "move"])
def test_an_import_says_what_becomes_of_those_who_are_in_a_rule_that_changes(
    rules: Chimein, each_shop: Shop, enrolled: str
) -> None:
    shop, file = each_shop, rules.folder / "rules.yaml"
    shop.rule(popup_rule("Product Added", name="Cart", delay="1h"))
    shop.rule(popup_rule("Page Viewed", name="Same", delay="1h"))
    shop.send(call("Product Added"), call("Product Added", anonymousId="bob"), call("Page Viewed", anonymousId="cat"))
    rules("export", "rules.yaml")
    file.write_text(file.read_text().replace("title: Hello", "title: Hi", 1))
    way = "the new version" if enrolled == "move" else "the version that they are in"
    for more in (["--dry-run"], []):
        told = rules("import", "rules.yaml", "--enrolled", enrolled, *more).stdout
        assert f"  ~ Cart  2 in it go on with {way}\n      message.variants.0.content.title  Hello → Hi\n" in told
    assert "0 changed, 2 the same" in rules("import", "rules.yaml", "--enrolled", "move").stdout
    Sweeper(replace(shop.rt, clock=utc_now)).run()  # where the command has the database only, it reads the real clock
    shop.restart()
    versions = [shop.enrolments(name)[0].rule_version for name in ("ann", "bob", "cat")]
    assert versions == ([2, 2, 1] if enrolled == "move" else [1, 1, 1])
    shop.wait(hours=1)
    new = "Hi" if enrolled == "move" else "Hello"
    assert sorted(each.content["title"] for each in shop.messages()) == sorted([new, new, "Hello"])


def test_segments_go_out_and_come_back_with_the_rules_that_ask_for_them(rules: Chimein, each_shop: Shop) -> None:
    shop, folder = each_shop, rules.folder
    bought = {"name": "Bought lately", "condition": {"performed": "Order Completed", "within": "30d"}}
    with shop.rt.db.begin() as connection:
        first = create_segment(connection, shop.site.id, parse_segment(bought), shop.clock())
        nested = {"name": "Not lately", "condition": {"not": {"segment": first.id}}}
        spec = parse_segment(nested, {first.id: first.name})
        create_segment(connection, shop.site.id, spec, shop.clock())
        create_segment(connection, shop.site.id, parse_segment({"name": "Other", "manual": True}), shop.clock())
    shop.rule(popup_rule(name="Again", audience={"segment": "Not lately"}))
    assert "1 rule and 2 segments of shop written to mine/." in rules("export", "mine").stderr
    found = sorted(str(path.relative_to(folder / "mine")) for path in (folder / "mine").rglob("*.yaml"))
    assert found == ["again.yaml", "segments/bought-lately.yaml", "segments/not-lately.yaml"]
    assert (folder / "mine/segments/not-lately.yaml").read_text() == (
        "segment: Not lately\ncondition:\n  not: {segment: Bought lately}\n"
    )
    same = "0 new, 0 changed, 1 the same; segments: 0 new, 0 changed, 2 the same"
    assert rules("diff", "mine").stdout == f"{same}. Nothing was written.\n"
    assert rules("import", "mine").stdout == f"{same}.\n"
    file = folder / "mine/segments/bought-lately.yaml"
    file.rename(folder / "mine/lately.yaml")
    rules("export", "mine")
    assert not file.exists(), "it is written where it stood"
    file = folder / "mine/lately.yaml"
    file.write_text(file.read_text().replace("30d", "60d"))
    (folder / "mine/new.yaml").write_text(
        "segment: New\nmanual: true\n---\n"
        + yaml.safe_dump(popup_rule(name="For the new", audience={"segment": "New"}))
    )
    shown = (
        "  ~ Bought lately  segment\n      condition.within  30d → 60d\n  + New  new segment\n"
        "  + For the new  new, draft\n\n1 new, 0 changed, 1 the same; segments: 1 new, 1 changed, 1 the same"
    )
    assert rules("diff", "mine", code=1).stdout == f"{shown}. Nothing was written.\n"
    assert rules("import", "mine").stdout == f"{shown}.\n"
    assert rules("diff", "mine").exit_code == 0
    with shop.rt.db.read() as connection:
        versions = {each.name: each.version for each in list_segments(connection, shop.site.id)}
    assert versions == {"Bought lately": 2, "Not lately": 1, "Other": 1, "New": 1}
    text = rules("export").stdout
    assert text.index("segment: Bought lately") < text.index("segment: Not lately") < text.index("name: Again")

    (folder / "mine/new.yaml").write_text("segment: New\ncondition:\n  field: event.x\n  op: is_set\n")
    done = rules("import", "mine", code=1)
    assert "New\n  mine/new.yaml:3  condition.field\n" in done.stderr
    (folder / "mine/new.yaml").write_text("description: x\nsegment: 5\nmanual: true\n")
    assert "5\n  mine/new.yaml:2  segment\n" in rules("import", "mine", code=1).stderr


def test_a_template_is_printed_as_a_file_that_can_be_imported(rules: Chimein, each_shop: Shop) -> None:
    listed = CliRunner().invoke(main, ["rules", "template"])
    assert "cart-left\n" in listed.stdout
    printed = CliRunner().invoke(main, ["rules", "template", "cart-left", "--set", "delay=2h", "--set", "min_total=50"])
    assert "# Needs: Product Added, Product Removed, Order Completed.\n" in printed.stdout
    (rules.folder / "cart.yaml").write_text(printed.stdout)
    assert "+ Cart left  new, draft" in rules("import", "cart.yaml").stdout
    assert stored(each_shop) == [("Cart left", "draft", 1, "2h")]
    for words, sentence in (
        (["cart-lefd"], 'There is no template "cart-lefd". Did you mean "cart-left"?'),
        (["cart-left", "--set", "delay"], "--set delay: write it as PARAMETER=VALUE."),
        (["cart-left", "--set", "delay=soon"], "delay: Not a duration."),
        (["cart-left", "--set", "min_total=much"], "min_total: Expected a number."),
    ):
        assert sentence in CliRunner().invoke(main, ["rules", "template", *words]).stderr
