"""How is text matched by a pattern? RE2 for both regular expressions and globs: linear time, whatever the pattern."""

import re
from functools import lru_cache
from typing import Any

import re2

from backend.domain.condition.values import Check

LONGEST_PATTERN = 500
_GLOB_PART = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|[^*?\[]+|\[", re.DOTALL)


def read_regex(value: Any) -> str:
    """Accept an RE2 pattern of at most 500 characters."""
    pattern = _read_pattern(value)
    try:
        _compiled(pattern)
    except re2.error as error:
        raise ValueError(f"Not a regular expression that RE2 understands: {_reason(error)}.") from None
    return pattern


def read_glob(value: Any) -> str:
    """Accept a glob of at most 500 characters: `*` is any text, `?` one character, `[abc]` and `[!abc]` one of them."""
    pattern = _read_pattern(value)
    try:
        _compiled(glob_to_regex(pattern))
    except re2.error as error:
        raise ValueError(f"Not a glob pattern: {_reason(error)}.") from None
    return pattern


def text_matcher(pattern: str, *, glob: bool) -> Check:
    """The check for text that the pattern is found in (regex) or describes as a whole (glob)."""
    if glob and (literal := _simple(pattern)):
        return literal
    compiled = _compiled(glob_to_regex(pattern) if glob else pattern)
    search = compiled.search

    def check(x: Any) -> bool:
        return x.__class__ is str and search(x.encode("utf-8", "replace")) is not None

    return check


def _simple(pattern: str) -> Check | None:
    """The check for a glob whose only `*` are at its ends, which needs no pattern at all."""
    middle = pattern.removeprefix("*").removesuffix("*")
    if len(pattern) < 2 or any(sign in middle for sign in "*?["):
        return None
    match (pattern[0] == "*", pattern[-1] == "*"):
        case (False, False):
            return lambda x: bool(x == middle)
        case (False, True):
            return lambda x: x.__class__ is str and x.startswith(middle)
        case (True, False):
            return lambda x: x.__class__ is str and x.endswith(middle)
        case _:
            return lambda x: x.__class__ is str and middle in x


def glob_to_regex(pattern: str) -> str:
    """Translate a glob into an RE2 pattern for the whole text."""
    parts = []
    for part in _GLOB_PART.findall(pattern):
        if part[0] == "*":
            parts.append(".*")
        elif part == "?":
            parts.append(".")
        elif part[0] == "[" and len(part) > 2:
            negated = part.startswith("[!") and len(part) > 3
            members = part[2:-1] if negated else part[1:-1]
            escaped = re.sub(r"[\\\[\]^&~|]", lambda found: "\\" + found[0], members)
            parts.append(f"[{'^' if negated else ''}{escaped}]")
        else:
            parts.append(re2.escape(part))
    return rf"(?s)\A{''.join(parts)}\z"


def _read_pattern(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("Expected a pattern as text.")
    if len(value) > LONGEST_PATTERN:
        raise ValueError(f"A pattern is at most {LONGEST_PATTERN} characters long.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("The pattern holds half a character (a lone surrogate).") from None
    return value


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "unknown"
    told = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    if re.search(r"\(\?<?[=!]", told):
        return f"{told}; looking ahead and behind is not there, since it can take for ever"
    if re.search(r"\\[1-9]", told):
        return f"{told}; going back to what a group found is not there, since it can take for ever"
    return told
