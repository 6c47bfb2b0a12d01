"""What every way to reach a person offers: sessions that hand over one message at a time, or say why not."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from backend.domain.message import Message
from backend.domain.site import Site

CHANNEL_DOWN = "channel_down"
"""`DeliveryError.code`: nothing is wrong with this message, the whole channel cannot be used now."""

ADDRESS_GONE = "address_gone"
"""`DeliveryError.code`: the receiving side says that there is nobody at this address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message on its way out. `page_url` is where relative links start from; `name` is the receiver's, if known."""

    message: Message
    site: Site
    now: datetime
    name: str | None = None
    page_url: str
    unsubscribe_url: str | None = None


class Session(Protocol):
    """A connection that is used for the messages of one job."""

    def send(self, delivery: Delivery, begin: Callable[[], None]) -> None:
        """Hands one message over; returns when the receiver has it, else raises DeliveryError.

        Calls `begin` exactly once, at the last moment at which nothing has been handed over; what that raises passes
        through, and then nothing is handed over.
        """
        ...


class Channel(Protocol):
    """One way to reach a person."""

    @property
    def name(self) -> str:
        """As rules name it."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether handing the same message over twice is the same as once."""
        ...

    @property
    def circuit(self) -> "Circuit":
        """Whether it is worth trying."""
        ...

    def session(self) -> AbstractContextManager[Session]:
        """Opens lazily: nothing is connected before the first message."""
        ...


class Circuit:
    """Leaves a channel that is down alone for a while, longer each time, so that it costs nobody else time."""

    def __init__(self, first: timedelta = timedelta(seconds=5), longest: timedelta = timedelta(seconds=60)) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0
        self._until: datetime | None = None

    def open_until(self, now: datetime) -> datetime | None:
        """Until when it must be left alone; None when it may be tried."""
        return self._until if self._until is not None and self._until > now else None

    def failed(self, now: datetime) -> datetime:
        """Notes that it is down; returns when to try again."""
        self._until = now + min(self._first * 2**self._failures, self._longest)
        self._failures = min(self._failures + 1, 10)
        return self._until

    def hold(self, until: datetime) -> None:
        """Leaves it alone until then: it works, and has asked for a pause."""
        self._failures = 0
        self._until = until

    def succeeded(self) -> None:
        """Notes that it works."""
        self._failures = 0
        self._until = None
