"""How a backend changes a visitor's traits: what is set, added, appended and so on, checked before it is accepted."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from backend.domain.amount import money
from backend.domain.trait import DEEPEST, LARGEST, LONGEST_LIST, fits
from backend.schemas.fields import Line, StrictSchema

MOST_TRAITS = 100
LONGEST_TEXT = 8_192
LONGEST_KEY = 128
_NAME = fields.String(validate=validate.Length(1, LONGEST_KEY))

EXAMPLE = {"set": {"plan": "pro"}, "add": {"points": "12.50"}, "append": {"tags": "tea"}, "unset": ["coupon"]}


def _takes(value: object) -> None:
    if not fits(value):
        told = f"{LONGEST_LIST} elements in a list, {DEEPEST} levels, {LARGEST} values in all"
        raise ValidationError(f"Is too large: at most {told}.")
    if not _readable(value):
        raise ValidationError(f"A text has at most {LONGEST_TEXT} characters, a name {LONGEST_KEY}.")


def _readable(value: object) -> bool:
    """Whether texts and names are as short as in what a page reports."""
    if isinstance(value, dict):
        return all(len(key) <= LONGEST_KEY and _readable(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_readable, value))
    return not isinstance(value, str) or len(value) <= LONGEST_TEXT


def _is_amount(value: object) -> None:
    if money(value) is None:
        raise ValidationError('Must be a number, such as 3 or "12.50".')


def _values(description: str, check: Any = _takes) -> fields.Dict:
    return fields.Dict(
        keys=_NAME,
        values=fields.Raw(validate=check, allow_none=check is _takes),
        validate=validate.Length(max=MOST_TRAITS),
        metadata={"description": description},
    )


class TraitsIn(StrictSchema):
    """Operations on traits, by name; each trait in one of them only."""

    set = _values("What they are from now on; null takes the trait away.")
    set_once = _values("What they are if they have no value yet.")
    add = _values("Amounts to add, exactly: numbers, or decimals as text. A missing trait counts as 0.", _is_amount)
    subtract = _values("Amounts to subtract.", _is_amount)
    append = _values("Elements to put at the end of lists; a list adds each of its elements.")
    remove = _values("Elements to take out of lists, wherever they stand.")
    unset = fields.List(
        _NAME, validate=validate.Length(max=MOST_TRAITS), metadata={"description": "Traits to take away."}
    )
    idempotency_key = Line(
        metadata={"description": "The same key changes the traits of this visitor once, however often it is sent."}
    )

    @validates_schema
    def _each_once(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        named = [(operation, name) for operation in OPERATIONS for name in data.get(operation, ())]
        if not named:
            raise ValidationError({"_schema": [f"Give at least one of {', '.join(OPERATIONS)}."]})
        seen: dict[str, str] = {}
        for operation, name in named:
            if name in seen:
                sentence = f"Stands in {seen[name]} already: what would come first is not said."
                raise ValidationError({operation: {name: [sentence]}})
            if name.startswith("$"):
                raise ValidationError({operation: {name: ["The name of a trait does not begin with $ here."]}})
            seen[name] = operation


OPERATIONS = ("set", "set_once", "add", "subtract", "append", "remove", "unset")


def as_told(body: Mapping[str, Any]) -> dict[str, Any]:
    """The operations under the names that events tell them by."""
    return {f"${operation}": body[operation] for operation in OPERATIONS if body.get(operation)}


class TraitsOut(StrictSchema):
    """What was put into the log; it takes effect in its turn, like any event."""

    event_id = fields.String(metadata={"description": "Its messageId among the visitor's events."})
