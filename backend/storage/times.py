"""Moments as SQL keeps them: integers, microseconds since 1970 UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


def to_micros(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC, exactly."""
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * _SECOND + passed.microseconds


def from_micros(micros: int) -> datetime:
    """Microseconds since 1970 UTC as an aware UTC datetime, exactly."""
    return _EPOCH + timedelta(0, 0, micros)  # by place: half the time of by name


def maybe_from_micros(micros: int | None) -> datetime | None:
    """As `from_micros`; None stays None."""
    return None if micros is None else from_micros(micros)
