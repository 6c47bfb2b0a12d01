"""The one tree of errors; raised anywhere, turned into the one body only in `web/errors.py`.

ChimeinError              code, status, message, errors
├── Malformed             400  not JSON, not gzip, not what the protocol says
├── Unauthorized          401  no key or token, or one that nobody gave out
├── Forbidden             403  known, but may not
├── NotFound              404  no such thing, or not yours
├── TimedOut              408  the sender took too long to send
├── Conflict              409  the thing has changed, or exists already
├── TooLarge              413  above a limit
├── Invalid               422  well-formed but wrong; `errors` follows the shape of the input
├── Busy                       `retry_after`: seconds that the caller must wait
│   ├── TooManyRequests   429  this caller must wait
│   └── Unavailable       503  everybody must wait
├── SettingsError         500  a setting is unknown, missing or wrong: the start stops with its sentence
├── StartError            500  a process cannot start: port taken, data directory in use, no server found
└── DeliveryError         502  one message did not reach its receiver: `permanent`, `ambiguous`
"""

from collections.abc import Mapping
from typing import Any


class ChimeinError(Exception):
    """Something that went wrong and that we can name; `errors` maps a field to its mistakes, nested as the input."""

    code = "error"
    status = 500

    def __init__(
        self,
        message: str,
        errors: Mapping[str, Any] | None = None,
        *,
        code: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.errors: dict[str, Any] = dict(errors or {})
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    def body(self) -> dict[str, Any]:
        """The one body in which every error is answered."""
        return {"code": self.code, "status": self.status, "message": self.message, "errors": self.errors}


class Malformed(ChimeinError):
    """What was sent is not even readable."""

    code = "malformed"
    status = 400


class Unauthorized(ChimeinError):
    """No key or token, or one that nobody gave out."""

    code = "unauthorized"
    status = 401


class Forbidden(ChimeinError):
    """We know who asks, and they may not."""

    code = "forbidden"
    status = 403


class NotFound(ChimeinError):
    """No such thing, or it belongs to somebody else: the answer is the same."""

    code = "not_found"
    status = 404


class TimedOut(ChimeinError):
    """The sender took too long to send the request."""

    code = "timed_out"
    status = 408


class Conflict(ChimeinError):
    """The thing has changed in the meantime, or exists already."""

    code = "conflict"
    status = 409


class TooLarge(ChimeinError):
    """Above a limit."""

    code = "too_large"
    status = 413


class Invalid(ChimeinError):
    """Well-formed but wrong; `errors` follows the shape of the input down to each mistake."""

    code = "invalid"
    status = 422


class Busy(ChimeinError):
    """Try again after `retry_after` seconds; nothing of the request was kept."""

    code = "busy"
    status = 503

    def __init__(
        self, message: str, errors: Mapping[str, Any] | None = None, *, retry_after: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(message, errors, **kwargs)
        self.retry_after = retry_after


class TooManyRequests(Busy):
    """This caller sends faster than allowed."""

    code = "too_many_requests"
    status = 429


class Unavailable(Busy):
    """Nobody can be served now: the log is full, or Redis or the database is away."""

    code = "unavailable"
    status = 503


class SettingsError(ChimeinError):
    """A setting is unknown, missing or wrong; the message names it and says what to do."""

    code = "settings"


class StartError(ChimeinError):
    """A process cannot start; the message says why and what to do."""

    code = "start"


class DeliveryError(ChimeinError):
    """One message did not reach its receiver.

    `permanent`: trying again is no use. `ambiguous`: it may have arrived, so trying again may repeat it.
    """

    code = "delivery"
    status = 502

    def __init__(
        self,
        message: str,
        errors: Mapping[str, Any] | None = None,
        *,
        permanent: bool = False,
        ambiguous: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, errors, **kwargs)
        self.permanent = permanent
        self.ambiguous = ambiguous
