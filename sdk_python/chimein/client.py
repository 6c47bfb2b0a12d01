"""What may a program report? Segment's calls, none of which waits for the network or raises because of it."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Union

from chimein.batcher import Batcher
from chimein.delivery import Delivery
from chimein.encoding import encode, time_text
from chimein.errors import ConfigurationError, EventTooLarge, InvalidEvent, MissingIdError
from chimein.report import OnDrop, OnError, Reporter
from chimein.signing import Id, user_hash
from chimein.transport import Transport
from chimein.version import __version__

Properties = Mapping[str, Any]
Timestamp = Union[datetime, str]

LARGEST_EVENT = 32 * 1024

_LIBRARY = {"name": "chimein-python", "version": __version__}
_CONTEXT = {"library": _LIBRARY}


class Client:
    """A queue of events for one site, emptied by a background thread.

    `host` is where the server is, with a path if it is mounted below one. Times are in seconds, sizes in bytes before
    packing. `on_error(error, events)` hears of lost events, `on_drop(event)` of those that found the queue full; both
    may run in the calling thread or in the background. `send=False` checks and forgets all events (for tests);
    `sync=True` sends each at once in the calling thread (for scripts and functions that may be frozen any moment).
    `secret_key` signs what `identify` says, for sites that demand it; over https it also tells the server that no page
    speaks here, so that form fields beyond the site's list keep their values.
    """

    def __init__(
        self,
        write_key: str,
        host: str = "http://127.0.0.1:8000",
        *,
        queue_size: int = 10_000,
        batch_size: int = 100,
        flush_interval: float = 0.5,
        max_batch_bytes: int = 475_000,
        gzip: bool = True,
        timeout: float = 15.0,
        retries: int = 10,
        exit_timeout: float = 5.0,
        on_error: OnError | None = None,
        on_drop: OnDrop | None = None,
        send: bool = True,
        sync: bool = False,
        secret_key: str | None = None,
    ) -> None:
        if (
            min(queue_size, batch_size, max_batch_bytes) < 1
            or timeout <= 0
            or min(flush_interval, retries, exit_timeout) < 0
        ):
            raise ConfigurationError(
                "sizes and timeout must be above 0, flush_interval, retries and exit_timeout not below"
            )
        self._reporter = Reporter(on_error, on_drop)
        self._delivery = Delivery(
            Transport(host, write_key, gzip=gzip, secret_key=secret_key),
            self._reporter,
            retries=retries,
            timeout=timeout,
        )
        self._send = send
        self._sync = sync
        self._secret_key = secret_key
        self._batcher = Batcher(
            self._delivery,
            self._reporter,
            queue_size=queue_size,
            batch_size=batch_size,
            flush_interval=flush_interval,
            max_batch_bytes=max_batch_bytes,
            exit_timeout=exit_timeout,
        )
        # The thread knows the batcher, not the client: a client that nobody holds sends the rest and is gone.
        weakref.finalize(self, self._batcher.begin_close, None).atexit = False

    def track(
        self,
        event: str,
        properties: Properties | None = None,
        *,
        anonymous_id: Id | None = None,
        user_id: Id | None = None,
        timestamp: Timestamp | None = None,
        message_id: str | None = None,
        context: Properties | None = None,
    ) -> bool:
        """Reports that a visitor did something; True if queued. Raises only `MissingIdError`, as all calls do."""
        message = {"type": "track", "event": event, "properties": properties or {}}
        return self._submit(message, anonymous_id, user_id, timestamp, message_id, context)

    def identify(
        self,
        user_id: Id | None = None,
        traits: Properties | None = None,
        *,
        anonymous_id: Id | None = None,
        timestamp: Timestamp | None = None,
        message_id: str | None = None,
        context: Properties | None = None,
    ) -> bool:
        """Reports who a visitor is and what is known of them; with both ids, that they are one person."""
        message = {"type": "identify", "traits": traits or {}}
        if self._secret_key and user_id is not None:
            context = {"userHash": user_hash(self._secret_key, user_id), **(context or {})}
        return self._submit(message, anonymous_id, user_id, timestamp, message_id, context)

    def change_traits(
        self,
        user_id: Id | None = None,
        *,
        set: Properties | None = None,  # noqa: A002 - the name that the operation has everywhere
        set_once: Properties | None = None,
        add: Properties | None = None,
        subtract: Properties | None = None,
        append: Properties | None = None,
        remove: Properties | None = None,
        unset: Collection[str] | None = None,
        anonymous_id: Id | None = None,
        timestamp: Timestamp | None = None,
        message_id: str | None = None,
        context: Properties | None = None,
    ) -> bool:
        """Changes what is known of a visitor, by operations on traits; `identify` with these among its traits.

        Amounts are exact: a `Decimal` is sent as text. Operations count by their time, whenever they arrive.
        """
        told: dict[str, Any] = {"$set": set, "$set_once": set_once, "$append": append, "$remove": remove}
        told |= {"$add": add, "$subtract": subtract}
        for kind, values in told.items():
            if values is not None and not isinstance(values, Mapping):
                wrong = f"{kind[1:]} must be a mapping, not {type(values).__name__}"
                self._reporter.failed(InvalidEvent(wrong), [{"type": "identify", "traits": told}])
                return False
        told |= {kind: _exact(told[kind]) for kind in ("$add", "$subtract") if told[kind]}
        told["$unset"] = [unset] if isinstance(unset, str) else list(unset or ())
        return self.identify(
            user_id,
            {kind: each for kind, each in told.items() if each},
            anonymous_id=anonymous_id,
            timestamp=timestamp,
            message_id=message_id,
            context=context,
        )

    def page(
        self,
        name: str | None = None,
        category: str | None = None,
        properties: Properties | None = None,
        *,
        anonymous_id: Id | None = None,
        user_id: Id | None = None,
        timestamp: Timestamp | None = None,
        message_id: str | None = None,
        context: Properties | None = None,
    ) -> bool:
        """Reports that a visitor saw a page; `properties` should have its `url`, `path`, `title` and `referrer`."""
        message: dict[str, Any] = {"type": "page", "properties": properties or {}}
        if name:
            message["name"] = name
        if category:
            message["category"] = category
        return self._submit(message, anonymous_id, user_id, timestamp, message_id, context)

    def group(
        self,
        group_id: Id,
        traits: Properties | None = None,
        *,
        anonymous_id: Id | None = None,
        user_id: Id | None = None,
        timestamp: Timestamp | None = None,
        message_id: str | None = None,
        context: Properties | None = None,
    ) -> bool:
        """Reports that a visitor belongs to a group, such as a company, and what is known of it."""
        if group_id is None or group_id == "":
            raise MissingIdError("group() needs a group_id")
        message = {"type": "group", "groupId": str(group_id), "traits": traits or {}}
        return self._submit(message, anonymous_id, user_id, timestamp, message_id, context)

    def alias(
        self,
        previous_id: Id,
        user_id: Id,
        *,
        timestamp: Timestamp | None = None,
        message_id: str | None = None,
        context: Properties | None = None,
    ) -> bool:
        """Reports that the person known as `previous_id` is now known as `user_id`."""
        if previous_id is None or previous_id == "" or user_id is None or user_id == "":
            raise MissingIdError("alias() needs a previous_id and a user_id")
        message = {"type": "alias", "previousId": str(previous_id)}
        return self._submit(message, None, user_id, timestamp, message_id, context)

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all events reported so far were delivered or given up; False if `timeout` passed first."""
        return self._batcher.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Sends what is queued and ends the thread; True if all was dealt with in time. Later events are dropped."""
        deadline = time.monotonic() + timeout
        self._batcher.begin_close(deadline)
        return self._batcher.finish_close(deadline)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(
        self,
        message: dict[str, Any],
        anonymous_id: Id | None,
        user_id: Id | None,
        timestamp: Timestamp | None,
        message_id: str | None,
        context: Properties | None,
    ) -> bool:
        """Completes the message and queues it as bytes: its values are free to change afterwards."""
        has_visitor = False
        if anonymous_id is not None and anonymous_id != "":
            message["anonymousId"] = str(anonymous_id)
            has_visitor = True
        if user_id is not None and user_id != "":
            message["userId"] = str(user_id)
            has_visitor = True
        if not has_visitor:
            raise MissingIdError(f"{message['type']}() needs an anonymous_id or a user_id")
        try:
            message["messageId"] = str(message_id) if message_id else os.urandom(16).hex()
            message["timestamp"] = time_text(timestamp)
            message["context"] = {"library": _LIBRARY, **context} if context else _CONTEXT
            data = _checked(message)
        except InvalidEvent as error:
            self._reporter.failed(error, [message])
        except Exception as error:  # a value of a wrong type is no reason to break the host's request
            self._reporter.failed(InvalidEvent(f"cannot be sent: {error!r}"), [message])
        else:
            if not self._send:
                return True
            return self._delivery.deliver([data]) if self._sync else self._batcher.put(data)
        return False


def _exact(amounts: Properties) -> Properties:
    """Amounts as the server reads them exactly."""
    return {name: str(each) if isinstance(each, Decimal) else each for name, each in amounts.items()}


def _checked(message: dict[str, Any]) -> bytes:
    """The message as bytes; raises `InvalidEvent` where the server would refuse it."""
    if message["type"] == "track" and not (isinstance(message["event"], str) and message["event"]):
        raise InvalidEvent("the event needs a name")
    facts = message.get("properties", message.get("traits"))
    if facts is not None and not isinstance(facts, Mapping):
        raise InvalidEvent(f"properties and traits must be a mapping, not {type(facts).__name__}")
    data = encode(message)
    if len(data) > LARGEST_EVENT:
        raise EventTooLarge(f"the event has {len(data)} bytes, more than {LARGEST_EVENT}")
    return data
