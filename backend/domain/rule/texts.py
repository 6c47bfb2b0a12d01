"""Which texts of a rule's messages are templates, and what do they read?"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from backend.domain.template import TemplateError, parse_template
from backend.domain.template.liquid import names_read

Path: TypeAlias = tuple[str | int, ...]


def messages_of(node: object, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every message of a rule, its own or its steps', with its place."""
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from messages_of(each, (*path, index))
    elif isinstance(node, Mapping):
        for key, each in node.items():
            if key == "message" and isinstance(each, Mapping) and "variants" in each:
                yield (*path, key), each
            elif key != "trigger":
                yield from messages_of(each, (*path, key))


def names_in_texts(document: Mapping[str, Any]) -> Iterator[tuple[Path, list[str]]]:
    """Each path that a text reads, such as ["product", "name"], with the place of the text; each once a text."""
    for path, message in messages_of(document):
        for place, text in _texts(message["variants"], (*path, "variants")):
            try:
                read = names_read(parse_template(text)) if "{" in text else ()
            except TemplateError:
                continue  # that is a mistake, and told as one
            for name in sorted({tuple(each) for each in read if each}):
                yield place, list(name)


def answered_traits(document: object) -> Iterator[str]:
    """The traits that the answers under a rule's messages set."""
    for _, message in messages_of(document):
        for variant in message["variants"] if isinstance(message["variants"], list) else ():
            content = variant.get("content") if isinstance(variant, Mapping) else None
            answers = content.get("answers") if isinstance(content, Mapping) else None
            if isinstance(answers, Mapping) and isinstance(answers.get("trait"), str):
                yield answers["trait"]


def _texts(node: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, list):
        for index, each in enumerate(node):
            yield from _texts(each, (*path, index))
    elif isinstance(node, Mapping):
        for key, each in node.items():
            yield from _texts(each, (*path, key))
