"""Fields that are stricter than marshmallow's own, and how times and money are written."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from backend.domain.duration import format_duration, parse_duration
from backend.domain.mistakes import nearest

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([^\s/?#@\\:]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class StrictSchema(Schema):
    """A shape that refuses what it does not know: nothing is assigned that nobody thought of."""

    class Meta:
        unknown = RAISE

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:
        """Tells of an unknown field with the nearest known one."""
        del data, kwargs
        if many or not isinstance(error.messages, dict):
            return
        known = [field.data_key or name for name, field in self.load_fields.items()]
        for name, told in error.messages.items():
            if told == [self.error_messages["unknown"]] and name not in known:
                error.messages[name] = [f"{told[0]}{nearest(name, known)}"]


def no_control_characters(text: str) -> None:
    """Raises where the text holds line breaks or other control characters."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise ValidationError("Must be one line without control characters.")


class Line(fields.String):
    """One line of text, 1 to `longest` characters, without space at its ends."""

    def __init__(self, *, longest: int = 100, also: Callable[[str], None] | None = None, **kwargs: Any) -> None:
        checks: list[Any] = [validate.Length(1, longest), no_control_characters]
        super().__init__(validate=[*checks, also] if also else checks, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        return text.strip()


class Flag(fields.Boolean):
    """true or false; marshmallow's Boolean would also take "yes", "on" and 1."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class Whole(fields.Integer):
    """A whole number; true, 1.0 and "1" are none."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Must be a whole number.")
        return value


class Moment(fields.DateTime):
    """A moment as RFC 3339 writes it, with its offset; written in UTC with Z, as exact as it is."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else format_moment(value)

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> datetime:
        return parse_moment(value)


def parse_moment(value: object) -> datetime:
    """The aware UTC datetime that the text says; ValidationError unless it is RFC 3339 between 1971 and 2199."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        # Python 3.11 reads at most six digits of a second's fraction.
        text = re.sub(r"(\.\d{6})\d+", r"\1", value.upper())
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if 1970 < moment.year < 2200:
                return moment
    raise ValidationError("Must be a date and time with its offset, such as 2026-03-01T09:30:00Z.")


def format_moment(moment: datetime) -> str:
    """The moment in UTC with Z; with a fraction of a second only where it has one."""
    spec = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    text = moment.astimezone(UTC).isoformat(timespec=spec if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


class Money(fields.String):
    """An amount as a decimal string with two places or more, such as "19.90"; never a float."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else format_money(value)


def format_money(amount: Decimal) -> str:
    """The amount without an exponent: two places, or as many more as it has."""
    _sign, _digits, exponent = amount.as_tuple()
    text = format(amount, "f")
    if isinstance(exponent, int) and exponent > -2:
        return f"{amount:.2f}"
    whole, _, places = text.partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


class Duration(fields.String):
    """A span of time such as 30s, 15m, 2h, 7d."""

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else format_duration(value)

    def _deserialize(  # type: ignore[override]  # text outside, a timedelta inside
        self, value: Any, *_args: Any, **_kwargs: Any
    ) -> timedelta:
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Origin(fields.String):
    """Where a page comes from: exactly scheme://host[:port], kept as browsers send it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return parse_origin(super()._deserialize(value, *args, **kwargs))


def parse_origin(text: str) -> str:
    """The origin in lower case, in Punycode and without the scheme's own port; ValidationError if it is none."""
    match = _ORIGIN.fullmatch(text)
    try:
        if match is None or "*" in text or len(text) > 300:
            raise ValueError
        scheme, host, port = match[1].lower(), match[2].lower(), int(match[3]) if match[3] else None
        if not host.startswith("["):
            host = host.encode("idna").decode("ascii") if not host.isascii() else host
        if not re.fullmatch(r"\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*", host) or (
            port is not None and port > 65535
        ):
            raise ValueError
        _ = urlsplit(f"{scheme}://{host}").hostname
    except ValueError:
        raise ValidationError(
            "Must be exactly scheme://host or scheme://host:port, such as https://shop.example."
        ) from None
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


@cache
def _time_zones() -> frozenset[str]:
    odd = ("posix/", "right/", "SystemV/")
    return frozenset(
        name for name in available_timezones() if not name.startswith(odd) and name not in {"localtime", "Factory"}
    )


class TimeZone(fields.String):
    """A time zone by its IANA name, such as Europe/Vienna."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        if text not in _time_zones():
            hint = nearest(text, _time_zones())
            raise ValidationError(f"Must be the IANA name of a time zone, such as Europe/Vienna.{hint}")
        return text


class Currency(fields.String):
    """A currency by its three ISO 4217 letters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            validate=validate.Regexp(
                r"[A-Z]{3}\Z", error="Must be the three capital letters of a currency, such as EUR."
            ),
            **kwargs,
        )
