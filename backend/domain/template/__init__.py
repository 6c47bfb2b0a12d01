"""What is a template? Liquid text by a marketer: sandboxed, bounded, and never sent with a hole in it."""

from backend.domain.template.content import (
    CONTENT_FIELDS,
    ContentTemplates,
    parse_content,
    read_content,
    render_content,
)
from backend.domain.template.context import template_context
from backend.domain.template.liquid import (
    MissingValue,
    Template,
    TemplateError,
    facts_read,
    names_of,
    parse_template,
    render,
)

__all__ = [
    "CONTENT_FIELDS",
    "ContentTemplates",
    "MissingValue",
    "Template",
    "TemplateError",
    "facts_read",
    "names_of",
    "parse_content",
    "parse_template",
    "read_content",
    "render",
    "render_content",
    "template_context",
]
