"""What is a canned reply? A text that operators call up by a slash and its shortcut; Liquid fills in the visitor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.template import TemplateError, parse_template, render

LONGEST_TEXT = 10_000
MOST = 1_000
"""Canned replies of one site."""

SHORTCUT = re.compile(r"[^\W_][\w-]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CannedReply:
    """One canned reply; `text` is Liquid."""

    id: str
    site_id: str
    shortcut: str
    text: str
    created_at: datetime


def filled_in(text: str, context: Mapping[str, Any]) -> tuple[str, str | None]:
    """The text for this visitor; where it cannot be filled in, the source itself and why."""
    try:
        return render(parse_template(text, limit=LONGEST_TEXT * 4), context)[:LONGEST_TEXT], None
    except TemplateError as error:
        return text, str(error)
