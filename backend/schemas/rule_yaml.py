"""How rules are written as YAML: in a fixed order, and so that people can read it; `read_yaml` gives the same back."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from backend.errors import Malformed
from backend.schemas.yaml_text import DECIMAL, WHOLE, read_yaml

KEY_ORDER = (
    *("key", "id", "name", "status", "category", "priority", "trigger", "audience", "delay", "cancel", "exit"),
    *("reentry", "caps", "overflow", "ignore_caps", "quiet_hours", "send_windows", "message", "steps", "goal"),
)
"""The order in which a rule is written; what is not named here follows."""

FOLDED_FROM = 90
"""Characters from which a text of one line is folded over several."""

WIDTH = 110

SHORT = 100
"""Characters up to which an object or list stands in one line."""

_IN_LINE = frozenset(
    {"field", "op", "value", "performed", "within", "count", "since", "ago", "in", "event", "policy", "at_most", "per"}
    | {"key", "goal", "not_matching", "from", "to", "same", "delay", "timeout", "stage", "segment", "of"}
)
_MUST_QUOTE = re.compile(r"(.*: )|(.* #)|[\[{'\"&*!|>%@`?,-]", re.DOTALL)
_FOLDS = re.compile(r"[^\s]+( [^\s]+)+")


class _Dumper(yaml.SafeDumper):
    """Writes block style: long texts over several lines, everything else as short as it can be."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Lists are indented below their key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Whatever stands twice is written twice."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = '"' if "'" in text and '"' not in text and len(text) < WIDTH - 20 and _MUST_QUOTE.match(text) else None
    if "\n" in text:
        style = "|"
    elif len(text) > FOLDED_FROM and _FOLDS.fullmatch(text):
        style = ">"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _mapping(dumper: yaml.SafeDumper, told: dict[str, Any]) -> yaml.Node:
    """An object; one of a few short plain values stands in one line."""
    node = dumper.represent_mapping("tag:yaml.org,2002:map", told.items())
    node.flow_style = bool(told) and _is_short(told)
    return node


def _sequence(dumper: yaml.SafeDumper, told: list[Any]) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", told)
    node.flow_style = not any(isinstance(each, dict | list) for each in told) and len(str(told)) < SHORT
    return node


def _is_short(told: dict[str, Any]) -> bool:
    """Whether an object fits into a line: a comparison, a window, a small button, but no texts of a message."""
    if not told.keys() <= _IN_LINE:
        return False
    plain = all(
        not isinstance(each, dict | list)
        or (isinstance(each, list) and not any(isinstance(x, dict | list) for x in each))
        or (isinstance(each, dict) and _is_short(each))
        for each in told.values()
    )
    return plain and len(str(told)) < SHORT and "\n" not in str(told.values())


def _ends(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """The pattern for the whole text: PyYAML asks only whether it begins so."""
    return re.compile(rf"(?:{pattern.pattern})\Z", re.ASCII)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)
# What this reader takes for a number must be quoted where it is text, beside all that YAML 1.1 takes for something.
_Dumper.add_implicit_resolver("tag:chimein,2026:number", _ends(WHOLE), list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:chimein,2026:number", _ends(DECIMAL), list("-+.0123456789"))


def dump_rule(document: Mapping[str, Any]) -> str:
    """One rule as YAML, its keys in a fixed order; `read_yaml` gives the same document back."""
    names = [*(key for key in KEY_ORDER if key in document), *(key for key in document if key not in KEY_ORDER)]
    ordered = {name: document[name] for name in names}
    for dumper in (_Dumper, _PlainDumper):
        text = yaml.dump(ordered, Dumper=dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
        try:
            if [each.value for each in read_yaml(text)] == [ordered]:
                break
        except Malformed:
            continue
    return text


class _PlainDumper(_Dumper):
    """For texts that no block can hold: everything in quotes."""


_PlainDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def dump_rules(documents: list[dict[str, Any]]) -> str:
    """Several rules as one file, each a document of its own."""
    return "---\n".join(dump_rule(each) for each in documents)
