"""What `chimein rules` shows: the plan of an import, its mistakes, and the ready templates."""

import difflib
import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from backend.domain.rule_template import RuleTemplate
from backend.ops.rules_files import Found

SIGNS = {"new": ("+", "green"), "changed": ("~", "yellow"), "only_there": ("-", "red"), "archived": ("-", "red")}
LONGEST_VALUE = 70
LONGEST_NAME = 60
CONTEXT = 1
"""Lines that are shown around a changed line of a text."""


def plan_lines(plan: Mapping[str, Any], *, dry: bool) -> Iterator[str]:
    """The plan as people read it: `+ new`, `~ changed` with each field, `- only there`, and their numbers."""
    changes = [each for each in plan["changes"] if each["action"] != "same"]
    regrouped = [each for each in plan["segments"] if each["action"] != "same"]
    for change in regrouped:
        sign, colour = SIGNS[change["action"]]
        name = textwrap.shorten(change["name"], LONGEST_NAME, placeholder="…")
        told = click.style(f"  {change['action']} segment" if change["action"] == "new" else "  segment", dim=True)
        yield f"  {click.style(sign, fg=colour, bold=True)} {click.style(name, bold=True)}{told}"
        yield from _fields(change["fields"])
    for change in changes:
        sign, colour = SIGNS[change["action"]]
        name = textwrap.shorten(change["name"], LONGEST_NAME, placeholder="…")
        yield f"  {click.style(sign, fg=colour, bold=True)} {click.style(name, bold=True)}{_note(change)}"
        yield from _fields(change["fields"])
        yield from _warnings(change.get("warnings") or ())
    if changes or regrouped:
        yield ""
    yield _sum(plan, dry=dry)


def _note(change: Mapping[str, Any]) -> str:
    told = {
        "new": f"new, {change['status']}",
        "only_there": "only there; stays as it is (--prune archives it)",
        "archived": "not in the files: archived",
        "changed": ", ".join(filter(None, (change["key"], _inside(change)))),
    }[change["action"]]
    return click.style(f"  {told}", dim=True) if told else ""


def _inside(change: Mapping[str, Any]) -> str:
    """What becomes of those who are in the rule; "" where nobody is."""
    for number, way in (
        (change.get("moving"), "the new version"),
        (change.get("kept"), "the version that they are in"),
    ):
        if number:
            return f"{number} in it {'goes' if number == 1 else 'go'} on with {way}"
    return ""


def _fields(fields: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    width = max((len(_dotted(each["path"])) for each in fields), default=0)
    for each in fields:
        path, old, new = _dotted(each["path"]), each["old"], each["new"]
        if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > LONGEST_VALUE:
            yield f"      {click.style(path, fg='cyan')}"
            yield from _texts(old, new)
        else:
            gap = " " * (min(width, 44) - len(path))
            yield f"      {click.style(path, fg='cyan')}{gap}  {_sides(old, new)}"


def _warnings(warnings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in warnings:
        yield f"      {click.style('warning', fg='yellow')}  {click.style(each['path'], fg='cyan')}"
        yield textwrap.indent(textwrap.fill(each["message"], 100), " " * 15)


def _sides(old: Any, new: Any) -> str:
    arrow = click.style("→", dim=True)
    before = click.style(_short(old), fg="red") if old is not None else click.style("nothing", dim=True)
    after = click.style(_short(new), fg="green") if new is not None else click.style("nothing", dim=True)
    return f"{before} {arrow} {after}"


def _texts(old: str, new: str) -> Iterator[str]:
    """A longer text, line by line, where it differs; long lines are wrapped to the terminal."""
    width = max(40, min(shutil.get_terminal_size().columns, 110) - 12)
    before, after = (
        [part for line in text.splitlines() or [""] for part in textwrap.wrap(line, width) or [""]]
        for text in (old, new)
    )
    for line in list(difflib.unified_diff(before, after, lineterm="", n=CONTEXT))[2:]:
        if line.startswith("@@"):
            continue
        colour = {"-": "red", "+": "green"}.get(line[:1])
        yield f"        {click.style(line[:1] + ' ' + line[1:], fg=colour, dim=colour is None)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _dotted(path: Sequence[Any]) -> str:
    return ".".join(map(str, path))


def _sum(plan: Mapping[str, Any], *, dry: bool) -> str:
    summary = plan["summary"]
    of_segments = Counter(each["action"] for each in plan["segments"])
    told = [
        f"{summary['new']} new",
        f"{summary['changed']} changed",
        *([f"{summary['archived']} archived"] if summary["archived"] else []),
        *([f"{summary['only_there']} only there"] if summary["only_there"] else []),
        f"{summary['same']} the same",
    ]
    if of_segments:
        parts = ("new", "changed", "same")
        counted = [f"{of_segments[each]} {'the same' if each == 'same' else each}" for each in parts]
        told[-1] += f"; segments: {', '.join(counted)}"
    return ", ".join(told) + ("." if not dry else ". " + click.style("Nothing was written.", dim=True))


def mistake_lines(found: Sequence[Found]) -> Iterator[str]:
    """Each mistake with file and line, as editors understand them, its rule and path, and its sentence."""
    rule = None
    for each in found:
        if (each.file, each.rule) != rule:
            rule = (each.file, each.rule)
            yield click.style(each.rule, bold=True)
        place = click.style(f"{each.file}:{each.line}", fg="cyan")
        yield f"  {place}  {each.path}" if each.path else f"  {place}"
        yield textwrap.indent(textwrap.fill(each.sentence, 100), "      ")


def template_lines(templates: Sequence[RuleTemplate]) -> Iterator[str]:
    """The templates, each with what it is for, what it needs and what can be set."""
    for each in templates:
        yield click.style(each.id, bold=True)
        yield textwrap.indent(textwrap.fill(each.summary, 90), "  ")
        yield click.style(f"  needs  {', '.join(each.needs)}", dim=True)
        told = ", ".join(f"{one.name}={_value(one.default)}" for one in each.parameters)
        yield click.style(textwrap.fill(told, 100, initial_indent="  --set  ", subsequent_indent="         "), dim=True)
        yield ""
    yield "chimein rules template NAME prints one; --set delay=1h sets a parameter."


def template_comment(template: RuleTemplate) -> str:
    """What is said above a template that is printed."""
    lines = [template.summary, f"Needs: {', '.join(template.needs)}.", "Parameters, to be given with --set:"]
    lines += [f"  {each.name}={_value(each.default)}: {each.about}." for each in template.parameters]
    return "".join(f"# {line}\n" for line in lines)


def _value(default: Any) -> str:
    return ",".join(default) if isinstance(default, list) else str(default)
