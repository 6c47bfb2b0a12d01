"""Live push: tells whoever holds a visitor's stream that there is something new; what it is lies in SQL."""

import json
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import redis
import structlog

from backend.domain.message import Message

PREFIX = "chimein:live:"

LISTENING = 2.0
"""Seconds that a new stream waits until this process listens to Redis: what came before that nobody would be told."""

BUFFER = 100
"""Notes that wait for a slow reader; one more, and its stream is closed: it comes back and gets a snapshot."""

log = structlog.get_logger(__name__)


class Subscription:
    """One stream's mailbox."""

    __slots__ = ("closed", "inbox", "visitor_ids")

    def __init__(self, visitor_ids: Sequence[str]) -> None:
        self.visitor_ids = tuple(visitor_ids)
        self.inbox: queue.Queue[Mapping[str, Any] | None] = queue.Queue(BUFFER)
        self.closed = False

    def next(self, timeout: float) -> Mapping[str, Any] | None:
        """The next note; None when `timeout` seconds passed, or when the stream is to end (see `closed`)."""
        try:
            return self.inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def put(self, note: Mapping[str, Any]) -> None:
        """Leaves a note; closes the stream when its reader does not keep up."""
        try:
            self.inbox.put_nowait(note)
        except queue.Full:
            self.closed = True

    def close(self) -> None:
        """Ends the stream, also one that waits for a note."""
        self.closed = True
        with suppress(queue.Full):
            self.inbox.put_nowait(None)


class LiveBus:
    """Publishes notes, and hands those that come in to the streams of this process.

    Nothing is lost when nobody listens: a stream begins with a snapshot out of SQL.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._streams: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self._listening = threading.Event()
        self._closed = False

    def publish(self, notes: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Sends each `(visitor id, note)`; a note is `{"event": "message"|"revoke", "data": …}`."""
        if not notes:
            return
        pipeline = self.client.pipeline(transaction=False)
        for visitor_id, note in notes:
            pipeline.publish(PREFIX + visitor_id, json.dumps(note))
        pipeline.execute()

    def revoke(self, messages: Iterable[Message]) -> None:
        """Tells the pages that may hold these messages not to show them; where that fails, SQL says no when asked."""
        try:
            self.publish(
                [
                    (each.visitor_id, {"event": "revoke", "anonymous_id": each.anonymous_id, "data": {"id": each.id}})
                    for each in messages
                ]
            )
        except redis.RedisError as error:
            log.warning("bell_failed", reason=str(error)[:200])

    def subscribe(self, visitor_ids: Sequence[str]) -> Subscription:
        """Begins to collect what is published for these visitors from now on; where that cannot be, it has ended."""
        subscription = Subscription(visitor_ids)
        with self._lock:
            for visitor_id in subscription.visitor_ids:
                self._streams[visitor_id].add(subscription)
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="live", daemon=True)
                self._listener.start()
        if not self._listening.wait(LISTENING):
            subscription.close()  # what comes now would not be told: the page gets a snapshot, and comes back
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends it; ending it twice does no harm."""
        with self._lock:
            for visitor_id in subscription.visitor_ids:
                streams = self._streams.get(visitor_id)
                if streams is not None:
                    streams.discard(subscription)
                    if not streams:
                        del self._streams[visitor_id]

    def close(self) -> None:
        """Lets the listening end; the connections are closed by whoever opened them."""
        self._closed = True

    @property
    def streams(self) -> int:
        """How many streams this process holds."""
        with self._lock:
            return len({each for group in self._streams.values() for each in group})

    def _listen(self) -> None:
        while not self._closed:
            try:
                self._receive()
            except Exception as error:
                if self._closed:
                    return
                # Whatever it is, this thread must go on. What was published meanwhile is in SQL only: all streams
                # begin anew, with a snapshot.
                log.warning("live_bus_lost", reason=str(error)[:200])
                self._listening.clear()
                self._end_all()
                time.sleep(0.5)

    def _receive(self) -> None:
        subscriber = self.client.pubsub()  # type: ignore[no-untyped-call]
        try:
            subscriber.psubscribe(PREFIX + "*")
            while not self._closed:
                received = subscriber.get_message(timeout=5.0)
                if received is None:
                    continue
                if received["type"] == "psubscribe":
                    # Once more: the connection broke and redis-py made another one. What was published between the
                    # two nobody was told.
                    if self._listening.is_set():
                        self._end_all()
                    self._listening.set()
                elif received["type"] == "pmessage":
                    self._hand_out(received["channel"], received["data"])
        finally:
            subscriber.close()

    def _end_all(self) -> None:
        with self._lock:
            for each in {each for group in self._streams.values() for each in group}:
                each.close()

    def _hand_out(self, channel: Any, data: Any) -> None:
        name = channel.decode() if isinstance(channel, bytes) else str(channel)
        with self._lock:
            streams = list(self._streams.get(name.removeprefix(PREFIX), ()))
        if streams:
            note = cast(Mapping[str, Any], json.loads(data))
            for each in streams:
                each.put(note)
