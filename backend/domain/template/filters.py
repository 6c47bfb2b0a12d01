"""Which filters does a template have, and what does each cost? The standard ones, without those that read the clock."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from liquid.exceptions import FilterArgumentError

_DATE_FORMAT = re.compile(r"(?:[^%]|%[-aAbBdHIjmMpSuUwWxXyYZzc%]){0,100}", re.DOTALL)
_UNPADDED = {"%-d": "day", "%-m": "month", "%-H": "hour", "%-M": "minute", "%-S": "second", "%-y": "year"}


def date(value: object, pattern: object = "%Y-%m-%d") -> str:
    """Write RFC 3339 text (or a date) in another form; text that is no time comes back unchanged."""
    if not isinstance(pattern, str) or not _DATE_FORMAT.fullmatch(pattern):
        raise FilterArgumentError("date takes a form such as '%d.%m.%Y %H:%M'", token=None)
    text = str(value)
    if text in ("now", "today"):
        raise FilterArgumentError("date does not know the time of sending", token=None)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    for code, attribute in _UNPADDED.items():
        number = getattr(moment, attribute)
        pattern = pattern.replace(code, str(number % 100 if code == "%-y" else number))
    return moment.strftime(pattern.replace("%-I", str(moment.hour % 12 or 12)))


def strip_html(value: object) -> str:
    """Remove tags, in linear time."""
    return re.sub(r"<[^<>]*>", "", str(value))


def escape(value: object) -> str:
    """Write text so that HTML shows it as it is."""
    return str(value).translate({38: "&amp;", 60: "&lt;", 62: "&gt;", 34: "&#34;", 39: "&#39;"})


_STANDARD = (
    "abs append at_least at_most base64_decode base64_encode base64_url_safe_decode base64_url_safe_encode capitalize "
    "ceil compact concat default divided_by downcase escape_once find find_index first floor has join last lstrip map "
    "minus modulo newline_to_br plus prepend reject remove remove_first remove_last replace replace_first replace_last "
    "reverse round rstrip size slice sort sort_natural split squish strip strip_newlines sum times truncate "
    "truncatewords uniq upcase url_decode url_encode where"
)
FILTERS: dict[str, Callable[..., object] | None] = {
    **dict.fromkeys(_STANDARD.split()),
    "date": date,
    "strip_html": strip_html,
    "escape": escape,
}
"""The filters by name: None means Liquid's own."""


def cost(name: str, left: object, args: Sequence[Any]) -> int:
    """The steps that a filter takes, an upper bound from the sizes of what it is given."""
    elements = len(left) if isinstance(left, list | tuple) else 0
    steps = 2 + 2 * elements + sum(map(_characters, (left, *args))) // 100
    if name == "uniq":
        steps += elements * elements // 30
    if name in ("sort", "sort_natural"):
        steps += 4 * elements
    return steps


def longest_result(name: str, left: object, args: Sequence[Any]) -> int:
    """At most so many characters come out of a filter, as far as that can be more than goes in."""
    size = _characters(left)
    if name == "replace" and args:
        old, new = str(args[0]), str(args[1]) if len(args) > 1 else ""
        return size + str(left).count(old) * len(new)
    if name == "join":
        separator = len(str(args[0])) if args else 1
        return size + separator * (len(left) if isinstance(left, list | tuple) else 1)
    return size


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(len(each) if isinstance(each, str) else 1 for each in value)
    return 1
