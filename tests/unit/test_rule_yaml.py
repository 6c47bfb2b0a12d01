"""Rules as YAML: what is written is read back, lines are known, and what is not to be trusted is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import Malformed
from backend.schemas.rule_example import EXAMPLE
from backend.schemas.rule_yaml import dump_rule, dump_rules
from backend.schemas.yaml_text import MOST_VALUES, read_yaml

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)
plain = [
    "~",
    "null",
    "yes",
    "no",
    "on",
    "1",
    "1.5",
    "1e3",
    "007",
    "0x1F",
    "10:00",
    "2026-03-01",
    "=",
    "<<",
    "#",
    "&a",
    "*a",
    "!t",
    "|",
    ">",
    "%",
    "@",
    "`",
    "{",
    "[",
    "'",
    '"',
]
spaced = ["", "- a", "a: b", "a #b", "\ttab", "a\n", "\na", "a\n\nb ", " a\nb", "a\rb", "a\u2028b", "\ufeffa", "é\x85"]
liquid = ["{{ x | default: 'y' }}", "{% if a %}\n  b\n{% endif %}", "word " * 60, "x" * 300]
awkward = st.sampled_from([*plain, *spaced, *liquid])
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | texts | awkward,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(texts | awkward, below, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(document=st.dictionaries(texts | awkward, values, max_size=5))
def test_whatever_json_says_is_the_same_after_yaml(document: dict[str, Any]) -> None:
    (found,) = read_yaml(dump_rule(document))
    assert json.dumps(found.value, sort_keys=True) == json.dumps(document, sort_keys=True)


def test_a_rule_reads_as_people_would_write_it() -> None:
    text = dump_rule({**EXAMPLE, "status": "active"})
    assert text.startswith("name: Cart left for half an hour\nstatus: active\ncategory: promotional\npriority: 10\n")
    assert "where: {field: event.properties.price, op: gte, value: 100}" in text
    assert "delay: 30m\n" in text
    letter = {"name": "x", "message": {"body": "Hello {{ first_name }},\n\nif you…\n"}}
    assert "  body: |\n    Hello {{ first_name }},\n\n    if you…\n" in dump_rule(letter)


def test_the_order_of_keys_does_not_depend_on_how_they_came() -> None:
    turned = dict(reversed(list(EXAMPLE.items())))
    assert dump_rule(turned) == dump_rule(EXAMPLE)


def test_several_rules_are_several_documents_or_one_list() -> None:
    rules = [{"name": "a"}, {"name": "b"}]
    assert [each.value for each in read_yaml(dump_rules(rules))] == rules
    listed = read_yaml("- name: a\n- name: b\n  delay: 1h\n")
    assert [each.value for each in listed] == [{"name": "a"}, {"name": "b", "delay": "1h"}]
    assert listed[1].line(("delay",)) == 3
    assert read_yaml("# nothing\n") == []


def test_plain_words_and_times_are_text() -> None:
    (found,) = read_yaml("{on: yes, at: 10:00, day: 2026-03-01, no: off, big: 1_000, n: 1.5, m: -2, t: true, z: }")
    assert found.value == {
        "on": "yes",
        "at": "10:00",
        "day": "2026-03-01",
        "no": "off",
        "big": "1_000",
        "n": 1.5,
        "m": -2,
        "t": True,
        "z": None,
    }


def test_every_part_knows_its_line() -> None:
    (found,) = read_yaml("name: a\naudience:\n  all:\n    - field: x\n      op: eq\n    - {field: y,\n       op: ne}\n")
    assert found.line(("audience", "all", 0, "op")) == 5
    assert found.line(("audience", "all", 1, "op")) == 7
    assert found.line(("audience", "all", 1, "op", "deeper")) == 7
    assert found.line(("nowhere",)) == 1


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, f"The YAML holds more than {MOST_VALUES} values, aliases followed (line 6)."),
        ("a: &a [*a]", "The alias *a names nothing that ended before it (line 1)."),
        ("a: *b", "The alias *b names nothing that ended before it (line 1)."),
        ("[" * 100_000, "The YAML nests deeper than 64 levels (line 1)."),
        ("a: &a {b: {c: {}}}\n" + "x: " + "[" * 62 + "*a" + "]" * 62, "The YAML nests deeper than 64 levels"),
        ("- " * 1_000 + "x", "The YAML nests deeper than 64 levels (line 1)."),
        ("x: !!python/object/apply:os.system [ls]", "Tags such as tag:yaml.org,2002:python/object/apply:os.system"),
        ("x: !env HOME", "Tags such as !env are not known here (line 1)."),
        ("a: 1\nb: 2\na: 3", 'The key "a" stands twice in one object (line 3).'),
        ("<<: {a: 1}", "<< is not known here: write the parts out (line 1)."),
        ("? [a]\n: b", "A key is plain text (line 1)."),
        ("?\n: b", "A key is missing (line 1)."),
        ("a: [1, 2", "Not YAML: "),
        ("a:\n\t- b", "Not YAML: found character that cannot start any token"),
        ("a: 9007199254740993", "A whole number lies beyond 2^53: put it into quotes (line 1)."),
        ("a:\n  - 1e400", "A number is too large (line 2)."),
        ('a: "\\0"', "Text may not hold the character NUL (line 1)."),
        ("a: '\x01'", "Not YAML: control characters are not allowed"),
        ("a: " + "x" * 2_100_000, "The YAML is larger than 2 MB."),
    ],
)
def test_what_is_not_to_be_trusted_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_yaml(text)
    assert refused.value.message.startswith(sentence)
    assert refused.value.message.endswith(".")


def test_a_few_aliases_are_fine_and_share_nothing() -> None:
    (found,) = read_yaml("a: &who {op: eq, value: [1]}\nb: *who\nc: &n 5\nd: *n")
    assert found.value == {"a": {"op": "eq", "value": [1]}, "b": {"op": "eq", "value": [1]}, "c": 5, "d": 5}
    assert found.value["a"]["value"] is not found.value["b"]["value"]


def test_the_ready_templates_are_all_read() -> None:
    from backend.storage.rule_templates import FUNNEL, rule_templates

    folder = Path(__file__).parents[2] / "backend/storage/templates"
    assert {path.stem for path in folder.iterdir()} == set(FUNNEL)
    assert [each.id for each in rule_templates()] == list(FUNNEL)
