"""`/api/docs`: the OpenAPI document as a page to read; made here, so that it works without the internet."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, current_app, render_template, request
from markupsafe import Markup, escape

blueprint = Blueprint("api_docs", __name__)

METHODS = ("get", "post", "put", "patch", "delete")
FILES = {"text/csv": "FILE.csv"}
"""Kinds of files of which a line to copy is shown."""

DEEPEST = 4
"""Levels of nested fields that are shown; rules nest without end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One field or parameter as a line of a table."""

    name: str
    kind: str
    about: Markup
    required: bool = False
    depth: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation, ready to be shown."""

    id: str
    method: str
    path: str
    summary: str
    about: Markup
    role: str
    parameters: tuple[Row, ...]
    sent: Markup
    body: tuple[Row, ...]
    answers: tuple[tuple[str, str, tuple[Row, ...]], ...]
    curls: tuple[str, ...]


@blueprint.get("/api/docs")
def show() -> str:
    """The page."""
    spec = current_app.extensions["chimein-api"].spec.to_dict()
    groups = [(tag["name"], tag.get("description", ""), list(_operations(spec, tag["name"]))) for tag in spec["tags"]]
    return render_template("api_docs.html", info=spec["info"], about=prose(spec["info"]["description"]), groups=groups)


def _operations(spec: Mapping[str, Any], tag: str) -> Iterator[Operation]:
    for path, item in spec["paths"].items():
        for method in METHODS:
            operation = item.get(method)
            if operation is not None and tag in operation["tags"]:
                shared = [part for part in item.get("parameters", ()) if part["in"] == "path"]
                yield _operation(spec, path, method, operation, shared)


def _operation(
    spec: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], shared: list[Mapping[str, Any]]
) -> Operation:
    sent = operation.get("requestBody", {})
    kinds = sent.get("content", {})
    content = kinds.get("application/json", {})
    schema = content.get("schema")
    example = content.get("example") or (_example(spec, schema) if schema else None)
    parameters = [*shared, *operation.get("parameters", ())]
    answers = []
    for status, answer in sorted(operation["responses"].items()):
        if status == "default":
            continue
        answer = _resolved(spec, answer)
        inner = answer.get("content", {}).get("application/json", {}).get("schema")
        shown = tuple(_rows(spec, inner)) if inner and status.startswith("2") else ()
        answers.append((status, answer.get("description", ""), shown))
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        about=prose(operation.get("description", "")),
        role=operation.get("x-role", ""),
        parameters=tuple(_parameter(spec, part) for part in parameters),
        sent=prose(sent.get("description", "")),
        body=tuple(_rows(spec, schema)) if schema else (),
        answers=tuple(answers),
        curls=(
            *((_curl(method, path, parameters, _as_json(example)),) if content or not kinds else ()),
            *(_curl(method, path, parameters, _as_file(kind)) for kind in FILES if kind in kinds),
        ),
    )


def _parameter(spec: Mapping[str, Any], part: Mapping[str, Any]) -> Row:
    schema = _resolved(spec, part.get("schema", {}))
    about = part.get("description") or _PATH_NAMES.get(part["name"], "")
    kind = f"{part['in']}, {_kind(spec, schema)}"
    return Row(name=part["name"], kind=kind, about=_inline(about), required=part.get("required", False))


_PATH_NAMES = {
    "site": "The site's id or its name.",
    "rule_id": "The rule's id.",
    "visitor_id": "The visitor's id.",
    "token_id": "The token's id.",
    "product_id": "The product's id, as `product_id` in events.",
    "feed_id": "The feed's id.",
    "segment_id": "The segment's id or its name.",
    "merge_id": "The merge's id.",
}


def _resolved(spec: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        found: Any = spec
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def _rows(spec: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Iterator[Row]:
    schema = _inner(spec, schema)
    if depth >= DEEPEST:
        return
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        whole = _resolved(spec, field)
        about = field.get("description") or whole.get("description", "")
        yield Row(name=name, kind=_kind(spec, whole), about=_inline(about), required=name in required, depth=depth)
        yield from _rows(spec, whole, depth + 1)


def _inner(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that a schema is about: through references, lists and nullable choices."""
    schema = _resolved(spec, schema)
    if "items" in schema:
        return _inner(spec, schema["items"])
    for choice in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        inner = _inner(spec, choice)
        if "properties" in inner:
            return inner
    return schema


def _kind(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    schema = _resolved(spec, schema)
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if choices:
        kinds = [_kind(spec, choice) for choice in choices]
        return " or ".join(dict.fromkeys(kinds))
    if schema.get("enum"):
        return " | ".join(map(str, schema["enum"]))
    types = schema.get("type", "any")
    names = [types] if isinstance(types, str) else list(types)
    if "array" in names:
        names[names.index("array")] = "list of " + _kind(spec, schema.get("items", {}))
    if "string" in names and schema.get("format"):
        names[names.index("string")] = schema["format"]
    return " or ".join(names)


def _example(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a body may look like: what is required, and whatever has an example of its own."""
    schema = _resolved(spec, schema)
    built: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        field = _resolved(spec, field)
        if "example" in field:
            built[name] = field["example"]
        elif field.get("items", {}).get("example"):
            built[name] = [field["items"]["example"]]
        elif name in schema.get("required", ()):
            built[name] = field["enum"][0] if field.get("enum") else name.upper()
    return built


def _curl(method: str, path: str, parameters: Sequence[Mapping[str, Any]], sent: Sequence[str]) -> str:
    address = re.sub(r"\{(\w+)\}", lambda match: _PATH_EXAMPLES.get(match[1], match[1].upper()), path)
    needed = [part["name"] for part in parameters if part["in"] == "query" and part.get("required")]
    if needed:
        address += "?" + "&".join(f"{name}={name.upper()}_ID" for name in needed)
    url = request.host_url.rstrip("/") + address
    if needed:
        url = f"'{url}'"  # zsh takes a bare question mark for a pattern
    verb = "" if method == "get" else f"-X {method.upper()} "
    return " \\\n  ".join([f"curl {verb}{url}", '-H "Authorization: Bearer $TOKEN"', *sent])


def _as_json(example: Any) -> list[str]:
    if example is None:
        return []
    text = json.dumps(example, ensure_ascii=False, indent=2).replace("'", "'\\''")
    return ['-H "Content-Type: application/json"', "-d '" + text.replace("\n", "\n  ") + "'"]


def _as_file(kind: str) -> list[str]:
    return [f'-H "Content-Type: {kind}"', f"--data-binary @{FILES[kind]}"]


_PATH_EXAMPLES = {"site": "demo", "rule_id": "RULE_ID", "visitor_id": "VISITOR_ID", "token_id": "TOKEN_ID"}


def prose(text: str) -> Markup:
    """Plain paragraphs with **bold** and `code`; everything else stands as written."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return Markup("").join(Markup("<p>{}</p>").format(_inline(each)) for each in paragraphs if each)


def _inline(text: str) -> Markup:
    safe = str(escape(" ".join(text.split())))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
    return Markup(safe)  # noqa: S704  # escaped above, before the tags went in
