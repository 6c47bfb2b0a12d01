"""What can go wrong? One tree, of which only the first two branches are ever raised into the host program.

ChimeinError
├── ConfigurationError   raised: a setting that cannot work, or a call before `configure`
├── MissingIdError       raised: neither `anonymous_id` nor `user_id` was given
├── InvalidEvent         told to `on_error`: cannot be written as JSON, or has no name
├── EventTooLarge        told to `on_error`: more than 32 KB
├── EventRejected        told to `on_error`: the server refused this one event
└── DeliveryError        told to `on_error`: these events were given up
"""

from __future__ import annotations


class ChimeinError(Exception):
    """Whatever this package raises or reports."""


class ConfigurationError(ChimeinError, ValueError):
    """A setting cannot work; raised where it is set."""


class MissingIdError(ChimeinError, ValueError):
    """A call named no visitor: it needs `anonymous_id` or `user_id`."""


class InvalidEvent(ChimeinError):
    """An event that cannot be sent as it is."""


class EventTooLarge(InvalidEvent):
    """An event of more than 32 KB, which every server would refuse."""


class EventRejected(ChimeinError):
    """The server took the batch but refused this event; `code` is the server's word for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class DeliveryError(ChimeinError):
    """Events that were given up; `status` is the last HTTP status, None where no answer came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
