"""What does a message contain? Its fields, checked and parsed when the rule is written, rendered when it is sent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.domain.answer import Answers, answers_of, read_answers
from backend.domain.mistakes import Mistakes
from backend.domain.template.context import unknown_name
from backend.domain.template.liquid import (
    LONGEST_MAIL,
    LONGEST_OUTPUT,
    MissingValue,
    Template,
    TemplateError,
    names_read,
    parse_template,
    render,
)

CONTENT_FIELDS = ("title", "body", "button", "image", "answers", "subject", "preheader", "html")
"""What a variant's content may hold; `button` has text and url, `answers` trait and options; all else is text."""

NEEDED = {"popup": ("title", "body"), "chat": ("title", "body"), "email": ("subject", "body")}
BUTTON = ("text", "url")
ONE_LINE = frozenset({"title", "subject", "preheader", "button.text", "button.url", "image"})
LONG = frozenset({"body", "html"})
OPTION = "answers.options."
LINKS = frozenset({"button.url", "image"})
SCHEMES = {"button.url": ("http", "https", "mailto", "tel"), "image": ("http", "https")}

_SCHEME = re.compile(r"([^/?#:{]*):")
_BLANK = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentTemplates:
    """The parsed fields of one variant's content; the button's are `button.text` and `button.url`.

    The texts of its answers are `answers.options.0.text` and so on; `answers` tells what they set.
    """

    fields: Mapping[str, Template]
    answers: Answers | None = None

    @property
    def constant(self) -> bool:
        """Whether nothing is to be filled in anywhere."""
        return all(template.constant is not None for template in self.fields.values())


def read_content(doc: object, channels: Sequence[str], path: Sequence[str | int], mistakes: Mistakes) -> dict[str, Any]:
    """Check a variant's content for these channels, noting each mistake below `path`; give it back without nulls."""
    if not isinstance(doc, dict):
        mistakes.add(path, "The content is an object with title, body, subject and so on.")
        return {}
    mistakes.known_keys(doc, CONTENT_FIELDS, path)
    content = {key: doc[key] for key in CONTENT_FIELDS if doc.get(key) is not None}
    button = content.get("button")
    if button is not None:
        if isinstance(button, dict):
            mistakes.known_keys(button, BUTTON, (*path, "button"))
            for part in BUTTON:
                if button.get(part) in (None, ""):
                    mistakes.add((*path, "button", part), f"A button needs a {part}.")
        else:
            mistakes.add((*path, "button"), 'A button is an object: {"text": "…", "url": "…"}.')
    if "answers" in content:
        answers = read_answers(content.pop("answers"), (*path, "answers"), mistakes)
        content |= {"answers": answers} if answers is not None else {}
    for name, source in _sources(content).items():
        _check_source(name, source, (*path, *name.split(".")), mistakes)
    _check_needed(content, channels, path, mistakes)
    return content


def parse_content(content: Mapping[str, Any], *, mail: bool) -> ContentTemplates:
    """Parse all fields of a content; those of a `mail` may be longer. Raise TemplateError where one cannot be."""
    return ContentTemplates(
        fields={
            name: parse_template(source, limit=LONGEST_MAIL if mail and name in LONG else LONGEST_OUTPUT)
            for name, source in _sources(content).items()
        },
        answers=answers_of(content),
    )


def render_content(templates: ContentTemplates, context: Mapping[str, Any]) -> dict[str, Any]:
    """Render all fields: {"title": "…", "button": {"text": "…", "url": "…"}, "answers": {"trait": "…", …}}.

    Raise MissingValue or TemplateError where one cannot be sent as it is, also where a link turns out unsafe.
    """
    content: dict[str, Any] = {}
    answers = templates.answers
    if answers is not None:
        content["answers"] = {
            "trait": answers.trait,
            "options": [{"text": "", "value": each} for each in answers.values],
        }
    for name, template in templates.fields.items():
        text = render(template, context)
        if name in ONE_LINE or name.startswith(OPTION):
            text = " ".join(text.split())
        if name in LINKS and (wrong := link_mistake(text, SCHEMES[name])):
            raise TemplateError(f"{name}: {wrong}")
        first, _, part = name.partition(".")
        if name.startswith(OPTION):
            if not text:
                raise MissingValue("answers: one of them has no text.")
            content["answers"]["options"][int(part.split(".")[1])]["text"] = text
        elif part:
            content.setdefault(first, {})[part] = text
        else:
            content[first] = text
    return content


def link_mistake(url: str, schemes: Sequence[str]) -> str | None:
    """Say what is wrong with a link, or nothing: it is relative, or of one of these schemes."""
    bare = _BLANK.sub("", url)  # as browsers do before they look for the scheme
    found = _SCHEME.match(bare)
    if found is None or found[1].lower() in schemes:
        return None
    return f"A link starts with {', '.join(f'{scheme}:' for scheme in schemes)} or is relative."


def _sources(content: Mapping[str, Any]) -> dict[str, Any]:
    """All fields side by side, the parts of button and answers by dotted names."""
    flat = {name: value for name, value in content.items() if name not in {"button", "answers"}}
    button = content.get("button")
    if isinstance(button, Mapping):
        flat |= {f"button.{part}": button[part] for part in BUTTON if button.get(part) is not None}
    for place, option in enumerate(content.get("answers", {}).get("options", ())):
        flat[f"{OPTION}{place}.text"] = option["text"]
    return flat


def _check_source(name: str, source: object, path: Sequence[str | int], mistakes: Mistakes) -> None:
    if not isinstance(source, str):
        mistakes.add(path, "Expected text.")
        return
    try:
        template = parse_template(source)
    except TemplateError as error:
        mistakes.add(path, str(error))
        return
    if "{" in source and not mistakes.lenient and (wrong := unknown_name(names_read(template))):
        mistakes.add(path, wrong)
    if name in LINKS and (wrong := link_mistake(source, SCHEMES[name])):
        mistakes.add(path, wrong)


def _check_needed(
    content: Mapping[str, Any], channels: Sequence[str], path: Sequence[str | int], mistakes: Mistakes
) -> None:
    def has(name: str) -> bool:
        value = content.get(name)
        return value is not None and (not isinstance(value, str) or bool(value.strip()))

    if "email" in channels:
        if not has("subject"):
            mistakes.add((*path, "subject"), "A mail needs a subject.")
        if not has("body") and not has("html"):
            mistakes.add((*path, "body"), "A mail needs a body.")
    if ("popup" in channels or "chat" in channels) and not has("title") and not has("body"):
        mistakes.add((*path, "body"), "A message on the site needs a body or a title.")
