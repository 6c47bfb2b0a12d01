"""Who reports where nobody holds a client? The one that `configure` made, by functions of the same names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from chimein.client import Client, Properties, Timestamp
from chimein.errors import ConfigurationError
from chimein.signing import Id

_client: Client | None = None


def configure(write_key: str, host: str = "http://127.0.0.1:8000", **options: Any) -> Client:
    """Makes the client of this process, with the options of `Client`; one that was made before is closed."""
    global _client
    previous, _client = _client, Client(write_key, host, **options)
    if previous is not None:
        previous.close()
    return _client


def client() -> Client:
    """The client of this process; raises `ConfigurationError` where none was configured."""
    if _client is None:
        raise ConfigurationError("call chimein.configure(write_key, host) first")
    return _client


def track(
    event: str,
    properties: Properties | None = None,
    *,
    anonymous_id: Id | None = None,
    user_id: Id | None = None,
    timestamp: Timestamp | None = None,
    message_id: str | None = None,
    context: Properties | None = None,
) -> bool:
    """`Client.track` of the configured client."""
    return client().track(
        event,
        properties,
        anonymous_id=anonymous_id,
        user_id=user_id,
        timestamp=timestamp,
        message_id=message_id,
        context=context,
    )


def identify(
    user_id: Id | None = None,
    traits: Properties | None = None,
    *,
    anonymous_id: Id | None = None,
    timestamp: Timestamp | None = None,
    message_id: str | None = None,
    context: Properties | None = None,
) -> bool:
    """`Client.identify` of the configured client."""
    return client().identify(
        user_id, traits, anonymous_id=anonymous_id, timestamp=timestamp, message_id=message_id, context=context
    )


def change_traits(
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
    """`Client.change_traits` of the configured client."""
    return client().change_traits(
        user_id,
        set=set,
        set_once=set_once,
        add=add,
        subtract=subtract,
        append=append,
        remove=remove,
        unset=unset,
        anonymous_id=anonymous_id,
        timestamp=timestamp,
        message_id=message_id,
        context=context,
    )


def page(
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
    """`Client.page` of the configured client."""
    return client().page(
        name,
        category,
        properties,
        anonymous_id=anonymous_id,
        user_id=user_id,
        timestamp=timestamp,
        message_id=message_id,
        context=context,
    )


def group(
    group_id: Id,
    traits: Properties | None = None,
    *,
    anonymous_id: Id | None = None,
    user_id: Id | None = None,
    timestamp: Timestamp | None = None,
    message_id: str | None = None,
    context: Properties | None = None,
) -> bool:
    """`Client.group` of the configured client."""
    return client().group(
        group_id,
        traits,
        anonymous_id=anonymous_id,
        user_id=user_id,
        timestamp=timestamp,
        message_id=message_id,
        context=context,
    )


def alias(
    previous_id: Id,
    user_id: Id,
    *,
    timestamp: Timestamp | None = None,
    message_id: str | None = None,
    context: Properties | None = None,
) -> bool:
    """`Client.alias` of the configured client."""
    return client().alias(previous_id, user_id, timestamp=timestamp, message_id=message_id, context=context)


def flush(timeout: float | None = None) -> bool:
    """`Client.flush` of the configured client."""
    return client().flush(timeout)


def close(timeout: float = 5.0) -> bool:
    """`Client.close` of the configured client."""
    return client().close(timeout)
