"""What the decoder of the collector says about JSON that it cannot take, in the words of whoever writes JSON."""

import re

_TRUNCATED = "Input data was truncated"
_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "datetime": "a date and time such as 2026-03-01T09:30:00Z",
    "object": "an object",
    "array": "an array",
}
_TYPE = "|".join(_NAMES)
_TYPES = re.compile(rf"`((?:{_TYPE})(?: \| (?:{_TYPE}))*)`")


def misread(error: BaseException, body: bytes | None = None) -> str:
    """A sentence about an error of msgspec's, or a `RecursionError`; `body` is all that was sent, where known."""
    if isinstance(error, RecursionError):
        return "The JSON nests too deep."
    if body is not None and not body.strip():
        return "The body is empty; it must be JSON."
    text = str(error)
    if text == _TRUNCATED:
        return "The JSON ends in the middle, or holds half a character (a lone surrogate)."
    text = _TYPES.sub(lambda found: ", or ".join(_NAMES[each] for each in found[1].split(" | ")), text)
    return text.replace("Invalid RFC3339 encoded datetime", f"Expected {_NAMES['datetime']}").rstrip(".") + "."
