"""chimein for Python: tells a chimein server what the visitors of a site do.

import chimein

chimein.configure("WRITE_KEY", "https://events.example.com")
chimein.track("Order Completed", {"order_id": "A-17", "total": 49.9}, user_id="42")
"""

from chimein.client import Client
from chimein.default import alias, change_traits, client, close, configure, flush, group, identify, page, track
from chimein.errors import (
    ChimeinError,
    ConfigurationError,
    DeliveryError,
    EventRejected,
    EventTooLarge,
    InvalidEvent,
    MissingIdError,
)
from chimein.signing import identity_token, user_hash
from chimein.version import __version__

__all__ = [
    "ChimeinError",
    "Client",
    "ConfigurationError",
    "DeliveryError",
    "EventRejected",
    "EventTooLarge",
    "InvalidEvent",
    "MissingIdError",
    "__version__",
    "alias",
    "change_traits",
    "client",
    "close",
    "configure",
    "flush",
    "group",
    "identify",
    "identity_token",
    "page",
    "track",
    "user_hash",
]
